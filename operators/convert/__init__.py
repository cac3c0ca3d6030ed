"""What others' manifests say, said as `ModelRollout`, with a list of what could not be carried over.

Read are KServe's `InferenceService`, Seldon Core's `SeldonDeployment` and Argo Rollouts' `Rollout`, each by a module of
its own, which knows the fields of that project and nothing else. Nothing here reads files or asks a cluster.
"""

from operators.convert.conversion import SOURCES, Conversion, convert
from operators.convert.report import Kind, Note

__all__ = ["SOURCES", "Conversion", "Kind", "Note", "convert"]
