"""U-Net from the zero-filled image, without data consistency.

Ronneberger, Fischer and Brox (MICCAI 2015), as a reconstruction network: Jin, McCann, Froustey and Unser, IEEE Trans.
Image Process. 26 (2017): two 3×3 convolutions per scale, max pooling, skip connections, residual to the input.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Complex
from torch import Tensor, nn

from assay.arrays import from_channels, to_channels
from assay.operators.fourier import MaskedFourier


def pair(into: int, out: int) -> nn.Sequential:
    """Two 3×3 convolutions, group-normalised, relu."""
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.GroupNorm(8, out), nn.ReLU(),
                         nn.Conv2d(out, out, 3, padding=1), nn.GroupNorm(8, out), nn.ReLU())


class UNet(nn.Module):
    """Measurements (batch, m) and their operator to a complex image (batch, height, width).

    Sides that its scales do not divide are padded with zeros at the end, and the result is cropped again.
    """

    def __init__(self, *, width: int = 32, scales: int = 4) -> None:
        super().__init__()
        widths = [width * 2**s for s in range(scales)]
        self.down = nn.ModuleList(pair(i, o) for i, o in zip([2, *widths], widths, strict=False))
        self.up = nn.ModuleList(pair(3 * w, w) for w in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, y: Complex[Tensor, "batch m"], operator: MaskedFourier) -> Complex[Tensor, "batch height width"]:
        zero_filled = operator.adjoint(y)
        height, width = operator.domain
        divisor = 2 ** (len(self.down) - 1)
        x, skips = F.pad(to_channels(zero_filled), (0, -width % divisor, 0, -height % divisor)), []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = block(torch.cat((F.interpolate(x, scale_factor=2, mode="nearest"), skip), 1))
        return zero_filled + from_channels(self.last(x)[..., :height, :width].to(zero_filled.real.dtype))
