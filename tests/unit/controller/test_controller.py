"""The controller in a world of memory and jumping time: what it does, when, and what it leaves alone."""

from typing import Any

import pytest
from controller_world import EPOCH, Session, World, asked, changed, deleted, lines, manifest, run

from operators.api import ModelRollout, RolloutKey, revision_of
from operators.observe import Observed
from operators.plan import Command, Plan
from operators.reconcile import reconcile
from operators.status import Phase
from router.ir import RouteKey

IRIS = RolloutKey("default", "iris")
CANARY = {"canary": {"steps": [{"setWeight": 5}, {"pause": {"duration": "60s"}}, {"setWeight": 50}, {"pause": {}}]}}
V1, V2 = manifest(version=1, strategy=CANARY), manifest(version=2, strategy=CANARY)
ONE, TWO = revision_of(V1).id, revision_of(V2).id


def world(*rollouts: ModelRollout, **options: Any) -> World:
    return World(rollouts={rollout.key: rollout for rollout in rollouts}, **options)


def live(*rollouts: ModelRollout) -> World:
    """A world in which the first versions of these rollouts are live and nothing is left to do."""
    ready = world(*rollouts)
    run(ready, 10)
    assert all(rollout.status.phase is Phase.HEALTHY for rollout in ready.rollouts.values())
    ready.effects.clear()
    ready.calls.clear()
    ready.events.clear()
    return ready


def test_a_first_version_goes_live() -> None:
    fresh = world(V1)
    run(fresh, 10)
    assert fresh.rollouts[IRIS].status.stable is not None
    assert fresh.rollouts[IRIS].status.stable.id == ONE
    assert fresh.running() == {ONE}
    (backend,) = fresh.routes[RouteKey("default", "iris")].backends
    assert (backend.version, backend.weight) == (ONE, 10_000)
    assert {"Started", "Promoted"} <= {event.reason for _, event in fresh.events}


def test_a_fleet_at_rest_is_neither_written_nor_published_nor_sent() -> None:
    quiet = live(V1, manifest("digits"))

    async def script(session: Session) -> None:
        await session.sleep(5)
        quiet.effects.clear()
        quiet.calls.clear()
        await session.sleep(3600)

    run(quiet, script)
    assert quiet.effects == []
    assert set(quiet.calls) == {"observe"}
    assert quiet.calls["observe"] < 3600 / 1.4


def test_nothing_is_published_or_sent_before_the_first_list_was_read() -> None:
    ready = live(V1)
    ready.store_down = True

    async def script(session: Session) -> None:
        await session.sleep(60)
        assert ready.effects == []
        ready.store_down = False
        await session.sleep(60)

    run(ready, script)
    assert ready.running() == {ONE}
    assert len(lines(ready.effects, "publish")) == 1


def test_nothing_is_published_before_ray_was_seen_for_routes_without_endpoints_would_take_traffic_away() -> None:
    ready = live(V1)
    before = dict(ready.routes)
    ready.serve_down = True

    async def script(session: Session) -> None:
        await session.sleep(120)
        assert lines(ready.effects, "publish") == []
        assert ready.routes == before
        ready.serve_down = False
        await session.sleep(20)

    run(ready, script)
    assert ready.routes == before
    assert ready.rollouts[IRIS].status.phase is Phase.HEALTHY


def test_a_new_version_walks_its_steps_and_waits_for_a_person() -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(200)
        assert ready.rollouts[IRIS].status.phase is Phase.PAUSED
        assert ready.rollouts[IRIS].status.weight == 5_000
        session.changed(asked(ready.rollouts[IRIS], Command.PROMOTE, "step"))
        await session.sleep(60)

    run(ready, script)
    assert lines(ready.effects, "publish")[-1] == f"publish {TWO}=10000"
    status = ready.rollouts[IRIS].status
    assert status.stable is not None
    assert status.stable.id == TWO
    assert ready.rollouts[IRIS].commands == {}
    assert ready.running() == {TWO}


def test_a_command_is_acted_on_within_a_second() -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(30)
        assert ready.rollouts[IRIS].status.weight == 500
        session.changed(asked(ready.rollouts[IRIS], Command.ABORT))
        await session.sleep(0.2)
        assert lines(ready.effects, "publish")[-1] == f"publish {ONE}=10000"

    run(ready, script)


def test_a_deleted_rollout_loses_its_route_then_its_replicas_and_is_forgotten() -> None:
    ready = live(V1, manifest("digits"))

    async def script(session: Session) -> None:
        session.changed(deleted(ready.rollouts[IRIS]))
        await session.sleep(60)

    run(ready, script)
    assert set(ready.rollouts) == {RolloutKey("default", "digits")}
    assert [key.name for key in ready.routes] == ["digits"]
    digits = {key.version for key in ready.targets}
    order = [line for line in ready.effects if line.startswith(("publish", "apply", "forget"))]
    gone = order.index(f"apply {' '.join(digits)}")
    assert order.index("forget iris") > gone > next(i for i, line in enumerate(order) if ONE not in line)


