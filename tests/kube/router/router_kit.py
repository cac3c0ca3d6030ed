"""A router pod without a kubelet: the two processes of its containers, and the folder that they share."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from kubernetes.aio.client import ApiClient, ApiException, Configuration, CustomObjectsApi
from kubernetes.aio.config import load_kube_config

from benchmarks.client import burst, post
from router.envoy import find_envoy
from router.ir import Route
from router.modelroute import GROUP, KIND, PLURAL, VERSION, spec_of
from tests.integration.router.upstreams import free_port
from tests.kube.podhttp import ask

DEADLINE_SECONDS = 60.0
PATH = "/v2/models/m/infer"


@dataclass(slots=True)
class Objects:
    """The ModelRoutes of one namespace, as the operator handles them."""

    api: CustomObjectsApi
    namespace: str

    async def create(self, route: Route, **spec: Any) -> dict[str, Any]:
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": route.key.name},
            "spec": spec_of(route) | spec,
        }
        found: Any = await self.api.create_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, body)
        return dict(found)

    async def replace(self, route: Route, **spec: Any) -> int:
        """Put another spec in; its generation."""
        # A merge patch, with null for what is to go, as the whole spec is replaced.
        before = (await self.get(route.key.name))["spec"]
        body = {"spec": dict.fromkeys(before) | spec_of(route) | spec}
        found: Any = await self.api.patch_namespaced_custom_object(
            *(GROUP, VERSION, self.namespace, PLURAL, route.key.name),
            body,
            _content_type="application/merge-patch+json",
        )
        return int(found["metadata"]["generation"])

    async def delete(self, name: str) -> None:
        await self.api.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)

    async def get(self, name: str) -> dict[str, Any]:
        found: Any = await self.api.get_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)
        return dict(found)

    async def prune(self, name: str, router: str) -> None:
        """Take a router's entry away, as the operator does when its pod is gone."""
        await self.api.patch_namespaced_custom_object_status(
            *(GROUP, VERSION, self.namespace, PLURAL, name),
            {"status": {"routers": {router: None}}},
            _content_type="application/merge-patch+json",
        )

    async def said(self, name: str, router: str) -> dict[str, Any] | None:
        """What one router says about a route."""
        with suppress(ApiException, OSError):
            status = (await self.get(name)).get("status") or {}
            return dict(status.get("routers", {}).get(router) or {}) or None
        return None

    async def acknowledged(self, name: str, router: str, generation: int, rejected: str = "") -> None:
        """Wait until a router says exactly this, `rejected` being a part of its message."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            said = await self.said(name, router)
            fits = said is not None and rejected in said["rejected"] and bool(rejected) == bool(said["rejected"])
            if fits and said is not None and said["generation"] == generation:
                return
            assert time.monotonic() < deadline, f"{router} says {said} about {name}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def objects(kubeconfig: Path | str, namespace: str) -> AsyncIterator[Objects]:
    configuration = Configuration()
    await load_kube_config(str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        yield Objects(CustomObjectsApi(client), namespace)


@dataclass(slots=True)
class RouterPod:
    """Runs `python -m router` and Envoy as their containers do. What ends is not started again by itself."""

    name: str
    kubeconfig: str
    namespaces: str
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tidegate-pod-")))
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    router: subprocess.Popen[bytes] | None = None
    envoy: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "KUBECONFIG": self.kubeconfig,
            "POD_NAME": self.name,
            "TIDEGATE_NAMESPACE": "nowhere",
            "TIDEGATE_WATCH_NAMESPACES": self.namespaces,
            "TIDEGATE_ROUTER_DIR": str(self.folder),
            "TIDEGATE_LISTEN_PORT": str(self.port),
            "TIDEGATE_HTTP_PORT": str(self.http_port),
        }

    def start(self) -> None:
        """What the kubelet does: the init container, then the two containers."""
        self.bootstrap()
        self.start_router()
        self.start_envoy()

    def bootstrap(self) -> None:
        subprocess.run([*self._python(), "bootstrap"], env=self.environment, check=True, timeout=DEADLINE_SECONDS)

    def start_router(self) -> None:
        with (self.folder / "router.log").open("ab") as log:
            self.router = subprocess.Popen(self._python(), env=self.environment, stdout=log, stderr=log)

    def start_envoy(self) -> None:
        command = [str(find_envoy()), "--config-path", str(self.folder / "bootstrap.json"), "--disable-hot-restart"]
        command += ["--concurrency", "1", "--drain-time-s", "10", "--drain-strategy", "immediate"]
        with (self.folder / "envoy.log").open("ab") as log:
            self.envoy = subprocess.Popen([*command, "--log-level", "warning"], stdout=log, stderr=log)

    def drain(self, seconds: float, notice: float) -> subprocess.Popen[bytes]:
        """Envoy's preStop hook."""
        command = [*self._python(), "drain", "--seconds", str(seconds), "--notice", str(notice)]
        return subprocess.Popen(command, env=self.environment)

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the router's own API; status 0 when it does not answer."""
        return await asyncio.to_thread(ask, self.http_port, path)

    async def ready(self) -> None:
        """Wait for readiness, as the kubelet does."""
        await self.until(self.is_ready, "readiness")

    async def is_ready(self) -> bool:
        return (await self.get("/readyz"))[0] == 200

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Poll an asynchronous condition."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not await condition():
            assert time.monotonic() < deadline, f"{what} did not happen; {await self.get('/readyz')}\n{self.logs()}"
            await asyncio.sleep(0.05)

    async def reason(self, words: str) -> None:
        """Wait until the pod is unready for this reason."""

        async def given() -> bool:
            return (await self.get("/readyz")) == (503, f"{words}\n")

        await self.until(given, f"unreadiness because {words!r}")

    async def head(self, request: bytes) -> str:
        """The head of the answer to one request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode().lower().replace("http/1.1", "HTTP/1.1")
        finally:
            writer.close()

    async def logged(self, words: str) -> None:
        """Wait until one of the two has said this."""

        async def said() -> bool:
            return words in self.logs()

        await self.until(said, f"the message {words!r}")

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-4_000:] for path in sorted(self.folder.glob("*.log")))

    def remove(self) -> None:
        for process in (self.envoy, self.router):
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)

    @staticmethod
    def _python() -> list[str]:
        return [sys.executable, "-m", "router"]


async def started(pod: RouterPod, routes: Objects, *given: Route) -> None:
    """Make the routes and start the pod; returns when it is ready and has acknowledged them."""
    for route in given:
        await routes.create(route)
    pod.start()
    await pod.ready()
    for route in given:
        await routes.acknowledged(route.key.name, pod.name, 1)


async def ended(process: subprocess.Popen[bytes] | None, send: signal.Signals | None = None) -> int:
    """Send a signal, if one is given, and wait for the end; the exit code."""
    assert process is not None
    if send is not None:
        process.send_signal(send)
    return await asyncio.to_thread(process.wait, DEADLINE_SECONDS)


async def counted(pod: RouterPod) -> tuple[str, dict[str, int]]:
    """The run that the pod counts for, and its live requests by version."""
    status, body = await pod.get("/traffic")
    assert status == 200, body
    told = json.loads(body)
    return told["started"], {it["version"]: it["requests"] for it in told["backends"] if not it["mirrored"]}


async def versions(pod: RouterPod, path: str = PATH, requests: int = 20) -> set[str]:
    """The versions that answer; empty when none does."""
    tally, _ = await burst(pod.port, list(repeat(post(path, b"{}"), requests)), connections=2)
    return set(tally.versions)
