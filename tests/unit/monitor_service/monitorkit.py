"""What tests of the monitor have in common: batches, a running store, an API to ask, and counting the long way."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx

from monitor.api.app import create_app
from monitor.store.database import StoreUnavailable, database_url
from monitor.store.entries import Batch, Feedback, Item, Record
from monitor.store.metrics import Metrics
from monitor.store.service import Store
from monitor.store.spool import Spool
from monitor.tallies import LabelTally, RewardTally, ShareTally, VersionTally, agrees

DEADLINE = 60.0
NOON = 1_790_000_000.0 // 60 * 60
"""A whole minute."""
OF = ("default", "iris")
DEFAULTS = {"mirrored": False, "rows": 1, "status": 200}
TOKEN = "a-token-of-the-tests"


@dataclass
class Clock:
    """Says what it is told."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Sender:
    """A replica: numbers its batches."""

    version: str = "v1"
    replica: str = "replica-1"
    namespace: str = "default"
    model: str = "iris"
    batch: int = field(default=0, init=False)

    def document(self, *records: Mapping[str, object], dropped: int = 0, again: bool = False) -> dict[str, Any]:
        """The next batch as JSON, or once more the last number."""
        self.batch += not again
        return {
            "namespace": self.namespace,
            "model": self.model,
            "version": self.version,
            "replica": self.replica,
            "batch": self.batch,
            "dropped": dropped,
            "blocks": blocks(records),
        }

    def send(self, *records: Mapping[str, object], dropped: int = 0, again: bool = False) -> Batch:
        """The next batch."""
        return Batch.model_validate(self.document(*records, dropped=dropped, again=again))


def record(name: str, at: float = NOON, status: int = 200, **more: object) -> dict[str, object]:
    """One request as a replica tells it."""
    return {"id": name, "at": at, "status": status, "ms": 1.5, "rows": 1} | more


def blocks(records: Iterable[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Requests as a replica sends them: column by column, those with values of the same names together."""
    return [block(list(alike)) for _, alike in groupby(records, _names)]


def block(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Requests with values of the same names, column by column."""
    every = dict.fromkeys(name for one in records for name in one)
    columns: dict[str, Any] = {name: [one.get(name, DEFAULTS.get(name)) for one in records] for name in every}
    columns["at"] = [round(at * 1e6) for at in columns["at"]]
    columns["us"] = [round(ms * 1e3) for ms in columns.pop("ms")]
    parts = {part: columns.pop(part) for part in ("inputs", "outputs") if columns.get(part, [None])[0] is not None}
    columns = {name: values for name, values in columns.items() if name not in ("inputs", "outputs")}
    for part, values in parts.items():
        columns["kept"] = [len(next(iter(each.values()), ())) for each in values]
        columns["rows"] = list(map(max, columns["rows"], columns["kept"]))
        columns[part] = {name: [value for each in values for value in each[name]] for name in values[0]}
    return columns


def _names(record: Mapping[str, Any]) -> list[list[str] | None]:
    parts = (record.get(part) for part in ("inputs", "outputs"))
    return [None if part is None else list(part) for part in parts]


def said(*items: Mapping[str, object], replace: bool = False, of: tuple[str, str] = OF) -> Feedback:
    """Feedback about several requests."""
    return Feedback(namespace=of[0], model=of[1], items=[Item.model_validate(item) for item in items], replace=replace)


def reward(name: str, value: float) -> dict[str, object]:
    return {"request_id": name, "reward": value}


def label(name: str, value: object) -> dict[str, object]:
    return {"request_id": name, "label": value}


async def tallies(store: Store, since: float = 0, until: float | None = None) -> dict[str, VersionTally]:
    return dict(await store.tallies(*OF, since, until))


@asynccontextmanager
async def running(
    url: str, metrics: Metrics | None = None, clock: Clock | None = None, spool: Spool | None = None
) -> AsyncIterator[Store]:
    """A store that works, with its tables made. It keeps rows for a day."""
    async with started(url, metrics, clock, spool) as store:
        await until_ready(store)
        yield store


@asynccontextmanager
async def started(
    url: str, metrics: Metrics | None = None, clock: Clock | None = None, spool: Spool | None = None
) -> AsyncIterator[Store]:
    """A store that works, or waits for its database."""
    store = Store(database_url(url), 86_400, metrics or Metrics(), clock or Clock(), spool)
    work = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await store.close()


async def until_ready(store: Store) -> None:
    """Return once the database answers."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await store.ready()
                return
            except StoreUnavailable:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def api(
    store: Store, metrics: Metrics | None = None, token: str | None = TOKEN
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on the store, with the token; what the application raises is answered as in a process."""
    application = create_app(store, metrics or Metrics(), token)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor", headers=headers) as client:
        yield client


def counted(
    batches: Sequence[Batch], feedback: Sequence[Feedback], since: float, until: float | None
) -> dict[str, VersionTally]:
    """The tallies, by going through everything: what the store must answer."""
    live = [(batch.version, it) for batch in batches for it in batch.records if not it.mirrored]
    answers: dict[str, Record] = {}
    for _, it in live:
        if it.status < 500:
            answers.setdefault(it.id, it)
    known: dict[str, dict[str, Any]] = {}
    for given in feedback:
        for item in given.items:
            new = {"label": item.label, "reward": item.reward}
            known.setdefault(item.request_id, {}).update({name: it for name, it in new.items() if it is not None})
    within = [(version, it) for version, it in live if since <= it.at and (until is None or it.at < until)]
    found = {}
    for version in sorted({version for version, _ in within}):
        mine = [it for of, it in within if of == version]
        judged = [(it, known[it.id]) for it in mine if it.id in known and answers.get(it.id) is it]
        rewards = [(it.share, what["reward"]) for it, what in judged if "reward" in what]
        right = [agrees(what["label"], it.outputs) for it, what in judged if "label" in what]
        found[version] = VersionTally(
            requests=len(mine),
            errors=sum(it.status >= 500 for it in mine),
            rewards=RewardTally(
                len(rewards),
                sum(value for _, value in rewards),
                sum(value**2 for _, value in rewards),
                all(value in (0, 1) for _, value in rewards),
            ),
            labels=LabelTally(sum(it is not None for it in right), sum(it is True for it in right)),
            by_share=tuple(
                ShareTally(share, len(values), sum(values), sum(value**2 for value in values))
                for share in sorted({it.share for it in mine if it.share is not None})
                for values in [[value for of, value in rewards if of == share]]
            ),
        )
    return found


@asynccontextmanager
async def away(folder: Path) -> AsyncIterator[None]:
    """Nobody can write to the SQLite database in the folder.

    Whoever writes just now is waited for, which takes this thread: its commit is asked for from here.
    """
    connection = sqlite3.connect(folder / "records.db", isolation_level=None, check_same_thread=False)
    await asyncio.to_thread(connection.execute, "BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()
