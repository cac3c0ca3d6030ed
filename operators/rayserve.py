"""`ServePort` over Ray Serve's REST API."""

import asyncio
from collections.abc import Mapping, Sequence

from operators.ports import ServeUnavailable
from serving.client import ServeApiError, ServeClient
from serving.details import Application, ReplicaTarget
from serving.discovery import Discovery
from serving.render import compose, owned, undeclared
from serving.spec import ServeTarget, TargetKey, TargetPhase, TargetState


class RayServe:
    """Keeps Tidegate's applications on one Ray cluster.

    `http_host` is where Ray Serve and its replicas are to listen, should it not run yet.
    """

    def __init__(self, client: ServeClient, http_host: str = "127.0.0.1") -> None:
        self._client = client
        self._http_host = http_host
        self._discovery = Discovery()
        self._names: dict[str, TargetKey] = {}
        self._writing = asyncio.Lock()

    async def apply(self, targets: Sequence[ServeTarget]) -> None:
        """See `ServePort.apply`. Ray Serve is written to only when what it has differs.

        Every write restarts the builds that are under way and tries failed applications again, so that a version that
        failed should be left out of `targets`.
        """
        async with self._writing:
            try:
                details = await self._client.details()
                unknown = undeclared(details.applications.values())
                if unknown:
                    raise ServeUnavailable(
                        f"Ray Serve does not tell the configuration of {', '.join(unknown)}, which would be lost by a "
                        "change; trying again"
                    )
                config = compose(targets, details, self._http_host)
                if config is not None:
                    await self._client.put(config)
            except ServeApiError as error:
                raise ServeUnavailable(str(error)) from error

    async def observe(self) -> Mapping[TargetKey, TargetState]:
        """See `ServePort.observe`. Replicas that have not been seen before are asked for their port."""
        try:
            details = await self._client.details()
        except ServeApiError as error:
            raise ServeUnavailable(str(error)) from error
        # An application on its way out has no configuration any more: who it is was learned before.
        learned = {app.name: key for key, app in owned(details).items()}
        self._names = {name: key for name, key in self._names.items() if name in details.applications} | learned
        applications = {name: details.applications[name] for name in self._names}
        async with asyncio.TaskGroup() as group:
            for target in self._discovery.see(details.model_copy(update={"applications": applications})):
                group.create_task(self._ask(target))
        return {key: self._state(applications[name]) for name, key in self._names.items()}

    async def _ask(self, target: ReplicaTarget) -> None:
        answer = await self._client.ask(target)
        if answer is not None:
            self._discovery.learn(target, answer)

    def _state(self, app: Application) -> TargetState:
        if app.deleting:
            return TargetState(TargetPhase.STOPPING)
        replicas, acceleration = self._discovery.replicas(app.name), self._discovery.acceleration(app.name)
        if app.failed:
            return TargetState(TargetPhase.FAILED, replicas, app.reason, acceleration)
        phase = TargetPhase.RUNNING if replicas else TargetPhase.STARTING
        return TargetState(phase, replicas, app.reason, acceleration)
