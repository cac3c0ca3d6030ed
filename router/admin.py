"""Envoy's admin interface, over its Unix socket."""

import asyncio
import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from router.bootstrap import ADMIN_ANSWERS, ADMIN_TIMES

TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.01


class AdminUnavailable(Exception):
    """The admin interface did not answer, or not with 200."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("envoy", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class EnvoyAdmin:
    """Asks one Envoy about itself."""

    def __init__(self, path: Path) -> None:
        """Take the path of the admin socket; nothing is opened yet."""
        self._path = path

    async def get(self, path: str) -> bytes:
        """The body of a GET. Raises `AdminUnavailable`."""
        return await asyncio.to_thread(self._ask, "GET", path)

    async def post(self, path: str) -> bytes:
        """The body of a POST: what changes Envoy. Raises `AdminUnavailable`."""
        return await asyncio.to_thread(self._ask, "POST", path)

    async def stats(self, pattern: str, *, histograms: bool = False) -> list[dict[str, Any]]:
        """Envoy's statistics whose whole name matches the regular expression, as Envoy's JSON has them.

        Histograms hold all that was recorded before the call. Raises `AdminUnavailable`.
        """
        if histograms:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._merged()
            except TimeoutError as error:
                raise AdminUnavailable(f"{self._path}: the workers' histograms do not come together") from error
        return await self._stats(pattern, histograms=histograms)

    async def gauge(self, name: str) -> int:
        """One number by its full name; 0 while Envoy does not have it."""
        return sum(stat["value"] for stat in await self.stats(f"^{name.replace('.', '[.]')}$") if "value" in stat)

    async def until(self, name: str, value: int) -> None:
        """Return once this number has this value. Raises `AdminUnavailable`."""
        while True:
            if await self.gauge(name) == value:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _merged(self) -> None:
        """Have the workers' histograms brought together.

        Every question for statistics starts that, and the answer does not wait for it: it shows what was there before.
        The interface's own requests are in a counter at once and in a histogram once that is brought together, so the
        one tells whether the other has caught up.
        """
        pattern = f"^({ADMIN_ANSWERS}|{ADMIN_TIMES})$"
        answered = None
        while True:
            stats = await self._stats(pattern, histograms=True)
            if answered is None:
                answered = next((stat["value"] for stat in stats if "value" in stat), 0)
            histograms = [one for stat in stats for one in stat.get("histograms", ())]
            if sum(bucket["cumulative"] for one in histograms for bucket in one["buckets"]) >= answered:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _stats(self, pattern: str, *, histograms: bool) -> list[dict[str, Any]]:
        query = f"/stats?format=json&filter={quote(pattern)}"
        body = await self.get(f"{query}&histogram_buckets=disjoint" if histograms else f"{query}&type=All")
        stats: list[dict[str, Any]] = json.loads(body)["stats"]
        return stats

    def _ask(self, method: str, path: str) -> bytes:
        connection = _UnixConnection(self._path, TIMEOUT_SECONDS)
        try:
            connection.request(method, path, headers={"connection": "close"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminUnavailable(f"{self._path}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise AdminUnavailable(f"{path}: {response.status} {body.decode(errors='replace').strip()}")
        return body
