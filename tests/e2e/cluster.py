"""A cluster as a person has it in their hands: kubectl, helm, and HTTP through the ingress."""

import asyncio
import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.client import burst, infer_body, post

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tidegate"
MODELS = ROOT / "deployments" / "examples" / "models"
VALUES = Path(__file__).with_name("values.yaml")
RELEASE = "tidegate"
SETOSA = [5.1, 3.5, 1.4, 0.2]


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster, through the programs that a person uses. `others` are followed too."""

    namespace: str
    others: tuple[str, ...]
    ingress_port: int
    ingress_class: str
    clock: dict[str, float] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True, input: str | None = None, seconds: float = 180) -> str:  # noqa: A002
        """The output of a command; raises `AssertionError` with all it said when it fails."""
        done = subprocess.run(
            command,
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
            cwd=ROOT,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def kubectl(self, *arguments: str, check: bool = True, input: str | None = None, seconds: float = 180) -> str:  # noqa: A002
        return self.run("kubectl", "-n", self.namespace, *arguments, check=check, input=input, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 400) -> str:
        return self.run("helm", "-n", self.namespace, *arguments, seconds=seconds)

    def install(self, chart: Path, *more: str) -> None:
        """Install the chart, with more options of `helm install`."""
        followed = ",".join((self.namespace, *self.others))
        settings = ["-f", str(VALUES), "--set", f"ingress.className={self.ingress_class}"]
        settings += ["--set", f"operator.watchNamespaces={{{followed}}}"]
        # Definitions that a release elsewhere has left behind become this one's.
        self.helm("install", RELEASE, str(chart), *settings, *more, "--take-ownership")

    def get(self, *what: str) -> dict[str, Any]:
        """An object or a list as JSON."""
        return dict(json.loads(self.kubectl("get", *what, "-o", "json")))

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The pods of one part of Tidegate."""
        selector = f"app.kubernetes.io/name=tidegate,app.kubernetes.io/component={component}"
        return list(self.get("pods", "-l", selector)["items"])

    def model(self, name: str) -> dict[str, str]:
        """One of the example models, which are pickles: a cluster wants to know what is in them."""
        content = (MODELS / f"{name}.joblib").read_bytes()
        return {
            "uri": f"file:///models/{name}.joblib",
            "runtime": "sklearn",
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    def rollout(self, name: str, model: str, **spec: object) -> str:
        """The manifest of a rollout of one of the example models."""
        document = {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": name},
            "spec": {"model": self.model(model)} | spec,
        }
        return yaml.safe_dump(document)

    def apply(self, manifest: str) -> str:
        return self.kubectl("apply", "-f", "-", input=manifest)

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.get("modelrollout", name).get("status") or {})

    def logs(self, component: str) -> str:
        """What all pods of one part have logged."""
        return self.kubectl("logs", "-l", f"app.kubernetes.io/component={component}", "--tail=-1", "--prefix")

    def until(self, name: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 90) -> dict[str, Any]:
        """Wait until the rollout's status satisfies `reached`; the status."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.status(name)
            if status and reached(status):
                return status
            if time.monotonic() > deadline:
                said = self.kubectl("describe", "modelrollout", name)
                raise AssertionError(f"{name} did not get there in {seconds:.0f} s:\n{said}\n{self.story()}")
            time.sleep(0.3)

    def story(self) -> str:
        """What a person would look at next: the pods, and the last words of the operator."""
        pods = self.kubectl("get", "pods", "-o", "wide")
        logs = self.kubectl("logs", "-l", "app.kubernetes.io/component=operator", "--tail=40", "--prefix", check=False)
        return f"{pods}\n{logs}"


def infer(name: str) -> bytes:
    """A v2 request for one flower."""
    return post(f"/v2/models/{name}/infer", infer_body([SETOSA]))


async def answers(cluster: Cluster, name: str, seconds: float) -> None:
    """Return once the model answers through the ingress."""
    deadline = time.monotonic() + seconds
    while True:
        tally, got = await burst(cluster.ingress_port, [infer(name)], connections=1)
        if tally.failed == 0:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{name} does not answer after {seconds:.0f} s: {got}\n{cluster.story()}")
        await asyncio.sleep(0.2)
