"""Which replicas can be sent requests, and where: Ray Serve's changing list, told apart from its silences. Pure.

Ray Serve lists replicas with the port of its own server. Each new one is asked there once for the port of ours; the
answer holds as long as the replica lives. A list that is empty or missing is no proof that nothing runs: while an
application is being built again its replicas are not listed though they serve, and after a crash of its controller
Ray Serve lists nobody for a moment.
"""

from collections.abc import Mapping

from pydantic import BaseModel

from serving.details import ReplicaTarget, ServeDetails
from serving.spec import Acceleration, ReplicaAddress


class ServerAnswer(BaseModel):
    """What a replica answers when it is asked through Ray Serve's port."""

    port: int
    pid: int
    replica: str
    version: str
    acceleration: Acceleration | None = None


class Discovery:
    """What was listed last, and what the replicas have answered."""

    def __init__(self) -> None:
        self._listed: dict[str, tuple[ReplicaTarget, ...]] = {}
        self._doubted: set[str] = set()
        self._answers: dict[str, ReplicaAddress] = {}
        self._accelerations: dict[str, Acceleration] = {}

    def see(self, details: ServeDetails) -> list[ReplicaTarget]:
        """Take in an answer of Ray Serve; returns the replicas that have yet to be asked."""
        listed = details.targets()
        present = [name for name, app in details.applications.items() if not app.deleting]
        self._listed = {name: self._believe(name, listed) for name in present}
        self._doubted.intersection_update(present)
        targets = [target for group in self._listed.values() for target in group]
        alive = {target.name for target in targets}
        self._answers = {name: address for name, address in self._answers.items() if name in alive}
        self._accelerations = {name: said for name, said in self._accelerations.items() if name in alive}
        return [target for target in targets if target.name not in self._answers]

    def learn(self, target: ReplicaTarget, answer: ServerAnswer) -> None:
        """Take in the answer of a replica. Another replica's is ignored: it has come by the port of a dead one."""
        if answer.replica == target.name:
            self._answers[target.name] = ReplicaAddress(target.ip, answer.port, target.name)
            if answer.acceleration is not None:
                self._accelerations[target.name] = answer.acceleration

    def replicas(self, application: str) -> tuple[ReplicaAddress, ...]:
        """The replicas of an application that are listed and have answered, sorted."""
        targets = self._listed.get(application, ())
        return tuple(sorted(self._answers[target.name] for target in targets if target.name in self._answers))

    def acceleration(self, application: str) -> Acceleration | None:
        """What its replicas say of theirs: one that is not converted speaks for all."""
        targets = self._listed.get(application, ())
        return min((said for target in targets if (said := self._accelerations.get(target.name))), default=None)

    def _believe(self, name: str, listed: Mapping[str, tuple[ReplicaTarget, ...]]) -> tuple[ReplicaTarget, ...]:
        known = self._listed.get(name, ())
        if name not in listed:
            return known
        if listed[name] or name in self._doubted:
            self._doubted.discard(name)
            return listed[name]
        self._doubted.add(name)
        return known
