"""All that leaves the monitor, as its process sees it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from monitor.outbound import mail
from monitor.outbound.channels import Channel, Email
from monitor.outbound.courier import Courier, Send
from monitor.outbound.forward import Forwarder, Sink
from monitor.outbound.hooks import Hooks
from monitor.outbound.lease import Lease
from monitor.outbound.metrics import Metrics
from monitor.store.service import Store


class Outbound:
    """Tells channels of events, and a sink of records, while `run` runs in the process that has the lease."""

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel],
        sink: Sink | None,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hooks = Hooks()
        self._lease = Lease("outbound", store, clock)
        self._couriers = [Courier(one.name, self._send(one), store, metrics, clock) for one in channels]
        self._forwarder = None if sink is None else Forwarder(sink, self._hooks, store, metrics)
        if self._forwarder is not None:
            store.before_deleting(self._forwarder.expire)

    async def run(self) -> None:
        """Work until cancelled; what is on its way then arrives, and is noted, before this ends."""
        if not self._couriers and self._forwarder is None:
            return
        try:
            await self._lease.run(self._work)
        finally:
            await self._hooks.close()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for courier in self._couriers:
                tasks.create_task(courier.run())
            if self._forwarder is not None:
                tasks.create_task(self._forwarder.run())

    def _send(self, channel: Channel) -> Send:
        return partial(mail.send, channel) if isinstance(channel, Email) else partial(self._hooks.send, channel)
