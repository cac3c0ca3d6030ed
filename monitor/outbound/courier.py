"""One channel's loop: what to say, when to try again, and when to put many events into one message.

An attempt that failed is repeated after a pause that doubles, or as late as the receiver asks, until the event is a day
old. Not more than 30 messages go out in a minute: when more events wait than that leaves room for, they share one.
"""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from monitor.outbound import deliveries
from monitor.outbound.deliveries import Due
from monitor.outbound.message import Message, NotDelivered, Refused, compose
from monitor.outbound.metrics import Metrics
from monitor.outbound.outbox import LATE_SECONDS
from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.service import Store

SEND_SECONDS: Final = 10.0
"""How long one attempt may take."""
LOOK_SECONDS: Final = 1.0
"""How often the table is looked into; other processes write into it, too."""
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 1_800.0
MINUTE: Final = 60.0
MOST_A_MINUTE: Final = 30
"""Messages."""
MOST_AT_ONCE: Final = 200
"""Events in one message."""

Send = Callable[[Message, float], Awaitable[None]]
"""Has the channel say something at a time (seconds since the epoch). Raises `NotDelivered`."""

log = logging.getLogger(__name__)


class Courier:
    """Tells of the events that are noted for one channel, while `run` runs. For one process at a time."""

    def __init__(self, channel: str, send: Send, store: Store, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._channel = channel
        self._send = send
        self._store = store
        self._clock = clock
        self._sent = metrics.sent.labels(channel)
        self._failed = metrics.failed.labels(channel)
        self._given_up = metrics.given_up.labels(channel)
        self._pace = Pace(MOST_A_MINUTE, MINUTE)
        self._failures = 0
        self._together = MOST_AT_ONCE

    async def run(self) -> None:
        """Work until cancelled; a message that is on its way arrives, and is noted, before that."""
        while True:
            try:
                pause = await self._round()
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("channel %s waits for the store: %s", self._channel, error)
                pause = LOOK_SECONDS
            await asyncio.sleep(pause)

    async def _round(self) -> float:
        """Send one message, if one is due; the seconds until the next look."""
        now = self._clock()
        async with self._store.reading() as connection:
            due = await deliveries.due(connection, self._channel, now, MOST_AT_ONCE)
        late = [one for one in due if one.event.at <= now - LATE_SECONDS]
        if late:
            await self._give_up(late, now)
            return 0.0
        if not due:
            return LOOK_SECONDS
        if wait := self._pace.wait():
            return wait
        chosen = due[: self._together] if len(due) > self._pace.room() else due[:1]
        return await finished(self._deliver(chosen), 2 * SEND_SECONDS)

    async def _give_up(self, late: Sequence[Due], now: float) -> None:
        ids = [one.id for one in late]
        async with self._store.writing() as connection:
            await deliveries.settle(connection, self._channel, ids, now, "given up: a day has passed")
        self._given_up.inc(len(ids))
        log.error("channel %s has not told of %d events within a day", self._channel, len(ids))

    async def _deliver(self, chosen: Sequence[Due]) -> float:
        """One attempt, and what became of it; the seconds until the next one."""
        ids = [one.id for one in chosen]
        message = compose(self._channel, [one.event for one in chosen])
        self._pace.count()
        failure = await self._attempt(message)
        now = self._clock()
        if failure is None:
            if self._failures:
                log.info("channel %s works again", self._channel)
            self._failures = 0
            self._together = min(2 * self._together, MOST_AT_ONCE)
            self._sent.inc()
            await self._note(lambda connection: deliveries.settle(connection, self._channel, ids, now))
            return 0.0
        self._failures += 1
        self._failed.inc()
        if self._failures == 1:
            log.warning("channel %s: %s; trying again", self._channel, failure)
        if isinstance(failure, Refused) and len(chosen) > 1:
            self._together = len(chosen) // 2  # it may be too much for the receiver
        wish = min(failure.after or 0.0, LONGEST_PAUSE)
        until = now + max(_pause(max(one.attempts for one in chosen)), wish)
        await self._note(lambda connection: deliveries.postpone(connection, self._channel, ids, until, str(failure)))
        return max(_pause(self._failures - 1), wish)

    async def _attempt(self, message: Message) -> NotDelivered | None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message, self._clock())
        except NotDelivered as failure:
            return failure
        except TimeoutError:
            return NotDelivered(f"the receiver did not answer within {SEND_SECONDS:g} seconds")
        except Exception as error:  # noqa: BLE001 - a defect in one channel must not stop the others
            where = "".join(traceback.format_tb(error.__traceback__))  # its words may hold what is secret
            log.error("channel %s failed: %s at\n%s", self._channel, type(error).__name__, where)
            return NotDelivered(f"sending failed: {type(error).__name__}")
        return None

    async def _note(self, change: Callable[[Any], Awaitable[None]]) -> None:
        """Write it down, however long the store is away: what was sent must not be sent again."""
        while True:
            try:
                async with self._store.writing() as connection:
                    await change(connection)
                return
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("channel %s cannot note what it has sent: %s; trying again", self._channel, error)
                await asyncio.sleep(LOOK_SECONDS)


class Pace:
    """So many messages in so many seconds."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._times: deque[float] = deque()

    def room(self) -> int:
        """How many may go out now."""
        now = asyncio.get_running_loop().time()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return self._most - len(self._times)

    def wait(self) -> float:
        """Seconds until the next one may go out."""
        return 0.0 if self.room() > 0 else self._times[0] + self._seconds - asyncio.get_running_loop().time()

    def count(self) -> None:
        """One goes out."""
        self._times.append(asyncio.get_running_loop().time())


async def finished(work: Coroutine[Any, Any, float], seconds: float) -> float:
    """What the work returns. Being cancelled lets it go on for so many seconds at most."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.wait([task])
        raise


def _pause(failures: int) -> float:
    return float(min(FIRST_PAUSE * 2 ** min(failures, 20), LONGEST_PAUSE))