def test_a_rollout_that_cannot_be_decided_delays_no_other_and_keeps_what_it_has() -> None:
    names = [f"m{number}" for number in range(300)]
    fleet = live(*(manifest(name) for name in names))
    broken = RolloutKey("default", "m7")
    before, running = dict(fleet.routes), fleet.running()

    def decide(rollout: ModelRollout, observed: Observed) -> Plan:
        if rollout.key == broken:
            raise ZeroDivisionError("a defect")
        return reconcile(rollout, observed)

    async def script(session: Session) -> None:
        await session.sleep(5)
        assert fleet.routes == before
        assert fleet.running() == running
        session.changed(*(changed(fleet.rollouts[RolloutKey("default", name)], manifest(name, 2)) for name in names))
        await session.sleep(30)

    run(fleet, script, reconcile=decide)
    done = [rollout.status.observed_generation for rollout in fleet.rollouts.values()]
    assert sorted(done) == [1, *[2] * 299]
    assert fleet.routes[RouteKey("default", "m7")] == before[RouteKey("default", "m7")]
    told = [event for key, event in fleet.events if event.reason == "ReconcileFailed"]
    assert [event.message for event in told] == [
        "deciding failed, the last decision stands: ZeroDivisionError: a defect"
    ]


def test_a_rollout_that_can_be_decided_again_goes_on() -> None:
    ready = live(V1)
    sick = True

    def decide(rollout: ModelRollout, observed: Observed) -> Plan:
        if sick:
            raise ZeroDivisionError("a defect")
        return reconcile(rollout, observed)

    async def script(session: Session) -> None:
        nonlocal sick
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(20)
        sick = False
        await session.sleep(120)

    run(ready, script, reconcile=decide)
    assert ready.rollouts[IRIS].status.weight == 5_000


def test_an_unreachable_ray_freezes_routes_after_a_grace_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(30)
        before = dict(ready.routes)
        ready.serve_down = True
        await session.sleep(600)
        assert ready.routes == before
        assert "Ray Serve cannot be reached" in ready.rollouts[IRIS].status.message
        ready.serve_down = False
        await session.sleep(30)

    run(ready, script)
    assert ready.rollouts[IRIS].status.weight == 5_000
    assert len([record for record in caplog.records if "Ray Serve cannot be reached" in record.message]) == 1


def test_a_change_that_ray_refuses_is_tried_again_ever_more_slowly_while_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        await session.sleep(5)
        ready.serve_refuses = True
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(300)
        assert 3 < len(lines(ready.effects, "refuse")) < 12
        assert "cannot be reached" not in ready.rollouts[IRIS].status.message
        ready.serve_refuses = False
        await session.sleep(150)

    run(ready, script)
    assert ready.rollouts[IRIS].status.weight == 5_000
    assert len([record for record in caplog.records if "did not take the new versions" in record.message]) == 1


def test_a_single_failed_look_at_ray_changes_nothing() -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        await session.sleep(10)
        ready.effects.clear()
        ready.serve_down = True
        await session.sleep(2)
        ready.serve_down = False
        await session.sleep(60)

    run(ready, script)
    assert ready.effects == []


def test_without_a_store_nothing_new_happens_and_afterwards_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(30)
        ready.effects.clear()
        ready.store_down = True
        await session.sleep(600)
        assert ready.effects == [], "what cannot be remembered is not done"
        ready.store_down = False
        await session.sleep(120)

    run(ready, script)
    assert ready.rollouts[IRIS].status.weight == 5_000
    assert len([record for record in caplog.records if "store of rollouts cannot be reached" in record.message]) == 1


def test_versions_that_ray_lost_are_sent_again() -> None:
    ready = live(V1)

    async def script(session: Session) -> None:
        await session.sleep(10)
        ready.targets.clear()
        ready.started.clear()
        await session.sleep(20)

    run(ready, script)
    assert ready.running() == {ONE}
    assert ready.rollouts[IRIS].status.phase is Phase.HEALTHY


def test_a_version_that_nobody_wants_is_removed_after_a_restart() -> None:
    ready = live(V1)
    other = live(V2)
    ready.targets |= other.targets
    ready.started |= other.started
    run(ready, 10)
    assert ready.running() == {ONE}


def test_a_version_that_fails_to_load_is_aborted_and_the_live_one_untouched() -> None:
    ready = live(V1)
    ready.failing[TWO] = "ModuleNotFoundError: no module named credit"
    before = dict(ready.routes)

    async def script(session: Session) -> None:
        session.changed(changed(ready.rollouts[IRIS], V2))
        await session.sleep(120)

    run(ready, script)
    status = ready.rollouts[IRIS].status
    assert status.phase is Phase.DEGRADED
    assert "no module named credit" in status.message
    assert ready.routes == before
    assert ready.running() == {ONE}


def test_two_rollouts_that_claim_one_host_and_name_do_not_touch_each_other() -> None:
    ready = live(V1)
    twin = manifest(version=3)
    twin = twin.model_copy(
        update={"metadata": twin.metadata.model_copy(update={"namespace": "other", "creation_timestamp": EPOCH})}
    )

    async def script(session: Session) -> None:
        session.changed(twin)
        await session.sleep(30)

    run(ready, script)
    assert set(ready.routes) == {RouteKey("default", "iris")}
    conditions = {one.type: one for one in ready.rollouts[twin.key].status.conditions}
    assert conditions["Accepted"].reason == "RouteConflict"
    assert ready.running() == {ONE}


def test_a_rollout_made_again_under_the_same_name_starts_with_a_blank_memory() -> None:
    ready = live(V1)
    again = V2.model_copy(update={"metadata": V2.metadata.model_copy(update={"uid": "another"})})

    async def script(session: Session) -> None:
        await session.sleep(5)
        session.changed(again)
        await session.sleep(30)

    run(ready, script)
    status = ready.rollouts[IRIS].status
    assert [revision.id for revision in status.revisions] == [TWO]
