"""`python -m router`: its environment, its subcommands, and what it says when it cannot run."""

import json
import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from router.__main__ import main
from router.config import Address, RouterPaths
from router.pod.environment import BadEnvironment
from router.pod.settings import PodSettings

POD = {"POD_NAME": "router-0", "TIDEGATE_NAMESPACE": "models"}


def test_a_pod_follows_its_own_namespace_and_listens_on_all_interfaces() -> None:
    settings = PodSettings.read(POD)
    assert settings.name == "router-0"
    assert settings.namespaces == ("models",)
    assert settings.paths == RouterPaths(Path("/run/tidegate"))
    assert (settings.listen.host, settings.listen.port, settings.http_port) == ("0.0.0.0", 8080, 9901)
    assert settings.listen.monitor is None


def test_the_environment_decides() -> None:
    settings = PodSettings.read(
        POD
        | {
            "TIDEGATE_WATCH_NAMESPACES": "a, b,",
            "TIDEGATE_ROUTER_DIR": "/x",
            "TIDEGATE_LISTEN_PORT": "81",
            "TIDEGATE_HTTP_PORT": "82",
            "TIDEGATE_ENVOY_MAX_HEAP_BYTES": "1000",
            "TIDEGATE_MONITOR_ADDRESS": "monitor:8090",
        }
    )
    assert settings.namespaces == ("a", "b")
    assert settings.paths.root == Path("/x")
    assert (settings.listen.port, settings.http_port, settings.listen.max_heap_bytes) == (81, 82, 1000)
    assert settings.listen.monitor == Address("monitor", 8090)


def test_an_empty_list_of_namespaces_means_all() -> None:
    assert PodSettings.read({"POD_NAME": "router-0", "TIDEGATE_WATCH_NAMESPACES": ""}).namespaces == ()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TIDEGATE_NAMESPACE is not set"),
        ({"TIDEGATE_NAMESPACE": "models"}, "POD_NAME is not set"),
        (POD | {"TIDEGATE_LISTEN_PORT": "http"}, "TIDEGATE_LISTEN_PORT is 'http'"),
        (POD | {"TIDEGATE_HTTP_PORT": "0"}, "TIDEGATE_HTTP_PORT is '0'"),
        (POD | {"TIDEGATE_HTTP_PORT": "65536"}, "it must be a port, 1 to 65535"),
        (POD | {"TIDEGATE_ENVOY_MAX_HEAP_BYTES": "1 GiB"}, "it must be a whole number above 0"),
        (POD | {"TIDEGATE_MONITOR_ADDRESS": "monitor"}, "TIDEGATE_MONITOR_ADDRESS: 'monitor' is no address like"),
    ],
)
def test_an_environment_that_makes_no_sense_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(BadEnvironment, match=message):
        PodSettings.read(environment)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod's environment outside of any cluster."""
    for name, value in POD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIDEGATE_ROUTER_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def test_the_containers_beside_the_routers_load_neither_the_kubernetes_client_nor_grpc() -> None:
    loaded = "import sys, router.__main__; print(*sorted(sys.modules.keys() & {'aiohttp', 'grpc', 'kubernetes'}))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "\n"


def test_bootstrap_writes_what_envoy_is_started_with(environment: Path) -> None:
    assert main(["bootstrap"]) == 0
    written = json.loads((environment / "run" / "bootstrap.json").read_text())
    assert written["node"] == {"id": "router-0", "cluster": "tidegate"}
    assert written["admin"]["address"]["pipe"]["path"] == str(environment / "run" / "admin.sock")


def test_envoy_starts_without_waiting_for_the_name_of_the_monitor(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_MONITOR_ADDRESS", "monitor:8090")
    assert main(["bootstrap"]) == 0
    written = json.loads((environment / "run" / "bootstrap.json").read_text())
    [monitor] = [one for one in written["static_resources"]["clusters"] if one["name"] == "monitor"]
    assert (monitor["type"], monitor["wait_for_warm_on_init"]) == ("STRICT_DNS", False)


def test_draining_where_no_envoy_runs_is_no_failure(environment: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["drain", "--seconds", "5", "--notice", "0"]) == 0
    assert "there is no Envoy to take leave of" in caplog.text


def test_a_router_outside_of_every_cluster_says_what_is_missing(
    environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([]) == 1
    assert "there is neither a service account" in caplog.text
    assert "let KUBECONFIG name the file of a cluster" in caplog.text


def test_certificates_that_cannot_be_read_are_an_error_with_a_name(
    environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_kubeconfig(environment, {"server": "https://127.0.0.1:1", "certificate-authority": "/nowhere/ca.crt"})
    assert main(["run"]) == 1
    assert "/nowhere/ca.crt" in caplog.text


def test_a_taken_port_is_named(
    environment: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_kubeconfig(environment, {"server": "https://127.0.0.1:1"})
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        monkeypatch.setenv("TIDEGATE_HTTP_PORT", str(taken.getsockname()[1]))
        with caplog.at_level(logging.ERROR):
            assert main(["run"]) == 1
        assert str(taken.getsockname()[1]) in caplog.text


def write_kubeconfig(folder: Path, cluster: dict[str, str]) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
