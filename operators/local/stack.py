"""`tidegate up`: Ray, Envoy, the control process and the monitor as children of one foreground process.

They end with it, and nothing is left behind. Children live in sessions of their own, so a Ctrl-C reaches only this
process, which then stops them in order: Envoy first (it finishes what it has accepted), then the control process, then
Ray, and last the monitor, to which replicas hand their last records. Each child asks the kernel to end it should this
process be killed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from operators.api import ModelRollout
from operators.local.child import Child
from operators.local.database import Database
from operators.local.home import Home
from operators.local.monitor import LocalMonitor
from operators.local.preflight import LOOPBACK, CannotStart, alone, require_memory, require_port
from operators.local.probe import model_ready
from operators.local.ray import LocalRay, RayAddress
from operators.local.store import parse_row
from operators.status import Phase
from router.config import ListenConfig, RouterPaths
from router.envoy import EnvoyError, EnvoyProcess, find_envoy

LOOK_SECONDS: Final = 0.2
"""How often the store is asked, while starting, whether all rollouts have come to rest."""
RAY_RESTART_SECONDS: Final = 1.0
SETTLED: Final = {Phase.HEALTHY, Phase.PAUSED, Phase.DEGRADED}

Say = Callable[[str], None]
Greet = Callable[[Sequence[ModelRollout]], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """One machine's worth of Tidegate, answering on `port` of 127.0.0.1. `say` tells a person what goes on.

    With `everywhere` it answers on the port of all the machine's addresses.
    """

    home: Home
    port: int
    say: Say
    everywhere: bool = False
    _restart: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Make sure that the machine is fit for it, and hold the state folder during the block, in which it may `run`.

        Raises `CannotStart`. Nothing is started.
        """
        with alone(self.home, self.port):
            require_port(self.port)
            try:
                find_envoy()
            except EnvoyError as error:
                raise CannotStart(str(error)) from error
            require_memory()
            yield

    async def run(self, greet: Greet) -> None:
        """Start everything, call `greet` once the rollouts have come to rest, stay until SIGINT or SIGTERM.

        SIGHUP restarts Envoy without losing a request. Raises `CannotStart`.
        """
        work = asyncio.ensure_future(self._work(greet))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, work.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._restart.set)
        with suppress(asyncio.CancelledError):
            await work

    async def _work(self, greet: Greet) -> None:
        monitor = LocalMonitor(self.home)
        ray = LocalRay(self.home, monitor.for_replicas)
        envoy = EnvoyProcess(
            RouterPaths(self.home.router), ListenConfig(self._host, self.port, monitor=monitor.address)
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(monitor.running(self.say))
            stack.push_async_callback(ray.stop)
            stack.push_async_callback(envoy.stop)
            self.say("starting Envoy and Ray")
            try:
                await envoy.start()
            except EnvoyError as error:
                raise CannotStart(str(error)) from error
            address = await ray.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._control(address, monitor).run(self.say))
                group.create_task(self._keep(ray))
                group.create_task(self._restart_when_asked(envoy))
                try:
                    self.say("starting the models")
                    greet(await self._at_rest())
                    await asyncio.Future()
                finally:
                    self.say("stopping")
                    await envoy.stop()

    @property
    def _host(self) -> str:
        return "0.0.0.0" if self.everywhere else LOOPBACK  # noqa: S104 - only if it was asked for

    def _control(self, address: RayAddress, monitor: LocalMonitor) -> Child:
        options = ("--host", self._host, "--port", str(self.port), "--ray", address.url)
        command = (sys.executable, "-m", "operators.local.control", *options)
        environment = os.environ | monitor.for_control | {"TIDEGATE_HOME": str(self.home.root)}
        return Child("the control process", command, self.home.logs / "control.log", environment)

    async def _keep(self, ray: LocalRay) -> None:
        """Start Ray again whenever it dies; the control process then puts the versions back."""
        while True:
            self.say(await ray.wait())
            self.say("starting Ray again; until the models are back, requests are answered 503")
            try:
                await ray.stop()
                await ray.start()
            except CannotStart as error:
                self.say(str(error))
                await asyncio.sleep(RAY_RESTART_SECONDS)

    async def _restart_when_asked(self, envoy: EnvoyProcess) -> None:
        while True:
            await self._restart.wait()
            self._restart.clear()
            try:
                await envoy.restart()
            except EnvoyError as error:
                self.say(f"Envoy was not restarted: {error}")
            else:
                self.say("a new Envoy has taken over")

    async def _at_rest(self) -> Sequence[ModelRollout]:
        """Wait until every rollout has come to rest, telling what each waits for; the rollouts.

        The store may still hold what an earlier stack said, so that a rollout that should answer is also asked.
        """
        database = Database(self.home.store)
        told: dict[str, str] = {}
        try:
            while True:
                rollouts = [parse_row(row) for row in database.rows()]
                for rollout in rollouts:
                    name, status = rollout.metadata.name, rollout.status
                    line = f"{name}: {status.phase.value} {status.message}".rstrip()
                    if told.get(name) != line:
                        told[name] = line
                        self.say(line)
                if all([await self._settled(rollout) for rollout in rollouts]):
                    return rollouts
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            database.close()

    async def _settled(self, rollout: ModelRollout) -> bool:
        if rollout.status.phase not in SETTLED:
            return False
        host = next((host for host in rollout.spec.traffic.hosts if host != "*"), LOOPBACK)
        return rollout.status.stable is None or await model_ready(self.port, host, rollout.metadata.name)
