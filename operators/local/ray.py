"""A Ray cluster of one machine: a head with Ray Serve, bound to loopback, ended with the process that started it."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from operators.local.child import end_with
from operators.local.home import Home, secret
from operators.local.preflight import LOOPBACK, CannotStart
from serving.client import ServeApiError, ServeClient, ServeRefused, ServeUnreachable
from serving.render import ARTIFACTS_VARIABLE, CODE_VARIABLE, INGRESS_DRAINING_SECONDS, start_options

LOGICAL_CPUS: Final = 64
"""What Ray may hand out: versions at rest cost no time, so a laptop may hold far more of them than it has cores."""
OBJECT_STORE_BYTES: Final = 80 << 20
"""Ray's smallest store: requests do not pass through it."""
SLOW_START_SECONDS: Final = 10
START_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.05
STOP_SECONDS: Final = 10.0
_LONGEST_TEMP_DIR: Final = 40
"""Ray appends up to 66 characters for its sockets, and a Unix socket's path ends at 107."""


@dataclass(frozen=True, slots=True)
class RayAddress:
    """Where the cluster's REST API is, and the bearer token that opens it."""

    url: str
    token: str = field(repr=False)


class LocalRay:
    """One Ray head. It may be started again after it has died: the address stays the same."""

    def __init__(self, home: Home, told: Mapping[str, object] | None = None) -> None:
        """`told`: further variables for the environment of all the cluster's processes."""
        self._home = home
        self._told = told or {}
        self._log = home.logs / "ray.log"
        name = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:10]
        self._temp = Path(tempfile.gettempdir(), f"tidegate-{name}")
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> RayAddress:
        """Start the head and Ray Serve; returns once both answer.

        Raises `CannotStart` with Ray's own last words; then nothing is left running.
        """
        await self.stop()
        token = secret(self._home.ray_token)
        self._prepare_temp()
        self._port, proxy, *ports = free_ports(6, first=self._port)
        self._home.logs.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(*ports),
                env=self.environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with(os.getpid()),  # SIGTERM: upon it Ray ends its processes
            )
        address = RayAddress(f"http://{LOOPBACK}:{self._port}", token)
        try:
            await self._until_ready(address, proxy)
        except BaseException:
            await self.stop()
            raise
        return address

    async def wait(self) -> str:
        """Return when the head has died, with the reason and the last lines of its log."""
        if self._process is None:
            return "Ray was not started"
        code = await self._process.wait()
        return f"Ray ended with exit code {code}; the last lines of {self._log}:\n{_tail(self._log)}"

    async def stop(self) -> None:
        """End the head and all its processes, and remove its temporary files. May be called at any time, and twice."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        # Whatever is left of the session: Ray's workers lead process groups of their own, but stay in it.
        deadline = time.monotonic() + STOP_SECONDS
        while (pids := list(_session(process.pid))) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(POLL_SECONDS)
        await process.wait()
        shutil.rmtree(self._temp, ignore_errors=True)
        self._process = None

    async def _until_ready(self, address: RayAddress, proxy_port: int) -> None:
        """Return when Ray Serve runs. Raises `CannotStart` when the head dies before, or takes too long."""
        ready = asyncio.ensure_future(start_serve(address, proxy_port))
        dead = asyncio.ensure_future(self.wait())
        try:
            done, _ = await asyncio.wait((ready, dead), return_when=asyncio.FIRST_COMPLETED)
            if dead in done:
                raise CannotStart(dead.result())
            ready.result()
        finally:
            ready.cancel()
            dead.cancel()
            await asyncio.gather(ready, dead, return_exceptions=True)

    def _prepare_temp(self) -> None:
        """An empty folder of our own, short enough for Ray's sockets; a killed predecessor's is wiped."""
        if len(os.fsencode(self._temp)) > _LONGEST_TEMP_DIR:
            raise CannotStart(f"{self._temp} is too long a path for Ray's sockets: set TMPDIR to a shorter folder")
        shutil.rmtree(self._temp, ignore_errors=True)
        try:
            self._temp.mkdir(mode=0o700)
        except OSError as error:
            raise CannotStart(
                f"Ray's folder {self._temp} cannot be made ({error.strerror}): remove it, or set TMPDIR to another one"
            ) from error

    def _command(self, agent: int, agent_grpc: int, runtime_env: int, metrics: int) -> list[str]:
        options: dict[str, object] = {
            "node-ip-address": LOOPBACK,
            "port": 0,
            "min-worker-port": 0,
            "max-worker-port": 0,
            "dashboard-host": LOOPBACK,
            "dashboard-port": self._port,
            "dashboard-agent-listen-port": agent,
            "dashboard-agent-grpc-port": agent_grpc,
            "runtime-env-agent-port": runtime_env,
            "metrics-export-port": metrics,
            "include-dashboard": "true",
            "include-log-monitor": "false",
            "num-cpus": LOGICAL_CPUS,
            "object-store-memory": OBJECT_STORE_BYTES,
            "temp-dir": self._temp,
            "log-color": "false",
        }
        flags = ["--head", "--block", "--no-monitor", "--disable-usage-stats"]
        pairs = [f"--{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "ray.scripts.scripts", "start", *flags, *pairs]

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The head's environment, which every process of the cluster inherits. Ray settings of other clusters go."""
        first = 10_000 + 1_000 * (os.getpid() % 20)
        ours = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": self._home.ray_token,
            # Without it Ray replaces 127.0.0.1 by the machine's address.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": 0,
            "RAY_START_HOOK": "serving.rayhook.without_client_server",
            "RAY_USAGE_STATS_ENABLED": 0,
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": 0,
            "RAY_worker_niceness": 0,
            "RAY_SERVE_ENABLE_DIRECT_INGRESS": 1,
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": INGRESS_DRAINING_SECONDS,
            # Below the kernel's own range, and apart from other stacks; Ray tries the next port where one is taken.
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": first,
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": first + 1_000,
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": 1,
            # When Ray begins to say what a replica that does not start waits for, and how often it says so.
            "RAY_SERVE_SLOW_STARTUP_WARNING_S": SLOW_START_SECONDS,
            "RAY_SERVE_SLOW_STARTUP_WARNING_PERIOD_S": SLOW_START_SECONDS,
            # It would also keep a thousand log lines in memory, which die with a replica: those are the ones wanted.
            "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": 1,
            ARTIFACTS_VARIABLE: self._home.artifacts,
            # Whoever starts it runs the code of their own models anyway.
            CODE_VARIABLE: inherited.get(CODE_VARIABLE) or "always",
        }
        kept = {name: value for name, value in inherited.items() if not name.startswith("RAY_")}
        return kept | {name: str(value) for name, value in {**ours, **self._told}.items()}


