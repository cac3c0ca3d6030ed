"""What runs before Envoy gets its SIGTERM: it takes leave of its clients.

At once every answer says `connection: close`, while new connections are still welcome: Services and ingresses need a
moment to notice that the pod is going, and until then they send requests here. After that moment nothing new is let in.
What was let in is answered.
"""

import asyncio
from typing import Final

from router.admin import AdminUnavailable, EnvoyAdmin
from router.bootstrap import ACTIVE_REQUESTS

NOTICE_SECONDS: Final = 5.0


class DrainTimeout(Exception):
    """Requests were still under way when the time was over."""


async def drain(admin: EnvoyAdmin, seconds: float, notice_seconds: float = NOTICE_SECONDS) -> None:
    """Return when nothing is under way and at least `notice_seconds` have passed.

    Raises `DrainTimeout` after `seconds`, and `AdminUnavailable` when there is no Envoy (any more).
    """
    try:
        async with asyncio.timeout(seconds):
            await admin.post("/healthcheck/fail")
            await asyncio.sleep(notice_seconds)
            await admin.post("/drain_listeners")
            await admin.until(ACTIVE_REQUESTS, 0)
    except TimeoutError:
        raise DrainTimeout(f"requests were still under way after {seconds:g} s and will be cut off") from None


async def gone(admin: EnvoyAdmin, poll_seconds: float = 0.1) -> None:
    """Return once no Envoy answers any more."""
    while True:
        try:
            await admin.get("/server_info")
        except AdminUnavailable:
            return
        await asyncio.sleep(poll_seconds)
