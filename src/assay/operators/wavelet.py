"""Orthogonal periodised 2-D wavelet transform, complex images: Haar and Daubechies."""

from __future__ import annotations

from dataclasses import dataclass

import pywt
import torch
from torch import Tensor

from assay.arrays import InputError


@dataclass(frozen=True)
class Wavelet:
    """x ↦ W x, (batch, height, width) to the same shape, W Wᴴ = Wᴴ W = 1; coarse coefficients in the corner.

    Periodised filter banks: Mallat, "A Wavelet Tour of Signal Processing" (3rd ed.), section 7.5. Filters from
    PyWavelets. Each side must be divisible by 2^levels.

    >>> W = Wavelet(domain=(2, 2), family="haar", levels=1)
    >>> [[round(v, 6) for v in row] for row in W.forward(torch.ones(1, 2, 2, dtype=torch.complex64)).real[0].tolist()]
    [[2.0, 0.0], [0.0, 0.0]]
    """

    domain: tuple[int, ...]
    family: str = "db4"
    levels: int = 4
    dtype: torch.dtype = torch.complex64

    def __post_init__(self) -> None:
        if any(n % 2**self.levels for n in self.domain):
            raise InputError(f"{self.levels} wavelet levels need sides divisible by {2**self.levels}, got {self.domain}")

    @property
    def name(self) -> str:
        return f"{self.family} wavelets, {self.levels} levels"

    @property
    def range(self) -> tuple[int, ...]:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        coefficients = x
        for level in range(self.levels):
            height, width = (n >> level for n in self.domain)
            corner = self._split(self._split(coefficients[:, :height, :width], 1), 2)
            coefficients = _with_corner(coefficients, corner)
        return coefficients

    def adjoint(self, y: Tensor) -> Tensor:
        image = y
        for level in reversed(range(self.levels)):
            height, width = (n >> level for n in self.domain)
            corner = self._join(self._join(image[:, :height, :width], 2), 1)
            image = _with_corner(image, corner)
        return image

    def _filters(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.tensor(pywt.Wavelet(self.family).rec_lo, dtype=x.real.dtype)
        signs = torch.tensor([(-1.0) ** k for k in range(len(low))], dtype=x.real.dtype)
        return low, low.flip(0) * signs

    def _split(self, x: Tensor, dim: int) -> Tensor:
        """Low half then high half along dim: c_k = Σ_n h_n x_{(2k + n) mod N}."""
        halves = []
        for taps in self._filters(x):
            total = sum(tap * x.roll(-n, dim) for n, tap in enumerate(taps.tolist()))
            halves.append(_every_other(total, dim))  # type: ignore[arg-type]
        return torch.cat(halves, dim)

    def _join(self, c: Tensor, dim: int) -> Tensor:
        """The adjoint (= inverse) of `_split`."""
        total: Tensor | float = 0.0
        for half, taps in zip(c.chunk(2, dim), self._filters(c), strict=True):
            spread = torch.stack((half, torch.zeros_like(half)), dim + 1).flatten(dim, dim + 1)
            total = total + sum(tap * spread.roll(n, dim) for n, tap in enumerate(taps.tolist()))
        return total  # type: ignore[return-value]


def _every_other(x: Tensor, dim: int) -> Tensor:
    return x.unflatten(dim, (-1, 2)).select(dim + 1, 0)


def _with_corner(x: Tensor, corner: Tensor) -> Tensor:
    if corner.shape == x.shape:
        return corner
    height, width = corner.shape[1:]
    top = torch.cat((corner, x[:, :height, width:]), 2)
    return torch.cat((top, x[:, height:]), 1)
