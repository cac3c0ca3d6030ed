"""Checks are judged on what the routers counted since the shares changed, at the interval that the manifest names."""

from controller_world import Session, World, changed, manifest, run

from operators.api import RolloutKey, revision_of
from operators.status import Phase, Verdict
from router.ir import BackendKey, RouteKey, TrafficCounters

IRIS = RolloutKey("default", "iris")
SPEC = {
    "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}},
    "analysis": {"interval": "10s", "checks": [{"name": "errors", "metric": "error-rate", "max": 0.1}]},
}
V1, V2 = manifest(version=1, **SPEC), manifest(version=2, **SPEC)
ONE, TWO = (BackendKey(RouteKey("default", "iris"), revision_of(one).id, mirrored=False) for one in (V1, V2))


async def rolling(session: Session) -> World:
    """The candidate has half of the traffic; both versions had traffic before."""
    world = session.world
    world.counters = {ONE: TrafficCounters(1000, 900), TWO: TrafficCounters(1000, 900)}
    await session.sleep(10)
    session.changed(changed(world.rollouts[IRIS], V2))
    await session.sleep(5)
    assert world.rollouts[IRIS].status.weight == 5_000
    return world


def test_errors_of_the_candidate_abort_within_an_interval() -> None:
    async def script(session: Session) -> None:
        world = await rolling(session)
        assert world.calls["traffic"] == 1, "the baseline is read as soon as the shares have changed"
        world.counters = {ONE: TrafficCounters(2000, 900), TWO: TrafficCounters(2000, 1900)}
        await session.sleep(10.5)
        assert world.rollouts[IRIS].status.phase is Phase.DEGRADED
        assert "check errors failed" in world.rollouts[IRIS].status.message
        reads = world.calls["traffic"]
        await session.sleep(600)
        assert world.calls["traffic"] == reads, "nobody reads when there is nothing to judge"

    run(World(rollouts={IRIS: V1}), script)


def test_errors_from_before_the_shares_changed_do_not_count() -> None:
    async def script(session: Session) -> None:
        world = await rolling(session)
        for requests in range(1000, 3000, 200):
            world.counters = {ONE: TrafficCounters(requests, 900), TWO: TrafficCounters(requests, 900)}
            await session.sleep(10)
        (check,) = world.rollouts[IRIS].status.checks
        assert (check.verdict, check.samples, check.value) == (Verdict.PASS, 1800, 0.0)

    run(World(rollouts={IRIS: V1}), script)


def test_a_router_that_cannot_be_read_makes_checks_inconclusive_and_aborts_nothing() -> None:
    async def script(session: Session) -> None:
        world = await rolling(session)
        world.counters = {ONE: TrafficCounters(2000, 900), TWO: TrafficCounters(2000, 900)}
        await session.sleep(20)
        assert world.rollouts[IRIS].status.checks[0].verdict is Verdict.PASS
        world.counters = None
        await session.sleep(60)
        assert world.rollouts[IRIS].status.checks[0].verdict is Verdict.INCONCLUSIVE
        assert world.rollouts[IRIS].status.weight == 5_000

    run(World(rollouts={IRIS: V1}), script)
