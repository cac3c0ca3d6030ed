"""Checks ask a real Prometheus, which scrapes a real exporter."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exporter import Exporter

from operators.api import PrometheusQuery, RolloutKey, revision_of
from operators.clock import SystemClock
from operators.controller import Controller
from operators.ports import NotMeasured
from operators.providers.service import Providers, providers
from operators.providers.settings import ProviderSettings
from operators.status import Phase, RolloutStatus, Verdict
from router.ir import BackendKey, RouteKey, TrafficCounters
from tests.programs.prometheus import Prometheus
from tests.unit.controller.controller_world import MemoryRouter, MemoryServe, MemoryStore, Session, World, manifest
from tests.unit.controller.controller_world import changed as changed_to

DEADLINE = 120.0
IRIS, ROUTE = RolloutKey("default", "iris"), RouteKey("default", "iris")
QUERY = 'score{version="{{version}}"}'
SPEC = {
    "strategy": {"canary": {"steps": [{"setWeight": 50}, {"analysis": {}}]}},
    "analysis": {"interval": "200ms", "checks": [{"name": "score", "prometheus": {"query": QUERY}, "min": 0.9}]},
}
V1, V2 = manifest(version=1, **SPEC), manifest(version=2, **SPEC)
STABLE, CANDIDATE = revision_of(V1).id, revision_of(V2).id


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """It answers."""
    exporter = Exporter()
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop()


@pytest.fixture
def prometheus(tmp_path: Path, exporter: Exporter) -> Iterator[Prometheus]:
    """It scrapes the exporter."""
    server = Prometheus(tmp_path, [exporter.address])
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def metrics(prometheus: Prometheus) -> AsyncIterator[Providers]:
    async with providers(ProviderSettings(prometheus.url), SystemClock()) as port:
        yield port


async def said(metrics: Providers, query: str) -> float | str:
    """The value, or why there is none."""
    try:
        return await metrics.measure(PrometheusQuery(query=query))
    except NotMeasured as error:
        return str(error)


async def until_said(metrics: Providers, query: str, right: Callable[[float | str], bool]) -> None:
    """Return when the answer is right: scraping takes a moment."""
    deadline = time.monotonic() + DEADLINE
    while not right(answer := await said(metrics, query)):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)


async def test_one_number_is_a_value_and_everything_else_says_what_it_is(
    metrics: Providers, exporter: Exporter
) -> None:
    exporter.score.labels("a").set(0.97)
    exporter.score.labels("b").set(0.5)
    exporter.score.labels("c").set(float("nan"))
    await until_said(metrics, "count(score)", lambda answer: answer == 3)
    values = {'score{version="a"}': 0.97, 'scalar(score{version="b"})': 0.5, "1 + 1": 2.0, "vector(3)": 3.0}
    for query, value in values.items():
        assert await said(metrics, query) == value
    problems = {
        "nothing_like_that": "the query gives nothing",
        'score{version=~"a|b"}': "gives 2 series where one number is needed",
        'score{version="c"}': "gives NaN",
        "0 / 0": "gives NaN",
        "1 / 0": "gives an infinite number",
        'score{version="a"}[1m]': "gives a matrix",
        '"a word"': "gives a string",
        "sum(": "could not carry out the query: invalid parameter",
    }
    for query, problem in problems.items():
        answer = await said(metrics, query)
        assert isinstance(answer, str)
        assert problem in answer


async def test_an_exporter_that_is_gone_leaves_no_number_until_it_is_back(
    metrics: Providers, exporter: Exporter
) -> None:
    exporter.score.labels("a").set(0.97)
    await until_said(metrics, "score", lambda answer: answer == 0.97)
    exporter.stop()
    await until_said(metrics, "score", lambda answer: isinstance(answer, str) and "none was scraped" in answer)
    exporter.start()
    await until_said(metrics, "score", lambda answer: answer == 0.97)


async def test_a_prometheus_that_is_down_is_no_answer_until_it_is_back(
    metrics: Providers, exporter: Exporter, prometheus: Prometheus
) -> None:
    exporter.score.labels("a").set(0.97)
    await until_said(metrics, "score", lambda answer: answer == 0.97)
    prometheus.kill()
    answer = await said(metrics, "score")
    assert isinstance(answer, str)
    assert f"Prometheus at {prometheus.url} cannot be reached" in answer
    prometheus.start()
    await until_said(metrics, "score", lambda answer: answer == 0.97)


async def test_who_is_not_prometheus_is_told_apart(exporter: Exporter) -> None:
    async with providers(ProviderSettings(f"http://{exporter.address}"), SystemClock()) as port:
        answer = await said(port, "score")
    assert isinstance(answer, str)
    assert "not as Prometheus does: is that its address?" in answer


class BusyRouter(MemoryRouter):
    """The candidate answers requests all the time."""

    async def traffic(self) -> Mapping[BackendKey, TrafficCounters]:
        self.world.calls["traffic"] += 1
        return {BackendKey(ROUTE, CANDIDATE, mirrored=False): TrafficCounters(self.world.calls["traffic"] * 10)}


@asynccontextmanager
async def rolling_out(metrics: Providers) -> AsyncIterator[World]:
    """A controller in a world of memory; the candidate has half of the traffic and waits for its check."""
    world = World(rollouts={IRIS: V1}, start_seconds=0.0, ack_seconds=0.0)
    session = Session(world, MemoryStore(world), MemoryServe(world), BusyRouter(world))
    controller = Controller(session.store, session.serve, session.router, SystemClock(), metrics=metrics)
    running = asyncio.ensure_future(controller.run())
    try:
        await until(world, lambda status: status.phase is Phase.HEALTHY)
        session.changed(changed_to(world.rollouts[IRIS], V2))
        await until(world, lambda status: status.weight == 5_000)
        yield world
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(world: World, right: Callable[[RolloutStatus], bool]) -> RolloutStatus:
    """The status of the rollout once it is right."""
    deadline = time.monotonic() + DEADLINE
    while not right(status := world.rollouts[IRIS].status):
        assert time.monotonic() < deadline, (status.message, status.checks)
        await asyncio.sleep(0.02)
    return status


def verdict(status: RolloutStatus) -> Verdict | None:
    """That of the check, if it was judged."""
    return status.checks[0].verdict if status.checks else None


async def test_a_candidate_with_a_bad_figure_is_taken_back(metrics: Providers, exporter: Exporter) -> None:
    exporter.score.labels(STABLE).set(0.97)
    async with rolling_out(metrics) as world:
        waiting = await until(world, lambda status: verdict(status) is Verdict.INCONCLUSIVE)
        assert waiting.weight == 5_000, "no figure of the candidate is no reason to abort, nor to go on"
        exporter.score.labels(CANDIDATE).set(0.5)
        aborted = await until(world, lambda status: status.phase is Phase.DEGRADED)
    assert "check score failed" in aborted.message
    assert (aborted.weight, verdict(aborted)) == (0, Verdict.FAIL)


async def test_a_candidate_with_a_good_figure_goes_on(metrics: Providers, exporter: Exporter) -> None:
    exporter.score.labels(STABLE).set(0.5)
    exporter.score.labels(CANDIDATE).set(0.97)
    async with rolling_out(metrics) as world:
        promoted = await until(world, lambda status: status.stable is not None and status.stable.id == CANDIDATE)
    assert promoted.failed is None


async def test_a_prometheus_that_is_away_holds_the_rollout_and_decides_when_it_is_back(
    metrics: Providers, exporter: Exporter, prometheus: Prometheus
) -> None:
    prometheus.kill()
    exporter.score.labels(CANDIDATE).set(0.97)
    async with rolling_out(metrics) as world:
        waiting = await until(
            world, lambda status: bool(status.checks) and "cannot be reached" in status.checks[0].message
        )
        assert (waiting.weight, verdict(waiting)) == (5_000, Verdict.INCONCLUSIVE)
        prometheus.start()
        await until(world, lambda status: status.stable is not None and status.stable.id == CANDIDATE)
