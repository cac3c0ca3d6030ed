"""What the monitor knows of the answers of two versions: the evidence that checks on predictions decide by.

The monitor counts (`monitor.reports`), whoever asks decides (`operators.analysis`): nothing here is a verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.tallies import VersionTally

DEFAULT_TOLERANCE: Final = 1e-6
"""Numbers agree when they differ by at most this share of the larger one."""


@dataclass(frozen=True, slots=True)
class PairTally:
    """Requests that both versions answered, one of them in the shadow, and in how many of these they agree.

    A request counts once, however many rows it has: it agrees when the first output does in every recorded row. Numbers
    agree within `tolerance` (relative to the larger one), everything else when it is the same.
    """

    tolerance: float
    pairs: int
    agreeing: int


@dataclass(frozen=True, slots=True)
class ErrorTally:
    """Answers that are numbers, held against their labels: how many, the sums of |answer - label| and of its square."""

    count: int = 0
    absolute: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True)
class Move:
    """How far one feature (or one output) is from its reference.

    It is that of its `samples` values or, if that is larger, that of whether there is a value at all. `psi`: the
    population stability index, None when it cannot be computed yet. `e_value`: the evidence that it is no accident;
    without drift it reaches 1 / alpha with probability alpha at most, however often one looks (`monitor.conformal`).
    """

    name: str
    samples: int
    psi: float | None
    e_value: float


@dataclass(frozen=True, slots=True)
class DriftTally:
    """The candidate's values since the evidence began, against the reference. A request gives one row (`samples`).

    `reference` says what that is: `file` (beside the model), `records` (the first ones of the stable version), or ``
    while there is none; then `reference_samples` says how many of the needed records are there. `moves` has every
    column of the reference, the largest index first.
    """

    reference: str = ""
    reference_samples: int = 0
    samples: int = 0
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was asked for about a stable version and a candidate, since a moment; None for what was not asked for.

    `versions`: live requests and feedback (`monitor.tallies`), `errors` what labels say of answers that are numbers,
    both by version; a version without any is absent. `pairs`: one for each tolerance.
    """

    versions: Mapping[str, VersionTally] = field(default_factory=dict)
    errors: Mapping[str, ErrorTally] = field(default_factory=dict)
    pairs: tuple[PairTally, ...] = ()
    features: DriftTally | None = None
    predictions: DriftTally | None = None
