"""The SHA-256 of a model's file or folder."""

import hashlib
import os
from pathlib import Path


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex: what `sha256sum FILE` prints.

    Of a folder: the SHA-256 over one line `<sha256 of the file>  <path relative to the folder>\\n` per regular file,
    sorted by the bytes of the path, `/` between its parts. Lines with unusual paths are escaped as sha256sum escapes
    them. In a shell:
    `cd FOLDER && find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum`.
    """
    if path.is_dir():
        listing = hashlib.sha256()
        files = {os.fsencode(file.relative_to(path).as_posix()): file for file in path.rglob("*") if file.is_file()}
        for name in sorted(files):
            listing.update(_line(_file_digest(files[name]).encode(), name))
        return listing.hexdigest()
    return _file_digest(path)


def _line(content: bytes, name: bytes) -> bytes:
    """One line of the list. A path with a line break in it could otherwise stand for two files."""
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"" if escaped == name else b"\\") + content + b"  " + escaped + b"\n"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
