"""The way to the monitor's pod: which pod, which token, and the port that leads there."""

import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from operators.cli.errors import CliError
from operators.cli.forward import LOOPBACK, forwarded
from operators.cli.reach import monitor, router

DEADLINE = 60.0


def pod(name: str, namespace: str = "models", *, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    secret = {"secretName": "the-secret", "items": [{"key": "token", "path": "token"}]}
    ports = [{"name": "metrics", "containerPort": 8090}, {"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "containers": [{"ports": ports}, {}],
            "volumes": [{"name": "tmp"}, {"name": "monitor-token", "secret": secret}],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


@dataclass
class FakeCluster:
    """Pods, and one Secret; who dials a pod reaches an echo that says its name first."""

    found: Sequence[Mapping[str, Any]]
    token: str = "the-token\n"
    dialled: list[tuple[str, str, int]] = field(default_factory=list)

    def pods(self, namespace: str | None, selector: str) -> Sequence[Mapping[str, Any]]:
        assert selector.startswith("app.kubernetes.io/name=tidegate,app.kubernetes.io/component=")
        return [one for one in self.found if namespace in (None, one["metadata"]["namespace"])]

    def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        return {"token": b64encode(self.token.encode()).decode()} if name == "the-secret" else {}

    def dial(self, namespace: str, pod: str, port: int) -> socket.socket:
        self.dialled.append((namespace, pod, port))
        return echo(pod)


def echo(name: str) -> socket.socket:
    """One end of a connection; the other one says a name, and then whatever it hears."""
    here, there = socket.socketpair()

    def answer() -> None:
        with there, suppress(OSError):
            there.sendall(name.encode())
            while piece := there.recv(1024):
                there.sendall(piece)

    Thread(target=answer, daemon=True).start()
    return here


def heard(port: int, words: bytes, length: int) -> bytes:
    with socket.create_connection((LOOPBACK, port), timeout=DEADLINE) as connection:
        connection.sendall(words)
        found = b""
        while len(found) < length:
            piece = connection.recv(1024)
            assert piece, found
            found += piece
        return found


def port_of(url: str) -> int:
    found = urlsplit(url).port
    assert found is not None
    return found


def test_the_monitors_pod_of_the_own_namespace_is_reached_with_its_token() -> None:
    cluster = FakeCluster([pod("b"), pod("a"), pod("0", ready=False), pod("elsewhere", "other")])
    with monitor(cluster, "models") as door:
        assert door.token == "the-token"
        assert "the-token" not in repr(door)
        for word in (b"one", b"two", b"three"):  # the first connection is the one that was tried
            assert heard(port_of(door.url), word, 1 + len(word)) == b"a" + word
    assert cluster.dialled == [("models", "a", 8090)] * 3


def test_a_router_elsewhere_is_reached_if_it_is_the_only_one() -> None:
    cluster = FakeCluster([pod("a", "other")])
    with router(cluster, "models") as door:
        assert heard(port_of(door.url), b"", 1) == b"a"
    assert cluster.dialled == [("other", "a", 8080)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "no monitor of Tidegate can be asked: the cluster has none\nsee why: kubectl get pods -A -l "),
        ([pod("a", ready=False)], "can be asked: that of namespace models is not ready"),
        ([pod("a", deletionTimestamp="now")], "can be asked: that of namespace models is not ready"),
        ([pod("a", "one"), pod("b", "two")], "several namespaces have a monitor of Tidegate: one, two"),
    ],
)
def test_without_a_pod_to_ask_it_is_said_why(found: Sequence[Mapping[str, Any]], said: str) -> None:
    with pytest.raises(CliError, match=said), monitor(FakeCluster(found), "models"):
        pass


def test_a_pod_without_a_token_is_not_asked() -> None:
    bare = pod("a")
    bare["spec"]["volumes"] = []
    for cluster in (FakeCluster([bare]), FakeCluster([pod("a")], token="")):
        with (
            pytest.raises(CliError, match="the token of the monitor was not found: pod a in namespace models"),
            monitor(cluster, "models"),
        ):
            pass
        assert cluster.dialled == []


def test_what_stands_in_the_way_is_known_before_the_port_is_used() -> None:
    def dial() -> socket.socket:
        raise CliError("jane may not create pods/portforward")

    with pytest.raises(CliError, match="may not create"), forwarded(dial):
        pass


@pytest.fixture
def vanishing() -> Iterator[int]:
    """A port to a pod that goes away after the first connection."""
    made = [echo("a")]

    def dial() -> socket.socket:
        if not made:
            raise CliError("the pod is gone")
        return made.pop()

    with forwarded(dial) as port:
        yield port


def test_a_connection_that_cannot_be_made_later_is_closed(vanishing: int) -> None:
    assert heard(vanishing, b"x", 2) == b"ax"
    with socket.create_connection((LOOPBACK, vanishing), timeout=DEADLINE) as connection:
        assert connection.recv(1) == b""


def test_the_port_is_closed_when_the_block_is_left() -> None:
    with forwarded(lambda: echo("a")) as port:
        pass
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((LOOPBACK, port), timeout=DEADLINE)
