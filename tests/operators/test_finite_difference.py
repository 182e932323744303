"""The discrete gradient: written out by hand, adjoint, spectrum, and a broken twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.operators.finite_difference import BOUNDARIES, FiniteDifference
from assay.operators.protocol import dot_test


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(4, 6), (5, 3), (1, 4), (2, 2)])
def test_adjoint_is_exact(boundary: str, shape: tuple[int, int]) -> None:
    operator = FiniteDifference(shape, boundary=boundary, dtype=torch.complex128)
    assert dot_test(operator, generator=torch.Generator().manual_seed(0), tolerance=1e-12) < 1e-12


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_agrees_with_loops(boundary: str) -> None:
    x = _image(1, 3, 4)
    got = FiniteDifference((3, 4), boundary=boundary).forward(x)[0].numpy()
    a, expected = x[0].numpy(), np.zeros((2, 3, 4), dtype=complex)
    for i in range(3):
        for j in range(4):
            if boundary == "periodic" or i + 1 < 3:
                expected[0, i, j] = a[(i + 1) % 3, j] - a[i, j]
            if boundary == "periodic" or j + 1 < 4:
                expected[1, i, j] = a[i, (j + 1) % 4] - a[i, j]
    assert np.allclose(got, expected, atol=1e-14)


def test_spectrum_diagonalises() -> None:
    operator, x = FiniteDifference((4, 6)), _image(2, 4, 6)
    by_fourier = torch.fft.ifft2(operator.spectrum() * torch.fft.fft2(x))
    assert torch.allclose(operator.adjoint(operator.forward(x)), by_fourier, atol=1e-12)
    assert float(operator.spectrum().max()) <= 8


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_differentiable(boundary: str) -> None:
    operator = FiniteDifference((3, 4), boundary=boundary)
    x = _image(2, 3, 4).requires_grad_(True)
    p = torch.randn(2, 2, 3, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((p.conj() * operator.forward(x)).sum().real, x)
    assert torch.allclose(gradient, operator.adjoint(p), atol=1e-12)


def test_broken_adjoint_is_caught() -> None:
    class Forward(FiniteDifference):
        def adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return -super().adjoint(y)          # the divergence: the sign people forget

    with pytest.raises(InputError, match="dot test"):
        dot_test(Forward((4, 4)), generator=torch.Generator().manual_seed(0))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="boundary"):
        FiniteDifference((4, 4), boundary="reflect")
    with pytest.raises(InputError, match="height, width"):
        FiniteDifference((4, 4, 4))
    with pytest.raises(InputError, match="periodic"):
        FiniteDifference((4, 4), boundary="neumann").spectrum()
