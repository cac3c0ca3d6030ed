"""Versions, requests and baselines that are known, whatever the database: the fixture `store` says which one."""

from monitorkit import NOON, OF, label, record, reward, said
from reportkit import CANDIDATE, LATER, STABLE, sent

from monitor.profiles import Profile
from monitor.reports import audit, baselines, versions
from monitor.store.service import Store


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
