"""Failures in a row: said once, tried again ever more slowly."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from operators.ports import PortUnavailable

RETRY_SECONDS: Final = 1.0
"""The pause after the first failure; doubles up to `RETRY_LIMIT`."""
RETRY_LIMIT: Final = 60.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outage:
    """Failures of one port, `name` to the reader of the log."""

    name: str
    failures: int = 0
    again_at: float = 0.0

    def failed(self, error: PortUnavailable) -> float:
        """Count a failure; the number of seconds to wait before the next attempt."""
        self.failures += 1
        if self.failures == 1:
            log.warning("%s cannot be reached: %s; traffic stays as it is, trying again", self.name, error)
        pause = backoff(self.failures)
        self.again_at = _monotonic() + pause
        return pause

    def waiting(self) -> bool:
        """Whether the last attempt failed so recently that another one would only cost time."""
        return self.failures > 0 and _monotonic() < self.again_at

    def over(self) -> None:
        """Note a success."""
        if self.failures:
            log.info("%s answers again", self.name)
        self.failures = 0


def backoff(failures: int) -> float:
    """The number of seconds to wait after so many failures in a row."""
    return float(min(RETRY_SECONDS * 2 ** min(failures - 1, 10), RETRY_LIMIT))


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
