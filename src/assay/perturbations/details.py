"""Small structural changes: a detail drawn into the image at a place the search may choose."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.operators.protocol import LinearOperator
from assay.operators.spectral_norm import operator_norm
from assay.perturbations.protocol import Examples
from assay.solvers.linear import tikhonov

SHAPES = ("blob", "bars", "text")
HIDDEN = 0.003          # singular values below this share of ‖A‖ count as the kernel
TISSUE = 0.15           # share of the peak above which a pixel counts as anatomy


@functools.cache
def stamp(shape: str, size: int) -> Float[Tensor, "rows columns"]:
    """The detail's picture, values 0..1: "blob" (a lesion-like disc with soft rim), "bars" (line pairs), "text".

    `size` is the diameter of the blob, the side of the bars or the height of the text, in pixels.

    >>> stamp("bars", 5)[0].tolist()
    [1.0, 0.0, 1.0, 0.0, 1.0]
    """
    if size < 3:
        raise InputError(f"a detail needs at least 3 pixels, got {size}")
    if shape == "blob":
        offset = torch.arange(size + 2) - (size + 1) / 2
        distance = (offset[:, None] ** 2 + offset[None, :] ** 2).sqrt()
        return torch.sigmoid((size / 2 - 0.5 - distance) / 0.35)
    if shape == "bars":
        return (1.0 - torch.arange(size) % 2).expand(size, size).clone()
    if shape == "text":
        return _text("SEE?", size)
    raise InputError(f"unknown detail {shape!r}; known: {', '.join(SHAPES)}")


def _text(words: str, height: int) -> Tensor:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=height * 1.3)
    left, top, right, bottom = (int(v) for v in font.getbbox(words))
    picture = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(picture).text((-left, -top), words, fill=255, font=font)
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)


@dataclass(frozen=True, kw_only=True)
class Details:
    """truth + contrast · peak · stamp at a place inside the anatomy, seen through the forward model.

    A parameter is the row and column of the detail's centre, (batch, 2). With `kernel` the part of the detail that the
    data show is removed except for a share `visible`: d − (1 − v)(AᴴA + μ)⁻¹AᴴA d, √μ = 0.003 ‖A‖ (the projection
    onto the kernel as v, μ → 0), so that ‖A d′‖ ≤ v ‖A d‖ + ½√μ ‖d‖. It is the test of kernel awareness in Gottschling,
    Antun, Hansen and Adcock, "The troublesome kernel", SIAM Review 67 (2025).
    """

    operator: LinearOperator
    shape: str = "blob"
    pixels: int = 7
    contrast: float = 0.2
    kernel: bool = False
    visible: float = 0.05
    unit: str = "contrast, share of peak"

    def resized(self, contrast: float) -> Details:
        return replace(self, contrast=contrast)

    def zero(self, x: Examples) -> Tensor:
        return torch.stack([_nearest(places, _middle(places)) for places in self.places(x)])

    def apply(self, x: Examples, p: Tensor) -> Examples:
        detail = self.draw(x, p)
        return x.changed(inputs=x.inputs + self.operator.forward(detail), truth=_truth(x) + detail)

    def draw(self, x: Examples, p: Tensor) -> Tensor:
        """The detail's image (batch, height, width), complex, with the local phase of the anatomy."""
        truth, picture = _truth(x), stamp(self.shape, self.pixels)
        canvas = torch.zeros_like(truth)
        for i, (row, column) in enumerate(p.round().long().tolist()):
            top, left = row - picture.shape[0] // 2, column - picture.shape[1] // 2
            window = (i, slice(top, top + picture.shape[0]), slice(left, left + picture.shape[1]))
            centre = truth[i, row, column]
            phase = centre.sgn() if bool(centre != 0) else 1.0     # a black pixel amid tissue has no phase
            canvas[window] = picture * phase * self.contrast * truth[i].abs().max()
        if self.kernel:
            weight = (HIDDEN * operator_norm(self.operator)) ** 2
            shown = tikhonov(self.operator.forward(canvas), self.operator, weight=weight, tolerance=1e-3)
            canvas = canvas - (1 - self.visible) * shown.x
        return canvas

    def places(self, x: Examples) -> list[Tensor]:
        """For each example, (n, 2): centres whose whole stamp lies on anatomy."""
        rows, columns = stamp(self.shape, self.pixels).shape
        found = []
        for i, image in enumerate(_truth(x).abs()):
            smooth = F.avg_pool2d(image[None, None], 5, 1, 2)[0, 0]
            tissue = (smooth > TISSUE * image.max()).float()[None, None]
            pad = (columns // 2, columns - 1 - columns // 2, rows // 2, rows - 1 - rows // 2)
            room = -F.max_pool2d(F.pad(-tissue, pad, value=0.0), (rows, columns), 1)[0, 0]
            centres = (room > 0.5).nonzero()
            if not len(centres):
                raise InputError(f"sample {x.ids[i]!r}: no place where a {rows}×{columns} detail lies wholly on "
                                 "anatomy; use a smaller detail or leave the sample out")
            found.append(centres.double())
        return found

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        return torch.stack([places[int(torch.randint(len(places), (), generator=g))]
                            for places, g in zip(self.places(x), generators, strict=True)])

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return torch.full((len(x),), self.contrast, dtype=torch.float64)

    def neighbours(self, x: Examples, p: Tensor, distance: float) -> list[Tensor]:
        places = self.places(x)
        moves = [(dr * distance, dc * distance) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
        return [torch.stack([_nearest(places[i], p[i] + torch.tensor(move)) for i in range(len(p))]) for move in moves]


def _nearest(places: Tensor, target: Tensor) -> Tensor:
    return places[int((places - target).square().sum(1).argmin())]


def _middle(places: Tensor) -> Tensor:
    return places.mean(0)


def _truth(x: Examples) -> Tensor:
    if x.truth is None:
        raise InputError("a detail is drawn into the true image, and these samples have none")
    return x.truth
