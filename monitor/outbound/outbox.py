"""Takes events, and notes in the same transaction which channels are to tell of each.

A channel that was not configured when an event came never tells of it; nor does any of one that is older than a day.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.event import Event
from monitor.outbound import deliveries, events
from monitor.outbound.channels import Channel
from monitor.store.service import Store

LATE_SECONDS: Final = 86_400.0
"""Nobody is told of what happened longer ago."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """Where events go in."""

    store: Store
    channels: Sequence[Channel] = ()
    clock: Callable[[], float] = field(default=time.time)

    async def emit(self, *given: Event) -> int:
        """Keep events in a transaction of their own; how many are new. Raises `StoreUnavailable` or `StoreRefused`."""
        async with self.store.writing() as connection:
            return await self.add(connection, given)

    async def add(self, connection: AsyncConnection, given: Sequence[Event]) -> int:
        """Keep events in a transaction that writes; how many are new."""
        now = self.clock()
        kept = await events.insert(connection, given)
        fresh = [(row, event) for row, event in kept if event.at > now - LATE_SECONDS]
        wanted = [(row, channel.name) for row, event in fresh for channel in self.channels if channel.wants(event)]
        await deliveries.note(connection, wanted, now)
        return len(kept)
