"""The configuration stream's transition table: what Envoy says, and what is sent for it."""

from dataclasses import replace

import pytest

from router.config import ListenConfig
from router.ir import Backend, Endpoint, Mirror, Route, RouteKey
from router.session import Footprint, Request, Response, Session
from router.snapshot import ResourceType, Snapshot, build

C, E, L, R = ResourceType.CLUSTER, ResourceType.ENDPOINT, ResourceType.LISTENER, ResourceType.ROUTE
KEY = RouteKey("default", "m")


def route(*shares: tuple[str, int], port: int = 9000, name: str = "m", mirror: Mirror | None = None) -> Route:
    backends = tuple(Backend(version, weight, (Endpoint("127.0.0.1", port),)) for version, weight in shares)
    return Route(RouteKey("default", name), name, backends=backends, mirror=mirror)


def snapshot(*routes: Route) -> Snapshot:
    return build(routes, ListenConfig())


A = route(("a", 10_000))
AB = route(("b", 0), ("a", 10_000))
B = route(("b", 10_000))


class FakeEnvoy:
    """Answers like Envoy: asks for the endpoints of the clusters it has, and acknowledges clusters once it has them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.clusters: frozenset[str] = frozenset()
        self.history: list[ResourceType] = []
        self.held: Response | None = None

    def connect(self) -> None:
        self.take(self.session.receive(Request(C)))
        self.take(self.session.receive(Request(L)))
        self.take(self.session.receive(Request(R, names=frozenset({"tidegate"}))))

    def take(self, responses: list[Response]) -> None:
        for response in responses:
            self.history.append(response.type)
            if response.type is C:
                self.held = response
                self.clusters = frozenset(response.resources.items)
                self.take(self.session.receive(Request(E, names=self.clusters)))
                if not self.clusters:
                    self._acknowledge_clusters()
            else:
                names = self.clusters if response.type is E else frozenset({"tidegate"})
                self.take(self.session.receive(accepted(response, names)))
                if response.type is E:
                    self._acknowledge_clusters()

    def _acknowledge_clusters(self) -> None:
        if self.held is not None:
            held, self.held = self.held, None
            self.take(self.session.receive(accepted(held)))

    def aim(self, target: Snapshot) -> list[ResourceType]:
        """What is sent until everything is settled."""
        self.history = []
        self.take(self.session.aim_at(target))
        return self.history


def accepted(response: Response, names: frozenset[str] = frozenset()) -> Request:
    return Request(response.type, response.resources.version, response.nonce, names)


def refused(response: Response, names: frozenset[str] = frozenset()) -> Request:
    return Request(response.type, "older", response.nonce, names, error="no good")


def connected(*routes: Route) -> tuple[Session, FakeEnvoy]:
    session = Session(snapshot(*routes))
    envoy = FakeEnvoy(session)
    envoy.connect()
    assert session.synced
    return session, envoy


def test_a_new_envoy_gets_clusters_endpoints_listener_and_routes_in_this_order() -> None:
    _, envoy = connected(A)
    assert envoy.history == [C, E, L, R]


def test_without_clusters_no_endpoints_are_waited_for() -> None:
    _, envoy = connected()
    assert envoy.history == [C, L, R]


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        pytest.param([A], [A], [], id="nothing changed"),
        pytest.param([AB], [route(("b", 500), ("a", 9_500))], [R], id="weight"),
        pytest.param([A], [route(("a", 10_000), port=9001)], [E], id="endpoint"),
        pytest.param([A], [replace(A, timeout_seconds=1.0)], [R], id="policy"),
        pytest.param([A], [AB], [C, E], id="a version without weight"),
        pytest.param([AB], [A], [C, E], id="a version without weight goes"),
        pytest.param([A], [B], [C, E, R, C, E], id="another version"),
        pytest.param([A], [], [R, C], id="route deleted"),
        pytest.param([A], [A, route(("x", 10_000), name="n")], [C, E, R], id="route added"),
        pytest.param([AB], [replace(AB, mirror=Mirror("b", 100))], [C, E, R], id="mirror added"),
        pytest.param(
            [replace(AB, mirror=Mirror("b", 100))],
            [replace(AB, mirror=Mirror("b", 100, max_concurrency=1))],
            [C, E],
            id="a cluster changed: its endpoints again",
        ),
    ],
)
def test_a_change_touches_only_what_it_must(before: list[Route], after: list[Route], sent: list[ResourceType]) -> None:
    session, envoy = connected(*before)
    assert envoy.aim(snapshot(*after)) == sent
    assert session.synced


def test_nothing_is_sent_before_envoy_asks() -> None:
    session = Session(snapshot(A))
    assert session.receive(Request(L)) == []
    assert session.receive(Request(R, names=frozenset({"tidegate"}))) == []
    (clusters,) = session.receive(Request(C))
    assert clusters.type is C


def test_routes_wait_until_the_clusters_are_acknowledged_too() -> None:
    session, _ = connected(A)
    (clusters,) = session.aim_at(snapshot(B))
    names = frozenset(clusters.resources.items)
    assert names == {"live/default/m/a", "live/default/m/b"}
    (endpoints,) = session.receive(Request(E, names=names))
    assert session.receive(accepted(endpoints, names)) == []  # the clusters are still warming
    (routes,) = session.receive(accepted(clusters))
    assert routes.type is R
    clusters, endpoints = session.receive(accepted(routes))
    assert clusters.resources.items.keys() == endpoints.resources.items.keys() == {"live/default/m/b"}
    assert not session.synced


def test_what_is_leaving_keeps_its_endpoints_until_the_routes_are_acknowledged() -> None:
    session, _ = connected(AB)
    emptied = replace(AB, backends=(replace(AB.backends[0], weight=10_000), Backend("a", 0)))
    (routes,) = session.aim_at(snapshot(emptied))
    assert routes.type is R
    (endpoints,) = session.receive(accepted(routes))
    assert endpoints.type is E
    assert endpoints.resources.version == snapshot(emptied).endpoints.version


def test_routes_that_were_refused_keep_the_old_clusters() -> None:
    session, envoy = connected(A)
    (clusters,) = session.aim_at(snapshot(B))
    names = frozenset(clusters.resources.items)
    (endpoints,) = session.receive(Request(E, names=names))
    session.receive(accepted(clusters))
    (routes,) = session.receive(accepted(endpoints, names))
    assert session.receive(refused(routes)) == []
    assert session.refusal is not None
    assert (session.refusal.type, session.refusal.message) == (R, "no good")
    assert not session.acknowledges(KEY, B)
    envoy.clusters = names
    assert envoy.aim(snapshot(A)) == [C, E, R]
    assert session.refusal is None
    assert session.synced
    assert session.acknowledges(KEY, A)


@pytest.mark.parametrize("kind", list(ResourceType))
def test_a_refused_version_is_not_sent_again_whatever_envoy_says(kind: ResourceType) -> None:
    session = Session(snapshot(A))
    names = frozenset(snapshot(A).clusters.items)
    asks = [Request(C), Request(L), Request(R, names=frozenset({"tidegate"})), Request(E, names=names)]
    pending = [response for ask in asks for response in session.receive(ask)]
    sent: list[ResourceType] = []
    while pending:
        response = pending.pop(0)
        sent.append(response.type)
        subscribed = {E: names, R: frozenset({"tidegate"})}.get(response.type, frozenset())
        answer = refused if response.type is kind else accepted
        pending += session.receive(answer(response, subscribed))
    assert sent == {C: [C, E], E: [C, E], L: [C, E, L], R: [C, E, L, R]}[kind]
    assert session.refusal is not None
    assert session.refusal.type is kind
    for ask in asks:
        assert session.receive(ask) == []
    again = session.aim_at(snapshot(A))
    assert again == []
    assert session.refusal is not None


def test_clusters_that_stay_cold_because_their_endpoints_were_refused_do_not_block_the_next_aim() -> None:
    session, _ = connected(A)
    (clusters,) = session.aim_at(snapshot(B))
    names = frozenset(clusters.resources.items)
    (endpoints,) = session.receive(Request(E, names=names))
    assert session.receive(refused(endpoints, names)) == []
    back = session.aim_at(snapshot(A))
    assert C in [response.type for response in back]


def test_stale_nonces_are_ignored() -> None:
    session, _ = connected(AB)
    first, second = (snapshot(route(("b", weight), ("a", 10_000 - weight))) for weight in (100, 200))
    (response,) = session.aim_at(first)
    for stale in ("", "0", "77"):
        assert session.receive(replace(accepted(response), nonce=stale)) == []
        assert session.receive(replace(refused(response), nonce=stale)) == []
    assert session.refusal is None
    assert session.aim_at(second) == []  # Envoy is busy with the first
    (response,) = session.receive(accepted(response))
    assert response.resources.version == second.routes.version


def test_a_repeated_subscription_with_the_last_nonce_is_no_acknowledgement() -> None:
    session, _ = connected(AB)
    (response,) = session.aim_at(snapshot(route(("b", 100), ("a", 9_900))))
    assert session.receive(replace(accepted(response), version="what it had before")) == []
    assert not session.synced


def test_publications_that_were_overtaken_are_left_out() -> None:
    session, _ = connected(AB)
    (response,) = session.aim_at(snapshot(route(("b", 1), ("a", 9_999))))
    for weight in range(2, 50):
        assert session.aim_at(snapshot(route(("b", weight), ("a", 10_000 - weight)))) == []
    (response,) = session.receive(accepted(response))
    assert response.resources.version == snapshot(route(("b", 49), ("a", 9_951))).routes.version


def test_a_route_that_went_and_came_back_is_acknowledged_only_once_all_is_settled() -> None:
    session, _ = connected(AB)
    moved = route(("b", 100), ("a", 9_900))
    assert session.acknowledges(KEY, AB)
    (response,) = session.aim_at(snapshot(moved))
    session.aim_at(snapshot(AB))
    assert not session.acknowledges(KEY, AB)  # Envoy may run the other one by now
    (response,) = session.receive(accepted(response))
    session.receive(accepted(response))
    assert session.acknowledges(KEY, AB)


def test_a_route_that_did_not_change_stays_acknowledged() -> None:
    session, _ = connected(A)
    session.aim_at(snapshot(A, route(("x", 10_000), name="n")))
    assert session.acknowledges(KEY, A)
    assert not session.acknowledges(RouteKey("default", "n"), None)


def test_a_new_stream_keeps_what_an_earlier_one_may_have_left_in_use() -> None:
    session, _ = connected(A)
    again = Session(snapshot(B), session.footprint)
    (clusters,) = again.receive(Request(C))
    assert clusters.resources.items.keys() == {"live/default/m/a", "live/default/m/b"}
    assert Footprint.of(snapshot(A)) == session.footprint


def test_nothing_is_acknowledged_before_a_new_stream_has_settled_not_even_a_deletion() -> None:
    session = Session(snapshot())
    assert not session.acknowledges(KEY, None)
    FakeEnvoy(session).connect()
    assert session.acknowledges(KEY, None)
