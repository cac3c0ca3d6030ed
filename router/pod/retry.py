"""Growing pauses while something fails, and a line in the log when that begins, changes and ends."""

import asyncio
import logging

log = logging.getLogger(__name__)


class Retry:
    """One thing that is tried until it works; `what` says what cannot be done meanwhile."""

    def __init__(self, what: str, first: float = 0.5, longest: float = 10.0) -> None:
        """The pauses double from `first` to `longest`, in seconds."""
        self._what = what
        self._first = first
        self._longest = longest
        self._seconds = first
        self._told = ""

    async def pause(self, why: str) -> None:
        """Note a failure and wait."""
        if why != self._told:
            log.warning("%s: %s; trying again", self._what, why)
            self._told = why
        await asyncio.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, self._longest)

    def over(self) -> None:
        """Note a success."""
        if self._told:
            log.info("over: %s", self._what)
        self._seconds, self._told = self._first, ""
