"""Whether a version's data is still what it was."""

from dataclasses import dataclass

from monitor.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One feature or prediction in the window. None: it could not be computed.

    What is before `e_value` is about the window as a whole and holds for one look (`monitor.drift.FeatureDrift`).
    `e_value` is the evidence of a drift watch that was shown the window value by value, oldest first; the watch raised
    its alarm after `alarm_at` of them (`monitor.conformal`).
    """

    name: str
    verdict: Verdict
    message: str
    reference_samples: int
    samples: int
    test: str | None = None
    statistic: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    effect: float | None = None
    psi: float | None = None
    jensen_shannon: float | None = None
    e_value: float | None = None
    alarm_at: int | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A family of columns against its reference, those that drifted first, the largest PSI first.

    `reference` is `file` or `records`, and empty while there is none. `reference_samples` counts the records that it is
    made of, or those of the needed ones that are there so far.
    """

    reference: str
    reference_samples: int
    verdict: Verdict
    message: str
    columns: tuple[ColumnDrift, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that did."""
        return tuple(one.name for one in self.columns if one.verdict is Verdict.FAIL)


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule of data quality that rows of the window break; `requests` are the first of these."""

    field: str
    rule: str
    count: int
    share: float
    requests: tuple[str, ...]
    tolerated: bool
    message: str


@dataclass(frozen=True, slots=True)
class Quality:
    """The rows of the window against what the reference suggests (`monitor.quality.schema_of`)."""

    verdict: Verdict
    rows: int
    faults: tuple[Fault, ...]
    message: str


@dataclass(frozen=True, slots=True)
class ErrorChange:
    """From `at` on (seconds since the epoch, of the request) the mean error was `after` instead of `before`."""

    at: float
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Concept:
    """What a detector says of the errors that late labels show, in the order of the requests (`monitor.concept`)."""

    detector: str
    verdict: Verdict
    labels: int
    changes: tuple[ErrorChange, ...]
    message: str


@dataclass(frozen=True, slots=True)
class VersionDrift:
    """The newest `window` records of a version against the reference of `reference_version`.

    `first_at` and `last_at`: when they came, in seconds since the epoch. `version` is empty while none has been seen.
    """

    namespace: str
    model: str
    version: str
    reference_version: str
    window: int
    first_at: float | None
    last_at: float | None
    features: Moved
    predictions: Moved
    quality: Quality | None
    concept: tuple[Concept, ...]
