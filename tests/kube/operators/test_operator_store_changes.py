"""Rollouts at the API server that others change, too: commands are answered once, and nobody's news is lost."""

import asyncio
from typing import Any

import pytest

from operators.kube.client import Object, Patch
from operators.kube.store import ANSWERED, FINALIZER, KubeStore
from operators.plan import Command
from operators.ports import StoreUnavailable
from operators.status import RolloutStatus
from tests.kube.operators.operator_kit import Objects
from tests.kube.operators.store_kit import TOLD, disturbed, dying, listed, serving, store_of


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
