"""The ModelRoutes as they were last seen, and what is to be said about each of them.

Which generation Envoy runs cannot be read from Envoy: it is that of the object whose route was published when Envoy
acknowledged it. A route that did not change keeps what was acknowledged, so that a new generation with the same content
(a changed label of the schema, a spec that came back) is acknowledged at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from router.ir import Route, RouteKey, RouteStatus
from router.modelroute import Acknowledgement, acknowledgements, route_of

Object = Mapping[str, Any]
"""A ModelRoute as the API server's JSON has it."""

UNKNOWN: Final = 0
"""The generation to name while none is known to run; those of objects begin at 1."""


class Published(Protocol):
    """The router, as far as it is asked here."""

    def published(self) -> Mapping[RouteKey, Route]:
        """The routes that were published last."""

    def status(self, key: RouteKey) -> RouteStatus:
        """What Envoy says about the route that was published last."""


@dataclass(slots=True)
class _Page:
    """One object. `route` is the newest that could be read, of the generation `route_generation`.

    `problem` says why the newest spec could not be read; `running` is the generation that Envoy acknowledged last, and
    `said` what stands in the object's status under this router's name.
    """

    uid: str
    running: int
    said: Acknowledgement | None
    route: Route | None
    route_generation: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be written into the status of one object."""

    key: RouteKey
    uid: str
    acknowledgement: Acknowledgement


class RouteBook:
    """Takes in objects, gives the routes to publish, and says whose status is to be written."""

    def __init__(self, router: str, remembered: Mapping[RouteKey, Route]) -> None:
        """`router` is this router's name, `remembered` the routes that Envoy ran before this process began."""
        self._router = router
        self._remembered = dict(remembered)
        self._pages: dict[RouteKey, _Page] = {}

    def replace(self, objects: Iterable[Object], within: Callable[[str], bool]) -> None:
        """Take in the full list of all namespaces for which `within` holds: what is not in it is gone."""
        listed = {key_of(item): item for item in objects}
        for key in [key for key in self._pages if within(key.namespace) and key not in listed]:
            del self._pages[key]
        for key, item in listed.items():
            self.take(item)
            self._pages[key].said = self._entry(item)
        self._remembered = {key: route for key, route in self._remembered.items() if not within(key.namespace)}

    def take(self, item: Object) -> None:
        """Take in an object that appeared or changed."""
        key, uid, generation = key_of(item), str(item["metadata"]["uid"]), int(item["metadata"]["generation"])
        entry = self._entry(item)
        page = self._pages.get(key)
        if page is None or page.uid != uid:
            running = UNKNOWN if entry is None or entry.generation > generation else entry.generation
            page = self._pages[key] = _Page(uid, running, entry, self._remembered.pop(key, None), running)
        elif entry is None:
            page.said = None  # somebody took it away; an older entry than ours is only an older event
        try:
            page.route = route_of(key, item.get("spec") or {})
        except ValueError as error:
            page.problem = str(error)
        else:
            page.route_generation, page.problem = generation, ""

    def remove(self, item: Object) -> None:
        """Take in that an object is gone."""
        page = self._pages.get(key_of(item))
        if page is not None and page.uid == item["metadata"]["uid"]:
            del self._pages[key_of(item)]

    def routes(self) -> list[Route]:
        """All routes, those of objects that cannot be read as they were before."""
        return [page.route for page in self._pages.values() if page.route is not None]

    def due(self, router: Published) -> Iterator[Due]:
        """The objects whose status does not say what the router knows."""
        for key, page in list(self._pages.items()):
            current = page.route is not None and router.published().get(key) == page.route
            status = router.status(key) if current else RouteStatus(acknowledged=False)
            if status.acknowledged:
                page.running = page.route_generation
            acknowledgement = Acknowledgement(page.running, page.problem or status.rejected or "")
            if acknowledgement not in (page.said, Acknowledgement(UNKNOWN)):
                yield Due(key, page.uid, acknowledgement)

    def wrote(self, due: Due) -> None:
        """The status says it now."""
        page = self._pages.get(due.key)
        if page is not None and page.uid == due.uid:
            page.said = due.acknowledgement

    def _entry(self, item: Object) -> Acknowledgement | None:
        return acknowledgements(item.get("status")).get(self._router)


def key_of(item: Object) -> RouteKey:
    """The namespace and name of an object."""
    return RouteKey(item["metadata"]["namespace"], item["metadata"]["name"])
