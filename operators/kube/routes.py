"""`RouterPort` over ModelRoutes: the operator writes their spec, the router pods acknowledge it in their status.

One worker does the work, level-triggered: it looks at what watches have marked, and brings the objects closer to the
routes that were published last. So publishing never fails: while the API server is away, nothing is acknowledged.

A route is taken back in two steps, since a ModelRoute that is gone says nothing about who still follows it: first it
loses its backends, and once every router has acknowledged that, the object is deleted.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from operators.api import API_VERSION
from operators.api import KIND as ROLLOUT_KIND
from operators.kube.client import ROUTES, Api, ApiRefused, Conflict, NotFound, Object, Patch
from operators.kube.pods import RouterPods
from operators.kube.traffic import FleetTraffic
from operators.ports import PortUnavailable
from router.ir import BackendKey, Route, RouteKey, RouteStatus, TrafficCounters
from router.modelroute import GROUP, KIND, VERSION, Acknowledgement, acknowledgements, route_of, spec_of
from router.news import News
from router.pod.retry import Retry

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "tidegate"
RELIST_SECONDS: Final = 300.0
"""A deletion that no watch told of is noticed after this time at the latest."""
REFUSED_SECONDS: Final = 10.0
"""The pause before a route that the API server refused is tried again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """One ModelRoute, as the API server gave it last. `route` is None when this release cannot read its spec."""

    uid: str
    generation: int
    route: Route | None
    owner: str | None
    ours: bool
    said: Mapping[str, Acknowledgement]

    @classmethod
    def of(cls, document: Object) -> "Published":
        """Read an object."""
        metadata = document["metadata"]
        try:
            route = route_of(_key(document), document.get("spec") or {})
        except ValueError as error:
            log.warning("%s", error)
            route = None
        owners = [owner["uid"] for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
        return cls(
            uid=metadata["uid"],
            generation=metadata["generation"],
            route=route,
            owner=owners[0] if owners else None,
            ours=(metadata.get("labels") or {}).get(MANAGED_BY) == MANAGER,
            said=acknowledgements(document.get("status")),
        )


class Routes:
    """The ModelRoutes of some namespaces, or of all without any. `load`, then `run` it in one task."""

    def __init__(
        self,
        api: Api,
        namespaces: Sequence[str],
        pods: RouterPods,
        traffic: FleetTraffic,
        owner: Callable[[RouteKey], str | None],
    ) -> None:
        """`owner` gives the uid of the rollout that a route belongs to."""
        self._api = api
        self._namespaces = namespaces
        self._pods = pods
        self._traffic = traffic
        self._owner = owner
        self._wanted: dict[RouteKey, Route] = {}
        self._objects: dict[RouteKey, Published] = {}
        self._refused: dict[RouteKey, str] = {}
        self._told: dict[RouteKey, RouteStatus] = {}
        self._news = News[RouteKey]()
        self._began = False
        self._dirty: set[RouteKey] = set()
        self._pods_dirty = False
        self._list_due = False
        self._again: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()

    # What the controller calls.

    async def publish(self, routes: Sequence[Route]) -> None:
        """Replace the routes of the whole fleet by these, soon. Before the first call no object is touched."""
        self._wanted = {route.key: route for route in routes}
        self._began = True
        self._wake.set()

    def published(self) -> Mapping[RouteKey, Route]:
        """The routes that were published last, be it by an earlier process."""
        return self._wanted

    def status(self, key: RouteKey) -> RouteStatus:
        """What the live routers say about the route that was published last under `key`.

        Acknowledged: there is a live router, and every one runs exactly this route; for a key that is not published:
        its object is gone.
        """
        wanted, found = self._wanted.get(key), self._objects.get(key)
        if wanted is None:
            return RouteStatus(acknowledged=found is None or not found.ours)
        if found is None or found.route != wanted:
            return RouteStatus(acknowledged=False, rejected=self._refused.get(key))
        behind = self._behind(found)
        refusals = [f"{name}: {one.rejected}" for name, one in found.said.items() if name in behind and one.rejected]
        return RouteStatus(bool(self._pods.live) and not behind, rejected=refusals[0] if refusals else None)

    async def traffic(self) -> Mapping[BackendKey, TrafficCounters] | None:
        """Cumulative traffic of every version of the published routes; None when a live router does not answer."""
        return await self._traffic.read(list(self._pods.found.values()), self._wanted.keys())

    def changes(self) -> AsyncIterator[RouteKey | None]:
        """Keys whose status changed, as it happens; first None: any may have."""
        return self._news.listen()

    # What the watches call.

    def seen(self, changed: Object | None, gone: bool = False) -> None:  # noqa: ARG002 - it is looked at again
        """See `operators.kube.watch.Seen`, of ModelRoutes."""
        if changed is None:
            self._list_due = True
        else:
            self._dirty.add(_key(changed))
        self._wake.set()

    def pod_seen(self, changed: Object | None, gone: bool = False) -> None:  # noqa: ARG002 - all are looked at again
        """See `operators.kube.watch.Seen`, of router pods."""
        self._pods_dirty = True
        self._wake.set()

    # What the worker does.

    async def load(self) -> None:
        """Read what an earlier process has published. Returns once the API server has answered."""
        retry = Retry("the modelroutes cannot be read or written; routers keep what they have")
        while True:
            try:
                await self._look(everything=True)
                break
            except PortUnavailable as error:
                await retry.pause(str(error))
        self._wanted = {
            key: found.route for key, found in self._objects.items() if found.ours and found.route is not None
        }

    async def run(self) -> None:
        """Follow until cancelled. The API server may be away at any time and for as long as it likes."""
        retry = Retry("the modelroutes cannot be read or written; routers keep what they have")
        while True:
            everything = self._list_due
            if not everything:
                try:
                    async with asyncio.timeout(RELIST_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    everything = True
            self._wake.clear()
            try:
                await self._look(everything or self._list_due)
                await self._converge()
            except PortUnavailable as error:
                self._list_due = True
                self._tell()
                await retry.pause(str(error))
            else:
                retry.over()
                self._tell()

    async def _look(self, everything: bool) -> None:
        """Read what was marked, or all. What is marked meanwhile is read next time."""
        dirty, self._dirty = self._dirty, set()
        pods, self._pods_dirty = self._pods_dirty, False
        if everything:
            self._list_due = False
            self._objects = {_key(document): Published.of(document) for document in await self._list()}
        else:
            for key in sorted(dirty):
                await self._read(key)
        said = {name for found in self._objects.values() for name in found.said}
        # A router that has just come may have acknowledged before its pod was seen: looked at in this order, what was
        # said by a pod that is not there was said by one that is gone.
        if pods or everything or said - self._pods.found.keys():
            await self._pods.look()
        if said - self._pods.found.keys():
            await self._prune()

    async def _list(self) -> Sequence[Object]:
        try:
            return await self._api.objects(ROUTES, self._namespaces)
        except NotFound:
            return ()  # the definition was uninstalled, and its objects with it

    async def _read(self, key: RouteKey) -> None:
        try:
            self._objects[key] = Published.of(await self._api.get(ROUTES, key.namespace, key.name))
        except NotFound:
            self._objects.pop(key, None)

    async def _prune(self) -> None:
        """Remove what pods said that are gone."""
        for key, found in list(self._objects.items()):
            gone = found.said.keys() - self._pods.found.keys()
            if gone and found.ours:
                content = {"metadata": {"uid": found.uid}, "status": {"routers": dict.fromkeys(gone)}}
                with contextlib.suppress(ApiRefused):  # the object is gone, or another one
                    document = await self._api.patch(
                        ROUTES, key.namespace, key.name, Patch.MERGE, content, subresource="status"
                    )
                    self._objects[key] = Published.of(document)

    async def _converge(self) -> None:
        """Bring the objects closer to what is wanted. One that the API server refuses does not keep up the others."""
        if not self._began:
            return
        for key in sorted(self._wanted.keys() | self._objects.keys()):
            try:
                await self._step(key, self._wanted.get(key), self._objects.get(key))
            except ApiRefused as error:
                if self._refused.get(key) != str(error):
                    log.warning("modelroute %s/%s: %s", key.namespace, key.name, error)
                self._refused[key] = str(error)
            else:
                self._refused.pop(key, None)
        if self._again is not None:
            self._again.cancel()
        if self._refused:
            self._again = asyncio.get_running_loop().call_later(REFUSED_SECONDS, self.seen, None)

    async def _step(self, key: RouteKey, wanted: Route | None, found: Published | None) -> None:
        owner = self._owner(key)
        if wanted is not None:
            if found is None or (found.route, found.owner, found.ours) != (wanted, owner, True):
                await self._apply(wanted, owner)
        elif found is not None and found.ours:
            if found.route is not None and found.route.backends:
                await self._apply(replace(found.route, backends=(), mirror=None), owner or found.owner)
            elif found.route is None or not self._behind(found):
                with contextlib.suppress(NotFound, Conflict):
                    await self._api.delete(ROUTES, key.namespace, key.name, found.uid)
                await self._read(key)

    async def _apply(self, route: Route, owner: str | None) -> None:
        """Make the object, or make it so; https://kubernetes.io/docs/reference/using-api/server-side-apply/."""
        key = route.key
        document = await self._api.patch(ROUTES, key.namespace, key.name, Patch.APPLY, _manifest(route, owner))
        self._objects[key] = Published.of(document)

    def _behind(self, found: Published) -> list[str]:
        """The live routers that do not run what the object says."""
        said = {name: one.generation for name, one in found.said.items()}
        return [pod.name for pod in self._pods.live if said.get(pod.name, 0) < found.generation]

    def _tell(self) -> None:
        """Tell whoever listens to `changes` whose status is no longer what it was."""
        told, self._told = self._told, {}
        for key in self._wanted.keys() | self._objects.keys() | told.keys():
            status = self.status(key)
            if key in self._wanted or key in self._objects:
                self._told[key] = status
            if told.get(key) != status:
                self._news.tell(key)


def _manifest(route: Route, owner: str | None) -> Object:
    """The object, as far as it is the operator's: it goes with the rollout that owns it."""
    rollout = {
        "apiVersion": API_VERSION,
        "kind": ROLLOUT_KIND,
        "name": route.key.name,
        "uid": owner,
        "controller": True,
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": route.key.name,
            "namespace": route.key.namespace,
            "labels": {MANAGED_BY: MANAGER},
            "ownerReferences": [] if owner is None else [rollout],
        },
        "spec": spec_of(route),
    }


def _key(document: Object) -> RouteKey:
    metadata = document["metadata"]
    return RouteKey(metadata["namespace"], metadata["name"])
