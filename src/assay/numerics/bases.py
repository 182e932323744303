"""Orthonormal bases in which a method may shrink coefficient by coefficient: pixels, Haar wavelets, Fourier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assay.arrays import Batch


def pixels(x: Batch) -> Tensor:
    """(batch, …) as it is, (batch, n)."""
    return x.flatten(1)


def haar(x: Batch) -> Tensor:
    """Haar coefficients (batch, n) over the last two axes (the only one, where there is one), as many levels as there are.

    Of an odd side the last value is carried to the next level as it stands, so that sides of every length have an
    orthonormal basis. The mean's coefficient is first. Source: Mallat, A Wavelet Tour of Signal Processing (3rd ed.),
    section 7.7.

    >>> [[round(v, 6) for v in row] for row in haar(torch.tensor([[1.0, 1.0], [3.0, 1.0]])).tolist()]
    [[1.414214, 0.0], [2.828427, 1.414214]]
    >>> round(float(haar(torch.tensor([[1.0, 2.0, 2.0]])).norm()), 6)
    3.0
    """
    axes, details = range(max(1, x.ndim - 2), x.ndim), []
    while any(x.shape[axis] > 1 for axis in axes):
        blocks = [x]
        for axis in axes:
            blocks = [half for block in blocks for half in _halves(block, axis)]
        x = blocks[0]
        details += [block.flatten(1) for block in blocks[1:]]
    return torch.cat([x.flatten(1), *details], 1)


def _halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Sums and differences of neighbours over √2; a last value without a neighbour is with the sums."""
    pairs = x.shape[axis] // 2 * 2
    first, second = x.narrow(axis, 0, pairs).unflatten(axis, (pairs // 2, 2)).unbind(axis + 1)
    rest = x.narrow(axis, pairs, x.shape[axis] - pairs)
    return torch.cat([(first + second) / 2**0.5, rest], axis), (first - second) / 2**0.5


def fourier(x: Batch) -> Tensor:
    """Fourier coefficients (batch, n), complex, over the last two axes (the only one), of norm 1 as a map.

    >>> fourier(torch.tensor([[1.0, 1.0]])).real.mul(100).round().tolist()
    [[141.0, 0.0]]
    """
    return torch.fft.fftn(x, dim=tuple(range(max(1, x.ndim - 2), x.ndim)), norm="ortho").flatten(1)


BASES: dict[str, Callable[[Batch], Tensor]] = {"pixels": pixels, "haar": haar, "fourier": fourier}
