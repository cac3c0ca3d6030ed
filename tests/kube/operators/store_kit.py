"""The operator's store over a real API server, and what others do to the objects between its requests."""

from collections.abc import Callable
from typing import Any

from operators.api import ModelRollout, revision_of
from operators.clock import SystemClock
from operators.kube.client import Api, ApiUnavailable, Object, Patch
from operators.kube.store import KubeStore
from operators.status import Phase, RolloutStatus
from tests.kube.operators.operator_kit import Objects

TOLD = RolloutStatus(observed_generation=1, phase=Phase.PENDING, message="told")


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
