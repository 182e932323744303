"""Tails against scipy's fit, a law whose quantiles are known, and every refusal; broken twins are caught."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import genpareto, kstest

from assay.numerics.extremes import Refusal, Tail, ks_distance, pareto_cdf, pareto_fit, peaks_over_threshold

SHAPES = [-0.4, -0.1, 0.0, 0.2, 0.4]


def loglikelihood(peaks, shape: float, scale: float) -> float:
    return float(genpareto.logpdf(peaks, shape, scale=scale).sum())


def fits(fit) -> None:
    for seed, shape in enumerate(SHAPES):
        peaks = genpareto.rvs(shape, scale=3.0, size=800, random_state=seed)
        found = fit(peaks)
        theirs = genpareto.fit(peaks, floc=0.0)
        assert loglikelihood(peaks, *found) >= loglikelihood(peaks, theirs[0], theirs[2]) - 1e-3
        assert found == pytest.approx((theirs[0], theirs[2]), abs=0.02)
        assert found[0] == pytest.approx(shape, abs=0.15)


def test_the_fit_is_scipys_or_better():
    fits(pareto_fit)


@pytest.mark.parametrize("broken", [
    lambda peaks: (0.0, float(peaks.mean())),                                  # the exponential law for all
    lambda peaks: (-pareto_fit(peaks)[0], pareto_fit(peaks)[1]),               # the other convention of sign
    lambda peaks: (pareto_fit(peaks)[0], 1 / pareto_fit(peaks)[1]),
])
def test_broken_fits_are_caught(broken):
    with pytest.raises(AssertionError):
        fits(broken)


def test_the_unit_does_not_matter():
    peaks = genpareto.rvs(0.1, size=300, random_state=1)
    (shape, scale), (same, larger) = pareto_fit(peaks), pareto_fit(1e6 * peaks)
    assert same == pytest.approx(shape, abs=1e-6) and larger == pytest.approx(1e6 * scale, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_law_is_scipys(shape):
    y = np.linspace(0, 4, 50)
    assert pareto_cdf(y, shape, 2.0) == pytest.approx(genpareto.cdf(y, shape, scale=2.0), abs=1e-12)


def test_the_distance_is_scipys():
    values = np.sort(np.random.default_rng(0).exponential(size=70))
    assert ks_distance(values, pareto_cdf(values, 0.0, 1.0)) == pytest.approx(kstest(values, "expon").statistic)


def test_a_millionth_is_extrapolated():
    """Of the exponential law the value exceeded once in 10⁶ is log 10⁶; of the uniform law it is close to 1."""
    generator = np.random.default_rng(3)
    found = [peaks_over_threshold(generator.exponential(size=20_000)).level(1e6) for _ in range(5)]
    assert np.mean(found) == pytest.approx(math.log(1e6), rel=0.15)
    uniform = peaks_over_threshold(generator.uniform(size=20_000))
    assert uniform.level(1e6) == pytest.approx(1.0, abs=0.01) and uniform.shape < -0.8
    assert uniform.rate == pytest.approx(0.05) and uniform.distance < 0.05


def test_once_in_so_many_is_the_level_backwards():
    for shape in (-0.3, 0.0, 0.3):
        found = Tail(threshold=-2.0, rate=0.05, shape=shape, scale=1.0, exceedances=50, distance=0.0)
        assert found.share_beyond(found.level(1e5)) == pytest.approx(1e-5)
    assert Tail(threshold=-2.0, rate=0.05, shape=-0.5, scale=0.5, exceedances=50, distance=0.0).share_beyond(0.0) == 0.0
    with pytest.raises(ValueError, match="threshold"):
        found.share_beyond(-3.0)


def test_level_by_hand():
    flat = Tail(threshold=1.0, rate=0.05, shape=0.0, scale=2.0, exceedances=50, distance=0.0)
    assert flat.level(1e6) == pytest.approx(1 + 2 * math.log(5e4))
    curved = Tail(threshold=1.0, rate=0.05, shape=0.5, scale=2.0, exceedances=50, distance=0.0)
    assert curved.level(20 * 9) == pytest.approx(1 + 2 / 0.5 * (3 - 1))


@pytest.mark.parametrize(("values", "why"), [
    ([], "0 values exceed"), ([1.0] * 40, "0 values exceed"),
    (list(range(900)), "45 values exceed"),                                     # 5 % of 900
    ([0.0] * 960 + [1.0] * 50, "all values beyond"),
    (genpareto.rvs(1.0, size=5000, random_state=0).tolist(), "too heavy"),
    ([math.nan] * 2000, "0 values exceed"),
])
def test_what_carries_no_tail_is_refused(values, why):
    found = peaks_over_threshold(values)
    assert isinstance(found, Refusal) and why in found.reason
