"""Band functions of random subspaces: printed values, coverage on flat boundaries, exact quantiles."""

from __future__ import annotations

import math

import pytest
import torch

from assay.arrays import InputError
from assay.numerics.fawzi import flat_ratio, zeta1, zeta2

PRINTED = [(1, 0.10, 1087.0), (10, 0.37, 4.95), (100, 0.71, 1.52), (1000, 0.90, 1.12)]      # δ = 0.05


def printed(low, high) -> None:
    for m, one, two in PRINTED:
        assert round(low(m, 0.05), 2) == one, m
        assert round(high(m, 0.05), 2 if m > 1 else 0) == two, m


def flat_ratios(m: int, d: int, n: int) -> torch.Tensor:
    """√(m/d) / ‖P n‖ for random P: of n a Gaussian vector, the first m of its coordinates."""
    normal = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return math.sqrt(m / d) * normal.norm(dim=1) / normal[:, :m].norm(dim=1)


def test_printed_values():
    printed(zeta1, zeta2)


@pytest.mark.parametrize("broken", [
    (zeta2, zeta1), (lambda m, p: math.sqrt(zeta1(m, p)), zeta2), (zeta1, lambda m, p: zeta2(m, p / 2)),
    (lambda m, p: 1 / (1 + 2 * math.sqrt(math.log10(1 / p) / m) + 2 * math.log10(1 / p) / m), zeta2)])
def test_broken_bands_are_caught(broken):
    with pytest.raises(AssertionError):
        printed(*broken)


@pytest.mark.parametrize("m", [1, 5, 40])
def test_a_flat_boundary_lies_in_the_band(m):
    seen, delta = flat_ratios(m, 400, 4000), 0.05
    inside = (seen >= math.sqrt(zeta1(m, delta))) & (seen <= math.sqrt(zeta2(m, delta)))
    assert float(inside.double().mean()) >= 1 - 4 * delta


@pytest.mark.parametrize(("m", "d"), [(1, 64), (10, 64), (30, 64), (1, 500)])
def test_exact_quantiles_against_drawn_subspaces(m, d):
    seen = flat_ratios(m, d, 20_000)
    for share in (0.25, 0.5, 0.75):
        expected = flat_ratio(m, d, share)
        below = float((seen <= expected).double().mean())
        assert abs(below - share) < 4 * math.sqrt(share * (1 - share) / 20_000)
    assert abs(float((seen <= 0.97 * flat_ratio(m, d)).double().mean()) - 0.5) > 0.01      # the test can fail


def test_the_calibration_and_both_ends():
    assert flat_ratio(1, 10**6) == pytest.approx(1.4826, abs=2e-4)      # 1 over the 75 % quantile of the normal
    assert flat_ratio(64, 64, 0.1) == 1.0
    for bad in (lambda: zeta1(0, 0.1), lambda: zeta2(3, 1.0), lambda: flat_ratio(5, 4), lambda: flat_ratio(1, 4, 0.0)):
        with pytest.raises(InputError, match="m"):
            bad()
