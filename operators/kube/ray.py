"""`ServePort` over Ray Serve's REST API, with a token that may be replaced: Secrets are rotated under running pods."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from operators.ports import ServeUnavailable
from operators.rayserve import RayServe
from serving.client import ServeAccessDenied, ServeClient
from serving.spec import ServeTarget, TargetKey, TargetState

R = TypeVar("R")


class RotatedRay:
    """Ray Serve on a cluster whose token is in a file, which is read again when Ray refuses the token."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        """No `token_file`: a cluster without a token. Raises `OSError` when there is none to read."""
        self._file = token_file
        self._token = self._read()
        self._client = ServeClient(url, self._token)
        # Replicas listen on their pod's own address, whatever it is.
        self._ray = RayServe(self._client, http_host="0.0.0.0")  # noqa: S104

    async def apply(self, targets: Sequence[ServeTarget]) -> None:
        """See `ServePort.apply`."""
        await self._trying(lambda: self._ray.apply(targets))

    async def observe(self) -> Mapping[TargetKey, TargetState]:
        """See `ServePort.observe`."""
        return await self._trying(self._ray.observe)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _trying(self, call: Callable[[], Awaitable[R]]) -> R:
        try:
            return await call()
        except ServeUnavailable as error:
            if not isinstance(error.__cause__, ServeAccessDenied) or not await self._renewed():
                raise
            return await call()

    async def _renewed(self) -> bool:
        """Whether the file holds another token now, which is used from here on."""
        try:
            token = await asyncio.to_thread(self._read)
        except OSError as error:
            raise ServeUnavailable(f"Ray refused the token, and the file of its successor: {error}") from error
        if token == self._token:
            return False
        self._token = token
        self._client.authorize(token)
        return True

    def _read(self) -> str | None:
        return None if self._file is None else self._file.read_text().strip()
