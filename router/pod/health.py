"""Whether requests may be sent to this router."""

import asyncio
from typing import Final

from router.admin import AdminUnavailable, EnvoyAdmin
from router.pod.kube import ModelRoutes
from router.service import Router

PATIENCE_SECONDS: Final = 3.0
"""How long a starting router waits for the API server before the routes that it remembers are good enough."""


class Health:
    """Ready: Envoy has run the fleet's routes, and it is live now.

    The routes are those of the first full list. If that does not come in time, it is what Envoy ran before, should
    there be anything. Later changes of routes, good or bad, and an API server that goes away take nothing back.
    """

    def __init__(self, router: Router, routes: ModelRoutes, admin: EnvoyAdmin) -> None:
        """Not ready yet."""
        self._router = router
        self._routes = routes
        self._admin = admin
        self._stopping = False
        self._waits_for: str | None = "the routes have not been published yet"

    async def watch(self) -> None:
        """Return once Envoy runs the routes."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._routes.published()
            self._waits_for = "Envoy does not run the routes yet"
        except TimeoutError:
            self._waits_for = "the routes cannot be listed, the router's log says why; Envoy runs no earlier ones"
        await self._router.settled()
        self._waits_for = None

    def stop(self) -> None:
        """Never ready again."""
        self._stopping = True

    async def unready(self) -> str | None:
        """Why no requests should come here; None when they may."""
        if self._stopping:
            return "the router is stopping"
        if self._waits_for is not None:
            return self._waits_for
        try:
            await self._admin.get("/ready")  # 503 while Envoy has no configuration, and while it drains
        except AdminUnavailable as error:
            return f"Envoy is not ready: {error}"
        return None
