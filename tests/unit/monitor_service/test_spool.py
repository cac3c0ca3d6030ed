"""The queue on disk."""

import errno
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.store.spool import Spool, SpoolFull


@asynccontextmanager
async def opened(folder: Path, limit: int = 1 << 20) -> AsyncIterator[Spool]:
    spool = Spool(folder, limit)
    try:
        await spool.open()
        yield spool
    finally:
        spool.close()


async def taken(spool: Spool, most: int = 1 << 20) -> Sequence[bytes]:
    chunk = await spool.first(most)
    await spool.remove(chunk, len(chunk.entries))
    return chunk.entries


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


async def test_entries_come_out_in_the_order_in_which_they_came_in(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([b"1", b"2"])
        await spool.append([b"3"])
        assert await taken(spool, 1) == [b"1"]
        await spool.append([b"4"])
        assert (spool.entries, spool.news.is_set()) == (3, True)
        assert await taken(spool) == [b"2", b"3", b"4"]
        assert (spool.entries, spool.size, spool.news.is_set()) == (0, 0, False)
        assert await taken(spool) == ()


async def test_what_was_not_taken_is_there_after_a_restart_and_before_what_comes_then(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([b"1"])
    async with opened(tmp_path) as spool:
        assert (spool.entries, spool.news.is_set()) == (1, True)
        await spool.append([b"2"])
        assert (await spool.first(1)).entries == [b"1"]
    async with opened(tmp_path) as spool:
        assert [await taken(spool), await taken(spool), await taken(spool)] == [[b"1"], [b"2"], ()]
    assert files(tmp_path) == ["lock"]


async def test_only_some_of_what_was_read_may_be_taken_away(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([b"1", b"2", b"3"])
        await spool.remove(await spool.first(10), 2)
        await spool.remove(await spool.first(10), 0)
        assert await taken(spool) == [b"3"]


async def test_an_entry_that_a_crash_left_unfinished_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([b"whole", b"torn"])
    shorten(tmp_path / "000000000001.spool")
    async with opened(tmp_path) as spool:
        assert spool.entries == 1
        await spool.append([b"later"])
        assert [await taken(spool), await taken(spool), await taken(spool)] == [[b"whole"], [b"later"], ()]
    assert "11 bytes at the end of" in caplog.text


async def test_a_file_of_which_nothing_is_whole_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "000000000001.spool").write_bytes(b"torn")
    async with opened(tmp_path) as spool:
        assert await taken(spool) == ()
        await spool.append([b"1"])
        assert await taken(spool) == [b"1"]
    assert files(tmp_path) == ["lock"]


async def test_more_than_the_limit_is_refused_and_there_is_room_again_once_a_file_was_taken(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=40) as spool:
        await spool.append([b"x" * 20])
        with pytest.raises(SpoolFull, match="has 28 of 40 bytes and no room"):
            await spool.append([b"x" * 5])
        await spool.append([b"x" * 4])
        await taken(spool)
        await spool.append([b"x" * 32])
        assert spool.size == 40


async def test_large_spools_are_kept_in_several_files_and_each_is_deleted_once_it_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.spool.SEGMENT", 20)
    async with opened(tmp_path) as spool:
        for number in range(6):
            await spool.append([str(number).encode() * 10])
        assert len(files(tmp_path)) - 1 == 3
        assert await taken(spool) == [b"0" * 10, b"1" * 10]
        assert len(files(tmp_path)) - 1 == 2
        assert spool.size == 4 * 18


async def test_a_disk_that_is_full_is_said_and_leaves_the_entries_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([b"before"])

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(SpoolFull, match="No space left on device"):
            await spool.append([b"lost"])
        monkeypatch.undo()
        await spool.append([b"after"])
        assert [await taken(spool), await taken(spool), await taken(spool)] == [[b"before"], [b"after"], ()]


async def test_a_folder_has_one_owner_until_it_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([b"1"])
        with pytest.raises(OSError, match=r"in use by another monitor"):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path) as spool:
        assert spool.entries == 1


async def test_the_files_are_the_owners_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.append([b"1"])
    modes: dict[str, Any] = {path.suffix: path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()}
    assert modes[".spool"] == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
