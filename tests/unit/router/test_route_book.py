"""What a router says about ModelRoutes: which generation runs, what was refused, and when there is nothing to say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from router.ir import Backend, Endpoint, Route, RouteKey, RouteStatus
from router.modelroute import Acknowledgement, acknowledgement_json, spec_of
from router.pod.book import Due, RouteBook

KEY = RouteKey("default", "m")
ROUTE = Route(KEY, "m", backends=(Backend("a", 10_000, (Endpoint("127.0.0.1", 1),)),))
OTHER = replace(ROUTE, timeout_seconds=7.0)
UNREADABLE = spec_of(ROUTE) | {"backends": [{"version": "a", "weight": 9_000}]}
READY = RouteStatus(acknowledged=True)
UNDER_WAY = RouteStatus(acknowledged=False)


def thing(
    spec: Mapping[str, Any] | Route = ROUTE,
    generation: int = 1,
    said: Acknowledgement | None = None,
    uid: str = "u",
    key: RouteKey = KEY,
) -> dict[str, Any]:
    """A ModelRoute as the API server has it."""
    metadata = {"namespace": key.namespace, "name": key.name, "uid": uid, "generation": generation}
    routers = {} if said is None else {"me": acknowledgement_json(said)}
    spec = spec_of(spec) if isinstance(spec, Route) else spec
    return {"metadata": metadata, "spec": spec, "status": {"routers": routers | {"you": {"generation": 9}}}}


@dataclass(slots=True)
class World:
    """A book, and a router that runs what it is told to run."""

    book: RouteBook = field(default_factory=lambda: RouteBook("me", {}))
    routes: dict[RouteKey, Route] = field(default_factory=dict)
    statuses: dict[RouteKey, RouteStatus] = field(default_factory=dict)

    def published(self) -> Mapping[RouteKey, Route]:
        return self.routes

    def status(self, key: RouteKey) -> RouteStatus:
        return self.statuses.get(key, UNDER_WAY)

    def publish(self, status: RouteStatus = READY) -> None:
        self.routes = {route.key: route for route in self.book.routes()}
        self.statuses = dict.fromkeys(self.routes, status)

    def due(self) -> list[Due]:
        return list(self.book.due(self))

    def said(self) -> Acknowledgement | None:
        """What is due about the one object; it then counts as written."""
        due = self.due()
        for one in due:
            self.book.wrote(one)
        assert len(due) < 2
        return due[0].acknowledgement if due else None


def listed(*objects: dict[str, Any]) -> World:
    world = World()
    world.book.replace(objects, within=lambda _: True)
    return world


def test_a_generation_is_acknowledged_once_when_envoy_runs_it() -> None:
    world = listed(thing())
    world.publish(UNDER_WAY)
    assert world.said() is None
    world.publish()
    assert world.said() == Acknowledgement(1)
    assert world.said() is None


def test_what_was_taken_in_but_not_published_is_not_acknowledged() -> None:
    world = listed(thing())
    world.publish()
    assert world.said() == Acknowledgement(1)
    world.book.take(thing(OTHER, generation=2, said=Acknowledgement(1)))
    assert world.said() is None
    world.publish()
    assert world.said() == Acknowledgement(2)


def test_a_generation_with_the_same_content_is_acknowledged_at_once() -> None:
    world = listed(thing())
    world.publish()
    world.said()
    world.book.take(thing(ROUTE, generation=2))
    assert world.said() == Acknowledgement(2)


def test_a_refusal_keeps_the_generation_that_runs() -> None:
    world = listed(thing())
    world.publish()
    world.said()
    world.book.take(thing(OTHER, generation=2))
    world.publish(RouteStatus(acknowledged=False, rejected="no"))
    assert world.said() == Acknowledgement(1, "no")
    world.book.take(thing(ROUTE, generation=3))
    world.publish()
    assert world.said() == Acknowledgement(3)


def test_a_spec_that_cannot_be_read_is_rejected_and_the_last_good_route_stays() -> None:
    world = listed(thing())
    world.publish()
    world.said()
    world.book.take(thing(UNREADABLE, generation=2))
    world.publish()
    assert world.book.routes() == [ROUTE]
    said = world.said()
    assert said is not None
    assert said.generation == 1
    assert "must sum to 10000 basis points" in said.rejected


def test_a_new_object_that_cannot_be_read_says_so_without_a_generation() -> None:
    world = listed(thing({"model": "m"}), thing(key=RouteKey("default", "fine")))
    world.publish()
    said = {due.key.name: due.acknowledgement for due in world.due()}
    assert said["fine"] == Acknowledgement(1)
    assert said["m"].generation == 0
    assert said["m"].rejected.startswith("modelroute default/m cannot be read: ")


def test_after_a_restart_nothing_is_said_again() -> None:
    world = World(RouteBook("me", {KEY: ROUTE}))
    world.book.replace([thing(ROUTE, 4, said=Acknowledgement(4))], within=lambda _: True)
    world.publish(UNDER_WAY)
    assert world.said() is None
    world.publish()
    assert world.said() is None


def test_after_a_restart_a_spec_that_cannot_be_read_leaves_the_remembered_route() -> None:
    world = World(RouteBook("me", {KEY: ROUTE}))
    world.book.replace([thing(UNREADABLE, 5, said=Acknowledgement(4))], within=lambda _: True)
    world.publish()
    assert world.book.routes() == [ROUTE]
    said = world.said()
    assert said is not None
    assert said.generation == 4


def test_a_remembered_route_that_is_not_listed_is_forgotten() -> None:
    world = World(RouteBook("me", {KEY: ROUTE}))
    world.book.replace([], within=lambda _: True)
    assert world.book.routes() == []
    world.book.take(thing(UNREADABLE))
    assert world.book.routes() == []


def test_an_object_made_anew_starts_anew() -> None:
    world = listed(thing(generation=5))
    world.publish()
    assert world.said() == Acknowledgement(5)
    world.book.take(thing(OTHER, uid="new"))
    world.publish(UNDER_WAY)
    assert world.said() is None
    world.publish()
    assert world.said() == Acknowledgement(1)


def test_what_was_said_about_a_later_generation_than_there_is_was_said_about_another_object() -> None:
    world = listed(thing(UNREADABLE, generation=1, said=Acknowledgement(5)))
    world.publish()
    said = world.said()
    assert said is not None
    assert said.generation == 0


def test_the_end_of_an_older_object_does_not_take_the_newer_one() -> None:
    world = listed(thing(uid="new"))
    world.book.remove(thing(uid="old"))
    assert world.book.routes() == [ROUTE]
    world.book.remove(thing(uid="new"))
    world.book.remove(thing(uid="new"))
    assert world.book.routes() == []


def test_a_list_takes_away_what_is_gone_from_its_namespace_only() -> None:
    elsewhere = RouteKey("elsewhere", "m")
    world = listed(thing(), thing(key=elsewhere))
    world.book.replace([], within=lambda namespace: namespace == "default")
    assert [route.key for route in world.book.routes()] == [elsewhere]


def test_an_entry_that_was_pruned_is_written_again_and_an_older_event_is_no_reason_to() -> None:
    world = listed(thing())
    world.publish()
    world.said()
    world.book.take(thing(OTHER, generation=2, said=Acknowledgement(1)))
    world.publish()
    assert world.said() == Acknowledgement(2)
    world.book.take(thing(OTHER, generation=2, said=Acknowledgement(1)))
    assert world.said() is None
    world.book.take(thing(OTHER, generation=2))
    assert world.said() == Acknowledgement(2)


def test_what_was_written_for_an_object_that_is_gone_changes_nothing() -> None:
    world = listed(thing())
    world.publish()
    (due,) = world.due()
    world.book.take(thing(uid="new"))
    world.book.wrote(due)
    assert world.said() == Acknowledgement(1)
    world.book.remove(thing(uid="new"))
    world.book.wrote(due)
    assert world.said() is None
