"""What was asked of each member, for Prometheus: handed every few seconds to Ray, which exports it on each node's port.

Requests do not wait for this: they count in `tally.py`, and what has been added since is told here. There are as many
series as members that were asked, and never more than the catalogue has names.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final, Protocol

from serving.many.tally import Counts

REPORT_SECONDS: Final = 5.0

COUNTERS: Final = {
    "requests": "Answered requests for a member",
    "errors": "Those of them that were answered 500 or above",
    "seconds": "How long all of them took",
    "loads": "How often it was loaded",
    "failures": "How often it could not be loaded",
    "evictions": "How often it gave way to others",
}
"""The fields of `Counts`, each of which is a counter `tidegate_member_FIELD`."""


class Counter(Protocol):
    """As much of Ray's counter as is used."""

    def inc(self, value: float, tags: dict[str, str]) -> None:
        """Add to the series of these tags; `value` is above 0."""


class Reporter:
    """Tells counters, from a thread of its own, by how much the counts have grown."""

    def __init__(
        self,
        counts: Callable[[], list[tuple[str, Counts]]],
        counters: Mapping[str, Counter],
        tags: Mapping[str, str],
    ) -> None:
        """`counts` may be called from any thread; `tags` are those of all series, beside `member`."""
        self._counts = counts
        self._counters = counters
        self._tags = tags
        self._told: dict[str, dict[str, float]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidegate-members", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def close(self) -> None:
        """Tell what is left, and end."""
        self._closing.set()
        self._thread.join(REPORT_SECONDS)

    def tell(self) -> None:
        """Tell what has been added since the last time."""
        for member, counts in self._counts():
            now, before = asdict(counts), self._told.get(member, {})
            for name, counter in self._counters.items():
                added = now[name] - before.get(name, 0)
                if added > 0:
                    counter.inc(added, {**self._tags, "member": member})
            self._told[member] = now

    def _run(self) -> None:
        while not self._closing.wait(REPORT_SECONDS):
            self.tell()
        self.tell()
