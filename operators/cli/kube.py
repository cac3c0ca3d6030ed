"""The backend for a cluster: the API server that a kubeconfig names. What acts on rollouts is the operator there."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, cast

import urllib3
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger
from kubernetes.stream import portforward
from kubernetes.watch import Watch

from operators.api import API_VERSION, InvalidManifest, ModelRollout, Problem, RolloutKey, parse_manifest
from operators.cli import reach
from operators.cli.backend import Door, Idle
from operators.cli.errors import CliError
from operators.cli.following import Object, following
from operators.cli.refusal import Absent, refusal
from operators.cli.session import warn
from operators.manifests import Document
from operators.plan import Event
from operators.ports import StoreUnavailable
from operators.stored import Admitted, Applied, StoredEvent

GROUP, VERSION = API_VERSION.split("/")
PLURAL: Final = "modelrollouts"
MANAGER: Final = "tidegate"
"""Owns the fields of applied manifests."""
COMMANDER: Final = "tidegate-command"
"""Owns what commands such as `pause` change: a manifest that says otherwise later is told so."""
LEASES: Final = reach.TIDEGATE
"""Marks the Leases of operators."""

_REQUEST: Final = (5.0, 30.0)
"""Seconds to connect, and between two pieces of an answer."""
_WATCH_SECONDS: Final = 60
"""The length of a watch. A connection that died silently is noticed then."""
_GONE_SECONDS: Final = 60.0
"""A Lease that was not renewed for this long belongs to nobody: another replica would have had it long before."""


class KubeBackend:
    """Rollouts of the cluster that a kubeconfig names."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        """Read the kubeconfig: this one, else that of `$KUBECONFIG` or of the home folder. Raises `CliError`."""
        configuration, self._namespace = _configured(kubeconfig, context)
        self._server = configuration.host
        api = client.ApiClient(configuration)
        self._objects, self._core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        self._leases = client.CoordinationV1Api(api)
        self._unreadable: set[str] = set()

    @property
    def namespace(self) -> str:
        """That of the context."""
        return self._namespace

    def rollouts(self, namespace: str | None) -> Sequence[ModelRollout]:
        """The rollouts of a namespace, or of all. One that cannot be read is left out, with a warning."""
        return self._readable(self.list(namespace, None)[0])

    def rollout(self, key: RolloutKey) -> ModelRollout | None:
        """One rollout, None when there is none of this name."""
        try:
            with self.explained():
                found = self._objects.get_namespaced_custom_object(**_named(key), _request_timeout=_REQUEST)
        except Absent:
            return None
        return _parsed(cast("dict[str, Any]", found))

    def follow(self, namespace: str | None, name: str | None, seconds: float) -> Iterator[Sequence[ModelRollout]]:
        """The rollouts, again whenever the API server tells of a change."""
        found = following(_Source(self, namespace, name), seconds)
        with closing(found):
            for objects in found:
                yield self._readable(objects) if name is None else [_parsed(one) for one in objects]

    def events(self, rollout: ModelRollout) -> Sequence[StoredEvent]:
        """The cluster's Events about a rollout, oldest first. They are kept for an hour, usually."""
        uid, namespace = rollout.metadata.uid, rollout.key.namespace
        selector = f"involvedObject.kind=ModelRollout,involvedObject.uid={uid}"
        try:
            with self.explained():
                found = self._core.list_namespaced_event(namespace, field_selector=selector, _request_timeout=_REQUEST)
        except CliError as error:
            warn(f"no events are shown: {error}")
            return []
        return sorted((_event(one) for one in found.items), key=lambda event: event.at)

    def admit(self, document: Document, force: bool = False) -> Admitted:
        """Check a manifest here, then let the API server try it without storing it.

        Nothing on this machine is looked at: a model's URI names a file that the cluster's pods see.
        """
        rollout = _parsed_for_cluster(document.content)
        content = {name: value for name, value in document.content.items() if name != "status"}
        after = self._apply(rollout.key, content, force, dry_run="All")
        if after["metadata"].get("deletionTimestamp"):
            raise InvalidManifest([Problem("metadata.name", f"{rollout.key} is being deleted: wait until it is gone")])
        return Admitted(document.place, content, parse_manifest(after), {})

    def applied(self, admitted: Admitted) -> ModelRollout:
        """The rollout as the API server said it would be."""
        return admitted.rollout

    def apply(self, admitted: Admitted, force: bool = False) -> Applied:
        """Store a manifest by server-side apply: fields that it does not name stay as others have set them."""
        before = self.rollout(admitted.rollout.key)
        after = parse_manifest(self._apply(admitted.rollout.key, admitted.content, force))
        if before is None:
            return Applied.CREATED
        same = before.spec == after.spec and before.metadata == after.metadata
        return Applied.UNCHANGED if same else Applied.CONFIGURED

    def annotate(self, key: RolloutKey, annotations: Mapping[str, str]) -> None:
        """Leave a command on a rollout that exists."""
        self._merge(key, {"metadata": {"annotations": dict(annotations)}})

    def set_paused(self, key: RolloutKey, paused: bool) -> None:
        """Change `spec.paused` of a rollout that exists."""
        self._merge(key, {"spec": {"paused": paused}})

    def delete(self, key: RolloutKey) -> bool:
        """Ask for the end of a rollout; the operator takes away what runs for it first."""
        try:
            with self.explained():
                self._objects.delete_namespaced_custom_object(**_named(key), _request_timeout=_REQUEST)
        except Absent:
            return False
        return True

    def idle(self) -> Idle | None:
        """Look for a sign of life in the operators' Leases. Who may not list them, or finds none, gets no answer.

        The time is the API server's: the clock of this machine may be wrong.
        """
        try:
            with self.explained():
                found, _, headers = self._leases.list_lease_for_all_namespaces_with_http_info(
                    label_selector=LEASES, _request_timeout=_REQUEST
                )
        except (CliError, StoreUnavailable):
            return None
        last = max(_signs_of_life(found.items), default=None)
        if last is None or "Date" not in headers:
            return None
        if (parsedate_to_datetime(headers["Date"]) - last).total_seconds() < _GONE_SECONDS:
            return None
        return Idle(
            "no operator is running in this cluster",
            "once one does",
            "see why: kubectl get pods -A -l app.kubernetes.io/name=tidegate",
        )

    def monitor(self, namespace: str) -> AbstractContextManager[Door]:
        """The monitor's pod, by a port-forward."""
        return reach.monitor(self, namespace)

    def router(self, namespace: str) -> AbstractContextManager[Door]:
        """A router's pod, by a port-forward."""
        return reach.router(self, namespace)

    def pods(self, namespace: str | None, selector: str) -> Sequence[Object]:
        """The pods with these labels."""
        with self.explained():
            if namespace is None:
                found = self._core.list_pod_for_all_namespaces(label_selector=selector, _request_timeout=_REQUEST)
            else:
                found = self._core.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=_REQUEST)
        return cast("Sequence[Object]", self._core.api_client.sanitize_for_serialization(found.items))

    def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """What a Secret has, in base64."""
        with self.explained():
            found = self._core.read_namespaced_secret(name, namespace, _request_timeout=_REQUEST).data
        return {key: str(value) for key, value in (found or {}).items()}

    def dial(self, namespace: str, pod: str, port: int) -> object:
        """A connection to a port of a pod, as a socket."""
        with self.explained():
            forward = self._core.connect_get_namespaced_pod_portforward
            return portforward(forward, pod, namespace, ports=str(port)).socket(port)

    def list_method(self, namespace: str | None) -> Callable[..., object]:
        if namespace is None:
            return self._objects.list_custom_object_for_all_namespaces
        return self._objects.list_namespaced_custom_object

    def list(self, namespace: str | None, name: str | None) -> tuple[Sequence[Object], str]:
        """Objects, and the version of their list."""
        with self.explained():
            answer = self.list_method(namespace)(**_selected(namespace, name), _request_timeout=_REQUEST)
        found = cast("dict[str, Any]", answer)
        return found["items"], found["metadata"]["resourceVersion"]

    def _apply(
        self, key: RolloutKey, content: Mapping[str, object], force: bool, dry_run: str | None = None
    ) -> Mapping[str, Any]:
        """The rollout that server-side apply makes of the manifest."""
        with self.explained():
            answer = self._objects.patch_namespaced_custom_object(
                **_named(key),
                body=dict(content),
                field_manager=MANAGER,
                field_validation="Strict",
                force=force,
                dry_run=dry_run,
                _content_type="application/apply-patch+yaml",
                _preload_content=False,  # the client does not know that a patch may create, and would give nothing
                _request_timeout=_REQUEST,
            )
            response = cast("urllib3.HTTPResponse", answer)
            if response.status not in (200, 201):
                raise ApiException(http_resp=response)
            return cast("dict[str, Any]", response.json())

    def _merge(self, key: RolloutKey, changes: dict[str, Any]) -> None:
        with self.explained():
            self._objects.patch_namespaced_custom_object(
                **_named(key),
                body=changes,
                field_manager=COMMANDER,
                _content_type="application/merge-patch+json",
                _request_timeout=_REQUEST,
            )

    def _readable(self, objects: Sequence[Object]) -> Sequence[ModelRollout]:
        """All that this version of Tidegate can read; a warning, once, for each other one."""
        rollouts = []
        for one in objects:
            try:
                rollouts.append(_parsed(one))
            except CliError as error:
                if str(error) not in self._unreadable:
                    self._unreadable.add(str(error))
                    warn(f"warning: {error}")
        return sorted(rollouts, key=lambda rollout: rollout.key)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say in a sentence what the API server, or the way to it, means."""
        try:
            yield
        except ApiException as error:
            # A WebSocket that was not made has no status of its own: what it got for an answer is behind it.
            answer = error.__context__
            status = int(error.status or getattr(answer, "status_code", 0))
            body = error.body or getattr(answer, "resp_body", None) or error.reason or ""
            if not status:
                raise StoreUnavailable(f"the cluster {self._server} cannot be reached: {body}") from error
            text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
            raise refusal(status, text, self._server) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = str(getattr(error, "reason", None) or error).partition("): ")
            raise StoreUnavailable(
                f"the cluster {self._server} cannot be reached: {reason[2] or reason[0]}; "
                "is it running, and is this the right context? kubectl config get-contexts"
            ) from error


class _Source:
    """What there is to follow: rollouts of a cluster."""

    def __init__(self, backend: KubeBackend, namespace: str | None, name: str | None) -> None:
        self._backend, self._namespace, self._name = backend, namespace, name
        self._watch = Watch(return_type="object")  # type: ignore[no-untyped-call]

    def list(self) -> tuple[Sequence[Object], str]:
        return self._backend.list(self._namespace, self._name)

    def watch(self, version: str) -> Iterator[tuple[str, Object]]:
        with self._backend.explained():
            try:
                events = self._watch.stream(  # type: ignore[no-untyped-call]
                    self._backend.list_method(self._namespace),
                    **_selected(self._namespace, self._name),
                    resource_version=version,
                    timeout_seconds=_WATCH_SECONDS,
                    _request_timeout=(_REQUEST[0], _WATCH_SECONDS + _REQUEST[1]),
                )
                for event in events:
                    yield event["type"], event["raw_object"]
            except ApiException as error:
                if error.status != 410:  # too old a version: it is listed again
                    raise

    def stop(self) -> None:
        self._watch.stop()  # type: ignore[no-untyped-call]


def _configured(kubeconfig: Path | None, context: str | None) -> tuple[client.Configuration, str]:
    """How to reach the API server, and the namespace of the context."""
    files = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    configuration = client.Configuration()
    configuration.retries = 0  # whoever reads the message tries again
    try:
        merger = KubeConfigMerger(files)  # type: ignore[no-untyped-call]
        if merger.config is None:
            raise CliError(f"there is no kubeconfig at {files}", "name one: --kubeconfig FILE, or KUBECONFIG=FILE")
        loader = KubeConfigLoader(  # type: ignore[no-untyped-call]
            merger.config, active_context=context, config_base_path=None, config_persister=merger.save_changes
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        chosen = loader.current_context["context"]
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CliError(
            f"the kubeconfig {files} cannot be used: {error}", "look at it: kubectl config get-contexts"
        ) from error
    if not configuration.verify_ssl:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the kubeconfig wants it so
    return configuration, chosen.get("namespace") or "default"


def _named(key: RolloutKey) -> dict[str, Any]:
    """The arguments that name one rollout."""
    return {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": key.namespace, "name": key.name}


def _selected(namespace: str | None, name: str | None) -> dict[str, Any]:
    """The arguments that name several."""
    where = {"namespace": namespace, "plural": PLURAL} if namespace else {"resource_plural": PLURAL}
    which = {"field_selector": f"metadata.name={name}"} if name else {}
    return {"group": GROUP, "version": VERSION, **where, **which}


def _signs_of_life(leases: Sequence[client.V1Lease]) -> Iterator[datetime]:
    """When each Lease was renewed last; when it was made, if nobody ever held it."""
    for lease in leases:
        if lease.spec is not None and lease.spec.renew_time is not None:
            yield lease.spec.renew_time
        elif lease.metadata is not None and lease.metadata.creation_timestamp is not None:
            yield lease.metadata.creation_timestamp


def _parsed(one: Object) -> ModelRollout:
    """Raises `CliError` when this version of Tidegate cannot read it."""
    try:
        return parse_manifest(one)
    except InvalidManifest as error:
        name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
        raise CliError(
            f"modelrollout/{name} cannot be read by this version of Tidegate: {error}",
            f"look at it: kubectl describe modelrollout {name} -n {namespace}",
        ) from error


def _parsed_for_cluster(content: Mapping[str, object]) -> ModelRollout:
    """A manifest as a person wrote it. Raises `InvalidManifest`."""
    try:
        return parse_manifest(content)
    except InvalidManifest as error:
        raise InvalidManifest([*map(_about_volumes, error.problems)]) from error


def _about_volumes(problem: Problem) -> Problem:
    """What is wrong with a URI is mostly that it names a file of this machine."""
    if not problem.field.endswith("model.uri"):
        return problem
    reason = f"{problem.reason}; a cluster reads models from its own volumes, such as file:///models/iris.joblib"
    return Problem(problem.field, reason)


def _event(one: client.CoreV1Event) -> StoredEvent:
    at = (one.series and one.series.last_observed_time) or one.last_timestamp or one.event_time or one.first_timestamp
    count = (one.series and one.series.count) or one.count or 1
    message = f"{one.message} ({count} times)" if count > 1 else str(one.message)
    return StoredEvent(at.timestamp() if at else 0.0, Event(str(one.reason), message, one.type == "Warning"))
