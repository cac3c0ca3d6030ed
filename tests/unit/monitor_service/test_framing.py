"""Entries in a file, and what a crash may leave behind them."""

from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.store.framing import pack, unpack


@given(st.lists(st.binary(max_size=50)), st.data())
def test_of_a_file_cut_anywhere_the_whole_entries_are_read(
    tmp_path_factory: pytest.TempPathFactory, entries: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("spool") / "file"
    content = pack(entries)
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    ends = list(accumulate(8 + len(entry) for entry in entries))
    assert list(unpack(path)) == [(entry, end) for entry, end in zip(entries, ends, strict=True) if end <= cut]


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1), st.data())
def test_reading_ends_before_the_first_entry_that_is_not_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, entries: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("spool") / "file"
    broken = data.draw(st.integers(0, len(entries) - 1))
    before = pack(entries[:broken])
    content = bytearray(pack(entries))
    content[len(before) + 8] ^= 1
    path.write_bytes(content)
    assert [entry for entry, _ in unpack(path)] == entries[:broken]


def test_reading_goes_on_from_a_position(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack([b"one", b"two", b"three"]))
    (_, end), *rest = unpack(path)
    assert list(unpack(path, end)) == rest
