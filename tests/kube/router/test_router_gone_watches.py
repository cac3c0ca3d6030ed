"""A router's watch is answered 410 Gone: the API server cannot go on from the version that it names."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from router.modelroute import PLURAL
from tests.integration.router.upstreams import Upstream, make_route
from tests.kube.apiserver import ApiServer
from tests.kube.gateway import gateway
from tests.kube.router.router_kit import Objects, RouterPod, versions


async def test_the_router_goes_on_after_410_gone(
    pods: Callable[..., RouterPod],
    routes: Objects,
    upstream: Callable[..., Awaitable[Upstream]],
    api_server: ApiServer,
    tmp_path: Path,
) -> None:
    (root := tmp_path / "newer").mkdir()
    async with gateway(api_server, root) as front:

        async def waits() -> bool:
            return PLURAL in front.held

        async def is_gone() -> bool:
            return PLURAL in front.gone

        pod = pods("router-a", kubeconfig=str(front.kubeconfig))
        await routes.create(make_route("m", (await upstream("one"), 10_000)))
        pod.start()
        await pod.ready()
        front.hold()
        await pod.until(waits, "the next watch")
        assert await routes.replace(make_route("m", (await upstream("two"), 10_000))) == 2
        assert await versions(pod) == {"one"}
        async with front.move():
            await pod.until(is_gone, "410 Gone")
            await routes.acknowledged("m", pod.name, 2)
            assert await versions(pod) == {"two"}
            assert await routes.replace(make_route("m", (await upstream("three"), 10_000))) == 3
            await routes.acknowledged("m", pod.name, 3)
            assert await versions(pod) == {"three"}
        assert front.gone == {PLURAL}
