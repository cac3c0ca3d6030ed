"""The monitor: who finds it, who may speak with it, and where it keeps what it is told."""

import base64
import shutil
from pathlib import Path

import pytest
import yaml

from monitor.outbound.channels import read_channels
from monitor.settings import Settings
from tests.unit.chart.chart_kit import (
    CHART,
    EVERYTHING,
    EXTERNAL,
    KUBERAY,
    NAMESPACE,
    Object,
    container,
    find,
    helm,
    kinds,
    render,
    template,
    templates,
    variables,
)

SELECTOR = {"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/instance": "tidegate"}
MONITOR = "Deployment/tidegate-monitor"
URL = "http://tidegate-monitor:8090"


def peer(component: str) -> Object:
    return {"podSelector": {"matchLabels": SELECTOR | {"app.kubernetes.io/component": component}}}


def volume(pod: Object, name: str) -> Object:
    [found] = [one for one in pod["spec"]["volumes"] if one["name"] == name]
    return {key: value for key, value in found.items() if key != "name"}


def test_the_service_leads_to_the_port_that_everybody_is_told() -> None:
    service = find(render(), "Service", "tidegate-monitor")
    [port] = service["spec"]["ports"]
    pod = template(render(), MONITOR)
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    [there] = container(pod, "monitor")["ports"]
    assert (port["port"], port["targetPort"]) == (8090, there["name"])
    assert variables(container(pod, "monitor"))["TIDEGATE_MONITOR_PORT"] == str(there["containerPort"])
    assert f"http://{service['metadata']['name']}:{port['port']}" == URL


@pytest.mark.parametrize("values", [(), KUBERAY], ids=["embedded", "kuberay"])
def test_replicas_routers_and_operator_find_the_monitor(values: tuple[str, ...]) -> None:
    objects = render(*values, "monitor.records.sample=12.5")
    told = variables(container(template(objects, "Deployment/tidegate-operator"), "operator"))
    assert (told["TIDEGATE_MONITOR_URL"], told["TIDEGATE_MONITOR_TOKEN_FILE"]) == (URL, "/etc/tidegate/monitor/token")
    router = template(objects, "Deployment/tidegate-router")
    assert f"http://{variables(container(router, 'router'))['TIDEGATE_MONITOR_ADDRESS']}" == URL
    ray = [pod for name, pod in templates(objects) if "Ray" in name or "-ray-" in name]
    assert len(ray) == 2
    for pod in ray:
        told = variables(container(pod, "ray"))
        assert (told["TIDEGATE_RECORDS_URL"], told["TIDEGATE_RECORDS_SAMPLE"]) == (URL, "12.5")
        mounts = {mount["mountPath"]: mount["name"] for mount in container(pod, "ray")["volumeMounts"]}
        assert told["TIDEGATE_RECORDS_TOKEN_FILE"] == "/etc/tidegate/monitor/token"
        assert mounts["/etc/tidegate/monitor"] == "monitor-token"


@pytest.mark.parametrize(
    ("value", "rate", "sample"),
    [
        ("ray.mode=embedded", "500", None),
        ("monitor.records.rate=20", "20", None),
        ("monitor.records.sample=0", "500", "0"),
    ],
)
def test_values_are_kept_up_to_a_rate_or_of_a_share(value: str, rate: str, sample: str | None) -> None:
    objects = render(value)
    for pod in [pod for name, pod in templates(objects) if "-ray-" in name]:
        told = variables(container(pod, "ray"))
        assert (told["TIDEGATE_RECORDS_RATE"], told.get("TIDEGATE_RECORDS_SAMPLE")) == (rate, sample)


def test_without_a_monitor_nobody_hears_of_one() -> None:
    objects = render("monitor.enabled=false")
    assert not [one["metadata"]["name"] for one in objects if "monitor" in one["metadata"]["name"]]
    for name, pod in templates(objects):
        for one in pod["spec"]["containers"]:
            told = variables(one) if "env" in one else {}
            assert not [variable for variable in told if "MONITOR" in variable or "RECORDS" in variable], name


def test_the_process_understands_what_it_is_told(tmp_path: Path) -> None:
    told = variables(container(template(render("monitor.retention=12h"), MONITOR), "monitor"))
    token = tmp_path / "token"
    token.write_text("t")
    settings = Settings.read({**told, "TIDEGATE_MONITOR_TOKEN_FILE": str(token)})
    assert (settings.host, settings.port, settings.retention) == ("0.0.0.0", 8090, 12 * 3600)
    assert settings.database.database == "/var/lib/tidegate/records.db"
    assert (settings.spool, settings.spool_size) == (Path("/var/lib/tidegate/spool"), 1 << 30)


def test_records_are_kept_in_the_pod_on_a_claim_or_in_a_postgresql() -> None:
    pod = template(render(), MONITOR)
    assert "TIDEGATE_MONITOR_DATABASE" not in variables(container(pod, "monitor"))
    assert volume(pod, "records") == {"emptyDir": {}}
    claimed = render("monitor.persistence.enabled=true", "monitor.persistence.size=50Gi")
    claim = find(claimed, "PersistentVolumeClaim", "tidegate-monitor")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}}}
    assert volume(template(claimed, MONITOR), "records") == {"persistentVolumeClaim": {"claimName": "tidegate-monitor"}}
    there = render("monitor.persistence.enabled=true", "monitor.persistence.existingClaim=mine")
    assert not kinds(there, "PersistentVolumeClaim")
    assert volume(template(there, MONITOR), "records") == {"persistentVolumeClaim": {"claimName": "mine"}}
    [fast] = kinds(render(*EVERYTHING), "PersistentVolumeClaim")
    assert fast["spec"]["storageClassName"] == "fast"
    postgres = template(render("monitor.database.existingSecret=dsn", "monitor.database.key=dsn"), MONITOR)
    told = variables(container(postgres, "monitor"))
    assert told["TIDEGATE_MONITOR_DATABASE"] == {"secretKeyRef": {"name": "dsn", "key": "dsn"}}


