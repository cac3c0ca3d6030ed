"""The values that a drift report compares, for tools that draw their own pictures of them."""

from monitorkit import NOON, OF, Sender
from reportkit import LATER, names, requests, sent
from test_monitor_reports_api import served

from monitor.answers.samples import Table
from monitor.profiles import Kind, Profile
from monitor.reports import baselines
from monitor.reports.references import FIRST
from monitor.store.service import Store

NOTHING = Table({}, ())


async def test_a_sample_has_the_newest_requests_and_the_profile_that_came_with_the_model(store: Store) -> None:
    table = {"size": [1.0, 2.0], "color": ["red", "blue"] * 1, "code": [1, 2]}
    features = Profile.of(table, {"code": Kind.CATEGORICAL})
    entries = list(requests(names("a", 30)))
    for one in entries:
        one["inputs"] = {**one["inputs"], "code": [2]}  # type: ignore[dict-item]
    await sent(store, "v1", entries)
    async with served(store) as client:
        await baselines.keep(store, (*OF, "v1"), features, None, NOON)
        found = await client.sample(*OF, window=20)
    assert (found.version, set(found.features.reference.categorical)) == ("v1", {"color", "code"})
    assert sorted(found.features.reference.columns["size"]) == [1.0, 2.0]
    assert found.features.reference.columns["color"] == ["blue", "red"]
    current = found.features.current.columns
    assert current["size"] == [one["inputs"]["size"][0] for one in entries[10:]]  # type: ignore[index]
    assert current["code"] == ["2"] * 20  # named as in the profile
    assert found.predictions.reference == NOTHING
    assert found.predictions.current.categorical == ("predict",)


async def test_the_first_requests_are_the_reference_and_not_in_the_window(store: Store) -> None:
    await sent(store, "v1", list(requests(names("a", FIRST))))
    await sent(store, "v1", list(requests(names("b", 50), LATER)))
    async with served(store) as client:
        found = await client.sample(*OF, "v1", window=1_000)
    assert len(found.features.reference.columns["size"]) == FIRST
    assert len(found.features.current.columns["size"]) == 50
    assert len(found.predictions.reference.columns["predict"]) == FIRST


async def test_of_very_many_categories_a_share_is_given(store: Store) -> None:
    features = Profile.of({"color": ["red"] * 30_000 + ["blue"] * 10_000})
    async with served(store) as client:
        await store.store(Sender().send(*requests(["a"], NOON)))
        await baselines.keep(store, (*OF, "v1"), features, None, NOON)
        color = (await client.sample(*OF)).features.reference.columns["color"]
    assert (len(color), color.count("blue")) == (2_048, 512)


async def test_a_model_that_is_not_known_has_no_values(store: Store) -> None:
    async with served(store) as client:
        found = await client.sample("default", "nobody")
    assert found.version == ""
    assert found.features.current == found.features.reference == NOTHING
