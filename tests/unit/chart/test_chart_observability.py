"""The chart's own dashboards and alerts, as they reach Grafana and Prometheus."""

import json

import pytest
import yaml
from chart_kit import CHART, EVERYTHING, kinds, render


def test_every_dashboard_reaches_grafana_as_it_is() -> None:
    files = {path.name: json.loads(path.read_text()) for path in (CHART / "files" / "dashboards").glob("*.json")}
    configs = [
        one for one in kinds(render(*EVERYTHING), "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]
    ]
    told = {name.removeprefix("tidegate-"): json.loads(text) for one in configs for name, text in one["data"].items()}
    assert files
    assert told == files


def test_every_alert_reaches_prometheus_as_it_is() -> None:
    files = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "files" / "alerts").glob("*.yaml"))]
    assert files
    assert [one["spec"] for one in kinds(render(*EVERYTHING), "PrometheusRule")] == files


@pytest.mark.parametrize(("kind", "part"), [("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")])
def test_the_namespace_of_a_model_is_not_taken_for_that_of_the_pod(kind: str, part: str) -> None:
    [monitor] = kinds(render(*EVERYTHING), kind)
    assert [endpoint["honorLabels"] for endpoint in monitor["spec"][part]] == [True]
