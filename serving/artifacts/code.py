"""Which models may run code of their own when they are loaded: pickles, and classes that come with a model."""

import os
from collections.abc import Mapping

from serving.artifacts.settings import PREFIX, ArtifactSettings
from serving.errors import CodeRefused
from serving.spec import ModelSource


def require_code(source: ModelSource, what: str, environ: Mapping[str, str] = os.environ) -> None:
    """Let a runtime go on to what runs a model's own code, where the cluster's policy allows it.

    `source` is the one that a runtime was given: its `sha256` says that somebody vouches for the content. `what` is the
    subject of the message: "model.pkl, a pickle,". Raises `CodeRefused`, `BadArtifactSettings`.
    """
    policy = ArtifactSettings.read(environ).code
    if policy == "never":
        raise CodeRefused(
            f"{what} runs code when it is loaded, and {PREFIX}CODE is never: use skops, ONNX or a native format"
        )
    if policy == "verified" and source.sha256 is None:
        raise CodeRefused(
            f"{what} runs code when it is loaded, and nobody vouches for it: write spec.model.sha256, sign it, or use "
            "skops, ONNX or a native format"
        )


def trusted_types(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Classes and functions that a skops file may hold beside those of skops and scikit-learn: `module.name`."""
    return ArtifactSettings.read(environ).types
