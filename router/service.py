"""The router as its owner sees it: publish routes, ask what every Envoy says about them, read the traffic."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from router import lastgood, traffic
from router.admin import AdminUnavailable, EnvoyAdmin
from router.admission import Admission
from router.config import ListenConfig, RouterPaths
from router.ir import BackendKey, Route, RouteKey, RouteStatus, TrafficCounters
from router.news import News
from router.server import AdsServer, Stream
from router.session import Footprint, Request, Session
from router.snapshot import InvalidRoutes, ResourceType, Snapshot, build

_log = logging.getLogger(__name__)


class Router:
    """Configures the Envoys that connect, and remembers what they acknowledged.

    Envoy itself is not started here (see `router.envoy`): it outlives a restart of this process, goes on with what it
    has, and connects again. All methods belong to one event loop.
    """

    def __init__(self, paths: RouterPaths, listen: ListenConfig) -> None:
        """Nothing is opened or written yet."""
        self._paths = paths
        self._listen = listen
        self._admin = EnvoyAdmin(paths.admin_socket)
        self._server = AdsServer(paths.ads_socket, keeper=self)
        self._streams: set[Stream] = set()
        self._admission = Admission()
        self._published = False
        self._aim = build((), listen, published=False)
        self._aimed_published = False
        self._carried = Footprint()
        self._meter = traffic.Meter()
        self._told: dict[RouteKey, RouteStatus] = {}
        self._news = News[RouteKey]()
        self._settled = asyncio.Event()
        self._answers: Counter[tuple[ResourceType, bool]] = Counter()
        self._saver: asyncio.Task[None] | None = None
        self._unsaved = asyncio.Event()
        self._saving = threading.Lock()
        self._saved: tuple[tuple[Route, ...], tuple[Route, ...]] | None = None

    async def start(self) -> None:
        """Serve the last acknowledged routes, if there are any, to every Envoy that connects. Raises `OSError`."""
        self._paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        remembered = lastgood.load(self._paths.last_good)
        if remembered is not None:
            acknowledged, sent = remembered
            self._admission = Admission(acknowledged)
            self._published = True
            for routes in (sent, acknowledged):
                self._carried |= _footprint(routes, self._listen)
            self._aim_again()
        self._saver = asyncio.create_task(self._save_changes(), name="router-last-good")
        await self._server.start()

    async def stop(self) -> None:
        """Close the configuration stream. Envoy goes on with what it has."""
        await self._server.stop()
        if self._saver is not None:
            self._saver.cancel()
            with suppress(asyncio.CancelledError):
                await self._saver
            self._saver = None
            await asyncio.to_thread(self._save)

    async def publish(self, routes: Sequence[Route]) -> None:
        """Replace the routes of the whole fleet by these. What Envoy has not got to yet is left out on the way."""
        if self._published and self._admission.published == {route.key: route for route in routes}:
            return
        self._published = True
        self._admission.publish(routes)
        self._aim_again()
        self._tell()

    def published(self) -> Mapping[RouteKey, Route]:
        """The routes that were published last; after a restart, those that Envoy acknowledged last."""
        return self._admission.published

    def status(self, key: RouteKey) -> RouteStatus:
        """What the connected Envoys say about the route that was published last under `key`.

        Acknowledged: there is an Envoy, and every one has accepted exactly this route, with its clusters and endpoints;
        for a key that is not published: none of them has a route of that name any more.
        """
        route = self._admission.published.get(key)
        acknowledged = bool(self._streams) and all(stream.session.acknowledges(key, route) for stream in self._streams)
        return RouteStatus(acknowledged, None if acknowledged or route is None else self._admission.rejected(key))

    async def settled(self) -> None:
        """Return once an Envoy is connected, routes are published, and every Envoy runs all of them that it accepts."""
        await self._settled.wait()

    def answers(self) -> Mapping[tuple[ResourceType, bool], int]:
        """How often Envoys accepted (True) and refused (False) each type since this process began."""
        return self._answers

    async def traffic(self) -> Mapping[BackendKey, TrafficCounters] | None:
        """Cumulative traffic of every version that has been published; None when Envoy cannot be read."""
        try:
            stats = await self._admin.stats(traffic.PATTERN, histograms=True)
        except AdminUnavailable:
            return None
        backends = list(backends_of(self._admission.published.values()))
        self._meter.keep(backends)
        return self._meter.update(traffic.read(stats, backends))

    def changes(self) -> AsyncIterator[RouteKey | None]:
        """Keys whose status changed, as it happens; first None: any may have."""
        return self._news.listen()

    # What the configuration server calls.

    def opened(self, stream: Stream) -> Session:
        """An Envoy has connected."""
        self._streams.add(stream)
        return Session(self._aim, self._carried)

    def advanced(self, stream: Stream, request: Request) -> None:
        """A session has taken something in."""
        if request.nonce:
            self._answers[request.type, request.error is None] += 1
        refusal = stream.session.refusal
        if refusal is not None and refusal.aim is self._aim:
            self._admission.refuse(self._aim.source, f"Envoy refused it: {refusal.message}")
            self._aim_again()
        elif all(other.session.synced for other in self._streams):
            self._admission.accept(self._aim.source)
            self._carried = Footprint.of(self._aim)
            self._unsaved.set()
            self._aim_again()
        self._tell()

    def closed(self, stream: Stream) -> None:
        """An Envoy is gone."""
        self._streams.discard(stream)
        self._carried |= stream.session.footprint
        self._tell()

    def _aim_again(self) -> None:
        """Aim all sessions at what is admitted now."""
        if self._admission.admitted() == self._aim.source and self._aimed_published == self._published:
            return
        self._aim, self._aimed_published = self._translated(), self._published
        self._unsaved.set()
        for stream in self._streams:
            stream.send(stream.session.aim_at(self._aim))

    def _translated(self) -> Snapshot:
        """The snapshot of what is admitted, less what cannot be translated."""
        while True:
            admitted = self._admission.admitted()
            try:
                return build(admitted.values(), self._listen, published=self._published, running=self._admission.good)
            except InvalidRoutes as error:
                self._admission.convict(admitted, error.errors)

    def _tell(self) -> None:
        """Tell whoever listens to `changes` whose status is no longer what it was, and to `settled` that all is."""
        if self._published and self._streams and all(stream.session.synced for stream in self._streams):
            self._settled.set()
        else:
            self._settled.clear()
        published = self._admission.published
        for key in published.keys() | self._told.keys():
            status = self.status(key)
            if self._told.get(key) == status:
                continue
            self._told[key] = status
            if key not in published and status.acknowledged:
                del self._told[key]
            self._news.tell(key)

    async def _save_changes(self) -> None:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            await asyncio.to_thread(self._save)

    def _save(self) -> None:
        with self._saving:  # a thread that `stop` did not wait for may still be writing
            content = (tuple(self._admission.good.values()), tuple(self._aim.source.values()))
            if content == self._saved:
                return
            try:
                lastgood.save(self._paths.last_good, *content)
                self._saved = content
            except OSError as error:
                _log.error("the last good routes cannot be written to %s: %s", self._paths.last_good, error)


def _footprint(routes: Iterable[Route], listen: ListenConfig) -> Footprint:
    """That of an Envoy which runs these routes, as far as they can be translated."""
    remaining = {route.key: route for route in routes}
    while True:
        try:
            return Footprint.of(build(remaining.values(), listen))
        except InvalidRoutes as error:
            remaining = {key: route for key, route in remaining.items() if key not in error.errors}


def backends_of(routes: Iterable[Route]) -> Iterator[BackendKey]:
    """All versions of these routes, live and mirrored, whether they get any traffic or not."""
    for route in routes:
        for backend in route.backends:
            yield BackendKey(route.key, backend.version, mirrored=False)
            yield BackendKey(route.key, backend.version, mirrored=True)
