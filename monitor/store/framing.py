"""Entries in a file, one after the other: length and CRC-32, both as little-endian 32 bits, and the entry's bytes.

A crash can leave an entry at the end that is not whole; reading ends before it.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<II")


def pack(entries: Iterable[bytes]) -> bytes:
    """The bytes to add to a file."""
    return b"".join(_HEADER.pack(len(entry), zlib.crc32(entry)) + entry for entry in entries)


def unpack(path: Path, start: int = 0) -> Iterator[tuple[bytes, int]]:
    """The whole entries from this position on, each with the position after it."""
    with path.open("rb") as file:
        file.seek(start)
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            entry = file.read(length)
            if len(entry) < length or zlib.crc32(entry) != checksum:
                return
            start += _HEADER.size + length
            yield entry, start
