"""What replicas are told about model files, by the environment of Ray's processes: the cluster's policy.

No rollout can change it: its `serving.env` may not set variables that begin with `TIDEGATE_`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar, cast, get_args

from serving.artifacts.hosts import Hosts
from serving.errors import BadArtifactSettings
from serving.uri import FORMS

Code = Literal["always", "verified", "never"]

PREFIX: Final = "TIDEGATE_ARTIFACT_"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_SIZES: Final = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """The policy. Sizes are in bytes, times in seconds.

    `schemes` are those that a model's URI may have. `largest` bounds one download, `timeout` how long it may take,
    `budget` what the cache holds. `claims` is the folder in which claims are mounted by their names. `keys` is a folder
    of public keys (`*.pem`) that models are signed with, `signed` whether every model must be. `code` says which models
    may run code of their own when they are loaded, `types` which classes a skops file may hold beside the usual.
    """

    hosts: Hosts = Hosts(anyone=True)  # noqa: RUF009 - it is frozen
    schemes: frozenset[str] = frozenset(FORMS)
    largest: int = 10 << 30
    timeout: float = 600.0
    budget: int = 20 << 30
    claims: Path | None = None
    keys: Path | None = None
    signed: bool = False
    code: Code = "verified"
    types: frozenset[str] = frozenset()

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "ArtifactSettings":
        """Raises `BadArtifactSettings`."""
        usual = cls()
        keys = _read(environ, "KEYS", Path, None)
        signed = _read(environ, "SIGNED", _signed, False)
        if signed and keys is None:
            raise BadArtifactSettings(f"{PREFIX}SIGNED is always, and {PREFIX}KEYS names no folder with public keys")
        return cls(
            hosts=_read(environ, "HOSTS", Hosts.read, usual.hosts),
            schemes=_read(environ, "SCHEMES", _schemes, usual.schemes),
            largest=_read(environ, "MAX_SIZE", _size, usual.largest),
            timeout=_read(environ, "TIMEOUT", _duration, usual.timeout),
            budget=_read(environ, "CACHE_SIZE", _size, usual.budget),
            claims=_read(environ, "CLAIMS", Path, None),
            keys=keys,
            signed=signed,
            code=_read(environ, "CODE", _code, usual.code),
            types=_read(environ, "TYPES", _words, usual.types),
        )


def _read(environ: Mapping[str, str], name: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
    text = environ.get(PREFIX + name, "").strip()
    try:
        return parse(text) if text else default
    except ValueError as error:
        raise BadArtifactSettings(f"the variable {PREFIX}{name} of Ray's processes cannot be {error}") from None


def _code(text: str) -> Code:
    if text not in get_args(Code):
        raise ValueError(f"{text!r}: {', '.join(get_args(Code))} are possible")
    return cast("Code", text)


def _signed(text: str) -> bool:
    if text not in ("always", "never"):
        raise ValueError(f"{text!r}: always, never are possible")
    return text == "always"


def _words(text: str) -> frozenset[str]:
    return frozenset(re.split(r"[,\s]+", text))


def _schemes(text: str) -> frozenset[str]:
    schemes = _words(text)
    if not schemes <= set(FORMS):
        raise ValueError(f"{text!r}: {', '.join(FORMS)} are possible")
    return schemes


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})([kMGT]|[KMGT]i)?", text)
    if found is None:
        raise ValueError(f"{text!r}: write a size such as 10Gi")
    return int(found[1]) * _SIZES[found[2] or ""]


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9})([smh])", text)
    if found is None:
        raise ValueError(f"{text!r}: write a time such as 90s or 10m")
    return float(int(found[1]) * _UNITS[found[2]])
