"""Rollouts at the API server: statuses, commands, finalizers, events, and manifests that make no sense."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from operators.api import ModelRollout, RolloutKey, revision_of
from operators.clock import SystemClock
from operators.kube import client
from operators.kube.client import ROLLOUTS, Api, ApiRefused, ApiUnavailable, NotFound, Object, Patch
from operators.kube.store import ANSWERED, FINALIZER, KubeStore
from operators.plan import Command, Event
from operators.ports import StoreRefused, StoreUnavailable
from operators.status import Phase, RolloutStatus
from router.ir import RouteKey
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import LATE_MAXIMUM, MODEL, Objects, condition

TOLD = RolloutStatus(observed_generation=1, phase=Phase.PENDING, message="told")


@pytest.fixture
def store(objects: Objects) -> KubeStore:
    """A store of the test's namespace."""
    return store_of(objects)


def store_of(objects: Objects, api: Api | None = None) -> KubeStore:
    """As another process would open it."""
    return KubeStore(api or objects.api, (objects.namespace,), SystemClock())


async def listed(store: KubeStore, name: str = "iris") -> ModelRollout:
    return next(rollout for rollout in await store.list() if rollout.metadata.name == name)


def serving(rollout: ModelRollout) -> RolloutStatus:
    """A status that names a version."""
    return RolloutStatus(observed_generation=1, phase=Phase.HEALTHY, stable=revision_of(rollout), stable_ready=1)


class Disturbed:
    """The API server, with something that happens before a patch arrives, or instead of it."""

    def __init__(self, api: Api, before: Callable[[Patch, Any], Any]) -> None:
        self._api = api
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    async def patch(self, *arguments: Any, **options: Any) -> Object:
        await self._before(arguments[3], arguments[4])
        return await self._api.patch(*arguments, **options)


def disturbed(objects: Objects, before: Callable[[Patch, Any], Any]) -> KubeStore:
    return store_of(objects, Disturbed(objects.api, before))  # type: ignore[arg-type]


async def dying(kind: Patch, _content: Any) -> None:
    """The process dies between the status and the annotations."""
    if kind is Patch.MERGE:
        raise ApiUnavailable("cut off")


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


async def test_an_answered_command_is_taken_back(objects: Objects, store: KubeStore) -> None:
    await objects.apply("iris")
    await objects.annotate("iris", promote="step", abort="")
    rollout = await listed(store)
    assert rollout.commands == {Command.PROMOTE: "step", Command.ABORT: ""}

    await store.put_status(rollout.key, TOLD, [Command.PROMOTE])

    found = await objects.rollout("iris")
    assert found["metadata"]["annotations"].keys() & {"tidegate.dev/promote", "tidegate.dev/abort"} == {
        "tidegate.dev/abort"
    }
    assert found["status"]["answered"]["token"] == found["metadata"]["annotations"][ANSWERED]
    assert (await listed(store)).commands == {Command.ABORT: ""}


async def test_a_command_is_carried_out_once_when_the_process_dies_between_the_two_writes(objects: Objects) -> None:
    await objects.apply("iris")
    await objects.annotate("iris", promote="step")
    dead = disturbed(objects, dying)
    rollout = await listed(dead)
    await dead.put_status(rollout.key, TOLD, [Command.PROMOTE])
    assert (await objects.rollout("iris"))["metadata"]["annotations"]["tidegate.dev/promote"] == "step"
    assert (await listed(dead)).commands == {}, "the same process does not carry it out again, either"

    successor = store_of(objects)
    after = await listed(successor)

    assert (after.status, after.commands) == (TOLD, {})
    assert "tidegate.dev/promote" not in (await objects.rollout("iris"))["metadata"]["annotations"]
    await objects.annotate("iris", promote="full")
    assert (await listed(successor)).commands == {Command.PROMOTE: "full"}


async def test_commands_answered_one_after_the_other_stay_answered_when_neither_could_be_taken_back(
    objects: Objects,
) -> None:
    await objects.apply("iris")
    await objects.annotate("iris", promote="step")
    dead = disturbed(objects, dying)
    key = (await listed(dead)).key
    await dead.put_status(key, TOLD, [Command.PROMOTE])
    await objects.annotate("iris", abort="")
    assert (await listed(dead)).commands == {Command.ABORT: ""}
    await dead.put_status(key, TOLD, [Command.ABORT])
    await dead.put_status(key, RolloutStatus(message="and another status"))

    assert (await listed(store_of(objects))).commands == {}
    annotations = (await objects.rollout("iris"))["metadata"]["annotations"]
    assert not annotations.keys() & {"tidegate.dev/promote", "tidegate.dev/abort"}


