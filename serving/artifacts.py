"""Model files: found, verified and kept under their SHA-256, so that what was loaded once can be loaded again.

The cache holds one entry per content, `<cache>/<sha256>/<name>`. An entry appears by one rename, so it is whole or it
is not there; nothing in it is ever changed. A model whose SHA-256 is given and already there is taken from the cache,
whatever has become of its source.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from serving.errors import ArtifactMismatch, ArtifactNotFound, UnsupportedModel
from serving.spec import ModelSource

log = logging.getLogger(__name__)


def materialise(source: ModelSource, cache: Path) -> Path:
    """The local path of the model's file or folder: a verified copy that nobody else writes to.

    Raises a `ModelLoadError`: `UnsupportedModel` for a scheme other than `file`, `ArtifactNotFound` for a path with
    nothing readable at it, `ArtifactMismatch` when the bytes are not the promised ones.
    """
    wanted = source.sha256.lower() if source.sha256 is not None else None
    if wanted is not None and (kept := _kept(cache, wanted)) is not None:
        return kept
    path = _local_path(source.uri)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache) as staging:
            return _take(path, wanted, Path(staging) / "entry", cache)
    except OSError as error:
        raise ArtifactNotFound(f"cannot take {source.uri} into the cache {cache}: {error}") from error


def beside(source: ModelSource, suffix: str) -> Path:
    """Where a file that belongs to the model lies, if there is one: its path with `suffix` after it.

    It is no part of the model: neither verified nor cached. Raises `UnsupportedModel`.
    """
    path = _named_path(source.uri)
    return path.with_name(path.name + suffix)


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex: what `sha256sum FILE` prints.

    Of a folder: the SHA-256 over one line `<sha256 of the file>  <path relative to the folder>\\n` per regular file,
    sorted by the bytes of the path, `/` between its parts. In a shell:
    `cd FOLDER && find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum`.
    """
    if path.is_dir():
        listing = hashlib.sha256()
        files = {os.fsencode(file.relative_to(path).as_posix()): file for file in path.rglob("*") if file.is_file()}
        for name in sorted(files):
            listing.update(_file_digest(files[name]).encode() + b"  " + name + b"\n")
        return listing.hexdigest()
    return _file_digest(path)


def _take(path: Path, wanted: str | None, entry: Path, cache: Path) -> Path:
    """Copy `path` into the new folder `entry`, verify the copy, and make it an entry of the cache.

    The copy is what gets hashed and loaded: a source that is overwritten meanwhile cannot slip in unverified.
    """
    entry.mkdir()
    _copy(path, entry / path.name)
    actual = digest(entry / path.name)
    if wanted is not None and actual != wanted:
        raise ArtifactMismatch(f"{path} has SHA-256 {actual}, the manifest demands {wanted}")
    if (kept := _kept(cache, actual)) is not None:
        return kept
    try:
        entry.rename(cache / actual)
    except OSError:
        # Another replica was faster: its entry has the same content.
        if (kept := _kept(cache, actual)) is None:
            raise
        return kept
    return cache / actual / path.name


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(cache: Path, sha256: str) -> Path | None:
    """The cached file or folder of this content. The name is a hex digest, so it cannot lead out of the cache.

    It is hashed again before it is used: an entry that has been damaged is dropped.
    """
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ArtifactMismatch(f"sha256 must be 64 hex digits, got {sha256!r}")
    entry = cache / sha256
    kept = next(entry.iterdir(), None) if entry.is_dir() else None
    if kept is not None and digest(kept) != sha256:
        log.warning("the cached model %s is damaged and is dropped", entry)
        shutil.rmtree(entry, ignore_errors=True)
        return None
    return kept


def _local_path(uri: str) -> Path:
    """What the URI names, without symbolic links."""
    path = _named_path(uri)
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactNotFound(f"{uri}: there is nothing at {path}") from error


def _named_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file":
        scheme = parts.scheme or "(none)"
        raise UnsupportedModel(f"{uri}: scheme {scheme} is not supported by this release; use file:///absolute/path")
    if parts.netloc not in ("", "localhost"):
        raise UnsupportedModel(f"{uri}: a file URI has no host; write file:///{parts.netloc}{parts.path}")
    path = Path(unquote(parts.path))
    if not path.is_absolute():
        raise UnsupportedModel(f"{uri}: the path must be absolute, as in file:///models/iris/1")
    return path


def _copy(path: Path, target: Path) -> None:
    """Copy a regular file, or a folder of regular files. A symbolic link inside a folder may not lead out of it."""
    if path.is_file():
        shutil.copyfile(path, target)
        return
    if not path.is_dir():
        raise ArtifactNotFound(f"{path} is neither a regular file nor a folder")
    for entry in path.rglob("*"):
        if not entry.resolve().is_relative_to(path):
            raise ArtifactNotFound(f"{entry} leads out of the model's folder {path}")
        if not (entry.is_file() or entry.is_dir()):
            raise ArtifactNotFound(f"{entry} is neither a regular file nor a folder")
    shutil.copytree(path, target)
