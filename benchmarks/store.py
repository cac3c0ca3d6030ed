"""What the monitor's store takes in, and how fast it answers: `python -m benchmarks.store [URL …]`.

Without a URL a SQLite file; `postgresql://USER:PASSWORD@HOST/NAME` must be an empty database, which is filled. Batches
of 2,000 records with four inputs and one output come from four senders at once, as from replicas: alone, with a second
half in the shadow for each, and with feedback for each. Then the database is filled up to `--records`, and asked.
"""

import argparse
import asyncio
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import psutil
import uvloop

from monitor.store.database import StoreUnavailable, database_url
from monitor.store.entries import LARGEST_FEEDBACK, Batch, Block, Feedback, Item
from monitor.store.metrics import Metrics
from monitor.store.service import Store

BATCH = 2_000
SENDERS = 4
ASKED = 20
MODEL = "iris"
SPAN_SECONDS = 6 * 3600
"""The period over which the records of a run are spread."""


class Traffic:
    """Requests in their order, and the batches in which each half of them comes."""

    def __init__(self, start: float, records: int) -> None:
        self._start = start
        self._step = SPAN_SECONDS / records
        self._numbers = {name: count(1) for name in ("stable", "candidate")}

    def batch(self, first: int, mirrored: bool = False) -> Batch:
        """The next batch of a sender: requests from `first` on."""
        name = "candidate" if mirrored else "stable"
        ids = [f"{place:032x}" for place in range(first, first + BATCH)]
        block = Block(
            id=ids,
            at=[round((self._start + place * self._step) * 1e6) for place in range(first, first + BATCH)],
            us=[1_500] * BATCH,
            mirrored=[mirrored] * BATCH,
            inputs={column: [5.1 + place % 7 for place in range(BATCH)] for column in ("a", "b", "c", "d")},
            outputs={"predict": [(first + place) % 3 for place in range(BATCH)]},
        )
        return Batch(
            namespace="default",
            model=MODEL,
            version=name,
            replica=f"{name}-{first // BATCH % SENDERS}-{self._start}",
            batch=next(self._numbers[name]),
            blocks=[block],
        )

    def feedback(self, first: int) -> list[Feedback]:
        """The labels of the requests of a batch."""
        items = [Item(request_id=f"{place:032x}", label=place % 3) for place in range(first, first + BATCH)]
        parts = range(0, BATCH, LARGEST_FEEDBACK)
        return [Feedback(namespace="default", model=MODEL, items=items[it : it + LARGEST_FEEDBACK]) for it in parts]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """A store that works."""
    store = Store(database_url(url), 30 * 86_400, Metrics())
    work = asyncio.create_task(store.run())
    try:
        while True:
            try:
                await store.ready()
                break
            except StoreUnavailable:
                await asyncio.sleep(0.1)
        yield store
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await store.close()


async def stored(work: list[Callable[[], Awaitable[object]]], records: int) -> float:
    """Records a second, of so many, when `SENDERS` do this work between them."""
    waiting = iter(work)

    async def send() -> None:
        for one in waiting:
            await one()

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(SENDERS):
            tasks.create_task(send())
    return records / (time.monotonic() - began)


async def answered(ask: Callable[[], Awaitable[object]]) -> str:
    """Median and longest milliseconds."""
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1e3)
    return f"{statistics.median(times):7.1f} ms   longest {max(times):7.1f} ms"


async def measure(url: str, most: int, each: int) -> None:
    """Print all figures of one database."""
    print(f"\n{database_url(url).get_backend_name()}")
    start = time.time() - SPAN_SECONDS
    traffic = Traffic(start, most)
    place = 0
    async with opened(url) as store:

        async def run(name: str, pairs: bool, feedback: bool) -> None:
            nonlocal place
            work: list[Callable[[], Awaitable[object]]] = []
            firsts = range(place, place + each, BATCH)
            place += each
            for first in firsts:
                batches = [traffic.batch(first), *([traffic.batch(first, mirrored=True)] if pairs else ())]
                said = traffic.feedback(first) if feedback else []
                work += [lambda batch=batch: store.store(batch) for batch in batches]  # type: ignore[misc]
                work += [lambda given=given: store.hear(given) for given in said]  # type: ignore[misc]
            speed = await stored(work, len(firsts) * BATCH)
            print(f"  {name:<46}{speed:8,.0f} requests/s")

        await run("records", pairs=False, feedback=False)
        await run("records of both halves of a pair", pairs=True, feedback=False)
        await run("records, and a label for each", pairs=False, feedback=True)
        await run("both halves, and a label for each", pairs=True, feedback=True)
        while place < most:
            firsts = range(place, min(place + 20 * BATCH, most), BATCH)
            await stored([lambda first=first: store.store(traffic.batch(first)) for first in firsts], 1)  # type: ignore[misc]
            place += 20 * BATCH
        print(f"  {most:,} requests are stored")
        middle = start + SPAN_SECONDS / 2 + 0.5

        questions: dict[str, Callable[[], Awaitable[object]]] = {
            "tallies of all": lambda: store.tallies("default", MODEL, 0, None),
            "tallies since the middle of a minute": lambda: store.tallies("default", MODEL, middle, None),
            "1,000 labels for old requests": lambda: store.hear(traffic.feedback(0)[0]),
        }
        for name, ask in questions.items():
            print(f"  {name:<46}{await answered(ask)}")


def main() -> None:
    """Measure every database that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("url", nargs="*", help="postgresql://USER:PASSWORD@HOST/NAME or sqlite:////PATH")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many to ask among (1,000,000)")
    parser.add_argument("--each", type=int, default=40_000, help="how many are timed in each round (40,000)")
    given = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for url in given.url or [f"sqlite:///{Path(folder) / 'records.db'}"]:
            uvloop.run(measure(url, given.records, given.each))


if __name__ == "__main__":
    main()
