"""Which Fourier coefficients are measured: Cartesian lines and 2-D variable density, nested by construction.

Each line (or point) draws a priority once, and a mask of fraction p takes the top share p. Masks of one seed are
therefore nested: less sampling is always a subset of more. Weighted sampling without replacement follows Efraimidis and
Spirakis, Inf. Process. Lett. 97 (2006): key u^(1/w), largest keys first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.arrays import InputError

Mask = Bool[Tensor, "height width"]


def line_priorities(n: int, *, centre: float, decay: float, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Priorities of n centred lines: the central share `centre` always first, then Gaussian density of sd decay·n."""
    distance = (torch.arange(n) - n // 2).abs().double()
    weight = torch.exp(-0.5 * (distance / (decay * n)) ** 2) + 1e-3
    keys = torch.rand(n, generator=generator, dtype=torch.float64).log() / weight
    always = distance.argsort(stable=True)[: max(1, round(centre * n))]
    keys[always] = 1.0 - distance[always] / n
    return keys


def cartesian_lines(shape: tuple[int, int], fraction: float, *, generator: torch.Generator, centre: float = 0.06,
                    decay: float = 0.15, axis: int = 0, centred: bool = True) -> Mask:
    """Full lines of Fourier space: `fraction` of the indices along `axis`, dense in the middle.

    >>> m = cartesian_lines((8, 4), 0.5, generator=torch.Generator().manual_seed(0))
    >>> int(m.sum()), bool((m.all(1) == m.any(1)).all())
    (16, True)
    """
    _check(fraction)
    n = shape[axis]
    keys = line_priorities(n, centre=min(centre, fraction), decay=decay, generator=generator)
    lines = torch.zeros(n, dtype=torch.bool)
    lines[keys.argsort(descending=True, stable=True)[: max(1, round(fraction * n))]] = True
    mask = lines[:, None].expand(shape) if axis == 0 else lines[None, :].expand(shape)
    return (mask if centred else torch.fft.ifftshift(mask)).clone()


def variable_density(shape: tuple[int, int], fraction: float, *, generator: torch.Generator, power: float = 2.0,
                     centre: float = 0.05, centred: bool = True) -> Mask:
    """2-D points with density ∝ (1 + distance/(0.15·n))^−power and a fully sampled central disc.

    Density of inverse-power type: Krahmer and Ward, IEEE Trans. Image Process. 23 (2014); Adcock, Hansen, Poon and
    Roman, Forum Math. Sigma 5 (2017). `centre` is the radius of the disc as a share of the half width.

    >>> m = variable_density((16, 16), 0.25, generator=torch.Generator().manual_seed(0))
    >>> int(m.sum()), bool(m[8, 8])
    (64, True)
    """
    _check(fraction)
    rows = (torch.arange(shape[0]) - shape[0] // 2).double() / shape[0]
    columns = (torch.arange(shape[1]) - shape[1] // 2).double() / shape[1]
    distance = (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt()
    weight = (1 + distance / 0.15) ** -power
    keys = torch.rand(shape, generator=generator, dtype=torch.float64).log() / weight
    keys = torch.where(distance <= 0.5 * centre, 1.0 - distance, keys)
    count = max(1, round(fraction * keys.numel()))
    mask = torch.zeros(keys.numel(), dtype=torch.bool)
    mask[keys.flatten().argsort(descending=True, stable=True)[:count]] = True
    mask = mask.reshape(shape)
    return mask if centred else torch.fft.ifftshift(mask)


def _check(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise InputError(f"sampling fraction must be in (0, 1], got {fraction}")


def sampled_axis(mask: Mask) -> int | None:
    """0 or 1 where the mask consists of whole lines indexed along that axis, None where it is 2-D.

    >>> sampled_axis(torch.tensor([[True, True], [False, False]]))
    0
    """
    if bool((mask.all(1) == mask.any(1)).all()):
        return 0
    return 1 if bool((mask.all(0) == mask.any(0)).all()) else None


def nested_masks(mask: Mask, fractions: Sequence[float], *, generator: torch.Generator, axis: int | None = None,
                 nested: bool = True) -> list[Mask]:
    """Masks of the same kind as `mask` at other fractions; where `nested`, subsets or supersets of it.

    Lines (or points, for a 2-D mask) keep their priorities: sampled before unsampled, nearer to the zero frequency
    (the index with the most energy, centred or not) more likely first. With `nested=False` the drawing starts anew.

    >>> m = torch.tensor([[True], [True], [False], [False]]).expand(4, 2)
    >>> small, large = nested_masks(m, (0.25, 0.75), generator=torch.Generator().manual_seed(0))
    >>> bool((small & ~m).any()), bool((m & ~large).any()), int(small.sum()), int(large.sum())
    (False, False, 2, 6)
    """
    axis = sampled_axis(mask) if axis is None else axis
    kept = mask.flatten() if axis is None else (mask.any(1) if axis == 0 else mask.any(0))
    corner = bool(mask[0, 0]) and bool(mask[-1, -1])           # un-centred masks are dense in the corners
    if axis is None:
        grids = [_distance(n, corner) / n for n in mask.shape]
        distance = (grids[0][:, None] ** 2 + grids[1][None, :] ** 2).sqrt().flatten()
    else:
        distance = _distance(mask.shape[axis], corner) / mask.shape[axis]
    weight = torch.exp(-0.5 * (distance / 0.15) ** 2) + 1e-3
    keys = torch.rand(len(kept), generator=generator, dtype=torch.float64).log() / weight
    keys = torch.where(distance <= 0.03, 1.0 - distance, keys)
    if nested:
        keys = keys + torch.where(kept, 1e6, 0.0)
    order = keys.argsort(descending=True, stable=True)
    masks = []
    for fraction in fractions:
        _check(fraction)
        chosen = torch.zeros(len(kept), dtype=torch.bool)
        chosen[order[: max(1, round(fraction * len(kept)))]] = True
        masks.append(chosen.reshape(mask.shape) if axis is None else
                     (chosen[:, None] if axis == 0 else chosen[None, :]).expand(mask.shape).clone())
    return masks


def _distance(n: int, corner: bool) -> Tensor:
    index = torch.arange(n, dtype=torch.float64)
    return torch.minimum(index, n - index) if corner else (index - n // 2).abs()
