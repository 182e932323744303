"""What lies beyond any shrinkage of coefficients is never above 0 where there is one, in any basis, real or complex."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assay.metrics.invention import along, beyond_shrinkage
from assay.numerics.bases import BASES
from laws import generator


def draws(dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Truths, shares between 0 and 1 that depend on them, and a structure: coefficients of 200 images."""
    g = generator(seed)
    v, d = torch.randn(200, 64, dtype=dtype, generator=g), torch.randn(64, dtype=dtype, generator=g)
    share = torch.rand(200, 64, dtype=torch.float64, generator=g) * (v.abs() > 0.7)
    return v, share, d


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("sign", [1, -1])
def test_no_shrinkage_is_above_nothing(dtype: torch.dtype, sign: int) -> None:
    v, share, d = draws(dtype, 0)
    found = beyond_shrinkage(share * v, v, d, sign * along(v, d) >= 0)
    assert float(found.max()) <= 0 and float(found.min()) < -0.1
    opposite = beyond_shrinkage(-0.5 * v, v, -v.mean(0), along(v, -v.mean(0)) <= 0)     # a sign that is not the truth's
    assert float(opposite.min()) > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_scatter_averages_out_and_does_not_in_a_product(dtype: torch.dtype) -> None:
    """The twin weighs w e by the structure: a square of the output, which scatter alone makes positive."""
    v, share, d = draws(dtype, 1)
    w = share.round() * v + torch.randn(v.shape, dtype=dtype, generator=generator(2))
    found = beyond_shrinkage(w, v, d, along(v, d) >= 0)
    assert float(found.mean()) < 0
    product = (along(w, w - v) * d.abs().square()).sum(1) / d.abs().square().sum()
    assert float(product.mean()) > 0.3


@pytest.mark.parametrize("name", BASES)
def test_a_structure_that_is_added_is_shown_whole(name: str) -> None:
    g = generator(3)
    v, d = torch.randn(50, 8, 8, dtype=torch.float64, generator=g), torch.randn(8, 8, dtype=torch.float64, generator=g)
    basis = BASES[name]
    t = along(basis(v), basis(d[None]))
    for w, places in ((v + d, t >= 0), (d.expand_as(v), t <= 0)):
        assert beyond_shrinkage(basis(w), basis(v), basis(d[None])[0], places).tolist() == pytest.approx([1.0] * 50)


def test_few_places_say_nothing() -> None:
    v, d = torch.ones(1, 100, dtype=torch.float64), torch.ones(100, dtype=torch.float64)
    places = torch.arange(100) < 4
    assert float(beyond_shrinkage(v + d, v, d, places[None])) == 0.0
    assert float(beyond_shrinkage(v + d, v, d, (torch.arange(100) < 5)[None])) == 1.0
