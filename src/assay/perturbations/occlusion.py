"""Something put in front of the image: a grey square that hides a part, or an added detail of bounded area."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.geometric import check_images
from assay.perturbations.protocol import Examples, PerturbationSet

MARKS = ("marker", "ruler", "text", "border", "hair")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Top left corners (row, column), whole numbers, at which a window lies inside an image: {0 … rows} × {0 … columns}."""

    rows: int
    columns: int

    def nearest(self, p: Tensor) -> Tensor:
        return p.round().clamp(min=torch.zeros(2, dtype=p.dtype), max=torch.tensor([self.rows, self.columns], dtype=p.dtype))

    def middle(self, batch: int) -> Tensor:
        return torch.tensor([[float(self.rows // 2), float(self.columns // 2)]], dtype=torch.float64).repeat(batch, 1)

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.tensor([[float(torch.randint(n + 1, (), generator=g)) for n in (self.rows, self.columns)]
                             for g in generators], dtype=torch.float64)

    def count(self, stride: int) -> int:
        """Members of the lattice."""
        return math.prod(len(axis) for axis in self._axes(stride))

    def lattice(self, batch: int, stride: int) -> Iterator[Tensor]:
        """Every `stride`-th row and column, and the last of each."""
        for place in itertools.product(*self._axes(stride)):
            yield torch.tensor(place, dtype=torch.float64).expand(batch, -1)

    def _axes(self, stride: int) -> list[list[int]]:
        return [sorted({*range(0, n + 1, stride), n}) for n in (self.rows, self.columns)]

    def around(self, p: Tensor, distance: float) -> list[Tensor]:
        moves = [(dr * distance, dc * distance) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
        return [self.nearest(p + torch.tensor(move, dtype=p.dtype)) for move in moves]


class Placed(PerturbationSet, Protocol):
    """A finite set whose members differ by their place alone, (batch, 2), so that each can be tried."""

    def count(self, x: Examples) -> int: ...

    def members(self, x: Examples) -> Iterator[Tensor]: ...

    def project(self, x: Examples, p: Tensor) -> Tensor: ...

    def neighbours(self, x: Examples, p: Tensor, distance: float) -> list[Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class _AtAPlace:
    """What sets of places have in common; `places` says where their window fits."""

    stride: int = 1

    def places(self, x: Examples) -> Places:
        raise NotImplementedError

    def zero(self, x: Examples) -> Tensor:
        return self.places(x).middle(len(x))

    def project(self, x: Examples, p: Tensor) -> Tensor:
        return self.places(x).nearest(p)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        return self.places(x).draw(generators)

    def count(self, x: Examples) -> int:
        return self.places(x).count(self.stride)

    def members(self, x: Examples) -> Iterator[Tensor]:
        return self.places(x).lattice(len(x), self.stride)

    def neighbours(self, x: Examples, p: Tensor, distance: float) -> list[Tensor]:
        return self.places(x).around(p, distance)


@dataclass(frozen=True, kw_only=True)
class Occlusion(_AtAPlace):
    """A square of one grey level in front of the image, at a place p = (row, column) of its top left corner, (batch, 2).

    Its side is the `share` of the image's shorter side, to the nearest pixel and at least one; `grey` is a share of the
    range of the inputs. Zeiler and Fergus, "Visualizing and understanding convolutional networks" (ECCV 2014), section
    4.2: the sliding grey square. `size` is the share, one and the same for all members. There is no neutral member.
    """

    share: float = 0.25
    grey: float = 0.5
    unit: str = "share of the shorter side"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.stride < 1 or not 0 <= self.grey <= 1:
            raise InputError("need share in (0, 1], stride ≥ 1 and grey in [0, 1], got "
                             f"{self.share}, {self.stride}, {self.grey}")

    def side(self, x: Examples) -> int:
        """Of the square, in pixels."""
        return max(1, round(self.share * min(check_images(x.inputs).shape[2:])))

    def places(self, x: Examples) -> Places:
        return _places(x, self.side(x), self.side(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        hidden, side, (least, greatest) = x.inputs.clone(), self.side(x), x.box or (0.0, 1.0)
        for i, (row, column) in enumerate(self.project(x, p).long().tolist()):
            hidden[i, :, row:row + side, column:column + side] = least + (greatest - least) * self.grey
        return x.changed(inputs=hidden, truth=x.truth)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return torch.full((len(x),), self.share, dtype=torch.float64)

    def resized(self, radius: float) -> Occlusion:
        return replace(self, share=radius)


@dataclass(frozen=True, kw_only=True)
class AddedDetail(_AtAPlace):
    """clip(x + contrast · m) to the range at a place p = (row, column) of the mark's top left corner, (batch, 2).

    m in [0, 1] is a picture of a "marker" (a disc), a "ruler", a "text" tag, a "border" or a "hair" (a thin curve), the
    largest that touches at most the share `area` of the pixels: a change of content-preserving kind, bounded by its area
    and contrast (a share of the range) and not by a norm. A negative contrast darkens. `size` is |contrast|, one and the
    same for all members.
    """

    mark: str = "marker"
    area: float = 0.05
    contrast: float = 0.5
    words: str = "L 3"
    unit: str = "contrast, share of full scale"

    def __post_init__(self) -> None:
        if self.mark not in MARKS:
            raise InputError(f"unknown mark {self.mark!r}; known: {', '.join(MARKS)}")
        if not 0 < self.area <= 1 or not -1 <= self.contrast <= 1 or self.stride < 1:
            raise InputError("need area in (0, 1], contrast in [−1, 1] and stride ≥ 1, got "
                             f"{self.area}, {self.contrast}, {self.stride}")

    def picture(self, x: Examples) -> Tensor:
        """The mark m, (rows, columns)."""
        height, width = check_images(x.inputs).shape[2:]
        return mark(self.mark, height, width, self.area, self.words)

    def fits(self, x: Examples) -> bool:
        """Whether even the smallest picture of the mark touches no more than its area."""
        try:
            self.picture(x)
        except InputError:
            return False
        return True

    def places(self, x: Examples) -> Places:
        return _places(x, *self.picture(x).shape)

    def apply(self, x: Examples, p: Tensor) -> Examples:
        added, m, (least, greatest) = x.inputs.clone(), self.picture(x).to(x.inputs.dtype), x.box or (0.0, 1.0)
        step = (greatest - least) * self.contrast
        for i, (row, column) in enumerate(self.project(x, p).long().tolist()):
            window = added[i, :, row:row + m.shape[0], column:column + m.shape[1]]
            window.copy_(torch.where(m > 0, (window + step * m).clamp(least, greatest), window))
        return x.changed(inputs=added, truth=x.truth)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return torch.full((len(x),), abs(self.contrast), dtype=torch.float64)

    def resized(self, radius: float) -> AddedDetail:
        return replace(self, contrast=math.copysign(radius, self.contrast))


@functools.cache
def mark(name: str, height: int, width: int, area: float, words: str = "L 3") -> Tensor:
    """The largest picture of the mark that fits and touches at most `area` · height · width pixels; values 0 … 1.

    Raises `InputError` where even the smallest touches more.

    >>> mark("border", 4, 6, 1.0).int().tolist()
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    >>> int(mark("marker", 32, 32, 0.05).count_nonzero()) <= 0.05 * 32 * 32
    True
    """
    smallest = {"text": 5, "ruler": 4, "hair": 4}.get(name, 1)
    for size in range(max(height, width), smallest - 1, -1):
        picture = _draw(name, size, height, width, words)
        if picture is None or picture.shape[0] > height or picture.shape[1] > width:
            continue
        if 0 < np.count_nonzero(picture) <= area * height * width:
            return torch.from_numpy(picture)
    raise InputError(f"no {name} fits in {height}×{width} and touches at most {area:g} of the pixels; "
                     "allow a larger area or take another mark")


def _draw(name: str, size: int, height: int, width: int, words: str) -> np.ndarray | None:
    """The mark at one size: diameter, length, height of letters or width of the border, in pixels."""
    if name == "border":
        frame = np.ones((height, width))
        frame[size:height - size, size:width - size] = 0
        return frame
    if name == "marker":
        offset = np.arange(size) - (size - 1) / 2
        return (offset[:, None] ** 2 + offset[None, :] ** 2 <= size ** 2 / 4).astype(np.float64)
    if name == "ruler":
        ticks = np.zeros((max(3, size // 5), size))
        ticks[-1] = 1
        ticks[:, ::4] = 1
        ticks[0, 4::8] = 0
        return ticks
    if name == "hair":
        along = np.arange(size)
        down = np.rint(0.15 * size * (1 - np.cos(2 * np.pi * along / size)) + 0.3 * along).astype(int)
        curve = np.zeros((down.max() + 1, size))
        for column in range(size):
            low, high = sorted((down[max(0, column - 1)], down[column]))
            curve[low:high + 1, column] = 1
        return curve
    font = ImageFont.load_default(size=1.3 * size)
    left, top, right, bottom = (int(v) for v in font.getbbox(words))
    if right <= left or bottom <= top:
        raise InputError(f"words: nothing to draw in {words!r}")
    letters = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(letters).text((-left, -top), words, fill=255, font=font)
    return np.asarray(letters, dtype=np.float64) / 255


def _places(x: Examples, rows: int, columns: int) -> Places:
    height, width = check_images(x.inputs).shape[2:]
    if rows > height or columns > width:
        raise InputError(f"a window of {rows}×{columns} does not fit in images of {height}×{width}; take a smaller one")
    return Places(rows=height - rows, columns=width - columns)
