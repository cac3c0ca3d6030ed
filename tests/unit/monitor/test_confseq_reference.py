"""Confidence sequences held against confseq 0.0.11 (S. Howard, I. Waudby-Smith; github.com/gostevehoward/confseq).

It cannot be a dependency: it has to be compiled, needs Boost's headers for that, and the pybind11 that it asks for does
not compile for Python 3.11. The values below come from a build with pybind11 2.13; each test names the call.
"""

from math import log

import pytest
from test_sequential import log_ratio

from monitor.sequential import mixture_bound, proportion_interval


@pytest.mark.parametrize(
    ("n", "alpha", "tuned_for", "expected"),
    [
        (10, 0.05, 500, 6.694388617066039),
        (100, 0.05, 1000, 3.855054633530311),
        (1000, 0.05, 1000, 3.0352089903762534),
        (50_000, 0.01, 500, 4.0343218976675415),
        (3, 0.2, 500, 10.926823758179856),
    ],
)
def test_the_bound_of_the_normal_mixture_is_theirs(n: int, alpha: float, tuned_for: float, expected: float) -> None:
    """`boundaries.normal_mixture_bound(n, alpha, tuned_for, alpha, is_one_sided=False) / sqrt(n)`."""
    assert mixture_bound(n, alpha, tuned_for) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [
        (0, 1, 0.0),
        (3, 5, -0.9808292530117304),
        (5, 10, -1.4020427180880344),
        (60, 200, 13.580216947417462),
        (300, 1000, 78.60292776698441),
        (5100, 10_000, -2.83085319063877),
    ],
)
def test_the_likelihood_ratio_of_the_beta_mixture_is_theirs(successes: int, n: int, expected: float) -> None:
    """`boundaries.beta_binomial_log_mixture(s - n / 2, n / 4, v_opt, 0.5, 0.5, 0.05, is_one_sided=False)`.

    At p = 1/2 and for v_opt = 3.968077300868771 their mixture is Beta(1/2, 1/2).
    """
    assert log_ratio(successes, n, 0.5) == pytest.approx(expected, abs=1e-9)
    interval = proportion_interval(successes, n, 0.05)
    assert (interval.low <= 0.5 <= interval.high) == (expected < -log(0.05))


@pytest.mark.parametrize(
    ("successes", "n", "alpha", "low", "high"),
    [
        (5, 50, 0.05, 0.014202, 0.274149),
        (10, 1000, 0.05, 0.002917, 0.022371),
        (90, 1000, 0.05, 0.064773, 0.119707),
        (500, 1000, 0.01, 0.443674, 0.556326),
        (9900, 10_000, 0.05, 0.986458, 0.992954),
        (50_000, 100_000, 0.05, 0.494366, 0.505634),
    ],
)
def test_an_interval_that_is_tuned_for_no_n_is_a_quarter_wider_than_theirs_at_most(
    successes: int, n: int, alpha: float, low: float, high: float
) -> None:
    """`boundaries.bernoulli_confidence_interval(successes, n, alpha, t_opt, alpha)`.

    Their mixture is centred at each p and tuned for t_opt = 1000 trials, in the first case for 100.
    """
    interval = proportion_interval(successes, n, alpha)
    assert interval.low < successes / n < interval.high
    assert 0.95 < (interval.high - interval.low) / (high - low) < 1.25


@pytest.mark.parametrize(("n", "reach"), [(1000, 0.0833426), (10_000, 0.0269216), (100_000, 0.0086371)])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_one_quantile_is_known_better_than_by_a_bound_for_all_quantiles(n: int, reach: float, q: float) -> None:
    """`quantiles.empirical_process_lil_bound(n, 0.05, 32.0, 0.85)`: how far the ranks reach around q."""
    assert proportion_interval(round(n * (q + reach)), n, 0.05).low > q
    assert proportion_interval(round(n * (q - reach)), n, 0.05).high < q