@pytest.mark.parametrize("moment", [Patch.MERGE, Patch.JSON], ids=["before the finalizer", "before the status"])
async def test_a_new_command_given_while_the_old_one_is_answered_is_kept(objects: Objects, moment: Patch) -> None:
    await objects.apply("iris")
    await objects.annotate("iris", promote="step")
    times = iter(range(1))

    async def again(kind: Patch, _content: Any) -> None:
        if kind is moment and next(times, None) is not None:
            await objects.annotate("iris", promote="full")

    store = disturbed(objects, again)
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout), [Command.PROMOTE])

    assert (await listed(store)).commands == {Command.PROMOTE: "full"}
    assert (await listed(store_of(objects))).commands == {Command.PROMOTE: "full"}


async def test_an_annotation_written_by_somebody_else_at_the_same_time_survives_and_is_noticed(
    objects: Objects,
) -> None:
    await objects.apply("iris")
    times = iter(range(2))

    async def interfere(kind: Patch, _content: Any) -> None:
        if kind is Patch.MERGE and next(times, None) is not None:
            await objects.annotate("iris", abort="now")

    store = disturbed(objects, interfere)
    changes = store.changes()
    assert await anext(changes) is None
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))

    metadata = (await objects.rollout("iris"))["metadata"]
    assert metadata["finalizers"] == [FINALIZER]
    store.seen({"metadata": metadata})  # the watch tells what the store has read by then
    async with asyncio.timeout(5):
        assert await anext(changes) is None
    assert (await listed(store)).commands == {Command.ABORT: "now"}


async def test_metadata_that_somebody_else_changes_all_the_time_is_given_up_for_now(objects: Objects) -> None:
    await objects.apply("iris")
    count = iter(range(100))

    async def interfere(kind: Patch, _content: Any) -> None:
        if kind is Patch.MERGE:
            await objects.patch("iris", {"metadata": {"labels": {"count": str(next(count))}}})

    store = disturbed(objects, interfere)
    rollout = await listed(store)
    with pytest.raises(StoreUnavailable, match="changed by somebody else"):
        await store.put_status(rollout.key, serving(rollout))
    assert "status" not in await objects.rollout("iris"), "no version without the finalizer"


async def test_what_the_store_wrote_itself_is_no_news_and_what_others_wrote_is(
    objects: Objects, store: KubeStore
) -> None:
    await objects.apply("iris")
    changes = store.changes()
    assert await anext(changes) is None
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    store.seen(await objects.rollout("iris"))
    following = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not following.done()

    store.seen(await objects.patch("iris", {"metadata": {"labels": {"a": "b"}}}))
    await asyncio.sleep(0)
    assert not following.done(), "labels decide nothing"
    store.seen(await objects.annotate("iris", promote="step"))
    async with asyncio.timeout(5):
        await following


@pytest.mark.parametrize("change", ["a new spec", "deletion", "another object", "a lost watch", "an unknown object"])
async def test_news_is(objects: Objects, store: KubeStore, change: str) -> None:
    await objects.apply("iris")
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    changes = store.changes()
    assert await anext(changes) is None
    seen: Object | None = None
    match change:
        case "a new spec":
            seen = await objects.apply("iris", paused=True)
        case "deletion":
            await objects.delete("iris")
            seen = await objects.rollout("iris")
        case "another object":
            await objects.clear()
            seen = await objects.apply("iris")
        case "an unknown object":
            seen = await objects.apply("other")
    store.seen(seen)
    async with asyncio.timeout(5):
        assert await anext(changes) is None


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
    await objects.apply("iris", serving={"replicas": 3}, traffic={"hosts": ["a.example"]})
    rollout = await listed(store)
    await store.put_status(rollout.key, serving(rollout))
    await objects.apply(
        "iris", serving={"replicas": 3}, traffic={"hosts": ["a.example"]}, analysis={"checks": [LATE_MAXIMUM]}
    )

    held = await listed(store_of(objects))

    assert held.held
    assert held.status.stable == revision_of(rollout)
    assert (held.spec.serving.replicas, held.spec.traffic.hosts) == (3, ("a.example",))
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
