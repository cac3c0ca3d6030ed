"""Asks the monitor how versions compare."""

from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
from pydantic import TypeAdapter, ValidationError

from monitor.tallies import VersionTally

ANSWER_SECONDS: Final = 5.0

_VERSIONS: Final = TypeAdapter(dict[str, dict[str, VersionTally]])


class MonitorUnavailable(Exception):
    """The monitor did not answer, or not as it should; the text says why."""


class MonitorClient:
    """A connection to the monitor, kept open. For one event loop.

    `url` is the monitor's (`http://host:8090`), `token` its bearer token, None for a monitor without.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def tallies(self, namespace: str, model: str, since: float) -> Mapping[str, VersionTally]:
        """The live requests that came since then (seconds since the epoch), by version. Raises `MonitorUnavailable`."""
        query = {"namespace": namespace, "model": model, "since": repr(since)}
        try:
            return _VERSIONS.validate_json(await self._get("/internal/v1/tallies", query))["versions"]
        except (ValidationError, KeyError) as error:
            raise MonitorUnavailable(
                f"the monitor at {self._url} gave an answer that is not understood: is it of the same release?"
            ) from error

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            # Neither a proxy nor credentials of the environment have a place between the operator and the monitor.
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, trust_env=False)
        try:
            async with self._session.get(self._url + path, params=query) as answer:
                content = await answer.read()
        except TimeoutError as error:
            raise MonitorUnavailable(
                f"the monitor at {self._url} did not answer within {ANSWER_SECONDS:g} seconds"
            ) from error
        except aiohttp.ClientError as error:
            raise MonitorUnavailable(f"the monitor at {self._url} cannot be reached: {error}") from error
        if answer.status == 401:
            raise MonitorUnavailable(f"the monitor at {self._url} refused the token: the operator needs the monitor's")
        if answer.status != 200:
            said = content[:200].decode(errors="replace").strip()
            raise MonitorUnavailable(f"the monitor at {self._url} answered {answer.status}: {said}")
        return content
