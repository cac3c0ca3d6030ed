"""The SQLite file: what is refused, and two processes at once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from operators.api import RolloutKey
from operators.local import database as module
from operators.local.database import SCHEMA, Applied, Database
from operators.ports import StoreUnavailable

IRIS = RolloutKey("default", "iris")


def test_only_a_change_of_the_spec_or_of_what_it_resolves_to_is_a_new_generation(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    assert database.apply(IRIS, {"a": 1}, {}, {"digest": "x"}, 1.0) is Applied.CREATED
    assert database.apply(IRIS, {"a": 1}, {}, {"digest": "x"}, 2.0) is Applied.UNCHANGED
    assert database.apply(IRIS, {"a": 1}, {"note": "n"}, {"digest": "x"}, 3.0) is Applied.CONFIGURED
    assert [row.generation for row in database.rows()] == [1]
    assert database.apply(IRIS, {"a": 2}, {}, {"digest": "x"}, 4.0) is Applied.CONFIGURED
    assert database.apply(IRIS, {"a": 2}, {}, {"digest": "y"}, 5.0) is Applied.CONFIGURED
    (row,) = database.rows()
    assert (row.generation, row.created_at, row.annotations) == (3, 1.0, {"note": "n", "digest": "y"})


def test_a_rollout_made_again_is_another_one(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    uids = set()
    for _ in range(2):
        database.apply(IRIS, {}, {}, {}, 1.0)
        uids |= {row.uid for row in database.rows()}
        database.forget(IRIS)
    assert len(uids) == 2


def test_a_status_and_the_commands_it_answers_go_in_together_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    database.apply(IRIS, {}, {"tidegate.dev/promote": "step"}, {}, 1.0)

    def names() -> object:
        raise StoreUnavailable("the power went")
        yield

    with pytest.raises(StoreUnavailable):
        database.put_status(IRIS, {"phase": "Healthy"}, names())  # type: ignore[arg-type]
    (row,) = database.rows()
    assert (row.status, dict(row.annotations)) == (None, {"tidegate.dev/promote": "step"})
    database.put_status(IRIS, {"phase": "Healthy"}, ["tidegate.dev/promote"])
    (row,) = database.rows()
    assert (row.status, dict(row.annotations)) == ({"phase": "Healthy"}, {})


def test_a_file_that_is_no_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"store\.db is damaged .* move it away and apply the manifests again"):
        Database(path)


def test_a_row_that_is_damaged_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Database(path).apply(IRIS, {}, {}, {}, 1.0)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE rollouts SET spec = '{'")
    with pytest.raises(StoreUnavailable, match="is damaged"):
        Database(path).rows()


def test_a_store_of_a_newer_tidegate_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Database(path).close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(StoreUnavailable, match=r"written by a newer Tidegate .* TIDEGATE_HOME"):
        Database(path)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be made: Not a directory"):
        Database(tmp_path / "file" / "home" / "store.db")


def test_a_store_locked_for_too_long_is_a_sentence_and_works_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    database = Database(tmp_path / "store.db")
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"locked for 0\.05 seconds; try again"):
        database.apply(IRIS, {}, {}, {}, 1.0)
    other.execute("COMMIT")
    assert database.apply(IRIS, {}, {}, {}, 1.0) is Applied.CREATED


def test_the_folder_is_the_owners_alone(tmp_path: Path) -> None:
    Database(tmp_path / "home" / "store.db").close()
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    code = (
        "import sys; from pathlib import Path; from operators.api import RolloutKey;"
        "from operators.local.database import Database; d = Database(Path(sys.argv[1]));"
        "[d.apply(RolloutKey('default', f'{sys.argv[2]}-{n}'), {}, {}, {}, 1.0) for n in range(40)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b", "c")]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    assert len(Database(path).rows()) == 120


def test_only_another_connections_writes_change_the_data_version(tmp_path: Path) -> None:
    mine, other = Database(tmp_path / "store.db"), Database(tmp_path / "store.db")
    before = mine.data_version()
    mine.apply(IRIS, {}, {}, {}, 1.0)
    assert mine.data_version() == before
    other.annotate(IRIS, {"note": "n"})
    assert mine.data_version() != before
