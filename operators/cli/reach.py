"""The way to pods of Tidegate's own in a cluster, for people who may forward ports there."""

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from operators.cli.backend import Door
from operators.cli.errors import CliError
from operators.cli.following import Object
from operators.cli.forward import LOOPBACK, forwarded

TIDEGATE: Final = "app.kubernetes.io/name=tidegate"
"""The label of all that belongs to a release."""


class Cluster(Protocol):
    """Methods raise `CliError` when something is not allowed, and `StoreUnavailable` when it cannot be reached."""

    def pods(self, namespace: str | None, selector: str) -> Sequence[Object]:
        """The pods with these labels, as JSON."""

    def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """What a Secret has, in base64."""

    def dial(self, namespace: str, pod: str, port: int) -> Any:
        """A connection to a port of a pod, as a socket."""


@contextmanager
def monitor(cluster: Cluster, namespace: str) -> Iterator[Door]:
    """The monitor, with the token that its pod has as a volume."""
    pod = _pod(cluster, "monitor", namespace)
    token = _token(cluster, pod, "monitor-token")
    with _forwarded(cluster, pod, "metrics") as port:
        yield Door(f"http://{LOOPBACK}:{port}", token)


@contextmanager
def router(cluster: Cluster, namespace: str) -> Iterator[Door]:
    """One of the routers."""
    with _forwarded(cluster, _pod(cluster, "router", namespace), "http") as port:
        yield Door(f"http://{LOOPBACK}:{port}")


def _pod(cluster: Cluster, component: str, namespace: str) -> Object:
    """A pod that is ready: in this namespace if there is one, else in the only one that has some."""
    selector = f"{TIDEGATE},app.kubernetes.io/component={component}"
    found = cluster.pods(namespace, selector) or cluster.pods(None, selector)
    places = sorted({pod["metadata"]["namespace"] for pod in found})
    if len(places) > 1:
        raise CliError(
            f"several namespaces have a {component} of Tidegate: {', '.join(places)}",
            "forward the port of the right one with kubectl, and name it as docs/cli.md says",
        )
    ready = [pod for pod in found if _is_ready(pod)]
    if not ready:
        state = f"that of namespace {places[0]} is not ready" if found else "the cluster has none"
        raise CliError(
            f"no {component} of Tidegate can be asked: {state}", f"see why: kubectl get pods -A -l {selector}"
        )
    return min(ready, key=lambda pod: str(pod["metadata"]["name"]))


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    going = "deletionTimestamp" in pod["metadata"]
    return not going and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _token(cluster: Cluster, pod: Object, volume: str) -> str:
    """The one file of a volume that is a Secret. Raises `CliError`."""
    namespace, secrets = pod["metadata"]["namespace"], {}
    for one in pod["spec"].get("volumes", ()):
        if one["name"] == volume and "secret" in one:
            secrets = one["secret"]
    name, key = secrets.get("secretName", ""), next((item["key"] for item in secrets.get("items", ())), "")
    found = cluster.secret(namespace, name).get(key) if name and key else None
    if not found:
        pod_name = pod["metadata"]["name"]
        raise CliError(
            f"the token of the monitor was not found: pod {pod_name} in namespace {namespace} names no Secret with it",
            f"see its volumes: kubectl get pod {pod_name} -n {namespace} -o yaml",
        )
    return b64decode(found).decode().strip()


@contextmanager
def _forwarded(cluster: Cluster, pod: Object, name: str) -> Iterator[int]:
    """A port of this machine that leads to the pod's port of this name."""
    every = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    number = next(port["containerPort"] for port in every if port.get("name") == name)
    namespace, pod_name = pod["metadata"]["namespace"], pod["metadata"]["name"]

    def dial() -> Any:
        try:
            return cluster.dial(namespace, pod_name, number)
        except CliError as error:
            if "is forbidden" not in str(error):
                raise
            # The API server does not say which right is missing when a connection may be asked for, but not made.
            check = f"kubectl auth can-i create pods/portforward -n {namespace}"
            raise CliError(
                f"a port of pod {pod_name} in namespace {namespace} may not be forwarded",
                "whoever administers the cluster can give you a Role with the verbs get and create for "
                f"pods/portforward; to check: {check}",
            ) from error

    with forwarded(dial) as port:
        yield port
