"""Wavelet ℓ1: closed form at full sampling, optimality conditions, the two forms against each other, gain ≤ 1."""

from __future__ import annotations

import pytest
import torch

from assay.operators.algebra import Scaled
from assay.operators.fourier import MaskedFourier
from assay.operators.wavelet import Wavelet
from assay.records import Stop
from assay.solvers.wavelet_l1 import constrained, lasso

TIGHT = {"iterations": 4000, "tolerance": 1e-9}
FAMILIES = ("haar", "db4")
WEIGHT = 0.03


def _setting(family: str, fraction: float = 0.5, size: int = 16) -> tuple[MaskedFourier, Wavelet, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    mask = torch.rand(size, size, generator=g) < fraction
    mask[size // 2, size // 2] = True
    operator = MaskedFourier(mask, dtype=torch.complex128)
    x = torch.zeros(3, size, size, dtype=torch.complex128)
    for b in range(3):
        x[b, 4:12, 2 + b: 8 + b] = 1 + 0.5j * b
    y = operator.forward(x)
    noise = torch.randn(y.shape, dtype=y.dtype, generator=g)
    return operator, Wavelet((size, size), family=family, levels=2, dtype=torch.complex128), y + 0.03 * noise


def kkt(x: torch.Tensor, y: torch.Tensor, operator: MaskedFourier, wavelet: Wavelet, weight: float) -> float:
    """Greatest violation of the LASSO's conditions, relative to λ: Wr = λ c/|c| where c = Wx ≠ 0, |Wr| ≤ λ elsewhere.

    r = Aᴴ(y − Ax).
    """
    slope = wavelet.forward(operator.adjoint(y - operator.forward(x)))
    c = wavelet.forward(x)
    used = c.abs() > 1e-6
    at_zero = (slope.abs() - weight).clamp_min(0)
    elsewhere = (slope - weight * c / c.abs().clamp_min(1e-30)).abs()
    return float(torch.where(used, elsewhere, at_zero).max()) / weight


@pytest.mark.parametrize("family", FAMILIES)
def test_closed_form_at_full_sampling(family: str) -> None:
    operator, wavelet, y = _setting(family, fraction=1.1)
    c = wavelet.forward(operator.adjoint(y))
    expected = wavelet.adjoint(torch.polar((c.abs() - WEIGHT).clamp_min(0), c.angle()))
    assert torch.allclose(lasso(y, operator, wavelet, weight=WEIGHT, **TIGHT).x, expected, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_lasso_is_optimal_and_other_solutions_are_caught(family: str) -> None:
    operator, wavelet, y = _setting(family)
    solution = lasso(y, operator, wavelet, weight=WEIGHT, **TIGHT)
    assert kkt(solution.x, y, operator, wavelet, WEIGHT) < 1e-3
    hurried = lasso(y, operator, wavelet, weight=WEIGHT, iterations=3)
    assert set(hurried.stop) == {Stop.BUDGET}
    assert kkt(hurried.x, y, operator, wavelet, WEIGHT) > 0.1
    assert kkt(lasso(y, operator, wavelet, weight=2 * WEIGHT, **TIGHT).x, y, operator, wavelet, WEIGHT) > 0.1


def test_lasso_of_a_scaled_operator() -> None:
    operator, wavelet, y = _setting("haar")
    expected = lasso(y, operator, wavelet, weight=WEIGHT, **TIGHT).x
    scaled = lasso(2 * y, Scaled(operator, 2.0), wavelet, weight=4 * WEIGHT, norm_bound=2.0, **TIGHT).x
    assert float((scaled - expected).abs().max()) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_constrained_form_is_feasible_and_matches_the_lasso(family: str) -> None:
    """The LASSO's solution also solves the constrained form whose η is its own misfit."""
    operator, wavelet, y = _setting(family)
    reference = lasso(y, operator, wavelet, weight=WEIGHT, **TIGHT).x
    misfit = (operator.forward(reference) - y).norm(dim=1)
    solution = constrained(y, operator, wavelet, noise=misfit / y.norm(dim=1), **TIGHT)
    reached = (operator.forward(solution.x) - y).norm(dim=1)
    assert bool((reached <= misfit * (1 + 1e-9)).all())
    lengths = [wavelet.forward(x).abs().flatten(1).sum(1) for x in (solution.x, reference)]
    assert torch.allclose(*lengths, rtol=1e-4)


def test_constrained_is_exact_without_noise() -> None:
    operator, wavelet, y = _setting("haar")
    x = constrained(y, operator, wavelet, noise=0.0, iterations=50).x
    assert float((operator.forward(x) - y).abs().max()) < 1e-10


@pytest.mark.parametrize("size", [1e-3, 1e-1, 1.0])
def test_data_space_gain_of_the_lasso_is_at_most_one(size: float) -> None:
    operator, wavelet, y = _setting("db4")
    other = y + size * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    a, b = (lasso(v, operator, wavelet, weight=WEIGHT, **TIGHT).x for v in (y, other))
    assert float((operator.forward(a - b).norm(dim=1) / (y - other).norm(dim=1)).max()) <= 1 + 1e-3


@pytest.mark.parametrize("form", ["lasso", "constrained"])
def test_gradient_against_finite_differences(form: str) -> None:
    operator, wavelet, y = _setting("haar", size=8)

    def loss(v: torch.Tensor) -> torch.Tensor:
        solution = lasso(v, operator, wavelet, weight=WEIGHT, iterations=40, tolerance=0.0) if form == "lasso" else \
            constrained(v, operator, wavelet, noise=0.1, iterations=40, tolerance=0.0)
        return (solution.x - 1).abs().square().sum()

    v = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(4))
    at = y.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(at), at)
    slope = float(loss(y + 1e-6 * v) - loss(y - 1e-6 * v)) / 2e-6
    assert float((gradient.conj() * v).sum().real) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("form", ["lasso", "constrained"])
def test_batch_of_one_and_of_eight_agree(form: str) -> None:
    operator, wavelet, y = _setting("db4")
    y = torch.cat((y, 4 * y, -2j * y[:2]))

    def solve(v: torch.Tensor) -> torch.Tensor:
        return lasso(v, operator, wavelet, weight=WEIGHT).x if form == "lasso" else \
            constrained(v, operator, wavelet, noise=0.05).x

    assert float((solve(y) - torch.cat([solve(v[None]) for v in y])).abs().max()) < 1e-10
