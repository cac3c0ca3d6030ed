"""What drift reports tell, whatever the database: the fixture `store` says which one."""

import random
from typing import Any

import pytest
from monitorkit import NOON, OF, label, record, said
from reportkit import CANDIDATE, LATER, STABLE, names, requests, sent

from monitor.profiles import Profile
from monitor.reports import baselines, drift
from monitor.reports.references import FIRST, References
from monitor.reports.rows import Of
from monitor.store.service import Store
from monitor.verdict import Verdict


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
