"""What the monitor counts for each version of a model, as others ask for it (`monitor.client`).

Only live requests count: mirrored ones have no user who could give feedback. A label or reward belongs to the answer
that the user got: the live record of its request id with a status below 500, the first stored one if a client used an
id several times.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RewardTally:
    """`count` rewards, their sum and the sum of their squares; `zero_one`: each of them is 0 or 1."""

    count: int
    sum: float
    squares: float
    zero_one: bool


@dataclass(frozen=True, slots=True)
class LabelTally:
    """How many labels could be compared with a recorded output, and how many agree with it (see `agrees`)."""

    count: int
    correct: int


@dataclass(frozen=True, slots=True)
class ShareTally:
    """The rewards of requests for which the version was chosen with this share of traffic, in basis points."""

    share: int
    count: int
    sum: float
    squares: float


@dataclass(frozen=True, slots=True)
class VersionTally:
    """The live requests of one version: all of them, those answered with a status of 500 or above, and their feedback.

    `by_share` is ordered by share; rewards of requests without a known share are in `rewards` only.
    """

    requests: int
    errors: int
    rewards: RewardTally
    labels: LabelTally
    by_share: tuple[ShareTally, ...]


def agrees(label: object, outputs: Mapping[str, object] | None) -> bool | None:
    """Whether the label is what the model said: the first row of its first output. None when no output was recorded.

    Both are JSON. Numbers are compared by value (1 is 1.0), text as text, lists and objects part by part; values of
    different kinds never agree: the text "1" is not the number 1, and `true` is not 1.
    """
    rows = next(iter(outputs.values()), None) if outputs else None
    return same(label, rows[0]) if isinstance(rows, list) and rows else None


def same(one: object, other: object) -> bool:
    """Whether two JSON values are equal, as described at `agrees`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return one == other
