"""The operator as a process beside a real API server, and what a kubelet or a user would do to the objects there."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators.api import API_VERSION, KIND
from operators.kube.client import EVENTS, LEASES, PODS, ROLLOUTS, ROUTES, Api, NotFound, Object, Patch
from router.ir import Backend, Endpoint, Route, RouteKey
from tests.integration.router.upstreams import free_port
from tests.kube.podhttp import ask

DEADLINE_SECONDS = 90.0
SELECTOR = "app=router"
MODEL = {"uri": "file:///models/iris-1.joblib", "runtime": "sklearn"}
LATE_MAXIMUM = {"name": "late", "metric": "latency-p99", "max": 0.5}
"""A check that the API server lets through, and that makes no sense: a latency is held against a duration."""


@dataclass(slots=True)
class Objects:
    """The objects of one namespace, as its users and its kubelet see them."""

    api: Api
    namespace: str

    async def apply(self, name: str, **spec: Any) -> Object:
        """Make a rollout, or change its spec."""
        content = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {"model": MODEL} | spec}
        return await self.api.patch(ROLLOUTS, self.namespace, name, Patch.APPLY, content)

    async def annotate(self, name: str, **annotations: str | None) -> Object:
        """Give commands."""
        named = {f"tidegate.dev/{key}": value for key, value in annotations.items()}
        return await self.patch(name, {"metadata": {"annotations": named}})

    async def patch(self, name: str, content: object, subresource: str = "") -> Object:
        """Merge something into a rollout."""
        return await self.api.patch(ROLLOUTS, self.namespace, name, Patch.MERGE, content, subresource=subresource)

    async def rollout(self, name: str) -> Object:
        return await self.api.get(ROLLOUTS, self.namespace, name)

    async def versions(self) -> dict[str, str]:
        """The resourceVersion of every rollout."""
        found = [one["metadata"] for one in await self.api.objects(ROLLOUTS, (self.namespace,))]
        return {metadata["name"]: metadata["resourceVersion"] for metadata in found}

    async def delete(self, name: str) -> None:
        await self.api.delete(ROLLOUTS, self.namespace, name, (await self.rollout(name))["metadata"]["uid"])

    async def route(self, name: str) -> Object | None:
        try:
            return await self.api.get(ROUTES, self.namespace, name)
        except NotFound:
            return None

    async def events(self, reason: str = "") -> list[Object]:
        """What was told, all of it or for one reason."""
        return [one for one in await self.api.objects(EVENTS, (self.namespace,)) if reason in ("", one["reason"])]

    async def holder(self) -> str:
        """Who works."""
        found = await self.api.objects(LEASES, (self.namespace,))
        return found[0]["spec"]["holderIdentity"] if found else ""

    async def pod(self, name: str, *, ready: bool = True, ip: str = "127.0.0.1") -> None:
        """A router pod, as its kubelet describes it; made if there is none."""
        try:
            await self.api.get(PODS, self.namespace, name)
        except NotFound:
            container = {"name": "router", "image": "none"}
            metadata = {"name": name, "labels": dict([SELECTOR.split("=")])}
            content = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
            # Bound to a node, or it would be deleted at once instead of being terminated.
            content["spec"] |= {"nodeName": "node", "terminationGracePeriodSeconds": 600}
            await self.api.create(PODS, self.namespace, content)
        running = {"name": "router", "image": "none", "imageID": "", "ready": ready, "restartCount": 0}
        running["state"] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        condition = {"type": "Ready", "status": str(ready)}
        status = {"podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition], "containerStatuses": [running]}
        await self.api.patch(PODS, self.namespace, name, Patch.MERGE, {"status": status}, subresource="status")

    async def terminate(self, name: str) -> None:
        """Begin to take a pod away: its containers get their time."""
        pod = await self.api.get(PODS, self.namespace, name)
        await self.api.delete(PODS, self.namespace, name, pod["metadata"]["uid"])

    async def clear(self) -> None:
        """Delete all rollouts, with or without an operator."""
        for rollout in await self.api.objects(ROLLOUTS, (self.namespace,)):
            name = rollout["metadata"]["name"]
            with suppress(NotFound):
                await self.patch(name, {"metadata": {"finalizers": None}})
                await self.delete(name)

    async def acknowledge(self, name: str, router: str, generation: int | None = None, rejected: str = "") -> None:
        """Say what a router pod says, by default about the newest generation."""
        route = await self.route(name)
        assert route is not None
        newest = route["metadata"]["generation"]
        said = {"generation": newest if generation is None else generation, "rejected": rejected}
        content = {"status": {"routers": {router: said}}}
        await self.api.patch(ROUTES, self.namespace, name, Patch.MERGE, content, subresource="status")


def endpoints(*ports: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint("127.0.0.1", port) for port in ports)


def condition(rollout: Object, kind: str) -> Object:
    """A condition of a rollout; empty when there is none."""
    found: list[Object] = (rollout.get("status") or {}).get("conditions") or []
    return next((one for one in found if one["type"] == kind), {})


@dataclass(slots=True)
class Operator:
    """`python -m operators.kube`. What ends is not started again by itself."""

    name: str
    kubeconfig: str
    namespace: str
    folder: Path
    ray_url: str = "http://127.0.0.1:9"
    environment: dict[str, str] = field(default_factory=dict)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "KUBECONFIG": self.kubeconfig,
            "POD_NAME": self.name,
            "TIDEGATE_NAMESPACE": self.namespace,
            "TIDEGATE_RAY_URL": self.ray_url,
            "TIDEGATE_ROUTER_SELECTOR": SELECTOR,
            "TIDEGATE_HTTP_PORT": str(self.http_port),
        } | self.environment  # fmt: skip

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "operators.kube"], env=self._environment, stdout=log, stderr=log
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a subcommand to its end."""
        return subprocess.run(
            [sys.executable, "-m", "operators.kube", *arguments],
            env=self._environment, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS,
        )  # fmt: skip

    def end(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def remove(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Ask its HTTP API; status 0 when it does not answer."""
        return ask(self.http_port, path)

    def metric(self, name: str) -> float | None:
        """A sample, by its name and labels as they are written."""
        lines = (line.rpartition(" ") for line in self.get("/metrics")[1].splitlines())
        return next((float(value) for given, _, value in lines if given == name), None)

    def said(self, words: str) -> int:
        """How often its log says this."""
        return self.log.read_text(errors="replace").count(words)


async def until(reached: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Poll an asynchronous question until its answer is true; the answer."""
    end = time.monotonic() + seconds
    while not (answer := await reached()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} seconds"
        await asyncio.sleep(0.1)
    return answer


def a_route(key: RouteKey, **fields: Any) -> Route:
    """A route of one ready version, unless `fields` say otherwise."""
    return Route(**{"key": key, "model": key.name, "backends": (Backend("v1", 10_000, endpoints(7001)),)} | fields)
