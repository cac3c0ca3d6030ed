"""Rollouts at the API server: lists, statuses, finalizers, events, and manifests that make no sense."""

from typing import Any

import pytest

from operators.api import RolloutKey, revision_of
from operators.clock import SystemClock
from operators.kube import client
from operators.kube.client import ROLLOUTS, ApiRefused, ApiUnavailable, NotFound, Object, Patch
from operators.kube.store import FINALIZER, KubeStore
from operators.plan import Event
from operators.ports import StoreRefused
from operators.status import RolloutStatus
from router.ir import RouteKey
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import LATE_MAXIMUM, MODEL, Objects, condition
from tests.kube.operators.store_kit import TOLD, listed, serving, store_of


async def test_a_rollout_is_listed_with_the_status_that_was_stored(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    assert rollout.key == RolloutKey(objects.namespace, "iris")
    assert (rollout.spec.model.uri, rollout.status) == (MODEL["uri"], RolloutStatus())

    await store.put_status(rollout.key, serving(rollout))

    assert (await listed(store_of(objects))).status == serving(rollout)
    assert store.uid(RouteKey(objects.namespace, "iris")) == rollout.metadata.uid
    assert store.uid(RouteKey(objects.namespace, "unknown")) is None


async def test_a_stored_status_replaces_the_whole_one_before(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    await store.put_status(rollout.key, TOLD)
    status = (await objects.rollout("iris"))["status"]
    assert "stable" not in status
    assert (status["phase"], status["message"]) == ("Pending", "told")


async def test_the_finalizer_comes_with_the_first_version_and_goes_when_the_rollout_is_forgotten(
    objects: Objects, store: KubeStore
) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await store.put_status(rollout.key, TOLD)
    assert "finalizers" not in (await objects.rollout("iris"))["metadata"]

    await store.put_status(rollout.key, serving(rollout))
    assert (await objects.rollout("iris"))["metadata"]["finalizers"] == [FINALIZER]

    await objects.delete("iris")
    assert (await listed(store)).metadata.deletion_timestamp is not None
    await store.forget(rollout.key)
    with pytest.raises(NotFound):
        await objects.rollout("iris")
    assert await store.list() == []


async def test_other_finalizers_are_left_alone(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await objects.patch("iris", {"metadata": {"finalizers": ["example.com/other"]}})
    await store.put_status(rollout.key, serving(rollout))
    assert (await objects.rollout("iris"))["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
    await store.forget(rollout.key)
    assert (await objects.rollout("iris"))["metadata"]["finalizers"] == ["example.com/other"]


async def test_a_rollout_that_is_being_deleted_gets_no_finalizer(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    await objects.patch("iris", {"metadata": {"finalizers": ["example.com/other"]}})
    await objects.delete("iris")
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    assert (await objects.rollout("iris"))["metadata"]["finalizers"] == ["example.com/other"]


async def test_forgetting_a_rollout_that_is_gone_is_no_error(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    await objects.clear()
    await store.forget(rollout.key)


async def test_a_status_is_not_written_to_another_rollout_that_took_the_name(
    objects: Objects, store: KubeStore
) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await objects.clear()
    await objects.apply("iris")
    with pytest.raises(StoreRefused):
        await store.put_status(rollout.key, TOLD)
    with pytest.raises(StoreRefused):
        await store.put_status(rollout.key, serving(rollout))
    assert "status" not in await objects.rollout("iris")


async def test_a_status_of_a_rollout_that_is_gone_is_refused(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await objects.clear()
    with pytest.raises(StoreRefused):
        await store.put_status(rollout.key, TOLD)
    assert await store.list() == []
    with pytest.raises(StoreRefused, match="gone"):
        await store.put_status(rollout.key, TOLD)


async def test_a_manifest_that_makes_no_sense_is_told_so_once_and_keeps_nobody_up(
    objects: Objects, store: KubeStore, api_server: ApiServer
) -> None:
    await objects.apply("good")
    await objects.apply("bad", analysis={"checks": [LATE_MAXIMUM]})

    assert (await listed(store, "good")).held is False
    assert (await listed(store, "bad")).held is True
    found = await objects.rollout("bad")
    accepted = condition(found, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "Invalid")
    assert "spec.analysis.checks[0].max" in accepted["message"]
    assert condition(found, "Ready")["status"] == "False"
    assert (await objects.rollout("bad"))["status"]["observedGeneration"] == 1
    assert len(await objects.events("Invalid")) == 1

    await store.list()
    await store_of(objects).list()
    assert (await objects.rollout("bad"))["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    assert len(await objects.events("Invalid")) == 1

    await objects.apply("bad", analysis={"checks": []})
    assert (await listed(store, "bad")).held is False


async def test_what_a_manifest_serves_is_still_known_when_it_makes_no_sense_any_more(
    objects: Objects, store: KubeStore
) -> None:
    traffic = {"hosts": ["a.example"], "paths": {"predict": "/predict"}}
    await objects.apply("iris", serving={"replicas": 3}, traffic=traffic)
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    await objects.apply("iris", serving={"replicas": 3}, traffic=traffic, analysis={"checks": [LATE_MAXIMUM]})

    held = await listed(store_of(objects))

    assert held.held
    assert held.status.stable == revision_of(rollout)
    assert (held.spec.serving.replicas, held.spec.traffic.hosts) == (3, ("a.example",))
    assert held.spec.traffic.paths.given == {"predict": "/predict"}
    assert condition(await objects.rollout("iris"), "Accepted")["status"] == "False"
    assert (await objects.rollout("iris"))["status"]["phase"] == "Degraded"


async def test_a_status_that_is_not_tidegates_is_said_to_be_wrong(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    await objects.patch("iris", {"status": {"stable": {"serving": {}}}}, subresource="status")
    assert (await listed(store)).held
    assert "not written by Tidegate" in condition(await objects.rollout("iris"), "Accepted")["message"]


async def test_events_are_there_for_kubectl(objects: Objects, store: KubeStore, api_server: ApiServer) -> None:
    await objects.apply("iris")
    key = (await listed(store)).key
    await store.record(key, [Event("Started", "abc starts"), Event("Aborted", "x" * 3000, warning=True)])
    await store.record(RolloutKey(objects.namespace, "unknown"), [Event("Started", "nobody asks")])

    lines = api_server.kubectl("-n", objects.namespace, "get", "events").stdout.splitlines()[1:]

    assert sorted(line.split()[1:4] for line in lines) == [
        ["Normal", "Started", "modelrollout/iris"],
        ["Warning", "Aborted", "modelrollout/iris"],
    ]
    described = api_server.kubectl("-n", objects.namespace, "describe", "modelrollout", "iris").stdout
    assert "abc starts" in described


async def test_only_watched_namespaces_are_listed_and_all_without_any(
    objects: Objects, store: KubeStore, api_server: ApiServer
) -> None:
    other = Objects(objects.api, f"{objects.namespace}-other")
    api_server.kubectl("create", "namespace", other.namespace)
    await objects.apply("iris")
    await other.apply("iris")
    try:
        assert {rollout.key.namespace for rollout in await store.list()} == {objects.namespace}
        both = KubeStore(objects.api, (objects.namespace, other.namespace), SystemClock())
        everywhere = KubeStore(objects.api, (), SystemClock())
        for wide in (both, everywhere):
            assert {rollout.key.namespace for rollout in await wide.list()} == {objects.namespace, other.namespace}
    finally:
        await other.clear()


async def test_a_list_of_several_pages_is_whole(
    objects: Objects, store: KubeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"iris-{number}" for number in range(5)}
    for name in names:
        await objects.apply(name)
    monkeypatch.setattr(client, "PAGE", 2)
    assert {rollout.metadata.name for rollout in await store.list()} == names


async def test_a_list_whose_second_page_is_gone_is_read_again_at_once(
    objects: Objects, store: KubeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"iris-{number}" for number in range(5)}
    for name in names:
        await objects.apply(name)
    monkeypatch.setattr(client, "PAGE", 2)
    ask, queries = objects.api._ask, []

    async def expired(*arguments: Any, **options: Any) -> Object:
        queries.append(dict(options["query"]))
        if "continue" in options["query"]:
            raise ApiRefused(410, "the continue parameter is too old")
        return await ask(*arguments, **options)

    monkeypatch.setattr(objects.api, "_ask", expired)
    assert {rollout.metadata.name for rollout in await store.list()} == names
    assert [sorted(query) for query in queries] == [["limit"], ["continue", "limit"], []]


async def test_an_unknown_kind_and_a_server_that_is_away_are_told_apart(
    objects: Objects, store: KubeStore, api_server: ApiServer
) -> None:
    unknown = client.Resource("tidegate.dev/v1alpha1", "unknowns")
    with pytest.raises(NotFound):
        await objects.api.objects(unknown, (objects.namespace,))
    await objects.apply("iris")
    rollout = await listed(store)
    api_server.kill()
    try:
        with pytest.raises(ApiUnavailable, match="cannot be reached"):
            await store.list()
        with pytest.raises(ApiUnavailable):
            await store.put_status(rollout.key, TOLD)
    finally:
        api_server.start()
    await store.put_status(rollout.key, TOLD)
    assert (await listed(store_of(objects))).status == TOLD


async def test_a_write_that_the_schema_refuses_says_so(objects: Objects) -> None:
    await objects.apply("iris")
    with pytest.raises(ApiRefused, match=r"spec\.serving\.replicas") as refused:
        await objects.api.patch(
            ROLLOUTS, objects.namespace, "iris", Patch.MERGE, {"spec": {"serving": {"replicas": 0}}}
        )
    assert refused.value.status == 422
