"""The store as the control loop sees it: parsed rollouts, news from other processes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from operators.api import RolloutKey
from operators.local import store as module
from operators.local.database import Database
from operators.local.home import Home
from operators.local.store import SqliteStore, opened
from operators.local.wake import WakeError
from operators.plan import Command, Event
from operators.ports import StoreUnavailable
from operators.status import Phase, RolloutStatus

IRIS = RolloutKey("default", "iris")
SPEC = {"model": {"uri": "file:///models/iris", "runtime": "sklearn"}}


class FixedClock:
    def now(self) -> float:
        return 1_800_000_000.25


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def store(home: Home) -> AsyncIterator[SqliteStore]:
    async with opened(home, FixedClock()) as store:
        yield store


def write(home: Home, action: str) -> None:
    """Let another process change the store, without a tap on the shoulder."""
    code = (
        "from pathlib import Path; from operators.api import RolloutKey\n"
        "from operators.local.database import Database\n"
        f"database, key = Database(Path({str(home.store)!r})), RolloutKey('default', 'iris')\n{action}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_stored_row_comes_back_as_a_rollout(store: SqliteStore, home: Home) -> None:
    write(home, f"database.apply(key, {SPEC!r}, {{'tidegate.dev/promote': 'full'}}, {{}}, 1800000000.5)")
    (rollout,) = await store.list()
    assert rollout.key == IRIS
    assert rollout.commands == {Command.PROMOTE: "full"}
    assert (rollout.metadata.generation, rollout.metadata.creation_timestamp) == (1, 1_800_000_000.5)
    assert rollout.metadata.uid
    assert rollout.metadata.deletion_timestamp is None


async def test_status_events_deletion_and_commands_survive(store: SqliteStore, home: Home) -> None:
    write(home, f"database.apply(key, {SPEC!r}, {{'tidegate.dev/promote': 'full'}}, {{}}, 1.0)")
    status = RolloutStatus(phase=Phase.HEALTHY, message="all is well", weight=2500)
    await store.put_status(IRIS, status, (Command.PROMOTE,))
    await store.record(IRIS, [Event("Promoted", "iris is live")])
    write(home, "database.delete(key, 1800000000.0)")
    (rollout,) = await store.list()
    assert (rollout.status, rollout.commands) == (status, {})
    assert rollout.metadata.deletion_timestamp == 1_800_000_000.0
    (event,) = Database(home.store).events(IRIS)
    assert (event.at, event.event) == (1_800_000_000.25, Event("Promoted", "iris is live"))
    await store.forget(IRIS)
    assert await store.list() == []


async def test_a_row_that_did_not_change_is_not_parsed_again(store: SqliteStore, home: Home) -> None:
    write(home, f"database.apply(key, {SPEC!r}, {{}}, {{}}, 1.0)")
    (first,) = await store.list()
    (second,) = await store.list()
    assert first is second
    write(home, "database.annotate(key, {'note': 'n'})")
    (third,) = await store.list()
    assert third.metadata.annotations == {"note": "n"}


async def test_a_manifest_that_this_version_cannot_read_is_named(store: SqliteStore, home: Home) -> None:
    write(home, "database.apply(key, {'model': {}}, {}, {}, 1.0)")
    with pytest.raises(StoreUnavailable, match=r"modelrollout/iris .* spec\.model\.uri: is required"):
        await store.list()


async def test_changes_begin_with_anything_may_have_changed(store: SqliteStore) -> None:
    changes = store.changes()
    assert await asyncio.wait_for(anext(changes), 5) is None
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_write_of_another_process_is_seen_at_once_when_it_taps(
    store: SqliteStore, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 3600.0)
    changes = store.changes()
    await anext(changes)
    news = asyncio.ensure_future(anext(changes))
    action = (
        f"database.apply(key, {SPEC!r}, {{}}, {{}}, 1.0)\n"
        "from operators.local.wake import wake\n"
        f"assert wake(Path({str(home.control_socket)!r}))"
    )
    await asyncio.gather(asyncio.to_thread(write, home, action), asyncio.wait_for(news, 20))
    (rollout,) = await store.list()
    assert rollout.key == IRIS
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_write_without_a_tap_is_seen_at_the_next_look(
    store: SqliteStore, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    changes = store.changes()
    await anext(changes)
    news = asyncio.ensure_future(anext(changes))
    await asyncio.to_thread(write, home, f"database.apply(key, {SPEC!r}, {{}}, {{}}, 1.0)")
    assert await asyncio.wait_for(news, 10) is None
    await changes.aclose()  # type: ignore[attr-defined]


async def test_its_own_writes_and_empty_taps_are_no_news(
    store: SqliteStore, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    write(home, f"database.apply(key, {SPEC!r}, {{}}, {{}}, 1.0)")
    changes = store.changes()
    await anext(changes)
    news = asyncio.ensure_future(anext(changes))
    for weight in range(20):
        await store.put_status(IRIS, RolloutStatus(weight=weight))
    done, _ = await asyncio.wait([news], timeout=0.2)
    assert not done
    news.cancel()


async def test_a_second_control_loop_is_refused(store: SqliteStore, home: Home) -> None:
    with pytest.raises(WakeError, match="another control loop is running"):
        async with opened(home, FixedClock()):
            pass
