"""The operator's watches are answered 410 Gone: the API server cannot go on from the versions that they name."""

from collections.abc import Callable
from pathlib import Path

from operators.kube.client import PODS, ROLLOUTS, ROUTES, Object
from tests.kube.apiserver import ApiServer
from tests.kube.gateway import gateway
from tests.kube.operators.operator_kit import Objects, Operator, until

WATCHED = {resource.plural for resource in (ROLLOUTS, ROUTES, PODS)}


async def decided(objects: Objects, changed: Object) -> None:
    """Wait until the operator has decided about this generation of a rollout."""
    name, generation = changed["metadata"]["name"], changed["metadata"]["generation"]

    async def so() -> bool:
        status = (await objects.rollout(name)).get("status") or {}
        return bool(status.get("observedGeneration") == generation)

    await until(so, f"a decision about generation {generation} of {name}")


async def test_the_operator_goes_on_after_410_gone(
    objects: Objects, operators: Callable[..., Operator], api_server: ApiServer, tmp_path: Path
) -> None:
    (root := tmp_path / "newer").mkdir()
    async with gateway(api_server, root) as front:

        async def all_wait() -> bool:
            return front.held == WATCHED

        async def all_are_gone() -> bool:
            return front.gone == WATCHED

        operator = operators("operator-a", environment={"KUBECONFIG": str(front.kubeconfig)})
        operator.start()
        await decided(objects, await objects.apply("iris"))
        front.hold()
        await until(all_wait, "the next watches")
        meanwhile = await objects.apply("iris", progressDeadlineSeconds=30)
        async with front.move():
            await until(all_are_gone, "410 Gone for all of them")
            await decided(objects, meanwhile)
            await decided(objects, await objects.apply("iris", progressDeadlineSeconds=40))
        assert operator.process is not None
        assert operator.process.poll() is None
