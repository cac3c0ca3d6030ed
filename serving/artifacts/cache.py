"""Model files that a node keeps under their SHA-256, so that what was loaded once can be loaded again.

One entry per content, `<root>/<sha256>/<name>`. An entry appears by one rename, so it is whole or it is not there;
nothing in it is ever changed. Processes share the cache through `flock(2)` on its folders, which the kernel gives up
with the process that held it: who uses an entry holds its folder shared, and what cannot be had exclusively is left
where it is. An entry's modification time is its last use.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.artifacts.digests import digest
from serving.errors import ArtifactMismatch

STRIPES: Final = 64
"""So many downloads of models with a known SHA-256 may go on at once; those of the same one never do."""
_INCOMING: Final = ".incoming-"
_GONE: Final = ".gone-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the cache, which stays there until `release`, or until the process ends."""

    path: Path
    sha256: str
    _lease: int

    def release(self) -> None:
        """From here on the entry may be deleted. May be called once."""
        os.close(self._lease)


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder `root`, which holds about `budget` bytes: more only while all of it is in use."""

    root: Path
    budget: int

    def find(self, sha256: str, name: str = "") -> Entry | None:
        """The entry with this content. It is hashed again before it is used: one that was damaged is dropped.

        A file is also given the `name` by which it is asked for, for runtimes go by suffixes.
        Raises `ArtifactMismatch` for what is no SHA-256, and so could lead out of the cache.
        """
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ArtifactMismatch(f"sha256 must be 64 hex digits, got {sha256!r}")
        folder = self.root / sha256
        lease = _lock(folder, fcntl.LOCK_SH)
        if lease is None:
            return None
        try:
            path = next(folder.iterdir(), None)
            if path is not None and digest(path) == sha256:
                path = _called(path, name)
                os.utime(folder)
                entry, lease = Entry(path, sha256, lease), -1
                return entry
            log.warning("the cached model %s is damaged and is dropped", folder)
        finally:
            if lease >= 0:
                os.close(lease)
        self._set_aside(folder)
        self._sweep()
        return None

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """An empty folder within the cache to gather an entry in. Whatever is left of it goes with the block."""
        self.root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
            lease = _lock(folder, fcntl.LOCK_SH)
            if lease is not None:  # else somebody took it for the rest of a process that has died
                break
        try:
            yield folder
        finally:
            os.close(lease)
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, path: Path, sha256: str) -> Entry:
        """Make `path`, the only one in its folder within `incoming`, the entry of its content. Raises `OSError`."""
        self._make_room(size_of(path))
        folder = path.parent
        lease = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lease, fcntl.LOCK_SH)
            try:
                folder.rename(self.root / sha256)
            except OSError:
                # Another replica was faster: its entry has the same content, unless it was damaged and is dropped now.
                if (entry := self.find(sha256, path.name)) is not None:
                    os.close(lease)
                    return entry
                folder.rename(self.root / sha256)
        except OSError:
            os.close(lease)
            raise
        return Entry(self.root / sha256 / path.name, sha256, lease)

    @contextmanager
    def alone(self, sha256: str) -> Iterator[None]:
        """Hold others up that want the same content: when they go on, they find it. Raises `OSError`."""
        self.root.mkdir(parents=True, exist_ok=True)
        with Path(self.root, f".lock-{int(sha256[:8], 16) % STRIPES}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_room(self, wanted: int) -> None:
        """Delete what was not used for the longest time, and nobody uses now, until `wanted` bytes more fit."""
        self._sweep()
        entries = [(_used(folder), size_of(folder), folder) for folder in self._folders() if folder.name[0] != "."]
        excess = sum(size for _, size, _ in entries) + wanted - self.budget
        for _, size, folder in sorted(entries):
            if excess <= 0:
                break
            lease = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lease is not None:
                log.info("the cached model %s is deleted to make room", folder)
                self._set_aside(folder)
                os.close(lease)
                excess -= size
        self._sweep()
        if excess > 0:
            log.warning("the models in use take %d bytes more than the cache %s should hold", excess, self.root)

    def _set_aside(self, folder: Path) -> None:
        """Take an entry out of sight, at once and whole; the files stay for those who have them."""
        with suppress(OSError):  # somebody else did it
            folder.rename(Path(tempfile.mkdtemp(prefix=_GONE, dir=self.root)))

    def _sweep(self) -> None:
        """Delete what was set aside, and what processes that were killed had begun, unless somebody has it."""
        for folder in self._folders():
            if folder.name.startswith((_INCOMING, _GONE)):
                lease = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lease is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lease)

    def _folders(self) -> list[Path]:
        return [path for path in self.root.iterdir() if path.is_dir()] if self.root.is_dir() else []


def _lock(folder: Path, how: int) -> int | None:
    """A descriptor that holds this folder; None if it is not there, is no longer it, or somebody else has it."""
    try:
        lease = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(lease, how)
        if os.path.samestat(os.fstat(lease), folder.stat()):
            return lease
    except OSError:
        pass
    os.close(lease)
    return None


def _called(path: Path, name: str) -> Path:
    """A cached file by another name, which is added beside its own, if that has another suffix."""
    if not name or Path(name).suffix == path.suffix or not path.is_file():
        return path
    other = path.with_name(name)
    with suppress(FileExistsError):
        other.hardlink_to(path)
    return other


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; those that vanish meanwhile do not count."""
    total = 0
    for file in [path, *path.rglob("*")]:
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
