"""GoogLeNet style: a stem, nine inception modules of four branches, global average, one dense layer.

Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015), figure 2b and table 1, every width divided by four.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.literature.signs.network import SIGNS, ResponseNormalisation, SignNetwork, convolution

# #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj of table 1, in its rows 3a to 5b; None is a max pooling
MODULES = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
           (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
           (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
           (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))
DIVISOR = 4


class Inception(nn.Module):
    """1×1, 1×1 → 3×3, 1×1 → 5×5, and 3×3 pooling → 1×1, joined along the channels."""

    def __init__(self, into: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList((
            nn.Sequential(*convolution(into, one, 1)),
            nn.Sequential(*convolution(into, reduce3, 1), *convolution(reduce3, three, 3)),
            nn.Sequential(*convolution(into, reduce5, 1), *convolution(reduce5, five, 5)),
            nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *convolution(into, pool, 1))))
        self.width = one + three + five + pool

    def forward(self, x: Float[Tensor, "batch into height width"]) -> Float[Tensor, "batch out height width"]:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _normalise(channels: int) -> nn.Module:
    return ResponseNormalisation(channels, alpha=1e-4, k=1.0)


def googlenet() -> SignNetwork:
    """22 weighted layers deep. Reduced: every width to a quarter, 7×7 stride 2 to 5×5 stride 1, no auxiliary classifiers."""
    width = 192 // DIVISOR
    layers: list[nn.Module] = [
        *convolution(3, 64 // DIVISOR, 5), nn.MaxPool2d(3, stride=2, padding=1), _normalise(64 // DIVISOR),  # 16 × 16
        *convolution(64 // DIVISOR, 64 // DIVISOR, 1), *convolution(64 // DIVISOR, width, 3),
        _normalise(width),
        nn.MaxPool2d(3, stride=2, padding=1)]                                                               # 8 × 8
    for widths in MODULES:
        if widths is None:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))                                             # 4, then 2
            continue
        module = Inception(width, *(w // DIVISOR for w in widths))
        width = module.width
        layers.append(module)
    layers.append(nn.AdaptiveAvgPool2d(1))
    return SignNetwork(features=nn.Sequential(*layers),
                       classifier=nn.Sequential(nn.Dropout(0.2), nn.Linear(width, SIGNS)))
