"""Magnetic resonance imaging: the sampled Fourier transform, single coil or with coil sensitivities."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from assay.arrays import InputError, to_complex


def fft2(x: Tensor, *, centred: bool) -> Tensor:
    """Orthonormal 2-D transform of the last two axes; `centred` puts image origin and zero frequency in the middle.

    >>> fft2(torch.ones(1, 2, 2, dtype=torch.complex64), centred=False).real.tolist()
    [[[2.0, 0.0], [0.0, 0.0]]]
    """
    if not centred:
        return torch.fft.fft2(x, norm="ortho")
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))


def ifft2(k: Tensor, *, centred: bool) -> Tensor:
    """Inverse (= adjoint) of `fft2`."""
    if not centred:
        return torch.fft.ifft2(k, norm="ortho")
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(k, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))


@dataclass(frozen=True, eq=False)
class MaskedFourier:
    """A x = P_Ω F (S_c x)_c : m Fourier samples of the image, for each coil c where sensitivity maps S are given.

    Images are complex (batch, height, width). Measurements are the sampled coefficients alone, complex (batch, m) for
    one coil without map and (batch, coils, m) otherwise, so a perturbation of the data can only touch what was
    measured. F is orthonormal, hence ‖A‖ ≤ max_r (Σ_c |S_c(r)|²)^½, and = 1 without maps. Source: Pruessmann et al.,
    "SENSE", Magn. Reson. Med. 42 (1999), eq. 1.

    >>> A = MaskedFourier(mask=torch.tensor([[True, False], [False, False]]), centred=False)
    >>> A.forward(torch.ones(1, 2, 2)).real
    tensor([[2.]])
    """

    mask: Bool[Tensor, "height width"]
    centred: bool = True
    maps: Complex[Tensor, "coils height width"] | None = None
    name: str = "masked Fourier"
    domain: tuple[int, ...] = field(init=False)
    range: tuple[int, ...] = field(init=False)
    dtype: torch.dtype = torch.complex64
    _index: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != torch.bool or not bool(self.mask.any()):
            raise InputError(f"mask must be a boolean (height, width) tensor with at least one sample, got "
                             f"{self.mask.dtype} {tuple(self.mask.shape)}")
        if self.maps is not None and (self.maps.ndim != 3 or self.maps.shape[1:] != self.mask.shape):
            raise InputError(f"sensitivity maps must be (coils, {', '.join(map(str, self.mask.shape))}), got "
                             f"{tuple(self.maps.shape)}")
        index = self.mask.flatten().nonzero().squeeze(1)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "domain", tuple(self.mask.shape))
        m = (len(index),)
        object.__setattr__(self, "range", m if self.maps is None else (self.maps.shape[0], *m))

    @property
    def fraction(self) -> float:
        """Share of the Fourier coefficients that are sampled."""
        return len(self._index) / self.mask.numel()

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.domain:
            raise InputError(f"{self.name}: expected images (batch, {', '.join(map(str, self.domain))}), got "
                             f"{tuple(x.shape)}")
        coils = to_complex(x) if self.maps is None else self.maps * to_complex(x)[:, None]
        return fft2(coils, centred=self.centred).flatten(-2)[..., self._index]

    def embed(self, y: Tensor) -> Tensor:
        """The samples in the full grid of Fourier coefficients, zero elsewhere: (batch, [coils,] height, width)."""
        if tuple(y.shape[1:]) != self.range:
            raise InputError(f"{self.name}: expected measurements (batch, {', '.join(map(str, self.range))}), got "
                             f"{tuple(y.shape)}")
        grid = y.new_zeros((*y.shape[:-1], self.mask.numel()))
        return grid.index_copy(-1, self._index, y).unflatten(-1, self.domain)

    def adjoint(self, y: Tensor) -> Tensor:
        coils = ifft2(self.embed(to_complex(y)), centred=self.centred)
        return coils if self.maps is None else (self.maps.conj() * coils).sum(1)

    def replace_measured(self, x: Tensor, y: Tensor) -> Tensor:
        """Hard data consistency of one coil: Fourier coefficients of x, with those in Ω overwritten by y.

        The nearest image to x with A x = y. Source: Schlemper et al. (2018), eq. 6 with λ → ∞.
        """
        if self.maps is not None:
            raise InputError("hard data consistency is defined here for one coil without maps only")
        return x + self.adjoint(y - self.forward(x))
