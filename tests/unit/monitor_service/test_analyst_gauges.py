"""The analyst's figures as Prometheus sees them: bounded, and gone with the traffic."""

import pytest
from monitorkit import Clock
from prometheus_client import CollectorRegistry

from monitor.analyst.figures import ColumnFigures, FeedbackFigures, Pair, PairFigures, Version, WindowFigures
from monitor.analyst.gauges import IDLE_SECONDS, MOST_COLUMNS, MOST_OF_VERSION, MOST_VERSIONS, Figures, Metrics

IRIS = Version("default", "iris", "v1")
OF = IRIS._asdict()


def column(name: str, *, alarmed: bool = False) -> ColumnFigures:
    return ColumnFigures(name, 0.25, alarmed, 0.5, {0.05: 1.0, 0.5: 2.0})


def window(features: int, predictions: int = 0) -> WindowFigures:
    named = [tuple(column(f"{what}{n}") for n in range(count)) for what, count in (("x", features), ("p", predictions))]
    return WindowFigures(100, named[0], named[1], 3)


@pytest.fixture
def figures(clock: Clock) -> Figures:
    return Figures(clock)


@pytest.fixture
def registry(figures: Figures) -> CollectorRegistry:
    registry = CollectorRegistry()
    Metrics(registry, figures)
    return registry


def count(registry: CollectorRegistry, name: str) -> int:
    return sum(len(family.samples) for family in registry.collect() if family.name == name)


def test_a_window_is_told_column_by_column(figures: Figures, registry: CollectorRegistry) -> None:
    figures.windows.put(IRIS, WindowFigures(100, (column("x", alarmed=True),), (column("predict"),), 3))
    told = registry.get_sample_value
    assert told("model_recent_records", OF) == 100
    assert told("model_quality_faults", OF) == 3
    assert told("model_feature_values", OF | {"feature": "x", "quantile": "0.05"}) == 1
    assert told("model_feature_drift_psi", OF | {"feature": "x"}) == 0.25
    assert told("model_feature_drift_alarm", OF | {"feature": "x"}) == 1
    assert told("model_feature_missing_ratio", OF | {"feature": "x"}) == 0.5
    assert told("model_prediction_drift_alarm", OF | {"prediction": "predict"}) == 0
    assert told("tidegate_analyst_unlisted_columns") == 0


def test_what_is_not_known_is_not_told(figures: Figures, registry: CollectorRegistry) -> None:
    figures.windows.put(
        IRIS, WindowFigures(5, (ColumnFigures("x", None, alarmed=False, missing=None, quantiles={}),), (), None)
    )
    figures.feedback.put(IRIS, FeedbackFigures(7, None, 0.5, None, {0.9: 60.0}))
    figures.pairs.put(Pair(*IRIS, "v0"), PairFigures(0, 0))
    told = registry.get_sample_value
    assert told("model_feature_drift_psi", OF | {"feature": "x"}) is None
    assert told("model_quality_faults", OF) is None
    assert told("model_accuracy", OF) is None
    assert told("model_absolute_error", OF) == 0.5
    assert told("model_recent_feedback", OF) == 7
    assert told("model_feedback_lag_seconds", OF | {"quantile": "0.9"}) == 60
    assert told("model_shadow_agreement", OF | {"stable": "v0"}) is None
    assert told("model_recent_shadow_pairs", OF | {"stable": "v0"}) == 0


def test_of_a_wide_version_the_first_columns_are_told_and_the_others_counted(
    figures: Figures, registry: CollectorRegistry
) -> None:
    figures.windows.put(IRIS, window(MOST_OF_VERSION + 3, 2))
    assert count(registry, "model_feature_drift_psi") == MOST_OF_VERSION
    assert count(registry, "model_prediction_drift_psi") == 2
    assert registry.get_sample_value("tidegate_analyst_unlisted_columns") == 3


def test_all_versions_together_have_a_limit_too(figures: Figures, registry: CollectorRegistry) -> None:
    versions = MOST_COLUMNS // MOST_OF_VERSION + 1
    for number in range(versions):
        figures.windows.put(Version("default", "iris", f"v{number}"), window(MOST_OF_VERSION, 1))
    assert count(registry, "model_feature_drift_psi") == MOST_COLUMNS
    assert count(registry, "model_prediction_drift_psi") == 0
    assert registry.get_sample_value("tidegate_analyst_unlisted_columns") == MOST_OF_VERSION + versions


def test_figures_of_a_version_without_traffic_go(figures: Figures, registry: CollectorRegistry, clock: Clock) -> None:
    figures.feedback.put(IRIS, FeedbackFigures(7, 1.0, None, None, {}))
    clock.now += IDLE_SECONDS
    assert registry.get_sample_value("model_accuracy", OF) is None


def test_versions_have_a_limit_and_known_ones_go_on(figures: Figures, registry: CollectorRegistry) -> None:
    for number in range(MOST_VERSIONS + 5):
        figures.feedback.put(Version("default", "iris", f"v{number}"), FeedbackFigures(7, 1.0, None, None, {}))
    figures.feedback.put(Version("default", "iris", "v0"), FeedbackFigures(7, 0.5, None, None, {}))
    assert count(registry, "model_accuracy") == MOST_VERSIONS
    assert registry.get_sample_value("model_accuracy", OF | {"version": "v0"}) == 0.5
