"""What the analyst finds in records and feedback, and says once, whatever the database: fixtures as in `storecases`."""

import json
import random
from collections.abc import Iterator, Sequence

import pytest
from monitorkit import NOON, OF, Clock, Sender, label, record, reward, said
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from monitor.analyst.figures import Version
from monitor.analyst.gauges import Metrics
from monitor.analyst.service import FEEDBACK_SECONDS, Analyst
from monitor.event import Event
from monitor.outbound import events
from monitor.outbound.outbox import Outbox
from monitor.reports.references import FIRST
from monitor.store.database import StoreUnavailable
from monitor.store.schema import watches
from monitor.store.service import Store

V1 = Version(*OF, "v1")
LONG = 1e9
"""Seconds: all that is new is looked at."""
FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def requests(
    start: int, number: int, *, at: float = NOON, seed: int = 0, **shifts: float
) -> Iterator[dict[str, object]]:
    """Requests with four numbers and a class that does not depend on them; a shift is in standard deviations."""
    chance = random.Random(f"{seed}-{start}")
    for n in range(start, start + number):
        inputs = {name: [chance.gauss(shifts.get(name, 0.0), 1)] for name in FEATURES}
        yield record(f"r{seed}-{n}", at + n / 100, inputs=inputs, outputs={"predict": [chance.choice(["a", "b"])]})


