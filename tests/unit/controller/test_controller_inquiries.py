"""What others know of a candidate reaches the decisions: of this window of evidence, not too old, and none holds up."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from controller_world import Session, World, changed, deleted, manifest, run

from monitor.evidence import Evidence, PairTally
from operators.api import ModelRollout, PrometheusQuery, RolloutKey, WebQuery, revision_of
from operators.askloop import LIMIT
from operators.inquiries import AT_ONCE, MEASURING_SECONDS, READINGS
from operators.observe import Measured, Observed, VersionFeedback
from operators.plan import Plan
from operators.ports import Comparison, NotMeasured
from operators.reconcile import reconcile
from operators.status import RolloutStatus

IRIS = RolloutKey("default", "iris")
INTERVAL = 10.0
EVIDENCE = Evidence(pairs=(PairTally(1e-6, 100, 99),))
PROMETHEUS = {"query": 'score{version="{{version}}",model="{{namespace}}/{{model}}"} / {{ stable }}'}
WEB = {"url": "http://{{model}}.example/{{version}}", "value": "/score"}
CHECKS: list[dict[str, Any]] = [
    {"name": "agreement", "metric": "shadow-agreement", "min": 0.5},
    {"name": "close", "metric": "shadow-agreement", "min": 0.5, "tolerance": 0.01, "dryRun": True},
    {"name": "drift", "metric": "feature-drift", "max": 0.2, "dryRun": True},
    {"name": "score", "prometheus": PROMETHEUS, "min": 0.9, "dryRun": True},
    {"name": "page", "web": WEB, "min": 0.9, "dryRun": True},
]
SHARED = {"setShadow": 50}
SPEC: dict[str, Any] = {
    "strategy": {"canary": {"steps": [SHARED, {"pause": {"duration": "100s"}}, {"setShadow": 60}, {"pause": {}}]}},
    "analysis": {"interval": f"{INTERVAL:g}s", "onInconclusive": "hold", "checks": CHECKS},
}
V1, V2 = manifest(version=1, **SPEC), manifest(version=2, **SPEC)
STABLE, CANDIDATE = revision_of(V1).id, revision_of(V2).id


@dataclass
class Others:
    """The monitor and whoever keeps metrics. They answer `seconds` later; those that hang never do."""

    evidence_known: Evidence | None = EVIDENCE
    value: float | str = 0.95
    seconds: float = 0.0
    hangs: bool = False
    asked: list[tuple[float, RolloutKey, float, Comparison]] = field(default_factory=list)
    measured: list[tuple[float, PrometheusQuery | WebQuery]] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    async def feedback(self, key: RolloutKey, since: float) -> Mapping[str, VersionFeedback] | None:
        raise AssertionError("no experiment needs feedback here")

    async def evidence(self, key: RolloutKey, since: float, comparison: Comparison) -> Evidence | None:
        self.asked.append((asyncio.get_running_loop().time(), key, since, comparison))
        await self._wait("monitor")
        return self.evidence_known

    async def measure(self, metric: PrometheusQuery | WebQuery) -> float:
        self.measured.append((asyncio.get_running_loop().time(), metric))
        await self._wait("metrics")
        if isinstance(self.value, str):
            raise NotMeasured(self.value)
        return self.value

    async def _wait(self, name: str) -> None:
        self.waiting[name] += 1
        self.most[name] = max(self.most[name], self.waiting[name])
        try:
            await (asyncio.Event().wait() if self.hangs else asyncio.sleep(self.seconds))
        finally:
            self.waiting[name] -= 1


@dataclass
class Seen:
    """Decides as always, and remembers on what."""

    observed: list[tuple[RolloutStatus, Observed]] = field(default_factory=list)

    def __call__(self, rollout: ModelRollout, observed: Observed) -> Plan:
        self.observed.append((rollout.status, observed))
        return reconcile(rollout, observed)

    @property
    def last(self) -> Observed:
        return self.observed[-1][1]


def play(script: Any, others: Others, world: World | None = None) -> Seen:
    """Run a controller that may ask the others."""
    seen = Seen()
    run(world or World(rollouts={IRIS: V1}), script(seen), reconcile=seen, monitor=others, metrics=others)
    return seen


async def copied(session: Session) -> None:
    """The candidate gets copies, since five seconds ago."""
    await session.sleep(10)
    session.changed(changed(session.world.rollouts[IRIS], V2))
    await session.sleep(5)
    assert session.world.rollouts[IRIS].status.shadow == 5_000


def test_the_checks_of_a_candidate_are_what_is_asked_in_each_window_anew() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await copied(session)
            first = session.world.rollouts[IRIS].status.evidence_since
            assert first is not None
            await session.sleep(120)
            second = session.world.rollouts[IRIS].status.evidence_since
            assert second is not None
            assert second > first
            assert {since for _, _, since, _ in others.asked} == {first, second}

        return play

    play(script, others)
    asked = Comparison(STABLE, CANDIDATE, ("feature-drift", "shadow-agreement"), (1e-6, 0.01))
    assert {comparison for *_, comparison in others.asked} == {asked}
    queries = {metric.query for _, metric in others.measured if isinstance(metric, PrometheusQuery)}
    assert queries == {f'score{{version="{CANDIDATE}",model="default/iris"}} / {STABLE}'}
    addresses = {metric.url for _, metric in others.measured if isinstance(metric, WebQuery)}
    assert addresses == {f"http://iris.example/{CANDIDATE}"}


def test_evidence_and_readings_reach_the_decision_and_never_those_of_another_window() -> None:
    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await copied(session)
            await session.sleep(30)
            assert seen.last.evidence == EVIDENCE
            assert seen.last.measured["score"] == Measured((0.95,) * 3)
            await session.sleep(90)

        return play

    others = Others(seconds=1.0)
    seen = play(script, others)
    for status, observed in seen.observed:
        begun = status.evidence_since
        if begun is None or observed.now < begun + others.seconds:
            assert observed.evidence is None, "nobody can have answered about this window yet"
            assert observed.measured == {}
        else:
            asked = (observed.now - begun) / INTERVAL + 1
            assert all(len(readings.values) <= asked for readings in observed.measured.values())
    assert any(len(observed.measured["score"].values) > 5 for _, observed in seen.observed if observed.measured)


def test_nobody_is_asked_more_often_than_the_interval_says_nor_when_there_is_nothing_to_judge() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await session.sleep(1000)
            assert (others.asked, others.measured) == ([], [])
            session.changed(changed(session.world.rollouts[IRIS], V2))
            await session.sleep(80)
            decided = len(seen.observed)
            assert 8 <= len(others.asked) <= 9
            assert 16 <= len(others.measured) <= 18
            assert decided < 120, "every answer may bring one decision, and an interval another"
            session.changed(deleted(session.world.rollouts[IRIS]))
            await session.sleep(5)
            asked, measured = len(others.asked), len(others.measured)
            await session.sleep(1000)
            assert (len(others.asked), len(others.measured)) == (asked, measured)

        return play

    play(script, others)


def test_a_monitor_that_is_lost_is_no_evidence_and_counts_again_when_it_is_back() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await copied(session)
            assert seen.last.evidence == EVIDENCE
            others.evidence_known = None
            await session.sleep(2 * INTERVAL)
            assert seen.last.evidence is None
            assert session.world.rollouts[IRIS].status.shadow == 5_000, "what needs it waits"
            others.evidence_known = replace(EVIDENCE, pairs=(PairTally(1e-6, 200, 200),))
            await session.sleep(2 * INTERVAL)
            assert seen.last.evidence == others.evidence_known

        return play

    play(script, others)


def test_others_that_hang_hold_up_no_decision_and_what_they_said_grows_old() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await copied(session)
            assert seen.last.evidence == EVIDENCE
            others.hangs = True
            await session.sleep(INTERVAL + LIMIT + 1)
            assert seen.last.evidence is None
            said = seen.last.measured["score"]
            assert said == Measured((0.95,), f"there was no answer within {MEASURING_SECONDS:g} seconds")
            session.changed(changed(session.world.rollouts[IRIS], manifest(version=3, **SPEC)))
            await session.sleep(5)
            candidate = session.world.rollouts[IRIS].status.candidate
            assert candidate is not None
            assert candidate.revision.id == revision_of(manifest(version=3, **SPEC)).id, "decisions go on"

        return play

    play(script, others)


def test_answers_that_are_not_renewed_are_none() -> None:
    often = {**SPEC, "analysis": {**SPEC["analysis"], "interval": "1s"}}
    old, new = manifest(version=1, **often), manifest(version=2, **often)
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await session.sleep(10)
            session.changed(changed(session.world.rollouts[IRIS], new))
            await session.sleep(5)
            assert seen.last.evidence == EVIDENCE
            others.hangs = True
            await session.sleep(2)
            assert seen.last.evidence == EVIDENCE
            await session.sleep(3)
            assert seen.last.evidence is None
            assert seen.last.measured == {}

        return play

    play(script, others, World(rollouts={IRIS: old}))


def test_a_figure_that_fails_to_come_says_why_and_keeps_the_earlier_ones() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await copied(session)
            others.value = "the query gives nothing"
            await session.sleep(INTERVAL)
            assert seen.last.measured["page"] == Measured((0.95,), "the query gives nothing")
            others.value = 0.5
            await session.sleep(INTERVAL)
            assert seen.last.measured["page"] == Measured((0.95, 0.5))

        return play

    play(script, others)


@pytest.mark.parametrize(("limit", "kept"), [(0, READINGS), (READINGS, READINGS + 1)])
def test_so_many_readings_are_kept_as_the_check_needs(limit: int, kept: int) -> None:
    check = {"name": "score", "prometheus": PROMETHEUS, "min": 0.9, "failureLimit": limit}
    spec = {
        "strategy": {"canary": {"steps": [SHARED, {"pause": {}}]}},
        "analysis": {"interval": "1s", "checks": [check]},
    }
    old, new = manifest(version=1, **spec), manifest(version=2, **spec)

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await session.sleep(10)
            session.changed(changed(session.world.rollouts[IRIS], new))
            await session.sleep(3 * READINGS)
            assert len(seen.last.measured["score"].values) == kept

        return play

    play(script, Others(), World(rollouts={IRIS: old}))


def test_a_changed_check_is_another_question() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await copied(session)
            before = len(seen.observed)
            rollout, analysis = session.world.rollouts[IRIS], SPEC["analysis"]
            checks = [*CHECKS[:1], {**CHECKS[1], "tolerance": 0.5}, {**CHECKS[3], "prometheus": {"query": "other"}}]
            others.seconds = 1.0
            session.changed(
                changed(rollout, manifest(version=2, **{**SPEC, "analysis": {**analysis, "checks": checks}}))
            )
            await session.sleep(0.5)
            assert len(seen.observed) > before
            assert seen.last.evidence is None
            assert seen.last.measured == {}
            await session.sleep(1)
            assert seen.last.evidence == EVIDENCE
            assert seen.last.measured == {"score": Measured((0.95,))}
            assert others.asked[-1][3].tolerances == (1e-6, 0.5)
            pages = sum(isinstance(metric, WebQuery) for _, metric in others.measured)
            await session.sleep(3 * INTERVAL)
            assert pages == sum(isinstance(metric, WebQuery) for _, metric in others.measured), "that check is gone"

        return play

    play(script, others)


def test_a_rollout_that_goes_while_it_is_asked_about_is_asked_about_no_more() -> None:
    others = Others()

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            others.hangs = True
            await copied(session)
            assert others.waiting == {"monitor": 1, "metrics": 2}
            del session.world.rollouts[IRIS]
            session.changed()
            await session.sleep(1)
            assert others.waiting == {"monitor": 0, "metrics": 0}
            asked = len(others.asked)
            await session.sleep(100)
            assert len(others.asked) == asked

        return play

    play(script, others)


def test_a_restart_goes_on_in_the_same_window() -> None:
    others, world = Others(), World(rollouts={IRIS: V1})
    seen = play(lambda seen: copied, others, world)
    since = world.rollouts[IRIS].status.evidence_since
    others.asked.clear()
    again = play(lambda seen: 5.0, others, world)
    assert {asked for _, _, asked, _ in others.asked} == {since}
    assert seen.last.evidence == again.last.evidence == EVIDENCE
    assert again.observed[0][1].evidence is None


def test_hundreds_of_rollouts_ask_a_few_at_a_time_and_all_get_answers() -> None:
    names = [f"model-{number}" for number in range(300)]
    seldom = {**SPEC, "analysis": {**SPEC["analysis"], "interval": "60s"}}
    hosts = {name: {**seldom, "traffic": {"hosts": [f"{name}.example"]}} for name in names}
    world = World(rollouts={RolloutKey("default", name): manifest(name, 1, **hosts[name]) for name in names})
    others = Others(seconds=0.1)

    def script(seen: Seen) -> Any:
        async def play(session: Session) -> None:
            await session.sleep(4)
            rollouts = session.world.rollouts
            session.changed(
                *(changed(rollouts[RolloutKey("default", name)], manifest(name, 2, **hosts[name])) for name in names)
            )
            await session.sleep(12)
            assert {key.name for _, key, _, _ in others.asked} == set(names)
            assert {metric.url.split("/")[2] for _, metric in others.measured if isinstance(metric, WebQuery)} == {
                f"{name}.example" for name in names
            }

        return play

    play(script, others, world)
    assert others.most == {"monitor": AT_ONCE, "metrics": AT_ONCE}
