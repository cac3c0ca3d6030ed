"""Answers of the monitor that the command line shows."""

from dataclasses import replace

from monitor.answers.comparison import (
    Cell,
    Classification,
    ClassPairs,
    ClassScore,
    ComparisonReport,
    Example,
    Labels,
    Latency,
    NumberPairs,
    Regression,
    Shadow,
    VersionReport,
)
from monitor.answers.figures import Difference, Figure, Planned
from monitor.answers.history import Bucket, MetricTrend, Oddity, PerformanceReport, VersionHistory
from monitor.answers.moves import ColumnDrift, Concept, ErrorChange, Fault, Moved, Quality, VersionDrift
from monitor.event import Event
from monitor.verdict import Verdict

NONE = Figure(None, None, None, 0)
AGREEMENT = Figure(0.98, 0.95, 0.996, 400)


def difference(metric: str, low: float | None, high: float | None, *, higher: bool = False) -> Difference:
    """A difference with this interval."""
    test = Planned("Fisher", Verdict.INCONCLUSIVE, None, 0.4, AGREEMENT, 0.1, "Cohen's h", (10, 10), "")
    middle = Figure(0.0 if low is None or high is None else (low + high) / 2, low, high, 20)
    return Difference(metric, higher, AGREEMENT, AGREEMENT, middle, (test,))


LABELS = Labels(
    labels=400,
    scored=400,
    coverage=0.5,
    median_seconds=10,
    p90_seconds=60,
    classification=Classification(
        accuracy=AGREEMENT,
        precision=0.97,
        recall=0.96,
        macro_f1=AGREEMENT,
        classes=(ClassScore("setosa", AGREEMENT, AGREEMENT, AGREEMENT),),
        confusion=(Cell("setosa", "setosa", 400),),
    ),
    regression=None,
)
ERRORS = replace(LABELS, classification=None, regression=Regression(Figure(1.25, 1.0, 1.5, 400), AGREEMENT, NONE))
STABLE = VersionReport("v1", 800, 0, 2, Latency(1.5, 1.0, 3.0, 9.0), LABELS, Figure(0.5, 0.4, 0.6, 100))
CANDIDATE = VersionReport("v2", 400, 400, 0, None, None, NONE)
CELLS = (Cell("a", "a", 300), Cell("a", "b", 60), Cell("b", "b", 40))
SHADOW = Shadow(
    pairs=400,
    tolerance=1e-6,
    agreement=AGREEMENT,
    classes=ClassPairs(Figure(0.9, 0.8, 0.95, 400), CELLS),
    numbers=None,
    examples=(Example("request-7", 0, "a", "b", {"petal_length": 1.5}), Example("request-8", 1, "a", "b", None)),
)
NUMBERS = replace(SHADOW, classes=None, numbers=NumberPairs(Figure(0.25, 0.1, 0.4, 400), 0.12, 0.03, None))
REPORT = ComparisonReport(
    namespace="default",
    model="iris",
    since=0,
    until=None,
    stable="v1",
    candidate="v2",
    confidence=0.95,
    shadow=SHADOW,
    versions=(STABLE, CANDIDATE),
    differences=(difference("error-rate", -0.01, 0.01), difference("latency-ms", 0.5, 1.5)),
    cut=("pairs: only the newest 100000 were read, 100000 at most; ask for a shorter time",),
)

COLUMN = ColumnDrift(
    "petal_length", Verdict.FAIL, "petal_length: PSI is 1.5", 1000, 900, "KS", 0.6, 1e-9, 2e-9, 0.6, 1.5, 0.4, 1e5, 447
)
LACKING = ColumnDrift("age", Verdict.INCONCLUSIVE, "age: the window has no such feature", 1000, 0)
DRIFT = VersionDrift(
    namespace="default",
    model="iris",
    version="v2",
    reference_version="v2",
    window=900,
    first_at=1_790_000_000.0,
    last_at=1_790_000_060.5,
    features=Moved("file", 1000, Verdict.FAIL, "1 of 2 features drifted: petal_length", (COLUMN, LACKING)),
    predictions=Moved("", 12, Verdict.INCONCLUSIVE, "there is no reference: 12 of the 1000 records", ()),
    quality=Quality(
        Verdict.FAIL,
        900,
        (Fault("petal_length", "range", 9, 0.01, ("r1", "r2"), False, "petal_length: above 6.9"),),
        "petal_length: above 6.9",
    ),
    concept=(
        Concept("ADWIN", Verdict.FAIL, 500, (ErrorChange(1_790_000_030.0, 0.02, 0.5),), "the mean error rose"),
        Concept("Page-Hinkley", Verdict.INCONCLUSIVE, 20, (), "20 labels; 100 are needed"),
    ),
)

BUCKET = Bucket(1_790_000_000.0, 1200, 3, 1.5, 4.5, 100, 0.9, 0.88, None, 0, None)
TREND = MetricTrend("accuracy", Verdict.FAIL, -0.01, -0.02, -0.005, 0.001, 20, "falls")
DIP = Oddity("accuracy", 1_790_000_000.0, 1_790_003_600.0, 0.5, 0.6, 0.9, ("outlier", "9 points in a row"))
PEAK = Oddity("latency-p95-ms", 1_790_000_000.0, 1_790_000_000.0, 90.0, 90.0, 4.5, ("outlier",))
PERFORMANCE = PerformanceReport(
    "default",
    "iris",
    1_789_000_000.0,
    3600,
    (VersionHistory("v1", Verdict.FAIL, (TREND,), (DIP, PEAK), (BUCKET,)),),
    (),
)


def event(key: str, at: float, title: str) -> Event:
    return Event(
        key=key,
        namespace="default",
        model="iris",
        kind="rollout",
        severity="warning",
        at=at,
        title=title,
        message="m\nn",
    )
