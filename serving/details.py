"""What `GET /api/serve/applications/` of Ray Serve 2.60 says, reduced to what Tidegate needs. Pure.

Strict about what decisions rest on, blind to everything else: an unknown status or a new field changes nothing.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from serving.reason import reason_in

Json = dict[str, Any]

REPLICA_PREFIX: Final = "SERVE_REPLICA::"
"""How the names of replicas begin in `target_groups`; with no replica running, Ray Serve lists its proxy instead."""


class ReplicaTarget(BaseModel):
    """A replica that Ray Serve would send requests to: where it can be asked for its own server's port."""

    model_config = ConfigDict(frozen=True)

    name: str
    ip: str
    port: int

    @property
    def replica(self) -> str:
        """Ray Serve's full id of the replica."""
        return self.name.removeprefix(REPLICA_PREFIX)


class _TargetGroup(BaseModel):
    targets: list[ReplicaTarget]
    protocol: str = "HTTP"
    app_name: str = ""


class _Deployment(BaseModel):
    status: str = ""
    message: str = ""


class Application(BaseModel):
    """One application. `config` is the configuration it was put with, None while Ray Serve does not know it."""

    name: str
    status: str
    message: str = ""
    source: str = ""
    route_prefix: str | None = None
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
        told = [deployment.message for deployment in self.deployments.values() if deployment.status == "UNHEALTHY"]
        return next((reason_in(message) for message in (*told, self.message) if message.strip()), "")


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
                replicas = tuple(target for target in group.targets if target.name.startswith(REPLICA_PREFIX))
                listed[group.app_name] = listed.get(group.app_name, ()) + replicas
        return listed
