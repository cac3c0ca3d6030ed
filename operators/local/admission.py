"""What an API server's webhook does for a manifest: completes it, validates it, checks what only this machine can.

A model may be named by a path: `./models/iris.joblib` (also `file://./models/iris.joblib`) starts at the folder of the
manifest, or at the working folder for one from standard input. Files can change under the same name, so the SHA-256 of
what is there now is written beside the spec: other bytes are another version, and replicas refuse to load anything
else.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from operators.api import RESOLVED_SHA256, InvalidManifest, ModelRollout, Problem, parse_manifest
from operators.manifests import Document
from operators.stored import Admitted
from serving.artifacts import digest

_URI = "spec.model.uri"


def admit(document: Document, needed: bool = True) -> Admitted:
    """Complete and check one manifest. Raises `InvalidManifest` with all its problems.

    `needed`: the model must be there.
    """
    content = _with_absolute_uri(document)
    rollout = parse_manifest(content)
    resolved = _resolved(rollout, needed)
    annotations = {**rollout.metadata.annotations, **resolved}
    metadata = rollout.metadata.model_copy(update={"annotations": annotations})
    return Admitted(document.place, content, rollout.model_copy(update={"metadata": metadata}), resolved)


def _with_absolute_uri(document: Document) -> dict[str, object]:
    content = dict(document.content)
    spec = _mapping(content.get("spec"))
    model = _mapping(spec.get("model"))
    uri = model.get("uri")
    if isinstance(uri, str):
        path = uri.removeprefix("file://")
        if path.startswith(("./", "../")) or (path == uri and path.startswith("/")):
            absolute = (document.folder / path).resolve().as_uri()
            content["spec"] = {**spec, "model": {**model, "uri": absolute}}
    return content


def _resolved(rollout: ModelRollout, needed: bool) -> dict[str, str]:
    """The annotation with the SHA-256 of the model that the URI names now; none for one that may be absent and is."""
    path = Path(unquote(urlsplit(rollout.spec.model.uri).path))
    try:
        if not path.exists():
            if not needed:
                return {}
            raise InvalidManifest((Problem(_URI, f"there is nothing at {path}"),))
        found = digest(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise InvalidManifest((Problem(_URI, f"{path} cannot be read: {error}"),)) from error
    wanted = rollout.spec.model.sha256
    if wanted is not None and wanted != found:
        reason = f"{path} has the SHA-256 {found}, not this one: the file is not the one that was meant"
        raise InvalidManifest((Problem("spec.model.sha256", reason),))
    return {RESOLVED_SHA256: found}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
