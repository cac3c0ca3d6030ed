"""What reports answer, whatever the database: the fixture `store` says which one."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitorkit import NOON, OF, Sender, counted, label, record, reward, said

from monitor.conformal import DriftWatch
from monitor.drift import compare
from monitor.evidence import DriftTally, ErrorTally, Evidence, Move, PairTally
from monitor.profiles import Kind, Profile, hash_of
from monitor.reports import audit, baselines, comparison, drift, evidence, history, references, versions
from monitor.reports.evidence import METRICS, EvidenceReports, Metric
from monitor.reports.following import Family
from monitor.reports.references import FIRST, References
from monitor.reports.rows import Of
from monitor.store.entries import Batch, Feedback, Record
from monitor.store.service import Store
from monitor.tallies import agrees
from monitor.verdict import Verdict

STABLE, CANDIDATE = "v1", "v2"
BOTH = (STABLE, CANDIDATE)
LATER = NOON + 3600


def asked(store: Store) -> EvidenceReports:
    """Reads all that there is, however slow the machine."""
    return EvidenceReports(store, References(store), clock=lambda: 0.0)


async def about(store: Store, *metrics: Metric, since: float = NOON, tolerances: Sequence[float] = (1e-6,)) -> Evidence:
    return await asked(store).about(Of(*OF, since), BOTH, frozenset(metrics), tolerances)


def requests(
    names: Sequence[str], at: float = NOON, *, shift: float = 0.0, seed: int = 0, mirrored: bool = False
) -> Iterator[dict[str, object]]:
    """Requests with a number, a color and an answer; the number is moved by `shift`."""
    chance = random.Random(seed)
    for n, name in enumerate(names):
        inputs = {"size": [chance.gauss(shift, 1)], "color": [chance.choice(["red", "green", "blue"])]}
        outputs = {"predict": [chance.choice(["cat", "dog"])]}
        yield record(name, at + n / 1000, mirrored=mirrored, inputs=inputs, outputs=outputs)


def names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(number)]


async def sent(store: Store, version: str, entries: Iterator[dict[str, object]] | Sequence[dict[str, object]]) -> None:
    await store.store(Sender(version, f"replica-{version}-{next(_SENDERS)}").send(*entries))


_SENDERS = count()


class EvidenceCases:
    async def test_of_an_unknown_model_there_is_no_evidence(self, store: Store) -> None:
        found = await about(store, *METRICS, tolerances=[0, 0.1])
        assert found == Evidence({}, {}, (PairTally(0, 0, 0), PairTally(0.1, 0, 0)), DriftTally(), DriftTally())

    async def test_only_what_is_asked_for_is_counted(self, store: Store) -> None:
        await sent(store, STABLE, requests(["1"]))
        assert await about(store, "feature-drift") == Evidence(features=DriftTally())
        assert (await about(store, "feedback-accuracy")).versions.keys() == {STABLE}

    async def test_only_the_two_versions_are_counted(self, store: Store) -> None:
        for version in (*BOTH, "v3"):
            await sent(store, version, [record(f"{version}-1", outputs={"predict": [1.5]})])
            await store.hear(said(label(f"{version}-1", 1)))
        found = await about(store, "feedback-accuracy", "feedback-error")
        assert found.versions.keys() == found.errors.keys() == set(BOTH)

    async def test_pairs_agree_within_each_tolerance(self, store: Store) -> None:
        answers = {"same": (2.0, 2.0), "close": (1.0, 1.05), "far": (1.0, 3.0), "text": ("a", "b")}
        for version, place, mirrored in ((STABLE, 0, False), (CANDIDATE, 1, True)):
            entries = [
                record(name, mirrored=mirrored, outputs={"predict": [both[place]]}) for name, both in answers.items()
            ]
            await sent(store, version, entries)
        found = await about(store, "shadow-agreement", tolerances=[0, 0.1, 0.9])
        assert found.pairs == (PairTally(0, 4, 1), PairTally(0.1, 4, 2), PairTally(0.9, 4, 3))

    async def test_errors_are_those_of_numbers_alone(self, store: Store) -> None:
        answers = [(1.5, 1), (-2, 0.5), ("7", 7), (7, "7"), (True, 1), ([1], 1), (1e200, 1), (3, 3)]
        for n, (answer, _) in enumerate(answers):
            await sent(store, CANDIDATE, [record(str(n), outputs={"predict": [answer]})])
        await store.hear(said(*(label(str(n), right) for n, (_, right) in enumerate(answers))))
        assert (await about(store, "feedback-error")).errors == {CANDIDATE: ErrorTally(3, 3.0, 6.5)}

    async def test_a_reference_is_made_of_the_first_records_that_came_before(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST - 1)))
        await sent(store, STABLE, requests(names("m", 50), mirrored=True))
        await sent(store, STABLE, requests(names("during", 50), LATER))
        await sent(store, CANDIDATE, requests(names("c", 200), LATER, shift=3))
        found = (await about(store, "feature-drift", since=LATER)).features
        assert found == DriftTally(reference="", reference_samples=FIRST - 1)
        await sent(store, STABLE, requests(names("last", 5), LATER - 60))
        found = (await about(store, "feature-drift", since=LATER)).features
        assert found is not None
        assert (found.reference, found.reference_samples, found.samples) == ("records", FIRST, 200)
        assert [move.name for move in found.moves] == ["size", "color"]
        assert found.moves[0].psi is not None
        assert found.moves[0].psi > 1
        assert found.moves[0].e_value > 1e4
        assert found.moves[1].psi is not None
        assert found.moves[1].psi < 0.1
        assert found.moves[1].e_value < 20
        kept = (await baselines.known(store, *OF)).baselines
        assert [(one.version, one.source) for one in kept] == [(STABLE, "records")]
        assert [column.name for column in kept[0].predictions] == ["predict"]

    async def test_a_reference_made_of_the_window_itself_is_none(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST), LATER))
        assert (await References(store).of_version(*OF, STABLE, Family.FEATURES)).source == "records"
        found = (await about(store, "feature-drift", since=LATER)).features
        assert found == DriftTally(reference="", reference_samples=0)

    async def test_what_came_with_the_candidate_goes_before_what_came_with_stable(self, store: Store) -> None:
        await sent(store, CANDIDATE, requests(names("c", 200)))
        for version, mean in ((STABLE, 0.0), (CANDIDATE, 9.0)):
            chance = random.Random(1)
            features = Profile.of({"size": [chance.gauss(mean, 1) for _ in range(300)]})
            await baselines.keep(store, (*OF, version), features, None, NOON)
            found = (await about(store, "feature-drift")).features
            assert found is not None
            assert (found.reference, found.reference_samples) == ("file", 300)
            assert ((found.moves[0].psi or 0) > 1) == (version == CANDIDATE)

    async def test_where_a_file_has_no_predictions_the_first_records_have(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST), NOON - 60))
        await sent(store, CANDIDATE, requests(names("c", 150)))
        await baselines.keep(store, (*OF, STABLE), Profile.of({"size": [1.0, 2.0] * 100}), None, NOON)
        for _ in range(2):
            found = await about(store, "feature-drift", "prediction-drift")
            assert found.features is not None
            assert found.predictions is not None
            assert (found.features.reference, found.predictions.reference) == ("file", "records")
            assert [move.name for move in found.predictions.moves] == ["predict"]

    async def test_evidence_grows_with_the_records_and_is_the_same_after_a_restart(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST), NOON - 60))
        running = asked(store)
        for part in range(3):
            mirrored = part == 1
            entries = requests(names(f"c{part}-", 120), NOON + part, shift=0.3, seed=part, mirrored=mirrored)
            await sent(store, CANDIDATE, entries)
            metrics = frozenset({"feature-drift", "prediction-drift"})
            found = await running.about(Of(*OF, NOON), BOTH, metrics, [0])
            assert found.features is not None
            assert found.features.samples == 120 * (part + 1)
            assert await asked(store).about(Of(*OF, NOON), BOTH, metrics, [0]) == found
            assert await running.about(Of(*OF, NOON), BOTH, metrics, [0]) == found

    async def test_a_question_reads_until_its_time_is_up_and_the_next_one_goes_on(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST), NOON - 60))
        await sent(store, CANDIDATE, requests(names("c", 1_200)))
        ticks = count()
        late = EvidenceReports(store, References(store), clock=lambda: float(next(ticks)) * 10)
        samples = []
        for _ in range(4):
            found = await late.about(Of(*OF, NOON), BOTH, frozenset({"feature-drift"}), [0])
            assert found.features is not None
            samples.append(found.features.samples)
        assert samples == [500, 1_000, 1_200, 1_200]
        assert found == await about(store, "feature-drift")

    async def test_of_a_long_backlog_only_the_newest_are_read(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(evidence, "_BACKLOG", 300)
        await sent(store, STABLE, requests(names("s", FIRST), NOON - 60))
        await sent(store, CANDIDATE, requests(names("old", 400), shift=9))
        await sent(store, CANDIDATE, requests(names("new", 300)))
        found = (await about(store, "feature-drift")).features
        assert found is not None
        assert (found.samples, found.moves[0].e_value < 20) == (300, True)

    async def test_records_without_values_are_passed_over(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST), NOON - 60))
        await sent(store, CANDIDATE, [record(name) for name in names("e", 30)])
        await sent(store, CANDIDATE, requests(names("c", 20)))
        found = (await about(store, "feature-drift")).features
        assert found is not None
        assert found.samples == 20

    async def test_who_was_not_asked_about_for_long_is_read_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(evidence, "_FOLLOWED", 1)
        monkeypatch.setattr(references, "_KEPT", 1)
        await sent(store, STABLE, requests(names("s", FIRST), NOON - 60))
        await sent(store, CANDIDATE, requests(names("c", 150)))
        running = asked(store)
        found = [await running.about(Of(*OF, NOON), BOTH, frozenset({metric}), [0]) for metric in sorted(METRICS) * 2]
        assert found[: len(METRICS)] == found[len(METRICS) :]


class ComparisonCases:
    async def test_of_an_unknown_model_the_comparison_is_empty(self, store: Store) -> None:
        found = await comparison.compare(store, Of(*OF), None, None)
        assert (found.stable, found.candidate, found.versions, found.differences) == ("", "", (), ())
        assert found.shadow is None

    async def test_the_two_versions_that_were_first_seen_last_are_compared(self, store: Store) -> None:
        for version in ("v9", "v1", "v2", "v9"):
            await sent(store, version, requests([f"{version}-{next(_SENDERS)}"]))
        found = await comparison.compare(store, Of(*OF), None, None)
        assert (found.stable, found.candidate) == ("v1", "v2")
        assert [one.version for one in found.versions] == ["v1", "v2"]
        found = await comparison.compare(store, Of(*OF), None, "v1")
        assert (found.stable, found.candidate) == ("v2", "v1")
        found = await comparison.compare(store, Of(*OF), "v2", None)
        assert (found.stable, found.candidate) == ("v2", "v1")

    async def test_classes_in_the_shadow_agree_but_where_one_is_permuted(self, store: Store) -> None:
        animals = ["cat", "dog", "cow"] * 40
        pairs = list(enumerate(animals))
        inputs = [{"size": [n]} for n, _ in pairs]
        await sent(
            store,
            STABLE,
            [record(str(n), inputs=inputs[n], outputs={"predict": [name]}) for n, name in pairs],
        )
        moved = {"cow": "dog"}
        copies = [
            record(str(n), mirrored=True, inputs=inputs[n], outputs={"predict": [moved.get(name, name)]})
            for n, name in pairs
        ]
        await sent(store, CANDIDATE, copies)
        found = (await comparison.compare(store, Of(*OF), STABLE, CANDIDATE)).shadow
        assert found is not None
        assert found.classes is not None
        assert found.numbers is None
        assert (found.pairs, found.agreement.value, found.agreement.samples) == (120, 80 / 120, 120)
        assert found.agreement.high is not None
        assert found.agreement.high < 0.9
        assert found.classes.kappa.value == pytest.approx(0.5)
        assert {(cell.one, cell.other): cell.count for cell in found.classes.confusion} == {
            ("cat", "cat"): 40,
            ("dog", "dog"): 40,
            ("cow", "dog"): 40,
        }
        assert len(found.examples) == 20
        for example in found.examples:
            assert (example.stable, example.candidate) == ("cow", "dog")
            assert example.inputs == {"size": int(example.request_id)}

    async def test_numbers_in_the_shadow_have_a_difference_and_distances(self, store: Store) -> None:
        chance = random.Random(3)
        values = [chance.gauss(10, 2) for _ in range(300)]
        for version, shift, mirrored in ((STABLE, 0.0, False), (CANDIDATE, 4.0, True)):
            entries = [
                record(str(n), mirrored=mirrored, outputs={"predict": [value + shift]})
                for n, value in enumerate(values)
            ]
            await sent(store, version, entries)
        found = (await comparison.compare(store, Of(*OF), STABLE, CANDIDATE)).shadow
        assert found is not None
        assert found.numbers is not None
        assert found.agreement.value == 0
        assert found.numbers.difference.value == pytest.approx(4)
        assert found.numbers.psi is not None
        assert found.numbers.psi > 1
        assert found.examples[0].inputs is None

    async def test_versions_are_told_apart_by_labels_rewards_errors_and_latency(self, store: Store) -> None:
        chance = random.Random(4)
        for version, right, ms in ((STABLE, 0.7, 10), (CANDIDATE, 0.95, 20)):
            entries, items = [], []
            for n in range(300):
                truth = chance.choice(["cat", "dog"])
                wrong = "dog" if truth == "cat" else "cat"
                answer = truth if chance.random() < right else wrong
                status = 500 if n % 30 == 0 and version == STABLE else 200
                outputs = {"predict": [answer]}
                entries.append(record(f"{version}-{n}", NOON, status, outputs=outputs) | {"ms": ms + chance.random()})
                items.append(label(f"{version}-{n}", truth) | {"reward": float(answer == truth)})
            await sent(store, version, entries)
            await store.hear(said(*items))
        found = await comparison.compare(store, Of(*OF), STABLE, CANDIDATE)
        one, two = found.versions
        assert (one.records, one.errors, two.errors, two.mirrored) == (300, 10, 0, 0)
        assert one.latency is not None
        assert 10 < one.latency.mean < one.latency.p95 < 11
        assert two.labels is not None
        assert two.labels.classification is not None
        assert (two.labels.labels, two.labels.scored, two.labels.coverage) == (300, 300, 1)
        assert two.labels.median_seconds == 1
        right = two.labels.classification.accuracy.value
        assert right == two.reward.value
        assert {one.name for one in two.labels.classification.classes} == {"cat", "dog"}
        by_metric = {one.metric: one for one in found.differences}
        assert list(by_metric) == ["error-rate", "latency-ms", "accuracy", "reward"]
        accuracy = by_metric["accuracy"]
        assert accuracy.sequential.low is not None
        assert 0 < accuracy.sequential.low < (accuracy.sequential.value or 0)
        assert [test.verdict for test in accuracy.fixed_horizon] == [Verdict.PASS]
        assert [test.test for test in by_metric["latency-ms"].fixed_horizon] == ["Welch t", "Mann-Whitney"]
        assert {test.verdict for test in by_metric["latency-ms"].fixed_horizon} == {Verdict.FAIL}
        assert by_metric["error-rate"].fixed_horizon[0].effect_name == "Cohen's h"
        assert found.cut == ()

    async def test_labels_that_are_numbers_are_judged_by_their_distance(self, store: Store) -> None:
        for version, off in ((STABLE, 2.0), (CANDIDATE, 0.5)):
            await sent(
                store,
                version,
                [record(f"{version}-{n}", outputs={"predict": [n + off + n % 2]}) for n in range(200)],
            )
            await store.hear(said(*(label(f"{version}-{n}", n) for n in range(200))))
            await store.hear(said(reward(f"{version}-0", 0.5), reward(f"{version}-1", 2.5)))
        found = await comparison.compare(store, Of(*OF), STABLE, CANDIDATE)
        both = [one.labels for one in found.versions]
        assert [one.regression.mae.value for one in both if one and one.regression] == [2.5, 1.0]
        by_metric = {one.metric: one for one in found.differences}
        assert by_metric["absolute-error"].sequential.value == -1.5
        assert not by_metric["absolute-error"].higher_is_better
        assert by_metric["reward"].sequential.value == 0
        assert "accuracy" not in by_metric

    async def test_what_was_cut_is_said(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        await sent(store, STABLE, requests(names("s", 30)))
        await store.hear(said(*(label(name, "cat") for name in names("s", 30))))
        monkeypatch.setattr(comparison, "MOST_ROWS", 10)
        found = await comparison.compare(store, Of(*OF), STABLE, CANDIDATE)
        assert [sentence.partition(":")[0] for sentence in found.cut] == ["records", "labels"]
        assert found.versions[0].records == 10
        assert found.versions[0].labels is not None
        assert (found.versions[0].labels.labels, found.versions[0].labels.coverage) == (10, 1)

    async def test_a_period_ends_before_until(self, store: Store) -> None:
        await sent(store, STABLE, [record("1", NOON), record("2", LATER)])
        found = await comparison.compare(store, Of(*OF, NOON, LATER), STABLE, CANDIDATE)
        assert [one.records for one in found.versions] == [1, 0]


class HistoryCases:
    async def test_a_version_that_gets_worse_is_found_by_its_trend(self, store: Store) -> None:
        chance = random.Random(5)
        for hour in range(24):
            for version, right in ((STABLE, 0.9), (CANDIDATE, 0.95 - 0.025 * hour)):
                ids = [f"{version}-{hour}-{n}" for n in range(60)]
                await sent(
                    store, version, [record(name, NOON + 3600 * hour, outputs={"predict": ["cat"]}) for name in ids]
                )
                await store.hear(said(*(label(one, "cat" if chance.random() < right else "dog") for one in ids)))
        found = await history.performance(store, Of(*OF), 3600)
        one, two = found.versions
        assert (one.version, len(one.buckets), two.version) == (STABLE, 24, CANDIDATE)
        assert (one.degradation, two.degradation) == (Verdict.PASS, Verdict.FAIL)
        falls = next(trend for trend in two.trends if trend.metric == "accuracy")
        assert falls.slope is not None
        assert falls.slope == pytest.approx(-0.025, abs=0.01)
        first = two.buckets[0]
        assert (first.start, first.requests, first.errors, first.labels) == (NOON // 3600 * 3600, 60, 0, 60)
        assert first.mean_ms == first.p95_ms == 1.5
        assert first.mae is None
        assert first.macro_f1 is not None

    async def test_numbers_have_errors_and_rewards_a_mean(self, store: Store) -> None:
        await sent(store, STABLE, [record(str(n), NOON, outputs={"predict": [n + 0.5]}) for n in range(4)])
        await store.hear(said(*(label(str(n), n) for n in range(4)), reward("0", 1), reward("1", 0)))
        found = (await history.performance(store, Of(*OF), 60)).versions[0]
        assert found.degradation is Verdict.INCONCLUSIVE
        bucket = found.buckets[0]
        assert (bucket.mae, bucket.macro_f1, bucket.rewards, bucket.reward_mean) == (0.5, None, 2, 0.5)
        assert {trend.metric for trend in found.trends} == {
            "mean-absolute-error",
            "reward",
            "error-rate",
            "latency-p95-ms",
        }

    async def test_older_buckets_than_those_read_are_said_to_be_left_out(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await sent(store, STABLE, [record(str(n), NOON + 60 * n) for n in range(5)])
        monkeypatch.setattr(history, "MOST_BUCKETS", 3)
        found = await history.performance(store, Of(*OF), 60)
        assert [bucket.start for bucket in found.versions[0].buckets] == [NOON + 120, NOON + 180, NOON + 240]
        assert found.cut[0].startswith("buckets: only the newest 3")

    async def test_nothing_is_known_of_an_unknown_model(self, store: Store) -> None:
        assert (await history.performance(store, Of(*OF), 60)).versions == ()


class DriftCases:
    async def drift(self, store: Store, **more: Any) -> Any:
        given = {"version": None, "reference": None, "window": 1_000} | more
        return await drift.drift(store, References(store), Of(*OF), **given)

    async def test_drift_is_found_within_a_thousand_requests_and_names_the_feature(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST)))
        await sent(store, STABLE, requests(names("t", 500), LATER, seed=1))
        await sent(store, STABLE, requests(names("u", 500), LATER + 60, shift=2, seed=2))
        found = await self.drift(store)
        assert (found.version, found.reference_version, found.window) == (STABLE, STABLE, 1_000)
        assert (found.features.reference, found.features.reference_samples) == ("records", FIRST)
        assert found.features.drifted == ("size",)
        assert found.predictions.verdict is Verdict.PASS
        alarms = {one.name: one.alarm_at for one in found.features.columns}
        assert alarms["color"] is None
        assert 500 < alarms["size"] < 700
        assert found.first_at == LATER

    async def test_what_the_reference_is_made_of_is_no_part_of_the_window(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST)))
        found = await self.drift(store)
        assert (found.window, found.first_at, found.quality.verdict) == (0, None, Verdict.INCONCLUSIVE)

    async def test_without_a_reference_there_is_no_report(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", 10)))
        found = await self.drift(store)
        assert (found.window, found.features.reference, found.features.reference_samples) == (10, "", 10)
        assert (found.features.columns, found.quality) == ((), None)

    async def test_another_versions_reference_may_be_used(self, store: Store) -> None:
        await sent(store, STABLE, requests(names("s", FIRST)))
        await sent(store, CANDIDATE, requests(names("c", 200), shift=5))
        found = await self.drift(store, reference=STABLE)
        assert (found.version, found.reference_version) == (CANDIDATE, STABLE)
        assert found.features.drifted == ("size",)

    async def test_the_quality_of_all_rows_is_told_with_the_requests(self, store: Store) -> None:
        features = Profile.of({"size": [1.0, 2.0, 3.0], "color": ["red", "blue", "red"]})
        await baselines.keep(store, (*OF, STABLE), features, None, NOON)
        entries = [
            record("good", inputs={"size": [1.5, 2], "color": ["red", "blue"]}),
            record("bad", inputs={"size": [2, 99.0], "color": ["red", None]}),
            record("new", inputs={"size": ["x"], "color": ["pink"], "pixels": [[1, 2]]}),
        ]
        await sent(store, STABLE, entries)
        found = (await self.drift(store)).quality
        assert (found.verdict, found.rows) == (Verdict.FAIL, 5)
        assert {(fault.field, fault.rule, fault.count, fault.requests) for fault in found.faults} == {
            ("size", "range", 1, ("bad",)),
            ("size", "type", 1, ("new",)),
            ("color", "missing", 1, ("bad",)),
            ("color", "category", 1, ("new",)),
        }

    @pytest.mark.parametrize("numbers", [False, True])
    async def test_errors_that_rise_are_found_by_late_labels(self, store: Store, numbers: bool) -> None:
        chance = random.Random(6)
        off = [chance.random() < (0.1 if n < 600 else 0.6) for n in range(1_200)]
        answers = [1.5 + 4 * wrong + chance.random() if numbers else str(wrong) for wrong in off]
        for start in (0, 600):
            part = range(start, start + 600)
            await sent(store, STABLE, [record(str(n), NOON + n, outputs={"predict": [answers[n]]}) for n in part])
            await store.hear(said(*(label(str(n), 1.5 if numbers else "False") for n in part)))
        found = (await self.drift(store)).concept
        assert [one.detector for one in found] == ["ADWIN", "Page-Hinkley"]
        for one in found:
            assert (one.verdict, one.labels) == (Verdict.FAIL, 1_200)
            assert one.changes[-1].at == pytest.approx(NOON + 600, abs=60)
            assert one.changes[-1].after > one.changes[-1].before

    async def test_nothing_is_known_of_an_unknown_model(self, store: Store) -> None:
        found = await self.drift(store)
        assert (found.version, found.window, found.features.reference) == ("", 0, "")


class AuditCases:
    async def test_versions_are_listed_with_their_counts(self, store: Store) -> None:
        await sent(store, "v2", [record("1", NOON), record("2", LATER, 503)])
        await store.hear(said(reward("1", 1)))
        await sent(store, "v1", [record("1", LATER, mirrored=True)])
        found = (await versions.seen(store, *OF)).versions
        assert [(one.version, one.records, one.requests, one.errors, one.rewards) for one in found] == [
            ("v1", 1, 0, 0, 0),
            ("v2", 2, 2, 1, 1),
        ]
        assert (found[1].first_at, found[1].last_at) == (NOON, LATER)
        assert (await versions.seen(store, "default", "wine")).versions == ()

    async def test_all_that_is_known_of_a_request_is_told(self, store: Store) -> None:
        inputs, outputs = {"size": [1.5]}, {"predict": ["cat"]}
        await sent(store, STABLE, [record("1", key="u", share=500, inputs=inputs, outputs=outputs), record("2")])
        await sent(store, CANDIDATE, [record("1", mirrored=True)])
        await store.hear(said(label("1", "dog") | {"reward": 0.25}))
        found = await audit.history(store, *OF, "1")
        one, two = found.records
        assert (one.version, one.mirrored, one.key, one.share, one.inputs) == (STABLE, False, "u", 500, inputs)
        assert (two.version, two.mirrored, two.outputs) == (CANDIDATE, True, None)
        assert found.feedback is not None
        assert (found.feedback.label, found.feedback.correct, found.feedback.version) == ("dog", False, STABLE)

    async def test_of_an_unknown_request_nothing_is_told(self, store: Store) -> None:
        found = await audit.history(store, *OF, "x" * 300)
        assert (found.records, found.feedback) == ((), None)
        assert found.request_id.startswith("xxh128:")

    async def test_a_baseline_that_is_stored_again_stays_as_it_was(self, store: Store) -> None:
        features, predictions = Profile.of({"size": [1.0, None]}), Profile.of({"predict": ["cat"]})
        first = await baselines.keep(store, (*OF, "v1"), features, predictions, NOON)
        assert await baselines.keep(store, (*OF, "v1"), features, predictions, LATER) == first
        assert (await baselines.known(store, *OF)).baselines == (first,)
        assert [(one.name, one.kind, one.count, one.missing) for one in first.features] == [("size", "numeric", 1, 1)]
        changed = await baselines.keep(store, (*OF, "v1"), features, None, LATER)
        assert (changed.made_at, changed.predictions) == (LATER, ())


# Whatever was sent: evidence is what going through all records finds.

_numbers = st.sampled_from([0, 1, 1.0, 1.0000001, 2.5, -3, 1e6])
_answers = st.one_of(_numbers, st.sampled_from(["a", "b", True, None, [1.5, 2]]))
_rows = st.tuples(_numbers, st.sampled_from(["red", "blue", None]), _answers)
_sent = st.tuples(
    st.sampled_from([*BOTH, "v3"]), st.integers(0, 12), st.booleans(), st.sampled_from([200, 500]), st.integers(-2, 3)
)
_requests = st.lists(st.tuples(_sent, st.lists(_rows, min_size=1, max_size=3), st.booleans()), max_size=40)
_feedback = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 1, 2.5, "a", True])), max_size=12)
anything = given(_requests, _feedback)

REFERENCE = Profile.of(
    {"size": [0, 1, 1, 2.5] * 30, "color": ["red"] * 120},
    {"size": Kind.NUMERIC},
)


async def check_evidence(store: Store, sent: Sequence[Any], heard: Sequence[tuple[int, object]]) -> None:
    """Send all of it, ask, and count the long way."""
    batches = []
    for (version, name, mirrored, status, at), rows, recorded in sent:
        columns = [list(column) for column in zip(*rows, strict=True)]
        values = {"inputs": {"size": columns[0], "color": columns[1]}, "outputs": {"predict": columns[2]}}
        entry = record(str(name), NOON + at, status, mirrored=mirrored, **(values if recorded else {}))
        batches.append(Sender(version, f"replica-{next(_SENDERS)}").send(entry))
    for batch in batches:
        await store.store(batch)
    feedback = [said(label(str(name), right), replace=True) for name, right in heard]
    for one in feedback:
        await store.hear(one)
    await baselines.keep(store, (*OF, STABLE), REFERENCE, None, NOON)
    tolerances = [0, 1e-6, 0.5]
    found = await about(store, *METRICS, tolerances=tolerances)
    tallies = counted(batches, feedback, NOON, None)
    assert found.versions == {version: tally for version, tally in tallies.items() if version in BOTH}
    assert found.pairs == tuple(_paired(batches, tolerance) for tolerance in tolerances)
    assert found.errors == _errors(batches, feedback)
    assert found.features == _moves(batches)


def _entries(batches: Sequence[Batch]) -> Iterator[tuple[str, Record]]:
    return ((batch.version, it) for batch in batches for it in batch.records)


def _paired(batches: Sequence[Batch], tolerance: float) -> PairTally:
    answers: dict[str, tuple[str, Record]] = {}
    copies: dict[str, Record] = {}
    for version, it in _entries(batches):
        if it.outputs and it.status < 500:
            if it.mirrored and version == CANDIDATE:
                copies.setdefault(it.id, it)
            elif not it.mirrored:
                answers.setdefault(it.id, (version, it))
    pairs = [
        (it.outputs["predict"], copies[name].outputs["predict"])  # type: ignore[index]
        for name, (version, it) in answers.items()
        if version == STABLE and name in copies and it.at >= NOON
    ]
    return PairTally(tolerance, len(pairs), sum(_close(one, other, tolerance) for one, other in pairs))


def _close(one: object, other: object, tolerance: float) -> bool:
    """By the definition, value by value; a pair has no tolerance when any of its values is no number."""
    flat = [list(_flat(value)) for value in (one, other)]
    every = [value for value in (*flat[0], *flat[1]) if value is not None]
    if agrees(one, {"": [other]}):
        return True
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in every)
    if not numeric or _form(one) != _form(other):
        return False
    gaps = [(a, b) for a, b in zip(*flat, strict=True) if a is not None]
    return bool(gaps) and all(abs(a - b) <= tolerance * max(abs(a), abs(b)) for a, b in gaps)


def _flat(value: object) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _form(value: object) -> object:
    return [_form(one) for one in value] if isinstance(value, list) else value is None


def _errors(batches: Sequence[Batch], heard: Sequence[Feedback]) -> dict[str, ErrorTally]:
    answers: dict[str, tuple[str, Record]] = {}
    for version, it in _entries(batches):
        if it.is_answer:
            answers.setdefault(it.id, (version, it))
    labels = {item.request_id: item.label for one in heard for item in one.items}
    found: dict[str, ErrorTally] = {}
    for name, right in labels.items():
        if name not in answers:
            continue
        version, it = answers[name]
        answer = it.outputs["predict"][0] if it.outputs else None
        if version in BOTH and it.at >= NOON and _is_number(answer) and _is_number(right):
            old, gap = found.get(version, ErrorTally()), abs(answer - right)
            found[version] = ErrorTally(old.count + 1, old.absolute + gap, old.squares + gap * gap)
    return {
        version: ErrorTally(one.count, pytest.approx(one.absolute), pytest.approx(one.squares))
        for version, one in found.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moves(batches: Sequence[Batch]) -> DriftTally:
    mine = [it for version, it in _entries(batches) if version == CANDIDATE and it.at >= NOON and it.inputs]
    rows = [_chosen(it.id, it.inputs or {}) for it in mine]
    table = {name: [row[name] for row in rows] for name in ("size", "color")} if rows else {}
    window = Profile.of(table, REFERENCE.kinds, [it.id for it in mine] if rows else None)
    psi = {one.feature: (one.samples, one.psi) for one in compare(REFERENCE, window).features}
    moves = []
    for name, column in REFERENCE.columns.items():
        watch = DriftWatch(column, 1e-9, seed=hash_of(name))
        for row in rows:
            watch.update([row[name]])
        moves.append(Move(name, *psi[name], watch.result.e_value))
    moves.sort(key=lambda one: (one.psi is None, -(one.psi or 0), one.name))
    return DriftTally("file", 120, len(rows), tuple(moves))


def _chosen(name: str, inputs: Mapping[str, Sequence[object]]) -> dict[str, object]:
    return {column: values[hash_of(name) % len(values)] for column, values in inputs.items()}
