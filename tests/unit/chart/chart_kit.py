"""The chart as `helm template` renders it, and what its tests look at."""

import subprocess
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.programs.find import program

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "tidegate"
NAMESPACE = "models"

Object = dict[str, Any]

EXTERNAL = ("ray.mode=external", "ray.external.url=http://ray.example:8265", "ray.token.existingSecret=ray-token")
KUBERAY = ("ray.mode=kuberay",)
EVERYTHING = (
    "ingress.enabled=true",
    "httpRoute.enabled=true",
    "httpRoute.parentRefs[0].name=gateway",
    "router.autoscaling.enabled=true",
    "monitoring.podMonitor.enabled=true",
    "monitoring.serviceMonitor.enabled=true",
    "models.volume.persistentVolumeClaim.claimName=models",
    "models.claims={team-a}",
    "artifacts.existingSecret=s3",
    "artifacts.schemes={s3,models}",
    "artifacts.trustedTypes={mine.Scaler}",
    "artifacts.cache.volume.persistentVolumeClaim.claimName=cache",
    "artifacts.signatures.required=true",
    "artifacts.signatures.publicKeys.team=-----BEGIN PUBLIC KEY-----",
    "monitor.persistence.enabled=true",
    "monitor.persistence.storageClass=fast",
    "operator.prometheus.url=http://prometheus.monitoring:9090",
    "operator.prometheus.existingSecret=prometheus",
    "operator.webMetrics.hosts={metrics.example}",
    "monitor.notifications.channels[0].name=team",
    "monitor.notifications.channels[0].kind=slack",
    "monitor.notifications.channels[0].urlFile=/etc/tidegate/notifications/slack",
    "monitor.notifications.existingSecret=slack",
    "monitor.cloudEvents.url=http://broker.events/default",
    "monitor.cloudEvents.existingSecret=broker",
    "dashboards.enabled=true",
    "alerts.enabled=true",
)
VARIANTS: dict[str, tuple[str, ...]] = {
    "as it comes": (),
    "everything on": EVERYTHING,
    "all namespaces": ("operator.watchAllNamespaces=true",),
    "some namespaces": ("operator.watchNamespaces={team-a,team-b}",),
    "kuberay": KUBERAY,
    "external": EXTERNAL,
    "no monitor": ("monitor.enabled=false",),
}
"""Installations that differ in what is rendered, as `--set` has them; lists of values as JSON."""


class Refused(Exception):
    """Helm does not render these values; the text is what a person gets to read."""


class _UniqueKeys(yaml.CSafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice} twice: {node.start_mark}"
        return super().construct_mapping(node, deep)


def helm(*arguments: str) -> str:
    """The output of a command; raises `Refused` when it fails."""
    done = subprocess.run([program("helm"), *arguments], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


@cache
def render(*values: str, release: str = "tidegate") -> Sequence[Object]:
    """All objects of an installation, hooks and tests too. Do not change them: they are remembered."""
    settings = [part for value in values for part in ("--set-json" if "=[" in value else "--set", value)]
    text = helm("template", release, str(CHART), "--namespace", NAMESPACE, *settings)
    return [document for document in yaml.load_all(text, _UniqueKeys) if document]


def find(objects: Sequence[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    [found] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def kinds(objects: Sequence[Object], *wanted: str) -> list[Object]:
    """All objects of these kinds."""
    return [one for one in objects if one["kind"] in wanted]


def templates(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod that would come of these objects: the name of what makes it, and its template."""
    for one in objects:
        name, spec = f"{one['kind']}/{one['metadata']['name']}", one.get("spec") or {}
        match one["kind"]:
            case "Pod":
                yield name, one
            case "Deployment" | "StatefulSet" | "Job":
                yield name, spec["template"]
            case "RayCluster":
                yield f"{name} head", spec["headGroupSpec"]["template"]
                for group in spec["workerGroupSpecs"]:
                    yield f"{name} {group['groupName']}", group["template"]


def template(objects: Sequence[Object], name: str) -> Object:
    """The pod template of `Kind/name`."""
    return dict(templates(objects))[name]


def containers(pod: Object) -> list[Object]:
    """All containers of a pod template, init containers first."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def container(pod: Object, name: str) -> Object:
    """One container of a pod template."""
    [found] = [one for one in containers(pod) if one["name"] == name]
    return found


def variables(one: Object) -> Mapping[str, Any]:
    """The environment of a container: values as they are, and where the others come from."""
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in one["env"]}
