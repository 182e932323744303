"""Deep cascade of convolutional networks with hard data consistency (D5-C5).

Schlemper, Caballero, Hajnal, Price and Rueckert, "A Deep Cascade of Convolutional Neural Networks for Dynamic MR Image
Reconstruction", IEEE Trans. Med. Imaging 37 (2018), sections III.B–III.D: five cascades of five 3×3 convolutions
2-64-64-64-64-2 with relu between them, each a residual correction followed by k ← (1 − m) k + y.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor, nn

from assay.arrays import InputError, from_channels, to_channels
from assay.operators.fourier import MaskedFourier

CASCADES, DEPTH, WIDTH = 5, 5, 64


def convolutions(width: int, depth: int) -> nn.Sequential:
    """`depth` 3×3 convolutions 2-width-…-width-2 with relu between them."""
    channels = [2, *[width] * (depth - 1), 2]
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise(channels):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class DeepCascade(nn.Module):
    """Measurements (batch, m) and their operator to a complex image (batch, height, width).

    The weights know neither the mask nor the image size: one network serves every `MaskedFourier` of one coil.
    """

    def __init__(self, *, width: int = WIDTH, depth: int = DEPTH, cascades: int = CASCADES) -> None:
        super().__init__()
        self.cascades = nn.ModuleList(convolutions(width, depth) for _ in range(cascades))

    def forward(self, y: Complex[Tensor, "batch m"], operator: MaskedFourier) -> Complex[Tensor, "batch height width"]:
        x = operator.adjoint(y)                                       # zero-filled image
        for cascade in self.cascades:
            x = x + from_channels(cascade(to_channels(x)).to(x.real.dtype))
            x = operator.replace_measured(x, y)                       # k ← (1 − m) k + y
        return x


def from_author(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """State dict from the author's published arrays (50: weight and bias of 5 × 5 convolutions, in order).

    They were trained with a library that convolves where torch correlates, so each filter is turned by 180°.
    """
    if len(arrays) != 2 * CASCADES * DEPTH or not all(name.rsplit("_", 1)[-1].isdigit() for name in arrays):
        raise InputError(f"not the published deep cascade, whose npz has {2 * CASCADES * DEPTH} arrays, arr_0 to "
                         f"arr_{2 * CASCADES * DEPTH - 1}; this one has {', '.join(sorted(arrays)[:3])}, … ({len(arrays)})")
    names = sorted(arrays, key=lambda name: int(name.rsplit("_", 1)[-1]))
    for name, kind in zip(names, (4, 1) * (CASCADES * DEPTH), strict=True):
        if arrays[name].ndim != kind or arrays[name].dtype.kind != "f":
            raise InputError(f"not the published deep cascade: array {name!r} is {arrays[name].dtype} with "
                             f"{arrays[name].ndim} axes, expected floating point with {kind}")
    state = {}
    for position, name in enumerate(names):
        cascade, layer = divmod(position // 2, DEPTH)
        value = torch.from_numpy(np.ascontiguousarray(arrays[name], dtype=np.float32))
        is_weight = position % 2 == 0
        state[f"cascades.{cascade}.{2 * layer}.{'weight' if is_weight else 'bias'}"] = (
            value.flip(-2, -1).contiguous() if is_weight else value)
    return state
