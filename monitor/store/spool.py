"""What was accepted while the database was away: a queue of entries in files, on disk before anybody is answered.

Files are numbered. Entries are added to the last one and taken from the first, which is deleted once all of it has been
taken: after a crash some entries come a second time. A file is never added to after a restart or a failed write, so
that an entry that is not whole stays at its end.
"""

import asyncio
import fcntl
import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from monitor.store.framing import pack, unpack

SEGMENT: Final = 8 << 20
"""Bytes after which a new file is begun."""
_SUFFIX: Final = ".spool"

log = logging.getLogger(__name__)


class SpoolFull(Exception):
    """There is no room, or the disk does not take it."""


@dataclass(slots=True)
class _Segment:
    """A file: the bytes that whole entries take, how far they have been taken, and how many entries are left."""

    path: Path
    size: int = 0
    taken: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some first entries, and the positions in the first file after each."""

    entries: Sequence[bytes]
    ends: Sequence[int]


class Spool:
    """The queue in a folder of its own. For one event loop; `open` it first."""

    def __init__(self, folder: Path, limit: int) -> None:
        """`limit`: the bytes that its files may have together."""
        self.news = asyncio.Event()
        """Set while there are entries."""
        self._folder = folder
        self.limit = limit
        self._segments: deque[_Segment] = deque()
        self._number = 0
        self._file: BinaryIO | None = None
        self._lock: BinaryIO | None = None
        self._turn = asyncio.Lock()

    @property
    def entries(self) -> int:
        """How many there are."""
        return sum(segment.entries for segment in self._segments)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(segment.size for segment in self._segments)

    async def open(self) -> None:
        """Find what an earlier process left. Raises `OSError`, also when another process uses the folder."""
        await asyncio.to_thread(self._open)
        self._tell()

    async def append(self, entries: Sequence[bytes]) -> None:
        """Return once the entries are on disk, in this order. Raises `SpoolFull`; then they may come back or not."""
        async with self._turn:
            data = pack(entries)
            if self.size + len(data) > self.limit:
                raise SpoolFull(f"the spool in {self._folder} has {self.size} of {self.limit} bytes and no room")
            try:
                await asyncio.to_thread(self._append, data, len(entries))
            except OSError as error:
                raise SpoolFull(f"the spool in {self._folder} cannot be written: {error}") from error
            self._tell()

    async def first(self, most: int) -> Chunk:
        """The first entries, up to the one that brings them to `most` bytes; none if there are none."""
        async with self._turn:
            while self._segments:
                chunk = await asyncio.to_thread(_read, self._segments[0], most)
                if chunk.entries:
                    return chunk
                self._drop_first()
            self._tell()
            return Chunk((), ())

    async def remove(self, chunk: Chunk, count: int) -> None:
        """Take the first `count` entries of what `first` returned away."""
        if count:
            async with self._turn:
                segment = self._segments[0]
                segment.taken = chunk.ends[count - 1]
                segment.entries -= count
                if segment.taken == segment.size:
                    self._drop_first()
                self._tell()

    def close(self) -> None:
        """Let another process use the folder."""
        self._end_file()
        if self._lock is not None:
            self._lock.close()

    def _tell(self) -> None:
        if self.entries:
            self.news.set()
        else:
            self.news.clear()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (self._folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"the spool in {self._folder} is in use by another monitor: give each one its own") from error
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            self._number = int(path.stem)
            segment = _Segment(path)
            for _, segment.size in unpack(path):
                segment.entries += 1
            if broken := path.stat().st_size - segment.size:
                log.warning("%d bytes at the end of %s are no whole entry and are left out", broken, path)
            self._segments.append(segment)
        if self._segments:
            log.info("%d entries wait in %s since an earlier run", self.entries, self._folder)

    def _append(self, data: bytes, count: int) -> None:
        if self._file is None or self._segments[-1].size >= SEGMENT:
            self._end_file()
            self._file = self._begin_file()
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._end_file()
            raise
        self._segments[-1].size += len(data)
        self._segments[-1].entries += count

    def _begin_file(self) -> BinaryIO:
        self._number += 1
        path = self._folder / f"{self._number:012}{_SUFFIX}"
        file = path.open("xb", buffering=0)
        path.chmod(0o600)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # or the file itself may be gone after a power cut
        finally:
            os.close(folder)
        self._segments.append(_Segment(path))
        return file

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _drop_first(self) -> None:
        if len(self._segments) == 1:
            self._end_file()
        self._segments.popleft().path.unlink()


def _read(segment: _Segment, most: int) -> Chunk:
    entries, ends = [], []
    size = 0
    if segment.taken < segment.size:
        for entry, end in unpack(segment.path, segment.taken):
            if end > segment.size:  # of a write that failed
                break
            entries.append(entry)
            ends.append(end)
            size += len(entry)
            if size >= most:
                break
    return Chunk(entries, ends)
