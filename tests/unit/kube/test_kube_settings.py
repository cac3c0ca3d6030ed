"""What the operator reads from its environment."""

from pathlib import Path

import pytest

from operators.kube.settings import Place, Settings
from operators.providers.settings import ProviderSettings
from router.pod.environment import BadEnvironment

LEAST = {
    "POD_NAME": "operator-a",
    "TIDEGATE_NAMESPACE": "tidegate",
    "TIDEGATE_RAY_URL": "http://ray:8265",
    "TIDEGATE_ROUTER_SELECTOR": "app=router",
}


def test_defaults_are_those_of_the_documentation() -> None:
    assert Settings.read(LEAST) == Settings(
        place=Place("tidegate", ("tidegate",), "tidegate-operator"),
        pod="operator-a",
        ray_url="http://ray:8265",
        ray_token_file=None,
        router_selector="app=router",
        router_port=9901,
        http_port=8081,
        monitor_url=None,
        monitor_token_file=None,
        providers=ProviderSettings(),
    )


def test_everything_can_be_set() -> None:
    environment = LEAST | {
        "TIDEGATE_LEASE": "other",
        "TIDEGATE_RAY_TOKEN_FILE": "/etc/token",
        "TIDEGATE_ROUTER_PORT": "1",
        "TIDEGATE_HTTP_PORT": "65535",
        "TIDEGATE_MONITOR_URL": "http://monitor:8090",
        "TIDEGATE_MONITOR_TOKEN_FILE": "/etc/monitor",
        "TIDEGATE_PROMETHEUS_URL": "http://prometheus:9090",
        "TIDEGATE_PROMETHEUS_TOKEN_FILE": "/etc/prometheus",
        "TIDEGATE_WEB_METRIC_HOSTS": "scores.shop,*.example.com",
    }
    settings = Settings.read(environment)
    assert (settings.place.lease, settings.ray_token_file) == ("other", Path("/etc/token"))
    assert (settings.router_port, settings.http_port) == (1, 65535)
    assert (settings.monitor_url, settings.monitor_token_file) == ("http://monitor:8090", Path("/etc/monitor"))
    assert settings.providers == ProviderSettings(
        "http://prometheus:9090", Path("/etc/prometheus"), ("*.example.com", "scores.shop")
    )


@pytest.mark.parametrize(
    ("watched", "namespaces"), [("", ()), ("a", ("a",)), ("b, a,b,", ("a", "b"))], ids=["all", "one", "several"]
)
def test_namespaces_are_separated_by_commas_and_none_means_all(watched: str, namespaces: tuple[str, ...]) -> None:
    assert Place.read(LEAST | {"TIDEGATE_WATCH_NAMESPACES": watched}).watched == namespaces


@pytest.mark.parametrize("name", sorted(LEAST))
def test_what_is_required_is_named_when_it_is_missing(name: str) -> None:
    for missing in ({}, {name: " "}):
        with pytest.raises(BadEnvironment, match=name):
            Settings.read({key: value for key, value in LEAST.items() if key != name} | missing)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8.5"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(BadEnvironment, match="TIDEGATE_HTTP_PORT"):
        Settings.read(LEAST | {"TIDEGATE_HTTP_PORT": port})
