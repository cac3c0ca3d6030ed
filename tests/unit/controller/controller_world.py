"""A world in memory for the controller: a store, a Ray Serve and a router that keep time by a loop that jumps.

`run(world, seconds)` runs a controller for that long without waiting: when nothing is ready the loop's clock jumps to
the next timer. Every effect on the world is a line in `World.effects`; `World.crash_after` ends the process there.
"""

import asyncio
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.api import API_VERSION, KIND, ModelRollout, RolloutKey, parse_manifest
from operators.controller import Controller
from operators.plan import Command, Event
from operators.ports import ServeUnavailable, StoreUnavailable
from operators.status import RolloutStatus
from router.ir import BackendKey, Route, RouteKey, RouteStatus, TrafficCounters
from serving.spec import ReplicaAddress, ServeTarget, TargetKey, TargetPhase, TargetState

EPOCH = 1_800_000_000.0


class Crash(Exception):
    """The process dies here."""


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: time jumps to when the loop wants to be woken."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen again in this loop")
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps over waiting."""

    def __init__(self, start: float = 0.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.now = start
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@dataclass
class World:
    """What outlives a controller."""

    rollouts: dict[RolloutKey, ModelRollout] = field(default_factory=dict)
    events: list[tuple[RolloutKey, Event]] = field(default_factory=list)
    targets: dict[TargetKey, ServeTarget] = field(default_factory=dict)
    started: dict[TargetKey, float] = field(default_factory=dict)
    routes: dict[RouteKey, Route] = field(default_factory=dict)
    counters: dict[BackendKey, TrafficCounters] | None = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    time: float = 0.0
    start_seconds: float = 2.0
    ack_seconds: float = 0.1
    failing: dict[str, str] = field(default_factory=dict)
    serve_down: bool = False
    serve_refuses: bool = False
    store_down: bool = False
    crash_after: int | None = None
    watch: Callable[["World"], None] = lambda world: None

    def effect(self, line: str) -> None:
        self.effects.append(line)
        self.watch(self)
        if self.crash_after is not None and len(self.effects) >= self.crash_after:
            raise Crash(line)

    @property
    def time_now(self) -> float:
        return asyncio.get_running_loop().time()

    def running(self) -> set[str]:
        return {key.version for key in self.targets}


class LoopClock:
    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()


class MemoryStore:
    def __init__(self, world: World) -> None:
        self.world = world
        self.news: asyncio.Queue[RolloutKey | None] = asyncio.Queue()

    def _check(self) -> None:
        if self.world.store_down:
            raise StoreUnavailable("the store sleeps")

    async def list(self) -> Sequence[ModelRollout]:
        self.world.calls["list"] += 1
        self._check()
        return list(self.world.rollouts.values())

    async def changes(self) -> AsyncIterator[RolloutKey | None]:
        while True:
            yield await self.news.get()

    async def put_status(self, key: RolloutKey, status: RolloutStatus, consumed: Sequence[Command] = ()) -> None:
        self._check()
        rollout = self.world.rollouts[key]
        self.world.rollouts[key] = rollout.with_status(status).without_commands(tuple(consumed))
        self.world.effect(f"status {key.name}")

    async def record(self, key: RolloutKey, events: Sequence[Event]) -> None:
        self._check()
        self.world.events += [(key, event) for event in events]
        self.world.effect(f"events {key.name}")

    async def forget(self, key: RolloutKey) -> None:
        self._check()
        del self.world.rollouts[key]
        self.world.effect(f"forget {key.name}")


class MemoryServe:
    """Starts a version in `start_seconds`, stops one at once. Replicas' addresses follow from the version."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def apply(self, targets: Sequence[ServeTarget]) -> None:
        if self.world.serve_down:
            raise ServeUnavailable("Ray sleeps")
        if self.world.serve_refuses:
            self.world.effect("refuse")
            raise ServeUnavailable("400: this cannot be deployed")
        now = asyncio.get_running_loop().time()
        self.world.targets = {target.key: target for target in targets}
        self.world.started = {key: self.world.started.get(key, now) for key in self.world.targets}
        self.world.effect(f"apply {' '.join(sorted(self.world.running()))}")

    async def observe(self) -> Mapping[TargetKey, TargetState]:
        self.world.calls["observe"] += 1
        if self.world.serve_down:
            raise ServeUnavailable("Ray sleeps")
        return {key: self._state(target) for key, target in self.world.targets.items()}

    def _state(self, target: ServeTarget) -> TargetState:
        if message := self.world.failing.get(target.key.version):
            return TargetState(TargetPhase.FAILED, message=message)
        age = asyncio.get_running_loop().time() - self.world.started[target.key]
        if age < self.world.start_seconds:
            return TargetState(TargetPhase.STARTING)
        port = 10_000 + int(target.key.version[:3], 16)
        replicas = tuple(
            ReplicaAddress("127.0.0.1", port + number, f"{target.key.version}-{number}")
            for number in range(target.replicas)
        )
        return TargetState(TargetPhase.RUNNING, replicas)


