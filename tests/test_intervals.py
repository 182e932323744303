"""Intervals against published tables, scipy and counted coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, ttest_1samp

from assay.numerics.intervals import clopper_pearson, mean_interval, samples_needed, upper_bound_at_zero, wilson

PAIRS = [(k, n) for n in (1, 2, 7, 16, 100, 1000) for k in sorted({0, 1, n // 3, n // 2, n - 1, n})]


@pytest.mark.parametrize(("successes", "n", "low", "high"), [
    (50, 50, 92.9, 100.0), (82, 100, 73.1, 89.0), (0, 100, 0.0, 3.6), (7, 10, 34.8, 93.3),
])
def test_clopper_pearson_gives_the_published_percentages(successes, n, low, high):
    assert [round(100 * v, 1) for v in clopper_pearson(successes, n)] == [low, high]


def agrees_with_scipy(interval, method: str) -> None:
    for successes, n in PAIRS:
        expected = binomtest(successes, n).proportion_ci(0.95, method=method)
        assert interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_intervals_agree_with_scipy():
    agrees_with_scipy(wilson, "wilson")
    agrees_with_scipy(clopper_pearson, "exact")


def test_a_mean_number_of_successes_has_the_interval_of_its_share():
    """The ends are the θ with |p̂ − θ| = z √(θ(1−θ)/n), for any p̂."""
    for share in (0.013, 0.37, 0.995):
        for end in wilson(40 * share, 40):
            assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 40), rel=1e-5)


def wald(successes: int, n: int) -> tuple[float, float]:
    """A broken twin, the textbook's normal interval: at 0 of n it claims certainty."""
    share = successes / n
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    return max(0.0, share - half), min(1.0, share + half)


def test_the_normal_interval_is_caught():
    with pytest.raises(AssertionError):
        agrees_with_scipy(wald, "wilson")


def coverage(interval, n: int, share: float) -> float:
    """Probability, summed exactly over all outcomes, that the interval holds the true share."""
    held = [low <= share <= high for low, high in (interval(k, n) for k in range(n + 1))]
    return float(sum(p for p, inside in zip(binom.pmf(range(n + 1), n, share), held, strict=True) if inside))


@pytest.mark.parametrize("n", [5, 16, 50])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.37, 0.5, 0.9])
def test_exact_intervals_cover_at_least_as_often_as_stated(n, share):
    assert coverage(clopper_pearson, n, share) >= 0.95
    assert coverage(wilson, n, share) >= 0.83       # its known minimum, next to 0 and 1
    assert coverage(wald, 5, 0.1) < 0.5             # what the broken twin does


@pytest.mark.parametrize("n", [1, 10, 100, 3000])
def test_bound_at_zero(n):
    bound = upper_bound_at_zero(n)
    assert (1 - bound) ** n == pytest.approx(0.05)
    assert bound <= 3 / n


RULE_OF_THREE = [(50, 5.8), (100, 2.95), (300, 0.99), (2995, 0.1)]


def gives_the_rule_of_three(bound) -> None:
    for n, percent in RULE_OF_THREE:
        assert 100 * bound(n) == pytest.approx(percent, abs=0.006 if percent > 0.1 else 0.0001) or \
            round(100 * bound(n), 1) == percent


def test_the_rule_of_three_gives_the_known_percentages():
    gives_the_rule_of_three(upper_bound_at_zero)
    for broken in (lambda n: 3.5 / n, lambda n: clopper_pearson(0, n)[1], lambda n: 1 - 0.1 ** (1 / n)):
        with pytest.raises(AssertionError):
            gives_the_rule_of_three(broken)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.058155, 0.5, 0.95])
def test_samples_needed_are_the_fewest_that_do(rate):
    n = samples_needed(rate)
    assert upper_bound_at_zero(n) <= rate and (n == 1 or upper_bound_at_zero(n - 1) > rate)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_no_number_of_samples_shows_a_rate_of_zero(rate):
    with pytest.raises(ValueError, match="rate"):
        samples_needed(rate)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(interval, successes, n):
    with pytest.raises(ValueError, match="successes"):
        interval(successes, n)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_level_is_followed(level):
    expected = binomtest(7, 10).proportion_ci(level, method="exact")
    assert clopper_pearson(7, 10, level=level) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", [2, 4, 30])
def test_interval_of_a_mean(n):
    values = np.random.default_rng(3).normal(-5, 2, size=n).tolist()
    theirs = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((theirs.low, theirs.high))
    assert mean_interval([4.0]) == (4.0, 4.0)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_interval_of_a_mean_covers_it_when_there_are_few_values():
    draws = np.random.default_rng(4).normal(10, 1, size=(2000, 3))
    covered = np.mean([low <= 10 <= high for low, high in map(mean_interval, draws.tolist())])
    assert covered == pytest.approx(0.95, abs=0.015)        # a percentile bootstrap covers about 0.7 of them


def test_a_magnitude_has_no_negative_end():
    assert mean_interval([0.0, 0.9])[0] == 0.0
    assert mean_interval([-0.1, 1.0])[0] < -0.1


def test_zeros_and_ones_are_a_share():
    assert mean_interval([0.0, 1.0, 0.0, 0.0]) == wilson(1, 4)
    assert mean_interval([0.0, 1.0, 0.0, 0.5]) != wilson(1, 4)
    assert mean_interval([0.0] * 20)[1] == pytest.approx(wilson(0, 20)[1])       # Student's would have width 0
