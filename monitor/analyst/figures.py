"""What the analyst knows of a version after its last look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Version(NamedTuple):
    """Names a version of a model."""

    namespace: str
    model: str
    version: str


class Pair(NamedTuple):
    """Names two versions that answered the same requests: `stable` the user, `version` a copy."""

    namespace: str
    model: str
    version: str
    stable: str


@dataclass(frozen=True, slots=True)
class ColumnFigures:
    """A column of the newest window. `psi` is None where there is no reference, or too few values.

    `missing` is a share of the rows; `quantiles` are by their probability, empty unless the column is numeric.
    """

    name: str
    psi: float | None
    alarmed: bool
    missing: float | None
    quantiles: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """The newest records of a version. `faults`: the rules of quality that they break; None without a reference."""

    records: int
    features: tuple[ColumnFigures, ...]
    predictions: tuple[ColumnFigures, ...]
    faults: int | None


@dataclass(frozen=True, slots=True)
class FeedbackFigures:
    """The newest feedback about a version. None is what does not apply: accuracy is of classes, distance of numbers.

    `lags` are seconds from a request to its feedback, by probability.
    """

    count: int
    accuracy: float | None
    absolute_error: float | None
    reward: float | None
    lags: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class PairFigures:
    """The newest requests that both versions answered, and those of them in which the answers agree."""

    count: int
    agreeing: int
