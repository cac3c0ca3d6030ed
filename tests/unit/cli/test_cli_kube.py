"""The backend for a cluster, where the API server's answers are rare ones; see tests/kube for the others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from stub_cluster import Answer, StubCluster, stub_cluster

from operators.api import RolloutKey
from operators.cli.errors import CliError
from operators.cli.kube import KubeBackend
from operators.ports import StoreUnavailable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
Serve = Callable[..., StubCluster]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(stub_cluster(answer))


def rollout(name: str, replicas: Any = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name, "namespace": "default", "uid": "u", **metadata},
        "spec": {"model": {"uri": "file:///m", "runtime": "sklearn"}, "serving": {"replicas": replicas}},
    }


def listed(*items: dict[str, Any], version: str = "7") -> Answer:
    return 200, {"kind": "ModelRolloutList", "metadata": {"resourceVersion": version}, "items": items}


# following


def test_a_version_that_is_too_old_to_watch_is_listed_again(serve: Serve, tmp_path: Path) -> None:
    lists = [listed(rollout("a")), listed(rollout("a", 2), version="9")]
    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

    def answer(method: str, path: str, query: dict[str, str]) -> Answer:
        if "watch" not in query:
            return lists.pop(0)
        if query["resourceVersion"] == "7":
            return 200, [expired]
        return 200, [{"type": "MODIFIED", "object": rollout("a", 3)}]

    cluster = serve(answer)
    found = KubeBackend(cluster.kubeconfig(tmp_path), None).follow("default", None, 60)
    assert [next(found)[0].spec.serving.replicas for _ in range(3)] == [1, 2, 3]
    found.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_watch_that_is_forbidden_later_is_an_error(serve: Serve, tmp_path: Path) -> None:
    message = 'User "jane" cannot watch resource "modelrollouts" in API group "tidegate.dev" in the namespace "default"'

    def answer(method: str, path: str, query: dict[str, str]) -> Answer:
        return (403, {"message": message}) if "watch" in query else listed(rollout("a"))

    found = KubeBackend(serve(answer).kubeconfig(tmp_path), None).follow("default", None, 60)
    next(found)
    with pytest.raises(CliError, match=r"jane may not watch modelrollouts\.tidegate\.dev in namespace default"):
        next(found)


# reading


def test_a_rollout_that_cannot_be_read_does_not_hide_the_others(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = KubeBackend(
        serve(lambda *_: listed(rollout("b"), rollout("odd", "many"), rollout("a"))).kubeconfig(tmp_path), None
    )
    for _ in range(2):
        assert [one.key.name for one in backend.rollouts("default")] == ["a", "b"]
    warning, *others = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: modelrollout/odd cannot be read by this version of Tidegate: spec.serving")
    assert others == ["look at it: kubectl describe modelrollout odd -n default"]


def test_one_that_was_asked_for_and_cannot_be_read_is_an_error(serve: Serve, tmp_path: Path) -> None:
    backend = KubeBackend(serve(lambda *_: (200, rollout("odd", "many"))).kubeconfig(tmp_path), None)
    with pytest.raises(CliError, match="modelrollout/odd cannot be read"):
        backend.rollout(RolloutKey("default", "odd"))


def test_the_namespace_is_the_contexts(serve: Serve, tmp_path: Path) -> None:
    cluster = serve(lambda *_: listed())
    assert KubeBackend(cluster.kubeconfig(tmp_path), None).namespace == "default"
    assert KubeBackend(cluster.kubeconfig(tmp_path, namespace="models"), None).namespace == "models"


def test_a_server_that_is_overloaded_is_unavailable_at_once(serve: Serve, tmp_path: Path) -> None:
    cluster = serve(lambda *_: (503, "no backend"))
    with pytest.raises(StoreUnavailable, match=r"cannot do this now \(HTTP 503\): no backend"):
        KubeBackend(cluster.kubeconfig(tmp_path), None).rollouts("default")
    assert len(cluster.asked) == 1


# whether an operator runs


def lease(made: float, renewed: float | None = None) -> dict[str, Any]:
    """A Lease that was made and renewed so many seconds ago."""
    spec = {} if renewed is None else {"holderIdentity": "operator-a", "renewTime": ago(renewed)}
    metadata = {"name": "tidegate-operator", "creationTimestamp": ago(made)}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("leases", "runs"),
    [
        ([lease(9000, renewed=3)], True),
        ([lease(9000, renewed=-20)], True),
        ([lease(9000, renewed=7200), lease(9000, renewed=10)], True),
        ([lease(5)], True),
        ([], True),
        ([lease(9000)], False),
        ([lease(9000, renewed=61)], False),
        ([lease(9000, renewed=7200), lease(9000, renewed=90)], False),
    ],
)
def test_no_operator_runs_when_no_lease_was_renewed_lately_by_the_servers_clock(
    serve: Serve, tmp_path: Path, leases: list[dict[str, Any]], runs: bool
) -> None:
    answer = {"apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList", "metadata": {}, "items": leases}
    cluster = serve(lambda *_: (200, answer))
    cluster.date = format_datetime(NOW, usegmt=True)
    idle = KubeBackend(cluster.kubeconfig(tmp_path), None).idle()
    assert (idle is None) == runs


@pytest.mark.parametrize("status", [403, 404, 503])
def test_who_may_not_see_leases_is_told_nothing(serve: Serve, tmp_path: Path, status: int) -> None:
    cluster = serve(lambda *_: (status, {"message": "no"}))
    assert KubeBackend(cluster.kubeconfig(tmp_path), None).idle() is None
