"""Student's quantiles beside scipy's, and a twin that stops too early."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from assay.numerics.student import quantile


def agrees(ours) -> None:
    special = pytest.importorskip("scipy.special")
    for p in (0.6, 0.9, 0.975, 0.995, 0.9999):
        for freedom in (*range(1, 120), 500, 1000, 9_999, 100_000):
            assert math.isclose(ours(p, freedom), special.stdtrit(freedom, p), rel_tol=1e-11), (p, freedom)


def test_the_quantiles_are_scipys():
    agrees(quantile)


@pytest.mark.parametrize("twin", [lambda p, freedom: NormalDist().inv_cdf(p), lambda p, freedom: quantile(p, freedom + 1),
                                  lambda p, freedom: round(quantile(p, freedom), 9)])
def test_an_approximation_is_caught(twin):
    with pytest.raises(AssertionError):
        agrees(twin)


@pytest.mark.parametrize(("p", "freedom"), [(0.5, 3), (1.0, 3), (0.2, 3), (0.9, 0)])
def test_what_is_not_defined_is_refused(p, freedom):
    with pytest.raises(ValueError, match="one degree of freedom"):
        quantile(p, freedom)