async def start_serve(address: RayAddress, proxy_port: int, seconds: float = START_SECONDS) -> None:
    """Wait for the dashboard, then have it start Ray Serve, whose proxy nobody uses, on a free port.

    Raises `CannotStart` when that does not succeed in time. On a busy machine Ray may lose its own patience with a part
    of itself that comes up slowly, and answer with an error; asked again, it goes on from there.
    """
    said = ""
    try:
        async with asyncio.timeout(seconds), ServeClient(address.url, address.token) as client:
            while True:
                try:
                    await client.details()
                    await client.put(start_options(LOOPBACK, proxy_port) | {"applications": []})
                    return
                except (ServeUnreachable, ServeRefused) as error:
                    said = f": {error}"
                    await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise CannotStart(f"Ray was not ready within {seconds:g} seconds{said}") from error
    except ServeApiError as error:
        raise CannotStart(f"Ray Serve could not be started: {error}") from error


def free_ports(count: int, first: int = 0) -> list[int]:
    """Ports of loopback that nobody uses just now, the first of them `first` if that is still free."""
    with contextlib.ExitStack() as stack:
        ports = []
        for wanted in (first, *[0] * (count - 1)):
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, wanted))
            except OSError:
                probe.bind((LOOPBACK, 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def _session(leader: int) -> Iterator[int]:
    """The living processes of a session: field 6 of /proc/PID/stat; proc(5)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, session = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == leader and state != "Z":
                    yield int(entry.name)


def _tail(log: Path, lines: int = 20) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return "(no log)"
