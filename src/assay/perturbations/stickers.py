"""A sticker: pixels on a small mask that may take any value there, and move with the image they stick to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.geometric import check_images
from assay.perturbations.protocol import Examples
from assay.perturbations.viewing import Images, Views, look, printed

Masks = Bool[Tensor, "masks height width"]
MODES = ("replace", "add")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sticker:
    """p (batch, channels, height, width), 0 off the mask M, with clip(x (1 − M) + p M) or clip(x + p M) in the box.

    `mask` holds one mask for all images or one for each, (masks, height, width). "replace": low ≤ p ≤ high on the mask;
    the neutral member is the image's own pixels. "add": low ≤ x + p ≤ high there; the neutral member is 0. `size` is the
    share of the image that the mask covers, the same for all members; `fill` is what a view shows beside the image (None:
    its edge repeated). Source: Eykholt et al., CVPR 2018 (arXiv 1707.08945), and its released code.

    >>> x = Examples(ids=("a",), inputs=torch.full((1, 1, 2, 2), 0.5))
    >>> within = Sticker(mask=torch.tensor([[[True, False], [False, False]]]))
    >>> p = within.project(x, torch.full((1, 1, 2, 2), 9.0))
    >>> within.apply(x, p).inputs.flatten().tolist(), within.size(x, p).tolist()
    ([1.0, 0.5, 0.5, 0.5], [0.25])
    """

    mask: Masks
    mode: str = "replace"
    box: tuple[float, float] = (0.0, 1.0)
    fill: float | None = None
    unit: str = "share of the image"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"mode {self.mode!r}: known are {', '.join(MODES)}")
        if self.mask.ndim != 3 or self.mask.dtype != torch.bool or not bool(self.mask.any()):
            raise InputError(f"mask: need truth values (masks, height, width), some of them true, got {self.mask.dtype} of "
                             f"shape {tuple(self.mask.shape)}; compare the picture with a threshold")
        if not -math.inf < self.box[0] < self.box[1] < math.inf:
            raise InputError(f"box must be two finite numbers (low, high) with low < high, got {self.box}")

    def at(self, x: Examples) -> Tensor:
        """The mask of each example, (batch or 1, 1, height, width)."""
        if len(self.mask) not in (1, len(x)) or self.mask.shape[1:] != check_images(x.inputs).shape[2:]:
            raise InputError(f"mask: need 1 or {len(x)} of {tuple(x.inputs.shape[2:])} pixels, got "
                             f"{tuple(self.mask.shape)}; resize it to the images")
        return self.mask[:, None]

    def zero(self, x: Examples) -> Tensor:
        own = x.inputs if self.mode == "replace" else torch.zeros_like(x.inputs)
        return torch.where(self.at(x), own, 0.0)

    def apply(self, x: Examples, p: Tensor) -> Examples:
        return x.changed(inputs=self._stuck(x.inputs, p, self.at(x)), truth=x.truth)

    def seen(self, x: Examples, p: Tensor, views: Views) -> Images:
        """The images with their stickers, printed and looked at: (batch · k, …) for k views of each, one after another."""
        count = len(views) // len(x)
        images, pixels = (t.repeat_interleave(count, dim=0) for t in (x.inputs, p))
        mask = self.at(x) if len(self.mask) == 1 else self.at(x).repeat_interleave(count, dim=0)
        if self.mode == "replace":
            stuck = self._stuck(images, printed(pixels, views, box=self.box), mask)
        else:
            stuck = self._stuck(images, printed(images + pixels, views, box=self.box) - images, mask)
        return look(stuck, views, box=self.box, fill=self.fill)

    def _stuck(self, images: Tensor, pixels: Tensor, mask: Tensor) -> Tensor:
        new = pixels if self.mode == "replace" else images + pixels
        return torch.where(mask, new.clamp(*self.box), images)

    def _bounds(self, x: Examples) -> tuple[Tensor, Tensor]:
        low, high = (torch.full_like(x.inputs, edge) for edge in self.box)
        return (low, high) if self.mode == "replace" else (low - x.inputs, high - x.inputs)

    def project(self, x: Examples, p: Tensor) -> Tensor:
        low, high = self._bounds(x)
        return torch.where(self.at(x), torch.minimum(torch.maximum(p, low), high), 0.0)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        """The corner of the box that the gradient points to; neutral where the gradient is 0."""
        low, high = self._bounds(x)
        corner = torch.where(gradient > 0, high, torch.where(gradient < 0, low, self.zero(x)))
        return torch.where(self.at(x), corner, 0.0)

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        return torch.where(self.at(x), gradient.sgn() * (self.box[1] - self.box[0]) / 2, 0.0)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """Random stickers of the same mask: each value the least or the greatest, like those of the worst ones."""
        low, high = self._bounds(x)
        coin = torch.stack([torch.rand(x.inputs.shape[1:], generator=g) < 0.5 for g in generators])
        return torch.where(self.at(x), torch.where(coin, low, high), 0.0)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return self.at(x).flatten(1).double().mean(1).expand(len(x))

    def resized(self, radius: float) -> Sticker:
        """The part of each mask nearest to its middle that covers at most the share `radius`."""
        height, width = self.mask.shape[1:]
        rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
        count = int(radius * height * width + 1e-9)
        kept = []
        for mask in self.mask:
            middle = [float(axis[mask].mean()) for axis in (rows, columns)]
            far = torch.where(mask, (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2, torch.inf).flatten()
            near = torch.zeros_like(far, dtype=torch.bool)
            near[far.argsort(stable=True)[:count]] = True
            kept.append(mask & near.unflatten(0, (height, width)))
        return replace(self, mask=torch.stack(kept))


def rectangles(height: int, width: int, corners: Sequence[Sequence[float]]) -> Masks:
    """One mask of rectangles (top, left, bottom, right), each in shares of the sides, rounded to whole pixels.

    >>> rectangles(2, 4, [(0.0, 0.0, 0.5, 0.5)]).int().tolist()
    [[[1, 1, 0, 0], [0, 0, 0, 0]]]
    """
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    for corner in corners:
        if len(corner) != 4 or not (0 <= corner[0] < corner[2] <= 1 and 0 <= corner[1] < corner[3] <= 1):
            raise InputError(f"rectangle {tuple(corner)}: need (top, left, bottom, right) in [0, 1], in that order")
        top, left, bottom, right = (round(c * n) for c, n in zip(corner, (height, width) * 2, strict=True))
        mask[0, top:bottom, left:right] = True
    if not bool(mask.any()):
        raise InputError(f"rectangles: none covers a whole pixel of {height}×{width}; make one larger")
    return mask


def octagon(height: int, width: int, share: float) -> Masks:
    """The regular octagon about the middle, as large as covers at most `share` of the pixels.

    >>> int(octagon(32, 32, 0.1).sum()) <= 0.1 * 32 * 32
    True
    """
    if not 0 < share <= 1:
        raise InputError(f"share must be in (0, 1], got {share}")
    rows, columns = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2,
                                   indexing="ij")
    reach = torch.maximum(torch.maximum(rows.abs(), columns.abs()), (rows.abs() + columns.abs()) / math.sqrt(2))
    radii = [r for r in reach.unique().tolist() if int((reach <= r).sum()) <= share * height * width]
    if not radii:
        raise InputError(f"share {share:g}: no octagon fits in that many of {height}×{width} pixels; allow more")
    return (reach <= radii[-1])[None]
