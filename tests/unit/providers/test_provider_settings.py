"""What the environment says about Prometheus and the web."""

from pathlib import Path

import pytest

from operators.providers.settings import ProviderSettings
from router.pod.environment import BadEnvironment, Environment


def read(web_hosts: str = "", **environment: str) -> ProviderSettings:
    variables = {f"TIDEGATE_{name}": value for name, value in environment.items()}
    return ProviderSettings.read(Environment(variables, "python -m somebody"), web_hosts)


def test_nobody_is_asked_unless_the_environment_says_whom() -> None:
    assert read() == ProviderSettings(None, None, ())
    assert read("*").web_hosts == ("*",)


def test_everything_can_be_set() -> None:
    settings = read(
        "*",
        PROMETHEUS_URL="https://prometheus.monitoring:9090/prefix",
        PROMETHEUS_TOKEN_FILE="/etc/token",
        WEB_METRIC_HOSTS=" Scores.Shop.svc, *.example.com,,10.0.0.7, fd00::1",
    )
    assert settings == ProviderSettings(
        "https://prometheus.monitoring:9090/prefix",
        Path("/etc/token"),
        ("*.example.com", "10.0.0.7", "fd00::1", "scores.shop.svc"),
    )


@pytest.mark.parametrize(
    "url",
    ["prometheus:9090", "ftp://prometheus", "http://", "http://user:word@prometheus", "http://a/?b", "http://a/#b"],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BadEnvironment, match="TIDEGATE_PROMETHEUS_URL must be") as refused:
        read(PROMETHEUS_URL=url)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("host", ["http://a", "a:80", "a b", "*a", "a.*", "**", "-a", "a..b", "."])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(BadEnvironment, match="TIDEGATE_WEB_METRIC_HOSTS"):
        read(WEB_METRIC_HOSTS=f"good.example,{host}")
