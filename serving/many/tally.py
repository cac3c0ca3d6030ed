"""What was asked of each member. There are as many as the catalogue has names, whatever clients ask for."""

from dataclasses import dataclass

from serving.exchange import Exchange
from serving.site import Recording


@dataclass(slots=True)
class Counts:
    """Of one member, ever: answered requests, those answered 500 or above, their seconds, and loads."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    loads: int = 0
    failures: int = 0
    """Loads that failed."""
    evictions: int = 0


class Tally:
    """Counts answered exchanges by member, and hands them on. Written by the loop's thread only."""

    def __init__(self, then: Recording | None) -> None:
        self._then = then
        self._counts: dict[str, Counts] = {}

    def add(self, exchange: Exchange, status: int) -> None:
        """Count an exchange that named a member of the catalogue."""
        if exchange.member is not None:
            counts = self.of(exchange.member)
            counts.requests += 1
            counts.errors += status >= 500
            counts.seconds += exchange.ended - exchange.began
        if self._then is not None:
            self._then.add(exchange, status)

    def of(self, member: str) -> Counts:
        """The counts of a member."""
        counts = self._counts.get(member)
        if counts is None:
            counts = self._counts[member] = Counts()
        return counts

    def all(self) -> list[tuple[str, Counts]]:
        """All counts of members that were asked. May be called from any thread."""
        return [*self._counts.items()]
