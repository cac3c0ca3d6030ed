"""What evidence is for checks, whatever the database: the fixture `store` says which one."""

import random
from collections.abc import Sequence
from itertools import count

import pytest
from monitorkit import NOON, OF, label, record, said
from reportkit import BOTH, CANDIDATE, LATER, STABLE, names, requests, sent

from monitor.evidence import DriftTally, ErrorTally, Evidence, PairTally
from monitor.profiles import Profile
from monitor.reports import baselines, evidence, references
from monitor.reports.evidence import METRICS, EvidenceReports, Metric
from monitor.reports.following import Family
from monitor.reports.references import FIRST, References
from monitor.reports.rows import Of
from monitor.store.service import Store


def asked(store: Store) -> EvidenceReports:
    """Reads all that there is, however slow the machine."""
    return EvidenceReports(store, References(store), clock=lambda: 0.0)


async def about(store: Store, *metrics: Metric, since: float = NOON, tolerances: Sequence[float] = (1e-6,)) -> Evidence:
    return await asked(store).about(Of(*OF, since), BOTH, frozenset(metrics), tolerances)


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
