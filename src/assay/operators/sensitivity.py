"""Coil sensitivity maps: estimated from the middle of measured k-space, or simulated for tests and demonstrations."""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex
from torch import Tensor

from assay.arrays import InputError, check_finite
from assay.operators.fourier import ifft2

Maps = Complex[Tensor, "coils height width"]


def estimate_maps(kspace: Complex[Tensor, "coils height width"], *, centre: int = 24, centred: bool = True,
                  support: float = 0.05) -> Maps:
    """Maps S_c = x_c / (Σ_j |x_j|²)^½ of the low-resolution images x_c, zero where these are dark.

    x_c is the inverse transform of the middle `centre` × `centre` coefficients of coil c under a Hann window. Where
    (Σ_j |x_j|²)^½ exceeds `support` of its maximum, Σ_c |S_c|² = 1; elsewhere S = 0, and an operator with these maps
    sees nothing there. The maps carry the phase of the low-resolution image. A smooth estimate, biased where the
    object's edges are sharp.
    Raises `InputError` for one coil or less, for NaN, and for a centre that does not fit or was not measured.
    Source: division of centrally measured coil images by their root of sum of squares, McKenzie, Yeh, Ohliger, Price
    and Sodickson, Magn. Reson. Med. 47 (2002) 529–538 (the Hann window is a choice made here). It is not the
    eigenvector estimate from local coil covariances of Walsh, Gmitro and Marcellin, Magn. Reson. Med. 43 (2000)
    682–690.

    >>> k = torch.zeros(2, 4, 4, dtype=torch.complex64)
    >>> k[:, 2, 2] = torch.tensor([3.0, 4.0])
    >>> estimate_maps(k, centre=4)[:, 0, 0].abs()
    tensor([0.6000, 0.8000])
    """
    if kspace.ndim != 3 or kspace.shape[0] < 2 or not kspace.is_complex():
        raise InputError(f"k-space must be complex (coils, height, width) with two coils or more, got {kspace.dtype} "
                         f"{tuple(kspace.shape)}; one coil needs no maps")
    if not 2 <= centre <= min(kspace.shape[1:]):
        raise InputError(f"centre={centre} does not fit k-space of {tuple(kspace.shape[1:])}; expected 2 to "
                         f"{min(kspace.shape[1:])}")
    if not 0 <= support < 1:
        raise InputError(f"support={support}; expected a share in [0, 1)")
    check_finite(kspace, what="k-space")
    low = ifft2(kspace * _hann(kspace, centre, centred=centred), centred=centred)
    root = low.abs().square().sum(0).sqrt()
    if float(root.max()) == 0:
        raise InputError(f"the middle {centre}×{centre} coefficients of k-space are all zero, so no maps can be "
                         "estimated; give k-space with a measured centre")
    inside = root > support * root.max()
    return torch.where(inside, low / torch.where(inside, root, 1.0), 0.0)


def simulate_maps(coils: int, shape: tuple[int, int], *, distance: float = 1.5) -> Maps:
    """Smooth maps of `coils` straight wires around the field of view, normalised to Σ_c |S_c|² = 1 everywhere.

    S_c(z) ∝ i e^(iθ_c) / (z_c − z), with z = column + i·row in units of half the field of view and z_c = distance ·
    e^(iθ_c), θ_c = 2πc / coils: the two-dimensional field of a wire (Biot–Savart). `distance` exceeds √2, the distance
    of the corners, so that no wire lies within. Simulated: never to be called measured.

    >>> simulate_maps(1, (2, 2)).abs()
    tensor([[[1., 1.],
             [1., 1.]]])
    """
    if coils < 1 or min(shape) < 1 or distance <= math.sqrt(2):
        raise InputError(f"coils={coils}, shape={shape}, distance={distance}; expected one coil or more, a shape of at "
                         "least (1, 1) and a distance above √2")
    rows, columns = ((torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1 for n in shape)
    z = columns[None, :] + 1j * rows[:, None]
    angles = torch.arange(coils, dtype=torch.float64) * (2 * math.pi / coils)
    towards = torch.polar(torch.ones_like(angles), angles)[:, None, None]
    field = 1j * towards / (distance * towards - z)
    return (field / field.abs().square().sum(0).sqrt()).to(torch.complex64)


def _hann(kspace: Tensor, centre: int, *, centred: bool) -> Tensor:
    """Periodic Hann window cos²(π f / centre) over the frequencies |f| < centre / 2 of both axes, zero beyond."""
    sides = []
    for n in kspace.shape[1:]:
        frequency = torch.arange(n) - n // 2
        window = torch.cos(math.pi * frequency / centre).square()
        sides.append(torch.where(2 * frequency.abs() < centre, window, 0.0))
    window = sides[0][:, None] * sides[1][None, :]
    return (window if centred else torch.fft.ifftshift(window)).to(kspace.real.dtype)
