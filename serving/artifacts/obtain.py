"""From a model's URI to a verified copy of its file or folder in the node's cache."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from serving.artifacts import local, signature
from serving.artifacts.cache import Cache, Entry
from serving.artifacts.child import Job
from serving.artifacts.digests import digest
from serving.artifacts.download import download
from serving.artifacts.redact import redact
from serving.artifacts.settings import PREFIX, ArtifactSettings
from serving.errors import (
    ArtifactMismatch,
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactTooLarge,
    BadSignature,
    ModelLoadError,
    UnsupportedModel,
)
from serving.spec import ModelSource
from serving.uri import BadUri, Location, parse


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model's file or folder, which nobody else writes to.

    `source` is what was asked for. Its `sha256` is set if somebody vouches for the content: the manifest by that very
    digest, or a key by a signature. The copy stays in the cache until `release`, or until the process ends.
    """

    path: Path
    source: ModelSource
    _entry: Entry

    @property
    def sha256(self) -> str:
        """The digest of its content (hex)."""
        return self._entry.sha256

    def release(self) -> None:
        """Say that the copy is not used any more. May be called once."""
        self._entry.release()


def obtain(source: ModelSource, cache: Path, environ: Mapping[str, str] = os.environ) -> Artifact:
    """Find, verify and keep a model. Blocks as long as that takes. A model whose SHA-256 is given and in the cache is
    taken from there, whatever has become of its source.

    Raises a `ModelLoadError`: `UnsupportedModel` for what cannot be loaded here, `ArtifactRefused` for what the policy
    forbids, `ArtifactNotFound` when nothing readable is there, `ArtifactMismatch` when the bytes are not the promised
    ones, `ArtifactTooLarge`, `ArtifactUnavailable` when the source or the way to it fails, `BadSignature`, and
    `BadArtifactSettings`.
    """
    origin = _Origin.of(source, environ)
    kept = Cache(cache, origin.settings.budget)
    try:
        entry = origin.entry(kept)
    except OSError as error:
        raise ArtifactNotFound(f"cannot take {source.uri} into the cache {cache}: {error}") from error
    try:
        vouched = replace(source, sha256=entry.sha256) if origin.is_signed(entry.path) else source
    except ModelLoadError:
        entry.release()
        raise
    return Artifact(entry.path, vouched, entry)


def read_beside(
    source: ModelSource, suffix: str, largest: int, environ: Mapping[str, str] = os.environ
) -> bytes | None:
    """A small file that belongs to the model: its URI with `suffix` after it. None if there is none.

    It is no part of the model: neither verified nor cached. A registry has no such files. Raises `OSError`, and
    `ModelLoadError` as `obtain` does.
    """
    return _Origin.of(source, environ).read_beside(suffix, largest)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a model comes from, under the policy of this environment."""

    source: ModelSource
    location: Location
    settings: ArtifactSettings
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, source: ModelSource, environ: Mapping[str, str]) -> "_Origin":
        settings = ArtifactSettings.read(environ)
        try:
            location = parse(source.uri)
        except BadUri as error:
            raise UnsupportedModel(f"{redact(source.uri, {})}: the URI {error}") from None
        if location.scheme not in settings.schemes:
            allowed = ", ".join(f"{scheme}:" for scheme in sorted(settings.schemes))
            raise ArtifactRefused(f"{source.uri}: models may not come by {location.scheme}:, but by {allowed}")
        return cls(source, location, settings, environ)

    def entry(self, cache: Cache) -> Entry:
        if self.source.sha256 is None:
            return self._bring(cache, None)
        wanted = self.source.sha256.lower()
        if (entry := cache.find(wanted, self.location.name)) is not None:
            return entry
        with cache.alone(wanted):
            return cache.find(wanted, self.location.name) or self._bring(cache, wanted)

    def is_signed(self, path: Path) -> bool:
        """Whether a key vouches for the model. Asked where every model must be signed, or nothing else vouches."""
        keys, needed = self.settings.keys, self.settings.signed
        if keys is None or (self.source.sha256 is not None and not needed):
            return False
        try:
            with tempfile.TemporaryDirectory(prefix="tidegate-signature-") as folder:
                place = path / signature.NAME
                if not place.is_file():
                    content = self.read_beside(signature.SUFFIX, signature.LARGEST)
                    if content is None and needed:
                        raise BadSignature(f"it is not signed, and {PREFIX}SIGNED is always")
                    if content is None:
                        return False
                    place = Path(folder, signature.NAME)
                    place.write_bytes(content)
                signature.verify(path, place, keys)
        except ModelLoadError as error:
            raise type(error)(f"{self.source.uri}: {error}") from error
        except OSError as error:
            raise BadSignature(f"{self.source.uri}: its signature cannot be read: {error}") from error
        return True

    def read_beside(self, suffix: str, largest: int) -> bytes | None:
        if self.location.scheme == "models":
            return None
        if self.location.scheme in local.SCHEMES:
            content = local.read_beside(self.location, self.settings, suffix, largest + 1)
            if content is not None and len(content) > largest:
                raise ArtifactTooLarge(f"it is larger than {largest >> 20} MiB")
            return content
        with tempfile.TemporaryDirectory(prefix="tidegate-beside-") as folder:
            path = Path(folder, "file")
            try:
                self._download(suffix, path, largest)
            except ArtifactNotFound:
                return None
            return path.read_bytes()

    def _bring(self, cache: Cache, wanted: str | None) -> Entry:
        """Copy the model into a new folder, verify the copy, and make it an entry of the cache.

        The copy is what gets hashed and loaded: a source that is overwritten meanwhile cannot slip in unverified.
        """
        with cache.incoming() as folder:
            place = folder / "entry"
            place.mkdir()
            try:
                if self.location.scheme in local.SCHEMES:
                    path = local.copy(self.location, self.settings, place)
                else:
                    path = place / self.location.name
                    self._download("", path, self.settings.largest)
            except ModelLoadError as error:
                raise type(error)(f"{self.source.uri}: {error}") from error
            actual = digest(path)
            if wanted is not None and actual != wanted:
                raise ArtifactMismatch(f"{self.source.uri} has SHA-256 {actual}, the manifest demands {wanted}")
            return cache.keep(path, actual)

    def _download(self, suffix: str, target: Path, largest: int) -> None:
        download(Job(self.source.uri, suffix, str(target), largest), self.settings, self.environ)
