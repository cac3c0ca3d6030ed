"""How versions did over time, whatever the database: the fixture `store` says which one."""

import random

import pytest
from monitorkit import NOON, OF, label, record, reward, said
from reportkit import CANDIDATE, STABLE, sent

from monitor.reports import history
from monitor.reports.rows import Of
from monitor.store.service import Store
from monitor.verdict import Verdict


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

    async def test_hours_that_stand_out_are_told_with_the_reasons(self, store: Store) -> None:
        chance = random.Random(6)
        for hour in range(60):
            right = 0.5 if hour == 10 else 0.75 if hour >= 50 else 0.9
            ids = [f"{hour}-{n}" for n in range(100)]
            slow = 40.0 if hour == 20 else 1.5
            at, outputs = NOON + 3600 * hour, {"predict": ["cat"]}
            await sent(store, STABLE, [record(one, at, ms=slow + chance.random(), outputs=outputs) for one in ids])
            await store.hear(said(*(label(one, "cat" if chance.random() < right else "dog") for one in ids)))
        # Of an hour with a few requests nothing can be said.
        await sent(store, STABLE, [record(f"few-{n}", NOON + 3600 * 61, 500, ms=900) for n in range(9)])
        found = (await history.performance(store, Of(*OF), 3600)).versions[0].oddities
        start = NOON // 3600 * 3600
        dip, *_, fall = (one for one in found if one.metric == "accuracy")
        assert (dip.first, dip.last, dip.rules) == (start + 36_000, start + 36_000, ("outlier",))
        assert 0.35 < dip.low == dip.high < 0.65
        assert dip.usual == pytest.approx(0.9, abs=0.03)
        assert (fall.first, fall.last) == (pytest.approx(start + 50 * 3600, abs=3 * 3600), start + 59 * 3600)
        assert "9 points in a row on one side of the centre" in fall.rules
        peaks = [one for one in found if one.metric == "latency-p95-ms" and "outlier" in one.rules]
        assert [(one.first, one.last) for one in peaks] == [(start + 72_000, start + 72_000)]
        assert not [one for one in found if one.metric == "error-rate"]

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
