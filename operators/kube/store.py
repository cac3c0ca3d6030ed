"""`RolloutStore` over the API server.

The status is replaced whole, through its subresource, by a patch that only fits the very object that was decided about.
A command is an annotation, and annotations cannot be written together with a status; so `status.answered` names the
commands that the status answers, with a token. Then they are taken back, and the annotation `tidegate.dev/answered`
gets the token. While the two tokens differ, somebody died in between: the commands are hidden, and taken back again.

An object whose deletion must wait until its versions are drained carries the finalizer `tidegate.dev/drain`: from
before its status first names a version, until it is forgotten.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from operators.api import API_VERSION, KIND, InvalidManifest, ModelRollout, RolloutKey, parse_manifest, status_to_json
from operators.kube.client import EVENTS, ROLLOUTS, Api, Conflict, NotFound, Object, Patch
from operators.kube.events import event_json
from operators.kube.held import refused_status, stand_in
from operators.plan import Command, Event
from operators.ports import Clock, PortUnavailable, StoreRefused, StoreUnavailable
from operators.status import RolloutStatus
from router.ir import RouteKey

FINALIZER: Final = "tidegate.dev/drain"
ANSWERED: Final = "tidegate.dev/answered"
"""The annotation with the token of the commands that were taken back last."""
RELIST_SECONDS: Final = 300.0
"""A deletion that no watch told of is noticed after this time at the latest."""
AGAIN_SECONDS: Final = 5.0
"""The pause before something that is still to be written, but that no rollout waits for, is tried again."""
ATTEMPTS: Final = 5
"""How often a change of metadata is tried while others change the object, too."""

Edit = Callable[[Object], Object | None]
"""From the metadata of an object to what must change in it; None when nothing must."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """One object as the API server gave it last, and what it means.

    `rollout` was read from the object's version `read`, less the commands that were answered before; it is None when
    nothing can be made of the object. `error` says what is wrong with the manifest.
    """

    metadata: Object
    status: Object
    read: str
    rollout: ModelRollout | None = None
    error: InvalidManifest | None = None

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.get("annotations") or {}

    @property
    def answered(self) -> Sequence[str]:
        """Annotations of commands that the status answers and that nobody has taken back, as far as is known."""
        answered = self.status.get("answered") or {}
        settled = self.annotations.get(ANSWERED) == answered.get("token")
        return [] if settled else list(answered.get("commands") or ())


class KubeStore:
    """The ModelRollouts of some namespaces, or of all without any."""

    def __init__(self, api: Api, namespaces: Sequence[str], clock: Clock) -> None:
        """Nothing is asked yet."""
        self._api = api
        self._namespaces = namespaces
        self._clock = clock
        self._known: dict[RolloutKey, _Known] = {}
        self._news = asyncio.Event()

    def seen(self, changed: Object | None, gone: bool = False) -> None:
        """See `operators.kube.watch.Seen`. What this process wrote is no news."""
        known = None if changed is None else self._known.get(_key(changed))
        if gone or changed is None or known is None or _relevant(changed["metadata"]) != _relevant(known.metadata):
            self._news.set()

    def uid(self, key: RouteKey) -> str | None:
        """The uid of a rollout of the last list."""
        known = self._known.get(RolloutKey(key.namespace, key.name))
        return None if known is None else str(known.metadata["uid"])

    async def list(self) -> Sequence[ModelRollout]:
        """All rollouts. One that makes no sense is held as it is, and its conditions say so."""
        documents = await self._api.objects(ROLLOUTS, self._namespaces)
        self._known = {_key(document): self._read(document) for document in documents}
        for key, known in self._known.items():
            try:
                await self._catch_up(key, known)
            except PortUnavailable as error:
                log.warning("%s waits for another attempt: %s", key, error)
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._news.set)
        return [known.rollout for known in self._known.values() if known.rollout is not None]

    async def changes(self) -> AsyncIterator[RolloutKey | None]:
        """None at the beginning, whenever a rollout was changed by somebody else, and every few minutes."""
        yield None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELIST_SECONDS):
                    await self._news.wait()
            self._news.clear()
            yield None

    async def put_status(self, key: RolloutKey, status: RolloutStatus, consumed: Sequence[Command] = ()) -> None:
        """Replace the status, then take back the commands that it answers.

        Once the status is written the commands count as taken back, even if the second write fails.
        """
        known = self._known.get(key)
        if known is None or known.rollout is None:
            raise StoreRefused(f"{key} is gone")
        if status.stable is not None or status.candidate is not None or status.retiring:
            await self._edit(key, known, _with_finalizer)
        decided = known.rollout.metadata.annotations
        given = {command.annotation: decided.get(command.annotation) for command in consumed}
        answered = known.status.get("answered")
        if given:
            answered = {"token": uuid.uuid4().hex, "commands": sorted({*given, *known.answered})}
        content = status_to_json(status) | ({"answered": answered} if answered else {})
        await self._put(key, known, content)
        if answered and given:
            try:
                await self._edit(key, known, _taking_back(dict.fromkeys(known.answered) | given, answered["token"]))
            except PortUnavailable as error:
                log.warning("commands of %s are answered and stay hidden until they can be taken back: %s", key, error)
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._news.set)

    async def record(self, key: RolloutKey, events: Sequence[Event]) -> None:
        """Tell Kubernetes."""
        known = self._known.get(key)
        if known is None:
            return
        for event in events:
            await self._api.create(EVENTS, key.namespace, event_json(known.metadata, event, self._clock.now()))

    async def forget(self, key: RolloutKey) -> None:
        """Let the API server delete the object."""
        known = self._known.get(key)
        if known is not None:
            with contextlib.suppress(NotFound):
                await self._edit(key, known, without_finalizer)

    def _read(self, document: Object) -> _Known:
        metadata, version = document["metadata"], document["metadata"]["resourceVersion"]
        before = self._known.get(_key(document))
        if before is not None and before.metadata["uid"] == metadata["uid"] and before.read == version:
            return before
        known = _Known(metadata, document.get("status") or {}, version)
        hidden = known.answered
        shown = {name: value for name, value in known.annotations.items() if name not in hidden}
        document = document | {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata | {"annotations": shown}}
        try:
            known.rollout = parse_manifest(document)
        except InvalidManifest as error:
            known.rollout, known.error = stand_in(document), error
        return known

    async def _catch_up(self, key: RolloutKey, known: _Known) -> None:
        """Write what an earlier process did not get to, and what is wrong with the manifest."""
        if known.answered:
            await self._edit(
                key, known, _taking_back(dict.fromkeys(known.answered), str(known.status["answered"]["token"]))
            )
        if known.error is not None:
            status = refused_status(known.metadata, known.status, known.error, self._clock.now())
            if status is not None:
                await self._put(key, known, status)
                await self.record(key, [Event("Invalid", status["message"], warning=True)])

    async def _put(self, key: RolloutKey, known: _Known, status: Object) -> None:
        """Replace the status of this very object."""
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": known.metadata["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        document = await self._api.patch(
            ROLLOUTS, key.namespace, key.name, Patch.JSON, operations, subresource="status"
        )
        if _relevant(document["metadata"]) != _relevant(known.metadata):
            self._news.set()  # somebody else was here: the watch's word about it will look like old news
        known.metadata, known.status = document["metadata"], status

    async def _edit(self, key: RolloutKey, known: _Known, edit: Edit) -> None:
        """Change metadata; again and again while others do, too."""
        for _ in range(ATTEMPTS):
            changes = edit(known.metadata)
            if changes is None:
                return
            fixed = {name: known.metadata[name] for name in ("uid", "resourceVersion")}
            try:
                document = await self._api.patch(
                    ROLLOUTS, key.namespace, key.name, Patch.MERGE, {"metadata": fixed | changes}
                )
            except Conflict:
                document = await self._api.get(ROLLOUTS, key.namespace, key.name)
                if document["metadata"]["uid"] != fixed["uid"]:
                    raise NotFound(404, f"{key} is another one now") from None
                known.metadata = document["metadata"]
                self._news.set()
            else:
                known.metadata = document["metadata"]
                return
        raise StoreUnavailable(f"the metadata of {key} was changed by somebody else {ATTEMPTS} times in a row")


def without_finalizer(metadata: Object) -> Object | None:
    """Take Tidegate's finalizer away."""
    found = metadata.get("finalizers") or []
    return {"finalizers": [name for name in found if name != FINALIZER]} if FINALIZER in found else None


def _with_finalizer(metadata: Object) -> Object | None:
    found = metadata.get("finalizers") or []
    # Kubernetes takes no new finalizers once an object is being deleted.
    return {"finalizers": [*found, FINALIZER]} if FINALIZER not in found and _living(metadata) else None


def _taking_back(commands: Mapping[str, str | None], token: str) -> Edit:
    """Take commands back that still say what was answered (whatever they say, if that is not known)."""

    def edit(metadata: Object) -> Object:
        found = metadata.get("annotations") or {}
        gone = [name for name, value in commands.items() if value is None or found.get(name) == value]
        return {"annotations": {**dict.fromkeys(gone), ANSWERED: token}}

    return edit


def _living(metadata: Object) -> bool:
    return "deletionTimestamp" not in metadata


def _relevant(metadata: Object) -> tuple[object, ...]:
    """What of an object can change a decision. Its status is the operator's own."""
    names = ("uid", "generation", "annotations", "deletionTimestamp", "finalizers")
    return tuple(metadata.get(name) for name in names)


def _key(document: Object) -> RolloutKey:
    metadata = document["metadata"]
    return RolloutKey(metadata["namespace"], metadata["name"])
