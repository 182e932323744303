"""What a system looks at: where in frequency, colour and place its gradients and smallest flips lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from assay.study.instability import Flips

BANDS, TOP = 8, 5


def spectrum(scores: Callable[[Tensor], Tensor], found: Flips) -> dict[str, Any]:
    """Shares of energy by ring of frequency and by channel of flips, gradients and inputs; singular directions; a map of
    places.

    Singular directions are those of the unit flips stacked as rows: their energy shares say how few directions hold most of
    them, beside m/n of n flips that share nothing. The map is the mean over flips of |r| summed over channels, as a share.
    """
    if len(found.x) == 0:
        return {"top_shares": [], "by_chance": 1.0}
    x = found.x.clone().requires_grad_(True)
    values = scores(x)
    margin = values.gather(1, found.y[:, None])[:, 0] - _rival(values, found.y)
    (gradient,) = torch.autograd.grad(margin.sum(), x)
    unit = found.change.flatten(1) / found.change.flatten(1).norm(dim=1, keepdim=True).clamp_min(1e-12)
    _, singular, directions = torch.linalg.svd(unit.double(), full_matrices=False)
    energy = singular.square() / singular.square().sum()
    told: dict[str, Any] = {"top_shares": energy[:TOP].tolist(), "by_chance": 1 / len(unit)}
    if found.x.ndim == 4:
        looked = {"flips": found.change, "gradients": gradient, "inputs": found.x}
        told |= {"bands": {name: _bands(v) for name, v in looked.items()}, "map": _map(found.change),
                 "channels": {name: _channels(v) for name, v in looked.items()},
                 "directions": [_picture(directions[k], found.x) for k in range(min(3, len(energy)))]}
    return told


def _rival(values: Tensor, y: Tensor) -> Tensor:
    others = values.clone()
    others[torch.arange(len(y)), y] = -torch.inf
    return others.amax(1)


def _bands(v: Tensor) -> list[float | None]:
    """Share of the energy in each ring of frequency, equal widths up to ½ a pixel; the mean is left out. None of a ring in
    which images of this size have no frequency.

    >>> _bands(torch.tensor([[[[0.0, 1.0] * 4] * 8]]))          # all at ½: 8 pixels have none below ⅛, or from 3/16 to ¼
    [None, None, 0.0, None, 0.0, 0.0, 0.0, 1.0]
    """
    energy = torch.fft.fft2(v.double()).abs().square().sum((0, 1))
    radius = (torch.fft.fftfreq(v.shape[2])[:, None] ** 2 + torch.fft.fftfreq(v.shape[3])[None] ** 2).sqrt()
    ring = (radius / 0.5 * BANDS).floor().clamp_max(BANDS - 1).long()
    energy[0, 0] = 0
    shares = torch.zeros(BANDS, dtype=torch.float64).index_add_(0, ring.flatten(), energy.flatten())
    held = torch.bincount(ring.flatten()[1:], minlength=BANDS)
    return [float(share) if n else None for share, n in zip(shares / shares.sum().clamp_min(1e-300), held, strict=True)]


def _channels(v: Tensor) -> list[float]:
    energy = v.double().square().sum((0, 2, 3))
    return (energy / energy.sum().clamp_min(1e-300)).tolist()


def _map(v: Tensor) -> list[list[float]]:
    size = v.abs().double().sum(1)
    shares = size / size.sum((1, 2), keepdim=True).clamp_min(1e-300)
    return shares.mean(0).tolist()


def _picture(direction: Tensor, x: Tensor) -> list[list[float]]:
    picture = direction.reshape(x.shape[1:]).mean(0)
    return (picture / picture.abs().amax().clamp_min(1e-12)).tolist()
