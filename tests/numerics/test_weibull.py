"""The end of a law of maxima: scipy's density, laws whose end is known, no end to find; broken fits are caught."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import weibull_max

from assay.numerics.weibull import upper_end


def drawn(shape: float, seed: int, n: int = 500):
    return weibull_max.rvs(shape, loc=10.0, scale=2.0, size=n, random_state=seed)


def ends_are_found(fit) -> None:
    for seed, shape in enumerate((1.5, 2.0, 3.0)):
        found = fit(drawn(shape, seed))
        assert found.end == pytest.approx(10.0, abs=0.4) and found.shape == pytest.approx(shape, rel=0.3)
        assert found.fits and found.n == 500


def test_ends_of_known_laws_are_found():
    ends_are_found(upper_end)


@pytest.mark.parametrize("broken", [lambda m: upper_end(-m), lambda m: upper_end(m - np.median(m)),
                                    lambda m: upper_end(m[m < np.median(m)])])
def test_broken_fits_are_caught(broken):
    with pytest.raises(AssertionError):
        ends_are_found(broken)


def test_the_likelihood_is_at_least_that_of_the_truth_and_of_scipy():
    for seed in range(3):
        m = drawn(2.0, seed)
        found = upper_end(m)
        mine = weibull_max.logpdf(m, found.shape, loc=found.end, scale=found.scale).sum()
        assert mine >= weibull_max.logpdf(m, 2.0, loc=10.0, scale=2.0).sum() - 1e-6
        theirs = weibull_max.fit(m, 2.0, loc=10.0, scale=2.0)
        assert mine >= weibull_max.logpdf(m, theirs[0], loc=theirs[1], scale=theirs[2]).sum() - 0.05


def test_the_greatest_of_uniform_draws_end_at_one():
    maxima = np.random.default_rng(0).uniform(size=(200, 64)).max(1)
    assert upper_end(maxima).end == pytest.approx(1.0, abs=0.002)


def test_no_end_and_a_bad_fit_are_said():
    normal = np.random.default_rng(0).standard_cauchy(size=300)
    assert not upper_end(np.abs(normal)).fits
    two = np.concatenate([np.zeros(150), np.ones(150)]) + 0.001 * np.random.default_rng(1).normal(size=300)
    assert not upper_end(two).fits
    assert upper_end([3.0, 3.0]).end == 3.0 and upper_end([3.0, 3.0]).fits


def test_too_few_are_refused():
    for values in ([], [1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="maxima"):
            upper_end(values)
