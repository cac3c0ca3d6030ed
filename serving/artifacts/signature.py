"""Signatures of models, as https://github.com/sigstore/model-transparency makes them with a key of one's own."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from serving.errors import BadArtifactSettings, BadSignature, UnsupportedModel

NAME: Final = "model.sig"
"""The signature within a folder."""
SUFFIX: Final = ".sig"
"""What follows the name of the model's file or folder in that of a signature beside it."""
LARGEST: Final = 64 << 20
"""Bytes of a signature: it names every file of the model."""
_UNSIGNED: Final = (".git", ".github")
"""Folders that model-signing leaves out."""


def verify(model: Path, signature: Path, keys: Path) -> str:
    """The name of the key in the folder `keys` with which the model was signed.

    Raises `BadSignature` when it was signed with none of them, or was changed since, `BadArtifactSettings` when there
    are no keys, `UnsupportedModel` when the package is missing.
    """
    try:
        verifying = import_module("model_signing.verifying")
    except ImportError as error:
        raise UnsupportedModel(
            "signatures need the package model-signing: build the image of the Ray pods with tidegate[signing]"
        ) from error
    found = [name for name in _UNSIGNED if (model / name).exists()]
    if found:
        raise BadSignature(f"{model.name} holds {found[0]}, which signatures leave out: publish it without")
    reasons: dict[str, str] = {}
    for key in _keys(keys):
        try:
            verifying.Config().use_elliptic_key_verifier(public_key=key).verify(model, signature)
        except Exception as error:  # noqa: BLE001 - whatever it is, this key does not vouch for the model
            reasons[key.stem] = f"{error}" or type(error).__name__
        else:
            return key.stem
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise BadSignature(f"none of the keys vouches for {model.name}: {told[:500]}")


def _keys(folder: Path) -> Sequence[Path]:
    keys = sorted(folder.glob("*.pem"))
    if not keys:
        raise BadArtifactSettings(f"there is no public key *.pem in {folder}")
    return keys
