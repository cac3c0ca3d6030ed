"""How many samples a comparison needs, by what the stored records, labels and pairs show."""

from collections.abc import Sequence

import pytest
from monitorkit import NOON, OF, Sender, label, record, reward, said

from monitor import fixed_horizon, planning
from monitor.answers.plan import Needed, Plan
from monitor.means import START
from monitor.reports import plans
from monitor.reports.needs import Unplannable, Usual, Wish, planned
from monitor.reports.needs import said as usual_of
from monitor.reports.rows import Of
from monitor.store.service import Store


async def plan(store: Store, wish: Wish, version: str | None = None, **more: object) -> Plan:
    """At ten minutes after the first request."""
    return await plans.plan(
        store,
        Of(*OF),
        wish,
        version=version,
        given=more.get("given"),
        now=NOON + 600,  # type: ignore[arg-type]
    )


async def answered(store: Store, version: str, number: int, answer: object = "cat", *, status: int = 200) -> list[str]:
    """So many requests, one a second; their ids."""
    names = [f"{version}-{status}-{n}" for n in range(number)]
    entries = [record(name, NOON + n, status, outputs={"predict": [answer]}) for n, name in enumerate(names)]
    await store.store(Sender(version, f"{version}-{status}").send(*entries))
    return names


def check(found: Plan, one_look: Sequence[int], watched: Sequence[int], per_second: float) -> None:
    """The numbers of both versions, and the time at so many samples a second."""
    for needed, (stable, candidate) in ((found.one_look, one_look), (found.watched, watched)):
        assert needed is not None
        assert (needed.stable, needed.candidate) == (stable, candidate)
        shares = ((1 - found.share, stable), (found.share, candidate))
        assert needed.seconds == pytest.approx(max(count / (share * per_second) for share, count in shares))


async def test_labels_show_how_accurate_the_stable_version_is_and_how_often_labels_come(store: Store) -> None:
    names = await answered(store, "v1", 300)
    await answered(store, "v2", 100)
    await store.hear(said(*(label(name, "cat" if n % 10 else "dog") for n, name in enumerate(names[:200]))))
    found = await plan(store, Wish("feedback-accuracy", 0.05, share=0.2))
    assert (found.version, found.usual, found.basis, found.samples) == ("v1", 0.9, 200, "labels")
    # 400 requests in the ten minutes since the first, and half of them have a label.
    assert found.traffic == pytest.approx(400 / 600 / 2)
    look = fixed_horizon.plan_proportions(0.9, 0.85, ratio=0.25)
    watch = planning.plan_proportions(0.9, 0.85, ratio=0.25)
    check(
        found,
        (look.base_samples, look.variant_samples),
        (watch.base_samples, watch.variant_samples),
        per_second=400 / 600 / 2,
    )


async def test_another_version_may_be_what_is_usual(store: Store) -> None:
    await answered(store, "v1", 50)
    await answered(store, "v2", 30)
    await answered(store, "v2", 10, status=500)
    assert ((await plan(store, Wish("error-rate", 0.1))).version) == "v1"
    found = await plan(store, Wish("error-rate", 0.1), "v2")
    assert (found.version, found.usual, found.basis) == ("v2", 0.25, 40)


async def test_rewards_are_a_rate_when_all_are_zero_or_one_and_else_a_mean(store: Store) -> None:
    names = await answered(store, "v1", 100)
    await store.hear(said(*(reward(name, n % 2) for n, name in enumerate(names))))
    found = await plan(store, Wish("feedback-reward", 0.3))
    assert (found.usual, found.deviation, found.samples) == (0.5, None, "rewards")
    assert found.watched is not None
    assert found.watched.candidate >= START  # before that nobody knows that they are zeros and ones
    await store.hear(said(*(reward(name, 10 * (n % 2)) for n, name in enumerate(names)), replace=True))
    found = await plan(store, Wish("feedback-reward", 1.0))
    assert (found.usual, found.deviation) == (5, pytest.approx(5.025, abs=1e-3))
    deviation = found.deviation or 0.0
    look, watch = fixed_horizon.plan_means(1.0, deviation), planning.plan_means(1.0, deviation)
    check(found, (look.base_samples,) * 2, (watch.base_samples,) * 2, per_second=100 / 600)


async def test_pairs_show_how_often_versions_agree_and_only_recorded_answers_become_pairs(store: Store) -> None:
    for version, mirrored in (("v1", False), ("v2", True)):
        entries = [
            record(f"p{n}", NOON + n, mirrored=mirrored, outputs={"predict": ["dog" if mirrored and n < 2 else "cat"]})
            for n in range(100)
        ]
        await store.store(Sender(version, f"{version}-pairs").send(*entries))
    await store.store(Sender("v1", "bare").send(*(record(f"bare-{n}", NOON) for n in range(200))))
    found = await plan(store, Wish("shadow-agreement", 0.03, share=0.5), "v1")
    assert (found.usual, found.basis, found.samples) == (0.98, 100, "copies")
    assert found.traffic == pytest.approx(300 / 600 / 2)  # of the newest records half have their answers
    look, watch = fixed_horizon.plan_share(0.95, 0.98), planning.plan_share(0.95, 0.98)
    assert found.one_look == Needed(look, look, pytest.approx(look / (0.25 * 0.5)))
    assert found.watched == Needed(watch, watch, pytest.approx(watch / (0.25 * 0.5)))


async def test_traffic_is_that_of_the_last_hour(store: Store) -> None:
    old = [record(f"old-{n}", NOON - 9_000) for n in range(500)]
    await store.store(Sender("v1", "old").send(*old))
    await answered(store, "v1", 36)
    assert (await plan(store, Wish("error-rate", 0.1))).traffic == pytest.approx(36 / 3600)


async def test_what_is_not_on_record_may_be_said_and_the_traffic_counts_still(store: Store) -> None:
    wish = Wish("shadow-agreement", 0.03)
    assert (await plan(store, wish)).watched is None
    await answered(store, "v1", 60)
    assert (await plan(store, wish)).usual is None
    found = await plan(store, wish, given=usual_of(wish, 0.98, None))
    assert (found.usual, found.basis, found.version) == (0.98, 0, "")
    assert found.traffic == pytest.approx(60 / 600)
    assert found.watched is not None
    assert found.watched.seconds == pytest.approx(found.watched.candidate / 0.1)


async def test_rewards_that_never_differ_are_told_as_that(store: Store) -> None:
    names = await answered(store, "v1", 3)
    await store.hear(said(*(reward(name, 7) for name in names)))
    with pytest.raises(Unplannable, match="never differ"):
        await plan(store, Wish("feedback-reward", 1.0))
    await store.hear(said(reward(names[0], 8), replace=True))
    assert (await plan(store, Wish("feedback-reward", 1.0))).watched is not None


def test_there_are_enough_samples_for_better_and_for_worse() -> None:
    found = planned(Wish("feedback-accuracy", 0.02), Usual(0.9))
    assert found.watched is not None
    assert found.watched.candidate == planning.plan_proportions(0.9, 0.88).variant_samples
    assert found.watched.candidate > planning.plan_proportions(0.9, 0.92).variant_samples
    high = planned(Wish("feedback-accuracy", 0.02), Usual(0.99)).watched
    assert high is not None
    assert high.candidate == planning.plan_proportions(0.99, 0.97).variant_samples
    assert (found.namespace, found.traffic, high.seconds) == ("", None, None)
