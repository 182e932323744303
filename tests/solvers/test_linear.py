"""Tikhonov and zero-filled against dense linear algebra; gains against singular values."""

from __future__ import annotations

import pytest
import torch

from assay.operators.algebra import Matrix, Scaled
from assay.operators.fourier import MaskedFourier
from assay.operators.sensitivity import simulate_maps
from assay.operators.spectral_norm import spectral_norm
from assay.solvers.linear import exact_gain, tikhonov, zero_filled


def _g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _matrix(m: int, n: int, dtype: torch.dtype = torch.complex128) -> Matrix:
    return Matrix(torch.randn(m, n, dtype=dtype, generator=_g(m * n)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("weight", [1e-2, 1.0])
def test_tikhonov_solves_the_normal_equations(dtype: torch.dtype, weight: float) -> None:
    operator = _matrix(5, 8, dtype)
    M, y = operator.matrix, torch.randn(3, 5, dtype=dtype, generator=_g(1))
    expected = torch.linalg.solve(M.mH @ M + weight * torch.eye(8, dtype=dtype), (y @ M.conj()).T).T
    solution = tikhonov(y, operator, weight=weight, tolerance=1e-12)
    assert torch.allclose(solution.x, expected, atol=1e-8)
    assert not torch.allclose(tikhonov(y, operator, weight=3 * weight, tolerance=1e-12).x, expected, atol=1e-4)


def test_closed_form_and_conjugate_gradients_agree() -> None:
    operator = MaskedFourier(torch.rand(6, 6, generator=_g(2)) < 0.5, dtype=torch.complex128)
    y = torch.randn(2, *operator.range, dtype=torch.complex128, generator=_g(3))
    by_cg = tikhonov(y, Scaled(operator, 1.0), weight=0.1, tolerance=1e-12).x       # the wrapper hides the formula
    assert torch.allclose(tikhonov(y, operator, weight=0.1).x, by_cg, atol=1e-10)


def test_many_coils() -> None:
    operator = MaskedFourier(torch.rand(6, 6, generator=_g(2)) < 0.5, dtype=torch.complex128,
                             maps=simulate_maps(3, (6, 6)).to(torch.complex128))
    y = torch.randn(2, *operator.range, dtype=torch.complex128, generator=_g(3))
    x = tikhonov(y, operator, weight=0.1, tolerance=1e-12).x
    defect = operator.adjoint(operator.forward(x)) + 0.1 * x - operator.adjoint(y)
    assert float(defect.abs().max()) < 1e-9


def test_gradients_are_adjoints() -> None:
    operator, weight = _matrix(4, 6), 0.3
    y = torch.randn(2, 4, dtype=torch.complex128, generator=_g(1)).requires_grad_(True)
    v = torch.randn(2, 6, dtype=torch.complex128, generator=_g(2))
    M = operator.matrix
    R = torch.linalg.solve(M.mH @ M + weight * torch.eye(6, dtype=M.dtype), M.mH)
    for solution, matrix in ((tikhonov(y, operator, weight=weight, tolerance=1e-12), R),
                             (zero_filled(y, operator), M.mH)):
        (gradient,) = torch.autograd.grad((v.conj() * solution.x).sum().real, y)
        assert torch.allclose(gradient, v @ matrix.conj(), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_gain_bounds_the_singular_values_and_is_reached(seed: int) -> None:
    sigma = torch.rand(4, generator=_g(seed), dtype=torch.float64) * 3
    operator, weight = Matrix(torch.diag(sigma)), 0.25
    exact = float((sigma / (sigma**2 + weight)).max())
    assert exact <= exact_gain(operator, weight=weight) * (1 + 1e-6) <= (1 + 1e-6) / (2 * weight**0.5)
    assert exact_gain(operator) == pytest.approx(float(sigma.max()), rel=1e-3)
    at_the_worst = Matrix(torch.diag(torch.tensor([2.0, weight**0.5], dtype=torch.float64)))     # σ = √λ present
    assert exact_gain(at_the_worst, weight=weight) == pytest.approx(1 / (2 * weight**0.5))


def test_gain_of_masked_fourier() -> None:
    operator = MaskedFourier(torch.rand(6, 6, generator=_g(2)) < 0.5)
    y = torch.randn(1, *operator.range, dtype=torch.complex64, generator=_g(3))
    for gain, x in ((exact_gain(operator), zero_filled(y, operator).x),
                    (exact_gain(operator, weight=0.5), tikhonov(y, operator, weight=0.5).x)):
        assert float(x.norm() / y.norm()) == pytest.approx(gain, rel=1e-5)


def test_power_method_and_its_residual() -> None:
    operator = _matrix(6, 5)
    value, residual = spectral_norm(operator, iterations=500)
    assert value == pytest.approx(float(torch.linalg.matrix_norm(operator.matrix, 2)), rel=1e-5) and residual < 1e-5
    early, large = spectral_norm(operator, iterations=1)
    assert early < value and large > 1e-2               # stopped early: smaller, and the residual says so
    assert spectral_norm(Matrix(torch.zeros(2, 2)))[0] == 0
