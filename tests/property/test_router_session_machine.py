"""The configuration stream against an Envoy that answers late, and refuses, in every order that Hypothesis finds."""

from collections import deque
from functools import cache

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.config import ListenConfig
from router.ir import Backend, Endpoint, Mirror, Route, RouteKey
from router.session import Request, Response, Session
from router.snapshot import ResourceType, Snapshot, build

C, E, L, R = ResourceType.CLUSTER, ResourceType.ENDPOINT, ResourceType.LISTENER, ResourceType.ROUTE
LISTEN = ListenConfig()


@st.composite
def routes(draw: st.DrawFn) -> Route:
    versions = draw(st.lists(st.sampled_from("abc"), unique=True, min_size=1, max_size=3))
    shares = draw(st.sampled_from([(10_000, 0, 0), (500, 9_500, 0), (0, 0, 0)]))
    weights = shares[: len(versions)] if sum(shares[: len(versions)]) in (0, 10_000) else (10_000,) + (0,) * 2
    port = st.integers(9_000, 9_001)
    backends = tuple(
        Backend(version, weight, (Endpoint("127.0.0.1", draw(port)),))
        for version, weight in zip(versions, weights, strict=False)
    )
    mirror = draw(st.sampled_from([None, Mirror(versions[-1], 100), Mirror(versions[-1], 100, max_concurrency=1)]))
    name = draw(st.sampled_from("mn"))
    return Route(RouteKey("default", name), name, backends=backends, mirror=mirror)


def snapshots() -> st.SearchStrategy[Snapshot]:
    unique = st.lists(routes(), max_size=2, unique_by=lambda route: route.key)
    return unique.map(lambda found: built(tuple(found)))


@cache
def built(found: tuple[Route, ...]) -> Snapshot:
    return build(found, LISTEN)


class Stream(RuleBasedStateMachine):
    """The model of Envoy: what arrived and is unanswered, what it accepted, what its routes may name."""

    @initialize(aim=snapshots())
    def connect(self, aim: Snapshot) -> None:
        self.known: dict[str, Snapshot] = {}
        self.arriving: deque[Response] = deque()
        self.warming: Response | None = None
        self.accepted: dict[ResourceType, dict[str, bytes]] = {kind: {} for kind in ResourceType}
        self.versions = dict.fromkeys(ResourceType, "")
        self.refused: set[tuple[ResourceType, str]] = set()
        self.subscribed: frozenset[str] = frozenset()
        self.running: dict[str, bytes] = {}
        self._know(aim)
        self.session = Session(aim)
        for request in (Request(C), Request(L), Request(R, names=frozenset({"tidegate"}))):
            self._take(self.session.receive(request))

    def _know(self, aim: Snapshot) -> None:
        self.known[aim.routes.version] = aim

    def _names(self, kind: ResourceType) -> frozenset[str]:
        return {E: self.subscribed, R: frozenset({"tidegate"})}.get(kind, frozenset())

    def _take(self, responses: list[Response]) -> None:
        for response in responses:
            kind, version = response.type, response.resources.version
            assert (kind, version) not in self.refused, "a refused version was sent again"
            if kind is R:
                named = self.known[version].referenced
                assert named <= self.accepted[C].keys(), "the routes name a cluster that Envoy has not accepted"
                assert named <= self.accepted[E].keys(), "the routes name a cluster without accepted endpoints"
            if kind is C:
                in_use = self._in_use()
                assert in_use <= response.resources.items.keys(), "a cluster was taken away while routes name it"
            self.arriving.append(response)

    def _in_use(self) -> frozenset[str]:
        arriving = (response.resources.version for response in self.arriving if response.type is R)
        versions = {self.versions[R], *arriving}
        return frozenset(name for version in versions if version for name in self.known[version].referenced)

    @rule(aim=snapshots())
    def publish(self, aim: Snapshot) -> None:
        self._know(aim)
        self._take(self.session.aim_at(aim))

    @rule(refuse=st.integers(0, 9).map(lambda die: die == 0))
    def answer(self, refuse: bool) -> None:
        """Envoy works through the responses in the order in which they arrive."""
        if not self.arriving:
            return
        response = self.arriving.popleft()
        kind, content = response.type, response.resources.items
        if refuse:
            self.refused.add((kind, response.resources.version))
            self._say(Request(kind, self.versions[kind], response.nonce, self._names(kind), "no"))
            return
        self.versions[kind] = response.resources.version
        if kind is not E:
            self.accepted[kind] = dict(content)
        else:
            self.accepted[E] |= {name: found for name, found in content.items() if name in self.subscribed}
        if kind is C:
            # A cluster that is new or changed waits for endpoints; those of a cluster that went are forgotten.
            same = {name for name, found in content.items() if self.running.get(name) == found}
            self.running = dict(content)
            self.accepted[E] = {name: found for name, found in self.accepted[E].items() if name in same}
            self.subscribed = frozenset(content)
            self.warming = response
            self._say(Request(E, self.versions[E], names=self.subscribed))
        else:
            self._say(Request(kind, self.versions[kind], response.nonce, self._names(kind)))
        if self.warming is not None and self.subscribed <= self.accepted[E].keys():
            warm, self.warming = self.warming, None
            self._say(Request(C, warm.resources.version, warm.nonce))

    def _say(self, request: Request) -> None:
        self._take(self.session.receive(request))

    @rule(kind=st.sampled_from(list(ResourceType)), nonce=st.sampled_from(["", "0", "9999"]))
    def say_something_stale(self, kind: ResourceType, nonce: str) -> None:
        self._take(self.session.receive(Request(kind, self.versions[kind], nonce, self._names(kind), "old")))

    @invariant()
    def what_is_acknowledged_is_what_envoy_has(self) -> None:
        if self.session.synced:
            aim = self.session.aim
            assert self.accepted[C] == aim.clusters.items
            assert self.accepted[E] == aim.endpoints.items
            assert self.accepted[R] == aim.routes.items
        for key, route in self.session.aim.source.items():
            if self.session.acknowledges(key, route):
                assert self.known[self.versions[R]].source[key] == route

    @precondition(lambda self: not self.refused)
    @rule()
    def an_envoy_that_answers_and_refuses_nothing_reaches_the_aim(self) -> None:
        while self.arriving:
            self.answer(refuse=False)
        assert self.session.synced
        assert self._in_use() == self.session.aim.referenced


Stream.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestRouterSession = Stream.TestCase
