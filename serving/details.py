"""What `GET /api/serve/applications/` of Ray Serve 2.60 says, reduced to what Tidegate needs. Pure.

Strict about what decisions rest on, blind to everything else: an unknown status or a new field changes nothing.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from serving.reason import reason_in, slow_start

Json = dict[str, Any]

REPLICA_PREFIX: Final = "SERVE_REPLICA::"
"""How the names of replicas begin in `target_groups`; with no replica running, Ray Serve lists its proxy instead."""


class ReplicaTarget(BaseModel):
    """A replica that Ray Serve would send requests to: where it can be asked for its own server's port.

    `name` is that of Ray's actor, never used twice; `path` is the route of its application.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    ip: str
    port: int
    path: str = "/"


class _TargetGroup(BaseModel):
    targets: list[ReplicaTarget]
    route_prefix: str = "/"
    protocol: str = "HTTP"
    app_name: str = ""


class _Deployment(BaseModel):
    status: str = ""
    message: str = ""

    @property
    def scaling(self) -> bool:
        """Whether its message is no complaint but the numbers it goes from and to."""
        return self.status in ("UPSCALING", "DOWNSCALING") and slow_start(self.message) is None


class Application(BaseModel):
    """One application. `config` is the configuration it was put with, None while Ray Serve does not know it."""

    name: str
    status: str
    message: str = ""
    source: str = ""
    config: Annotated[Json | None, Field(alias="deployed_app_config")] = None
    deployments: dict[str, _Deployment] = Field(default_factory=dict)

    @property
    def declared(self) -> bool:
        """Whether it was put over REST, so that the next PUT deletes it unless it lists it."""
        return self.source == "declarative"

    @property
    def deleting(self) -> bool:
        """Whether it is on its way out."""
        return self.status == "DELETING"

    @property
    def failed(self) -> bool:
        """Whether Ray Serve has given up starting it."""
        return self.status == "DEPLOY_FAILED"

    @property
    def reason(self) -> str:
        """Why it does not run, in one sentence; empty when nothing is wrong."""
        # The deployment's own message holds the exception, the application's only says which deployment it was.
        told = (*(each.message for each in self.deployments.values() if not each.scaling), self.message)
        return next((reason_in(message) for message in told if message.strip()), "")


class ServeDetails(BaseModel):
    """The whole answer. `applications` is empty as well when Ray Serve has not been started."""

    applications: dict[str, Application]
    target_groups: list[_TargetGroup] = Field(default_factory=list)
    proxy_location: str | None = None
    http_options: Json | None = None
    grpc_options: Json | None = None
    target_capacity: float | None = None

    @property
    def options(self) -> Json:
        """What a PUT must repeat so that nothing about Ray Serve itself changes."""
        return self.model_dump(
            include={"proxy_location", "http_options", "grpc_options", "target_capacity"}, exclude_none=True
        )

    def targets(self) -> Mapping[str, tuple[ReplicaTarget, ...]]:
        """The replicas listed for each application. An application that is missing here is not spoken of at all."""
        listed: dict[str, tuple[ReplicaTarget, ...]] = {}
        for group in self.target_groups:
            if group.protocol == "HTTP" and group.app_name in self.applications:
                replicas = tuple(
                    target.model_copy(update={"path": group.route_prefix})
                    for target in group.targets
                    if target.name.startswith(REPLICA_PREFIX)
                )
                listed[group.app_name] = listed.get(group.app_name, ()) + replicas
        return listed
