"""How two versions of a model compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.answers.figures import Difference, Figure


@dataclass(frozen=True, slots=True)
class Cell:
    """How often `one` met `other`: stable's answer and the candidate's, or a label and an answer."""

    one: str
    other: str
    count: int


@dataclass(frozen=True, slots=True)
class ClassPairs:
    """Answers that name classes. `kappa` is agreement beyond chance, with an interval for one look.

    `confusion` has the cells with the most pairs first, stable's answer before the candidate's.
    """

    kappa: Figure
    confusion: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class NumberPairs:
    """Answers that are numbers: the mean `difference` (candidate - stable), and how far apart their distributions are.

    Kolmogorov and Smirnov's D, the population stability index and the Jensen-Shannon distance (`monitor.distances`).
    """

    difference: Figure
    kolmogorov_smirnov: float | None
    psi: float | None
    jensen_shannon: float | None


@dataclass(frozen=True, slots=True)
class Example:
    """A request that the versions answered differently: the first row in which they do, and its inputs, if recorded."""

    request_id: str
    row: int
    stable: Any
    candidate: Any
    inputs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Shadow:
    """Requests that both versions answered, one of them in the shadow.

    `agreement` is the share of requests that agree in every row; numbers do within `tolerance`, relative to the larger
    one. For what is in `classes` or `numbers` each request gives one row, which its id chooses.
    """

    pairs: int
    tolerance: float
    agreement: Figure
    classes: ClassPairs | None
    numbers: NumberPairs | None
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds inside the replica, of requests with a status below 500."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: how much of what was predicted as it is of it, how much of it was found, and both in one."""

    name: str
    precision: Figure
    recall: Figure
    f1: Figure


@dataclass(frozen=True, slots=True)
class Classification:
    """Labels that name classes. `precision` and `recall` are means over all classes; `classes` has the most frequent.

    `confusion` has the cells with the most labels first, the label before the answer.
    """

    accuracy: Figure
    precision: float | None
    recall: float | None
    macro_f1: Figure
    classes: tuple[ClassScore, ...]
    confusion: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Regression:
    """Labels that are numbers: errors in their unit."""

    mae: Figure
    rmse: Figure
    r2: Figure


@dataclass(frozen=True, slots=True)
class Labels:
    """What labels say of a version's answers.

    `coverage` is the share of its answered requests that have a label, None without requests; half of the labels took
    up to `median_seconds`, nine of ten up to `p90_seconds`, rounded up to a bound of `monitor.performance.LAG_BOUNDS`
    (None beyond the last). Few and fast labels may not be typical of all. `scored` labels could be held against a
    recorded answer.
    """

    labels: int
    scored: int
    coverage: float | None
    median_seconds: float | None
    p90_seconds: float | None
    classification: Classification | None
    regression: Regression | None


@dataclass(frozen=True, slots=True)
class VersionReport:
    """One version: its records (`mirrored` ones among them), those with a status of 500 or above, and its feedback."""

    version: str
    records: int
    mirrored: int
    errors: int
    latency: Latency | None
    labels: Labels | None
    reward: Figure


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Two versions, by requests that came from `since` until before `until` (seconds since the epoch).

    `stable` and `candidate` are empty while no such version has been seen. `cut` has a sentence for each part that was
    limited to its newest rows. `confidence` is that of every interval on its own.
    """

    namespace: str
    model: str
    since: float
    until: float | None
    stable: str
    candidate: str
    confidence: float
    shadow: Shadow | None
    versions: tuple[VersionReport, ...]
    differences: tuple[Difference, ...]
    cut: tuple[str, ...]
