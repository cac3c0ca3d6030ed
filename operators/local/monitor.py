"""The monitor of one machine: a child on a free port of 127.0.0.1, with its records in the state folder.

Nothing depends on it while it is away: replicas keep some records for it, and what decides by its answers waits.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from operators.local.child import Child
from operators.local.home import Home, secret
from operators.local.preflight import LOOPBACK
from operators.local.ray import free_ports
from router.config import Address

URL_VARIABLE: Final = "TIDEGATE_MONITOR_URL"
"""Where the control process finds the monitor; without it there is none."""
RECORDS_URL_VARIABLE: Final = "TIDEGATE_RECORDS_URL"
RECORDS_TOKEN_FILE_VARIABLE: Final = "TIDEGATE_RECORDS_TOKEN_FILE"  # noqa: S105 - the name of a variable
"""The same for replicas: `serving.records`, which cannot be imported here without NumPy."""


class LocalMonitor:
    """Where the monitor answers, and how others find it there. It keeps its port when it is started again."""

    def __init__(self, home: Home) -> None:
        """Nothing is started; the token is made if there is none. Raises `OSError`."""
        self._home = home
        (self._port,) = free_ports(1)
        secret(home.monitor_token)

    @property
    def address(self) -> Address:
        """Where Envoy sends feedback."""
        return Address(LOOPBACK, self._port)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def for_replicas(self) -> Mapping[str, str]:
        """What Ray's processes are told by their environment."""
        return {
            RECORDS_URL_VARIABLE: self.url,
            RECORDS_TOKEN_FILE_VARIABLE: str(self._home.monitor_token),
        }

    @property
    def for_control(self) -> Mapping[str, str]:
        """What the control process is told by its environment; it finds the token in the state folder."""
        return {URL_VARIABLE: self.url}

    @asynccontextmanager
    async def running(self, say: Callable[[str], None]) -> AsyncIterator[None]:
        """Keep it running during the block. A user's own database and retention are left as they are."""
        told = {
            "TIDEGATE_HOME": str(self._home.root),
            "TIDEGATE_MONITOR_HOST": LOOPBACK,
            "TIDEGATE_MONITOR_PORT": str(self._port),
            "TIDEGATE_MONITOR_TOKEN_FILE": str(self._home.monitor_token),
        }
        command = (sys.executable, "-m", "monitor")
        child = Child("the monitor", command, self._home.logs / "monitor.log", os.environ | told)
        self._home.monitor_url.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._home.monitor_url.write_text(self.url)
        task = asyncio.create_task(child.run(say), name="monitor")
        try:
            yield
        finally:
            self._home.monitor_url.unlink(missing_ok=True)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