class Desk:
    """An analyst on a store, with what it told."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.sender = Sender()
        self.begin()

    def begin(self) -> None:
        """Another process takes over."""
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.analyst = Analyst(self.store, Outbox(self.store), self.metrics, self.clock)

    async def send(self, *given: dict[str, object]) -> None:
        await self.store.store(self.sender.send(*given))

    async def look(self) -> None:
        self.clock.now += FEEDBACK_SECONDS
        await self.analyst.look(LONG)

    async def events(self, kind: str | None = None) -> Sequence[Event]:
        async with self.store.reading() as connection:
            return (await events.page(connection, {"kind": kind}, None, 100)).events

    async def watched(self) -> dict[str, set[int]]:
        """The values that the watches of each family have seen."""
        async with self.store.reading() as connection:
            rows = (await connection.execute(select(watches))).all()
        return {row.family: {json.loads(state)["samples"] for state in row.state.values()} for row in rows}

    def told(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, V1._asdict() | labels)


class AnalystCases:
    @pytest.fixture
    def desk(self, store: Store, clock: Clock) -> Desk:
        clock.now = NOON + 3_600
        return Desk(store, clock)

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("feature", ["sepal_width", "petal_length"])
    async def test_a_shift_of_half_a_deviation_is_reported_within_a_thousand_requests(
        self, desk: Desk, feature: str, seed: int
    ) -> None:
        await desk.send(*requests(0, FIRST, seed=seed))
        await desk.look()
        await desk.send(*requests(FIRST, 1_000, seed=seed))
        await desk.look()
        assert not await desk.events("drift")
        for start in range(2 * FIRST, 3 * FIRST, 250):
            await desk.send(*requests(start, 250, seed=seed, **{feature: 0.5}))
            await desk.look()
        [event] = await desk.events("drift")
        assert event.details["column"] == feature
        assert feature in event.title
        assert event.severity == "warning"
        assert "`tidegate drift iris --version v1`" in event.message
        alarms = {name: desk.told("model_feature_drift_alarm", feature=name) for name in FEATURES}
        assert alarms == {name: float(name == feature) for name in FEATURES}
        farthest = max(FEATURES, key=lambda name: desk.told("model_feature_drift_psi", feature=name) or 0)
        assert farthest == feature

    async def test_a_prediction_that_drifts_is_named_as_such(self, desk: Desk) -> None:
        await desk.send(*requests(0, FIRST))
        await desk.send(*(record(f"late{n}", NOON + 60 + n, outputs={"predict": ["a"]}) for n in range(300)))
        await desk.look()
        [event] = await desk.events("drift")
        assert (event.details["family"], event.details["column"]) == ("predictions", "predict")
        assert desk.told("model_prediction_drift_alarm", prediction="predict") == 1

    async def test_nothing_is_said_of_data_that_stays_as_it_was(self, desk: Desk) -> None:
        for start in range(0, 4_000, 500):
            await desk.send(*requests(start, 500))
            await desk.look()
        assert not await desk.events()

    async def test_a_restart_neither_repeats_an_event_nor_begins_to_watch_anew(self, desk: Desk) -> None:
        await desk.send(*requests(0, FIRST))
        await desk.send(*requests(FIRST, 120, sepal_width=0.5))
        await desk.look()
        assert await desk.watched() == {"features": {120}, "predictions": {120}}
        desk.begin()
        await desk.send(*requests(FIRST + 120, 1, sepal_width=0.5))
        await desk.look()
        assert await desk.watched() == {"features": {121}, "predictions": {121}}
        await desk.send(*requests(FIRST + 121, 700, sepal_width=0.5))
        await desk.look()
        told = await desk.events("drift")
        assert len(told) == 1
        desk.begin()
        await desk.send(*requests(FIRST + 821, 100, sepal_width=0.5))
        await desk.look()
        assert await desk.events("drift") == told
        assert desk.told("model_feature_drift_alarm", feature="sepal_width") == 1

    async def test_what_could_not_be_kept_is_looked_at_again(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        await desk.send(*requests(0, FIRST))
        await desk.look()

        async def away(self, *_: object) -> int:
            raise StoreUnavailable("away")

        await desk.send(*requests(FIRST, 800, petal_width=1.0))
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "add", away)
            with pytest.raises(StoreUnavailable):
                await desk.look()
        assert not await desk.events("drift")
        await desk.send(*requests(FIRST + 800, 1, petal_width=1.0))
        await desk.look()
        [event] = await desk.events("drift")
        assert event.details["column"] == "petal_width"

    async def test_values_are_told_without_a_reference_too(self, desk: Desk) -> None:
        await desk.send(*requests(0, 200), record("without", inputs={name: [None] for name in FEATURES}))
        await desk.look()
        median = desk.told("model_feature_values", feature="petal_width", quantile="0.5")
        assert median == pytest.approx(0, abs=0.5)
        assert desk.told("model_feature_missing_ratio", feature="petal_width") == pytest.approx(1 / 201)
        assert desk.told("model_feature_drift_psi", feature="petal_width") is None
        assert desk.told("model_quality_faults") is None

    async def test_missing_and_impossible_values_are_reported_with_their_requests(self, desk: Desk) -> None:
        await desk.send(*requests(0, FIRST))
        ones = {name: [1.0] for name in FEATURES}
        await desk.send(*(record(f"bad{n}", NOON + 60 + n, inputs=ones | {"petal_width": [1e6]}) for n in range(5)))
        await desk.send(record("gone", NOON + 70, inputs=ones | {"sepal_width": [None]}))
        await desk.look()
        await desk.look()
        found = {(event.details["field"], event.details["rule"]): event for event in await desk.events("quality")}
        assert found.keys() == {("petal_width", "range"), ("sepal_width", "missing")}
        assert found["sepal_width", "missing"].details["requests"] == ["gone"]
        assert desk.told("model_quality_faults") == 2
        assert desk.registry.get_sample_value("tidegate_analyst_findings_total", {"kind": "quality"}) == 2

    async def test_accuracy_is_that_of_the_newest_labels_and_its_fall_is_reported(self, desk: Desk) -> None:
        async def answered(start: int, number: int, right: float) -> None:
            chance = random.Random(start)
            every = [f"l{n}" for n in range(start, start + number)]
            await desk.send(
                *(record(name, NOON + n, outputs={"predict": ["a"]}) for n, name in enumerate(every, start))
            )
            await desk.store.hear(said(*(label(name, "a" if chance.random() < right else "b") for name in every)))

        await answered(0, 900, 0.95)
        await desk.look()
        assert desk.told("model_accuracy") == pytest.approx(0.95, abs=0.03)
        assert desk.told("model_recent_feedback") == 900
        assert not await desk.events("degradation")
        await answered(900, 900, 0.6)
        await desk.look()
        [event] = await desk.events("degradation")
        assert event.details["before"] == pytest.approx(0.05, abs=0.05)
        assert event.details["after"] == pytest.approx(0.4, abs=0.1)
        assert "`tidegate drift iris --version v1`" in event.message
        await desk.store.hear(said(label("l0", "b"), replace=True))
        await desk.look()
        assert await desk.events("degradation") == [event]

    async def test_of_numbers_the_distance_is_told_and_of_rewards_the_mean(self, desk: Desk) -> None:
        await desk.send(*(record(f"n{n}", NOON, outputs={"predict": [n + 0.5]}) for n in range(20)))
        await desk.store.hear(said(*({**label(f"n{n}", float(n)), **reward(f"n{n}", n % 2)} for n in range(20))))
        await desk.look()
        assert desk.told("model_absolute_error") == 0.5
        assert desk.told("model_accuracy") is None
        assert desk.told("model_reward") == 0.5
        assert desk.told("model_feedback_lag_seconds", quantile="0.5") == 3_600

    async def test_agreement_is_that_of_the_newest_pairs(self, desk: Desk) -> None:
        await desk.send(*(record(str(n), outputs={"predict": ["a"]}) for n in range(4)))
        shadow = Sender("v2", "replica-2")
        answers = ["a", "a", "a", "b"]
        copies = (record(str(n), mirrored=True, outputs={"predict": [one]}) for n, one in enumerate(answers))
        await desk.store.store(shadow.send(*copies))
        await desk.look()
        of = {"version": "v2", "stable": "v1"}
        assert desk.told("model_shadow_agreement", **of) == 0.75
        assert desk.told("model_recent_shadow_pairs", **of) == 4

    async def test_latency_that_rises_for_hours_is_reported_once(self, desk: Desk) -> None:
        start = NOON // 21_600 * 21_600
        chance = random.Random(1)
        for minute in range(360):
            at, ms = start + minute * 60, 20 + minute / 10
            await desk.send(*(record(f"{minute}-{n}", at + n, ms=ms + chance.random()) for n in range(3)))
        desk.clock.now = start + 21_600
        await desk.look()
        [event] = await desk.events("degradation")
        assert event.details["metric"] == "latency-p95-ms"
        assert "`tidegate performance iris`" in event.message
        desk.begin()
        await desk.send(record("more", start + 21_601))
        await desk.look()
        assert await desk.events("degradation") == [event]

    async def test_a_minute_that_stands_out_is_said_for_information(self, desk: Desk) -> None:
        start = NOON // 3_600 * 3_600
        chance = random.Random(1)
        for minute in range(60):
            ms = 500.0 if minute == 40 else 20 + chance.random()
            await desk.send(*(record(f"{minute}-{n}", start + minute * 60 + n, ms=ms) for n in range(3)))
        desk.clock.now = start + 3_600
        await desk.look()
        [event] = await desk.events("anomaly")
        assert (event.severity, event.details["metric"], event.details["minutes"]) == ("info", "latency-p95-ms", [40])

    async def test_a_model_that_there_is_no_time_for_waits_and_comes_next(self, desk: Desk) -> None:
        for model in ("one", "two"):
            await desk.store.store(Sender(replica=model, model=model).send(*requests(0, 10)))
        await desk.analyst.look(0.0)
        waiting = desk.registry.get_sample_value("tidegate_analyst_waiting_models")
        assert waiting == 2
        await desk.analyst.look(LONG)
        assert desk.registry.get_sample_value("tidegate_analyst_waiting_models") == 0
        found = [
            desk.registry.get_sample_value("model_recent_records", {**V1._asdict(), "model": m}) for m in ("one", "two")
        ]
        assert found == [10, 10]
