"""Growing pauses while something fails, and a line in the log when that begins and when it ends."""

import asyncio
import logging
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Retry:
    """One thing that is tried until it works; `what` says what cannot be done meanwhile."""

    def __init__(self, what: str, longest: float = LONGEST_SECONDS) -> None:
        """`longest` is the limit of the pauses, in seconds."""
        self._what = what
        self._longest = longest
        self._failures = 0

    async def pause(self, error: Exception) -> None:
        """Note a failure and wait."""
        if self._failures == 0:
            log.warning("%s: %s; trying again", self._what, error)
        await asyncio.sleep(min(FIRST_SECONDS * 2.0 ** min(self._failures, 10), self._longest))
        self._failures += 1

    def over(self) -> None:
        """Note a success."""
        if self._failures:
            log.info("over: %s", self._what)
        self._failures = 0