def test_only_one_process_has_the_volume_and_its_pod_can_be_evicted() -> None:
    deployment = find(render(), "Deployment", "tidegate-monitor")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert "tidegate-monitor" not in {one["metadata"]["name"] for one in kinds(render(), "PodDisruptionBudget")}


def test_a_monitor_whose_database_is_away_is_still_found() -> None:
    one = container(template(render(), MONITOR), "monitor")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert one[probe]["httpGet"]["path"] == "/healthz"


def test_the_monitor_is_reached_by_replicas_routers_operator_and_prometheus() -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    own = [peer("router"), peer("operator"), prometheus]
    [rule] = find(render(), "NetworkPolicy", "tidegate-monitor")["spec"]["ingress"]
    assert rule == {
        "ports": [{"port": "metrics", "protocol": "TCP"}],
        "from": [peer("ray-head"), peer("ray-worker"), *own],
    }
    [rule] = find(render(*EXTERNAL), "NetworkPolicy", "tidegate-monitor")["spec"]["ingress"]
    assert "from" not in rule
    some = render(*EXTERNAL, "networkPolicy.externalRay[0].ipBlock.cidr=10.0.0.0/8")
    [rule] = find(some, "NetworkPolicy", "tidegate-monitor")["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}, *own]


def test_the_operator_asks_prometheus_and_the_web_where_the_values_say() -> None:
    pod = template(render(*EVERYTHING), "Deployment/tidegate-operator")
    told = variables(container(pod, "operator"))
    assert told["TIDEGATE_PROMETHEUS_URL"] == "http://prometheus.monitoring:9090"
    assert told["TIDEGATE_PROMETHEUS_TOKEN_FILE"] == "/etc/tidegate/prometheus/token"
    assert told["TIDEGATE_WEB_METRIC_HOSTS"] == "metrics.example"
    assert volume(pod, "prometheus-token")["secret"]["secretName"] == "prometheus"
    silent = variables(container(template(render(), "Deployment/tidegate-operator"), "operator"))
    assert not [name for name in silent if "PROMETHEUS" in name or "WEB_METRIC" in name]


def test_dashboards_and_alerts_are_what_lies_in_the_charts_folders(tmp_path: Path) -> None:
    chart = tmp_path / "tidegate"
    shutil.copytree(CHART, chart)
    for folder in ("dashboards", "alerts"):
        shutil.rmtree(chart / "files" / folder, ignore_errors=True)
        (chart / "files" / folder).mkdir()
    board = '{"title": "Fleet", "legend": "{{model}}"}'
    rules = {
        "groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "annotations": {"s": "{{ $value }}"}}]}]
    }
    (chart / "files" / "dashboards" / "fleet.json").write_text(board)
    (chart / "files" / "alerts" / "fleet.yaml").write_text(yaml.safe_dump(rules))

    def made(*values: str) -> list[Object]:
        settings = [part for value in values for part in ("--set", value)]
        text = helm("template", "tidegate", str(chart), "--namespace", NAMESPACE, *settings)
        return [one for one in yaml.safe_load_all(text) if one]

    assert not kinds(made(), "ConfigMap", "PrometheusRule")
    objects = made("dashboards.enabled=true", "alerts.enabled=true", "alerts.labels.release=prometheus")
    [config] = kinds(objects, "ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: text.strip() for name, text in config["data"].items()} == {"tidegate-fleet.json": board}
    [rule] = kinds(objects, "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == rules


def test_the_channels_are_a_file_beside_the_secrets_that_it_names(tmp_path: Path) -> None:
    objects = render(*EVERYTHING)
    pod = template(objects, MONITOR)
    one = container(pod, "monitor")
    [mount] = [mount for mount in one["volumeMounts"] if mount["name"] == "notifications"]
    assert variables(one)["TIDEGATE_MONITOR_NOTIFICATIONS"] == f"{mount['mountPath']}/channels.yaml"
    secret = find(objects, "Secret", "tidegate-monitor-channels")
    sources = volume(pod, "notifications")["projected"]["sources"]
    assert sources == [{"secret": {"name": name}} for name in (secret["metadata"]["name"], "slack")]
    text = base64.b64decode(secret["data"]["channels.yaml"]).decode()
    (tmp_path / "slack").write_text("https://hooks.example/secret")
    (tmp_path / "channels.yaml").write_text(text.replace(mount["mountPath"], str(tmp_path)))
    [channel] = read_channels(tmp_path / "channels.yaml")
    assert (channel.name, channel.kind) == ("team", "slack")
    other = render(*EVERYTHING, "monitor.notifications.channels[0].name=other")
    assert template(other, MONITOR)["metadata"]["annotations"] != pod["metadata"]["annotations"]
    assert "annotations" not in template(render(), MONITOR)["metadata"]


def test_records_go_on_as_cloudevents_where_the_values_say() -> None:
    pod = template(render(*EVERYTHING), MONITOR)
    told = variables(container(pod, "monitor"))
    assert told["TIDEGATE_MONITOR_CLOUDEVENTS_URL"] == "http://broker.events/default"
    assert told["TIDEGATE_MONITOR_CLOUDEVENTS_MODE"] == "batch"
    assert told["TIDEGATE_MONITOR_CLOUDEVENTS_TOKEN_FILE"] == "/etc/tidegate/cloudevents/token"
    assert volume(pod, "cloudevents-token")["secret"]["secretName"] == "broker"
    assert not [name for name in variables(container(template(render(), MONITOR), "monitor")) if "CLOUDEVENTS" in name]