class MemoryRouter:
    """Acknowledges what was published `ack_seconds` later."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.news: asyncio.Queue[RouteKey | None] = asyncio.Queue()
        # Envoy goes on with what was published last, and says so once it has connected again.
        self.acknowledged: dict[RouteKey, Route] | None = None
        self._published = 0
        self._acknowledge_later()

    async def publish(self, routes: Sequence[Route]) -> None:
        self.world.routes = {route.key: route for route in routes}
        weights = [
            f"{backend.version}={backend.weight}" for route in routes for backend in route.backends if backend.weight
        ]
        self._published += 1
        self._acknowledge_later()
        self.world.effect(f"publish {' '.join(weights)}")

    def _acknowledge_later(self) -> None:
        loop, routes = asyncio.get_running_loop(), dict(self.world.routes)
        loop.call_later(self.world.ack_seconds, self._acknowledge, self._published, routes)

    def _acknowledge(self, number: int, routes: dict[RouteKey, Route]) -> None:
        if number == self._published:
            self.acknowledged = routes
            self.news.put_nowait(None)

    def published(self) -> Mapping[RouteKey, Route]:
        return self.world.routes

    def status(self, key: RouteKey) -> RouteStatus:
        acknowledged = self.acknowledged is not None and self.acknowledged.get(key) == self.world.routes.get(key)
        return RouteStatus(acknowledged)

    async def traffic(self) -> Mapping[BackendKey, TrafficCounters] | None:
        self.world.calls["traffic"] += 1
        return self.world.counters

    async def changes(self) -> AsyncIterator[RouteKey | None]:
        while True:
            yield await self.news.get()


@dataclass
class Session:
    """One life of a controller in the world."""

    world: World
    store: MemoryStore
    serve: MemoryServe
    router: MemoryRouter

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_until(self, time: float) -> None:
        await asyncio.sleep(max(0.0, time - asyncio.get_running_loop().time()))

    def changed(self, *rollouts: ModelRollout) -> None:
        """A person applied these manifests or commands."""
        for rollout in rollouts:
            self.world.rollouts[rollout.key] = rollout
        self.store.news.put_nowait(None)


Script = Callable[[Session], Coroutine[Any, Any, None]]


def run(world: World, script: Script | float, **options: Any) -> None:
    """Run a controller while `script` plays, or for a number of seconds; re-raises a `Crash`."""

    async def play() -> None:
        session = Session(world, MemoryStore(world), MemoryServe(world), MemoryRouter(world))
        controller = Controller(session.store, session.serve, session.router, LoopClock(), **options)
        running = asyncio.ensure_future(controller.run())
        playing = asyncio.ensure_future(asyncio.sleep(script) if isinstance(script, float | int) else script(session))
        try:
            await asyncio.wait([running, playing], return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            if running.done():
                running.result()
        finally:
            for task in (playing, running):
                task.cancel()
            await asyncio.gather(playing, running, return_exceptions=True)
            world.time = asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=lambda: JumpingLoop(world.time)) as runner:
        try:
            runner.run(play())
        except ExceptionGroup as failures:
            # `except*` would put what is raised here into a group again, before Python 3.11.4.
            crashes = failures.subgroup(Crash)
            if crashes is None or crashes.exceptions != failures.exceptions:
                raise
            raise crashes.exceptions[0] from None


def lines(effects: Iterable[str], word: str) -> list[str]:
    """The effects that begin with a word."""
    return [line for line in effects if line.startswith(word)]


def manifest(name: str = "iris", version: int = 1, **spec: Any) -> ModelRollout:
    """A rollout of a model file that is named after its version."""
    content = {"model": {"uri": f"file:///models/{name}/{version}", "runtime": "sklearn"}, **spec}
    metadata = {"name": name, "uid": f"uid-{name}", "generation": version}
    return parse_manifest({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": content})


def changed(rollout: ModelRollout, new: ModelRollout) -> ModelRollout:
    """The rollout with the manifest of `new` and its own memory."""
    return new.with_status(rollout.status)


def asked(rollout: ModelRollout, command: Command, value: str = "") -> ModelRollout:
    """The rollout with a command on it."""
    annotations = {**rollout.metadata.annotations, command.annotation: value}
    return rollout.model_copy(update={"metadata": rollout.metadata.model_copy(update={"annotations": annotations})})


def deleted(rollout: ModelRollout) -> ModelRollout:
    """The rollout, marked for deletion."""
    return rollout.model_copy(update={"metadata": rollout.metadata.model_copy(update={"deletion_timestamp": EPOCH})})
