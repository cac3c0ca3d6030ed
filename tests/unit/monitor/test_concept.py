"""Changes of a model's error, from labels that came late."""

import random
from collections.abc import Callable

import pytest

from monitor.concept import Adwin, Detector, PageHinkleyTest, watch
from monitor.verdict import Verdict

both = pytest.mark.parametrize("new", [Adwin, PageHinkleyTest])


def errors(*parts: tuple[int, float], seed: int = 1) -> list[float]:
    """Parts of so many 0/1 errors with this probability."""
    draw = random.Random(seed)
    return [float(draw.random() < rate) for count, rate in parts for _ in range(count)]


@both
def test_a_rise_of_the_error_is_found_and_measured(new: Callable[[], Detector]) -> None:
    result = watch(new(), errors((2000, 0.1), (1000, 0.35)))
    assert result.verdict is Verdict.FAIL
    (change,) = result.changes
    assert 1950 <= change.since <= 2050 <= change.at < 2300
    assert change.before == pytest.approx(0.1, abs=0.03)
    assert change.after == pytest.approx(0.35, abs=0.1)
    assert result.message.startswith("the mean error rose from 0.")
    assert result.message.endswith(f"at label {change.since + 1} of 3000, noticed at {change.at + 1}")


@both
def test_a_steady_error_is_no_change_in_ten_streams(new: Callable[[], Detector]) -> None:
    for seed in range(10):
        result = watch(new(), errors((3000, 0.2), seed=seed))
        assert (result.verdict, result.changes) == (Verdict.PASS, ())


@both
def test_the_same_errors_give_the_same_result(new: Callable[[], Detector]) -> None:
    stream = errors((800, 0.1), (600, 0.5), (600, 0.1))
    assert watch(new(), stream) == watch(new(), iter(stream))


@both
def test_a_prefix_is_told_the_same_as_it_was_then(new: Callable[[], Detector]) -> None:
    stream = errors((800, 0.1), (600, 0.5))
    whole = watch(new(), stream).changes
    for length in (700, 900, 1100):
        assert watch(new(), stream[:length]).changes == tuple(change for change in whole if change.at < length)


def test_a_rise_that_is_over_passes() -> None:
    result = watch(Adwin(), errors((1000, 0.1), (1000, 0.5), (1000, 0.1)))
    assert result.verdict is Verdict.PASS
    assert [change.rose for change in result.changes] == [True, False]
    assert result.message.startswith("the mean error fell")


def test_page_hinkley_does_not_mind_a_fall() -> None:
    assert watch(PageHinkleyTest(), errors((1500, 0.5), (1500, 0.1))).changes == ()


def test_page_hinkley_does_not_notice_a_rise_within_its_tolerance() -> None:
    assert watch(PageHinkleyTest(), errors((1500, 0.1), (1500, 0.12))).changes == ()


def test_after_a_change_the_next_one_is_found_too() -> None:
    changes = watch(PageHinkleyTest(), errors((1000, 0.05), (1000, 0.3), (1000, 0.7))).changes
    assert [change.rose for change in changes] == [True, True]
    assert [round(change.since, -2) for change in changes] == [1000, 2000]


def test_errors_of_any_size_are_told_by_their_scale() -> None:
    draw = random.Random(2)
    stream = [abs(draw.gauss(0, 40)) for _ in range(1500)] + [abs(draw.gauss(0, 120)) for _ in range(1500)]
    (change,) = watch(Adwin(scale=500), stream).changes
    assert change.before == pytest.approx(32, abs=6)
    assert change.after == pytest.approx(96, abs=20)
    assert watch(PageHinkleyTest(threshold=2000, tolerance=10), stream).verdict is Verdict.FAIL


@both
def test_few_labels_are_inconclusive(new: Callable[[], Detector]) -> None:
    result = watch(new(), errors((99, 0.1)))
    assert (result.verdict, result.samples) == (Verdict.INCONCLUSIVE, 99)
    assert result.message == "99 labels; 100 are needed"


@both
@pytest.mark.parametrize("error", [float("nan"), float("inf")])
def test_an_error_that_is_no_number_is_refused(new: Callable[[], Detector], error: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        watch(new(), [0.0, error])


def test_settings_that_mean_nothing_are_refused() -> None:
    for make in (
        lambda: Adwin(0.0),
        lambda: Adwin(scale=0),
        lambda: PageHinkleyTest(0),
        lambda: PageHinkleyTest(1, -1),
    ):
        with pytest.raises(ValueError, match="no detector"):
            make()
