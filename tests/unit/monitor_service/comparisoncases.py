"""How two versions compare, whatever the database: the fixture `store` says which one."""

import random

import pytest
from monitorkit import NOON, OF, label, record, reward, said
from reportkit import CANDIDATE, LATER, STABLE, names, requests, sent

from monitor.reports import comparison
from monitor.reports.rows import Of
from monitor.store.service import Store
from monitor.verdict import Verdict


class ComparisonCases:
    async def test_of_an_unknown_model_the_comparison_is_empty(self, store: Store) -> None:
        found = await comparison.compare(store, Of(*OF), None, None)
        assert (found.stable, found.candidate, found.versions, found.differences) == ("", "", (), ())
        assert found.shadow is None

    async def test_the_two_versions_that_were_first_seen_last_are_compared(self, store: Store) -> None:
        for place, version in enumerate(["v9", "v1", "v2", "v9"]):
            await sent(store, version, requests([str(place)]))
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
