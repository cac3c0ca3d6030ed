"""What an operator that is stopped leaves behind: nobody comes after it when its own namespace is being deleted."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from operators.kube.store import FINALIZER
from tests.kube.apiserver import ApiServer
from tests.kube.operators.operator_kit import Objects, Operator, until

Operators = Callable[..., Operator]
OTHER = "example.com/other"


@pytest.fixture
async def elsewhere(objects: Objects, api_server: ApiServer) -> AsyncIterator[Objects]:
    """A second namespace, as another team has it."""
    found = Objects(objects.api, f"{objects.namespace}-elsewhere")
    api_server.kubectl("create", "namespace", found.namespace)
    yield found
    await found.clear()


async def holds(objects: Objects, name: str) -> None:
    """Make a rollout that Tidegate and somebody else hold, and that the operator has decided about."""

    async def decided() -> bool:
        return bool((await objects.rollout(name)).get("status"))

    await objects.apply(name)
    await until(decided, f"a decision about {name}")
    await objects.patch(name, {"metadata": {"finalizers": [OTHER, FINALIZER]}})


async def finalizers(objects: Objects, name: str) -> list[str]:
    """Who holds a rollout."""
    return list((await objects.rollout(name))["metadata"].get("finalizers", []))


async def leads(objects: Objects, operator: Operator) -> None:
    async def so() -> bool:
        return await objects.holder() == operator.name

    operator.start()
    await until(so, f"the lead of {operator.name}")


async def stopped(operator: Operator) -> int:
    """Stop it as a kubelet does; the exit code."""
    return await asyncio.to_thread(operator.end, signal.SIGTERM)


def being_deleted(api_server: ApiServer, namespace: str) -> None:
    """Delete a namespace. Without controllers it stays as it is then: nothing in it is deleted."""
    api_server.kubectl("delete", "namespace", namespace, "--wait=false")
    phase = api_server.kubectl("get", "namespace", namespace, "-o", "jsonpath={.status.phase}").stdout
    assert phase == "Terminating"


async def test_an_operator_whose_own_namespace_is_being_deleted_lets_all_of_its_rollouts_go(
    objects: Objects, elsewhere: Objects, operators: Operators, api_server: ApiServer
) -> None:
    watched = f"{objects.namespace},{elsewhere.namespace}"
    operator = operators("operator-a", environment={"TIDEGATE_WATCH_NAMESPACES": watched})
    await leads(objects, operator)
    await holds(objects, "iris")
    await holds(elsewhere, "digits")
    being_deleted(api_server, objects.namespace)

    assert await stopped(operator) == 0

    assert operator.said(f"namespace {objects.namespace} is being deleted: its rollouts are let go") == 1
    assert await finalizers(objects, "iris") == [OTHER]
    assert await finalizers(elsewhere, "digits") == [OTHER]


async def test_an_operator_that_waits_for_the_lead_lets_them_go_too(
    objects: Objects, operators: Operators, api_server: ApiServer
) -> None:
    leading, waiting = operators("operator-a"), operators("operator-b")
    await leads(objects, leading)
    await holds(objects, "iris")
    waiting.start()

    async def waits() -> bool:
        return waiting.said("operator-a leads, waiting") == 1

    await until(waits, "the wait for the lead")
    being_deleted(api_server, objects.namespace)
    leading.end(signal.SIGKILL)  # so that it has no last act

    assert await stopped(waiting) == 0

    assert await finalizers(objects, "iris") == [OTHER]


async def test_an_operator_that_is_only_stopped_holds_its_rollouts_for_the_next_one(
    objects: Objects, elsewhere: Objects, operators: Operators, api_server: ApiServer
) -> None:
    watched = f"{objects.namespace},{elsewhere.namespace}"
    operator = operators("operator-a", environment={"TIDEGATE_WATCH_NAMESPACES": watched})
    await leads(objects, operator)
    await holds(objects, "iris")
    await holds(elsewhere, "digits")
    being_deleted(api_server, elsewhere.namespace)  # which is not the operator's own

    assert await stopped(operator) == 0

    assert await finalizers(objects, "iris") == [OTHER, FINALIZER]
    assert await finalizers(elsewhere, "digits") == [OTHER, FINALIZER]


async def test_an_operator_that_cannot_ask_about_its_namespace_stops_and_holds_its_rollouts(
    objects: Objects, operators: Operators, api_server: ApiServer
) -> None:
    operator = operators("operator-a")
    await leads(objects, operator)
    await holds(objects, "iris")
    api_server.kill()
    try:
        assert await stopped(operator) == 0
    finally:
        api_server.start()
    assert operator.said(f"whether namespace {objects.namespace} is being deleted could not be found out") == 1

    async def held() -> bool:
        return await finalizers(objects, "iris") == [OTHER, FINALIZER]

    await until(held, "an answer of the API server")
