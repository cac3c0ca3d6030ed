"""The clock of this machine."""

import time


class SystemClock:
    """See `operators.ports.Clock`."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()
