"""Histograms of oriented gradients, differentiable to the pixels.

Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, sections 6.2 to 6.4: unsigned
gradients in nine bins of 20°, shared linearly between the two nearest bins; cells; blocks of 2×2 cells at a stride of one
cell, each normalised by its ℓ2 norm. As in scikit-image, differences are central and zero at the border, a histogram is
the mean over its cell, pixels beyond the last whole cell cast no votes, and of several channels each pixel takes the one
whose gradient is largest.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError

BINS, EPSILON = 9, 1e-4
MOST_CELLS = 16             # a side: with 9 bins and 2×2 cells a block 8,100 features at most, of a square image


def cell_for(height: int, width: int) -> int:
    """Pixels a side of the cells that suit images of this size, by the shorter side.

    2 below 16 pixels, where larger cells would leave a block or two; 4 up to 64, for 1,296 features of 28×28 pixels and
    1,764 of 32×32; then 8, Dalal and Triggs's own, for 3,780 of theirs (128×64); and from 128 on a sixteenth of the side: a
    linear SVM gains nothing from cells that are small beside what is seen, and the features grow with their square.

    >>> [cell_for(side, side) for side in (8, 28, 32, 64, 96, 128, 224)]
    [2, 4, 4, 4, 8, 8, 14]
    """
    side = min(height, width)
    if side <= 64:
        return 2 if side < 16 else 4
    return max(8, math.ceil(side / MOST_CELLS))


def hog(x: Float[Tensor, "batch channels height width"], *, cell: int = 4) -> Float[Tensor, "batch features"]:
    """The features v/√(‖v‖² + ε²) of all blocks v, ε = 1e-4, for images in [0, 1], in cells of `cell` × `cell` pixels.

    v holds the histograms of 2×2 cells: bin b, centred on (b + ½)·20°, gets |∇x|·max(0, 1 − |θ − centre|/20°), θ in
    [0°, 180°) taken around the circle. Order: block row, block column, cell row, cell column, bin.
    Where ∇x is exactly zero the magnitude has a kink; its gradient is taken as zero there.
    Raises `InputError` if the images have fewer than 2×2 whole cells.

    >>> hog(torch.ones(1, 1, 8, 8), cell=2).abs().max()
    tensor(0.)
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise InputError(f"HOG takes floating-point images (batch, channels, height, width), got {x.dtype} "
                         f"{tuple(x.shape)}; convert uint8 images with .float() / 255")
    height, width = x.shape[-2:]
    if min(height, width) < 2 * cell:
        raise InputError(f"HOG with cells of {cell}×{cell} pixels needs images of at least 2×2 whole cells, got "
                         f"{height}×{width}; choose another cell, or pad the images")
    magnitude, angle = _polar(x)
    centres = torch.arange(BINS, dtype=x.dtype, device=x.device)[:, None, None] + 0.5
    distance = (angle[:, None] * (BINS / math.pi) - centres).abs()
    votes = magnitude[:, None] * (1 - torch.minimum(distance, BINS - distance)).clamp_min(0)
    cells = F.avg_pool2d(votes, cell)                                           # (batch, bins, rows, columns)
    blocks = cells.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 4, 5, 1)    # (batch, rows−1, columns−1, 2, 2, bins)
    blocks = blocks.flatten(3)
    return (blocks / (blocks.square().sum(-1, keepdim=True) + EPSILON**2).sqrt()).flatten(1)


def _polar(x: Tensor) -> tuple[Tensor, Tensor]:
    """|∇x| and the angle of ∇x in [0, π), (batch, height, width), of the channel with the largest gradient."""
    down = F.pad(x[..., 2:, :] - x[..., :-2, :], (0, 0, 1, 1))
    right = F.pad(x[..., :, 2:] - x[..., :, :-2], (1, 1, 0, 0))
    largest = (down.square() + right.square()).detach().argmax(1, keepdim=True)
    down, right = down.gather(1, largest)[:, 0], right.gather(1, largest)[:, 0]
    flat = (down == 0) & (right == 0)
    down, right = torch.where(flat, 0.0, down), torch.where(flat, 1.0, right)   # keeps 0/0 out of the gradients
    magnitude = torch.where(flat, 0.0, torch.hypot(down, right))
    angle = torch.atan2(down, right)
    return magnitude, torch.where(angle < 0, angle + math.pi, angle)
