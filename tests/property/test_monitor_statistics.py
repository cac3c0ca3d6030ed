"""What every statistic promises, whatever the numbers."""

from math import isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bandit import TOTAL, BernoulliRewards, allocate, round_weights
from monitor.conformal import DriftWatch
from monitor.distances import (
    adjusted,
    chi_square,
    histogram,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    quantile_edges,
)
from monitor.means import START, mean_interval
from monitor.profiles import Profile
from monitor.quality import Field, Type, check, schema_of
from monitor.verdict import Verdict

# The same examples in every run, however slow the machine.
steady = settings(derandomize=True, deadline=None)
few = settings(steady, max_examples=30)

COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12).filter(
    lambda cells: sum(a for a, _ in cells) > 0 and sum(b for _, b in cells) > 0
)
VALUES = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=50)


@steady
@given(COUNTS, st.randoms(use_true_random=False))
def test_distances_are_symmetric_not_negative_and_do_not_depend_on_the_order_of_cells(cells, order) -> None:  # type: ignore[no-untyped-def]
    one, two = [a for a, _ in cells], [b for _, b in cells]
    mixed = order.sample(cells, len(cells))
    for distance in (psi, jensen_shannon):
        there = distance(one, two)
        assert there >= -1e-12
        assert isclose(there, distance(two, one), rel_tol=1e-9, abs_tol=1e-7)
        assert isclose(there, distance([a for a, _ in mixed], [b for _, b in mixed]), rel_tol=1e-9, abs_tol=1e-7)
        assert distance(one, one) == pytest.approx(0, abs=1e-7)
    assert jensen_shannon(one, two) <= 1 + 1e-9


@steady
@given(COUNTS, st.randoms(use_true_random=False))
def test_chi_square_does_not_depend_on_the_order_of_categories(cells, order) -> None:  # type: ignore[no-untyped-def]
    one = {f"c{n}": a for n, (a, _) in enumerate(cells)}
    two = {f"c{n}": b for n, (_, b) in enumerate(cells)}
    names = order.sample(sorted(one), len(one))
    result = chi_square(one, two)
    again = chi_square({name: one[name] for name in names}, {name: two[name] for name in names})
    assert result == again
    assert 0 <= result.p_value <= 1 + 1e-9
    assert 0 <= result.effect <= 1 + 1e-9


@steady
@given(VALUES, VALUES, st.floats(0.1, 10), st.floats(-100, 100))
def test_kolmogorov_smirnov_does_not_depend_on_unit_and_origin(one, two, unit, origin) -> None:  # type: ignore[no-untyped-def]
    # Rounded values, so that a change of unit makes no two of them equal.
    one, two = np.round(one), np.round(two)
    moved = kolmogorov_smirnov(one * unit + origin, two * unit + origin)
    assert moved.statistic == pytest.approx(kolmogorov_smirnov(one, two).statistic)


@steady
@given(VALUES, st.integers(2, 20))
def test_every_value_falls_into_exactly_one_bin(values: list[float], bins: int) -> None:
    edges = quantile_edges(values, bins)
    assert histogram(values, edges).sum() == len(values)
    assert (np.diff(edges) > 0).all()


@steady
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.booleans())
def test_adjusted_p_values_keep_their_order_and_are_no_smaller(p_values: list[float], dependent: bool) -> None:
    corrected = adjusted(p_values, dependent)
    assert all(after >= before - 1e-12 for before, after in zip(p_values, corrected, strict=True))
    ordered = [after for _, after in sorted(zip(p_values, corrected, strict=True))]
    assert ordered == sorted(ordered)
    if not dependent:
        assert all(a <= b + 1e-12 for a, b in zip(corrected, adjusted(p_values, dependent=True), strict=True))


@steady
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(START, 10**8), st.floats(1e-6, 0.5))
def test_a_mean_is_within_its_interval_which_grows_with_variance_and_certainty(mean, variance, n, alpha) -> None:  # type: ignore[no-untyped-def]
    interval = mean_interval(mean, variance, n, alpha)
    wider, surer = mean_interval(mean, 2 * variance + 1, n, alpha), mean_interval(mean, variance, n, alpha / 2)
    assert wider.low <= interval.low <= mean <= interval.high <= wider.high
    assert surer.low <= interval.low <= interval.high <= surer.high


@few
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=6), st.integers(0, 1600))
def test_weights_always_sum_to_the_whole_and_keep_the_floor(counts: list[tuple[int, int]], floor: int) -> None:
    allocation = allocate({f"v{n}": BernoulliRewards(*count) for n, count in enumerate(counts)}, floor)
    given = [one.weight for one in allocation.variants.values()]
    assert sum(given) == TOTAL
    assert min(given) >= floor
    assert sum(one.probability_best for one in allocation.variants.values()) == pytest.approx(1)


@steady
@given(st.lists(st.floats(1e-3, 1), min_size=1, max_size=30))
def test_rounding_weights_moves_none_by_one_or_more(parts: list[float]) -> None:
    exact = [part / sum(parts) * TOTAL for part in parts]
    rounded = round_weights(exact)
    assert sum(rounded) == TOTAL
    assert all(abs(one - two) < 1 for one, two in zip(rounded, exact, strict=True))


@few
@given(st.integers(1, 200), st.integers(0, 50))
def test_more_successes_never_cost_weight(failures: int, successes: int) -> None:
    base = BernoulliRewards(20, 80)
    now, more = (
        allocate({"a": base, "b": BernoulliRewards(count, failures)}).variants["b"].weight
        for count in (successes, successes + 5)
    )
    assert more >= now


@steady
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40), st.integers(0, 40), st.integers(0, 2**32))
def test_a_watch_may_be_stopped_and_gone_on_with_anywhere(values: list[float], cut: int, seed: int) -> None:
    reference = Profile.of({"x": np.linspace(-1, 1, 200)}).columns["x"]
    whole, first = DriftWatch(reference, seed=seed), DriftWatch(reference, seed=seed)
    first.update(values[:cut])
    assert DriftWatch.from_json(first.to_json()).update(values[cut:]) == whole.update(values)
    assert whole.result.e_value >= 0


CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=2))


@steady
@given(st.lists(CELLS, min_size=1, max_size=30), st.one_of(st.none(), st.sampled_from(Type)), st.booleans())
def test_any_batch_can_be_checked_and_findings_add_up(values: list[object], kind: Type | None, unique: bool) -> None:
    schema = {"x": Field(kind, 0, 10, frozenset({"a", "1"}), unique=unique)}
    report = check({"x": values}, schema)
    for finding in report.findings:
        assert 0 < finding.count <= len(values)
        assert len(finding.rows) == min(finding.count, 5)
        assert finding.share == finding.count / len(values)
    assert (report.verdict is Verdict.FAIL) == bool(report.findings)


@steady
@given(st.lists(st.tuples(CELLS, CELLS), max_size=30))
def test_a_reference_without_infinities_fulfils_the_schema_that_it_suggests(rows: list[tuple[object, object]]) -> None:
    sane = [row for row in rows if all(not isinstance(one, int | float) or not abs(one) > 1e100 for one in row)]
    columns = {"x": [x for x, _ in sane], "y": [y for _, y in sane]}
    report = check(columns, schema_of(Profile.of(columns)))
    assert report.verdict is (Verdict.PASS if sane else Verdict.INCONCLUSIVE)
