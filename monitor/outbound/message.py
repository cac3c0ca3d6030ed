"""The words for one event, or for many at once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xxhash import xxh128_hexdigest

from monitor.event import Event

LISTED: Final = 20
"""Events that a message about many has a line for."""


class NotDelivered(Exception):
    """A message did not arrive; the text says why, without any secret. `after`: seconds that the receiver asks for."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Refused(NotDelivered):
    """The receiver answered, and not with 2xx."""

    def __init__(self, status: int, after: float | None) -> None:
        super().__init__(f"the receiver answered {status}", after)
        self.status = status


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel says once.

    `delivery` is the same for the same events in the same channel: whoever gets it twice, because the monitor ended
    before it could note that it was taken, knows it by that.
    """

    delivery: str
    title: str
    text: str
    events: Sequence[Event]

    @property
    def warning(self) -> bool:
        """Whether any of the events is one."""
        return any(event.severity == "warning" for event in self.events)


def compose(channel: str, events: Sequence[Event]) -> Message:
    """One message about all of these events, of which there is at least one."""
    delivery = xxh128_hexdigest("\n".join((channel, *(event.key for event in events))).encode())
    if len(events) == 1:
        return Message(delivery, _line(events[0]), events[0].message, events)
    kinds = Counter(event.kind for event in events)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    lines = [_line(event) for event in events[:LISTED]]
    if len(events) > LISTED:
        lines.append(f"… and {len(events) - LISTED} more")
    return Message(delivery, f"{len(events)} events: {counts}", "\n".join(lines), events)


def _line(event: Event) -> str:
    return f"{event.namespace}/{event.model}: {event.title}"
