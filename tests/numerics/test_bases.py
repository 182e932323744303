"""The bases are orthonormal, on every shape; Haar's is that of the operator; a base that is not is caught."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from assay.numerics.bases import BASES, haar
from assay.operators.wavelet import Wavelet
from laws import generator


def keeps_inner_products(basis: Callable[[Tensor], Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, y = (torch.randn(3, *shape, dtype=dtype, generator=generator(s)) for s in (1, 2))
    a, b = basis(x), basis(y)
    assert a.shape == (3, x[0].numel())
    assert torch.allclose((a.conj() * b).sum(1), (x.conj() * y).flatten(1).sum(1).to(a.dtype), atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (1, 6), (9,), (1,), (2, 4, 6)])
@pytest.mark.parametrize("name", BASES)
def test_inner_products_are_kept(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    keeps_inner_products(BASES[name], shape, dtype)


def test_a_base_that_is_not_orthonormal_is_caught() -> None:
    with pytest.raises(AssertionError):
        keeps_inner_products(lambda x: torch.cat([haar(x)[:, :-1], 2 * haar(x)[:, -1:]], 1), (8, 8), torch.float64)


@pytest.mark.parametrize("side", [8, 16])
def test_haar_has_the_coefficients_of_the_operator(side: int) -> None:
    x = torch.randn(2, side, side, dtype=torch.complex128, generator=generator())
    operator = Wavelet(domain=(side, side), family="haar", levels=side.bit_length() - 1, dtype=torch.complex128)
    ours, theirs = haar(x), operator.forward(x).flatten(1)
    assert torch.allclose(ours.abs().sort().values, theirs.abs().sort().values, atol=1e-12)
    assert torch.allclose(ours[:, 0], theirs[:, 0], atol=1e-12)
