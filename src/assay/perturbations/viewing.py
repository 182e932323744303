"""How a thing is seen: printer, camera and light as random views of an image, for expectation over transformations.

Sources of the idea: Athalye, Engstrom, Ilyas and Kwok, "Synthesizing robust adversarial examples" (ICML 2018), and Eykholt
et al., "Robust physical-world attacks on deep learning visual classification" (CVPR 2018), which judges by distance and
angle. The ranges of `RECALLED` are recalled from the former and were not checked against its tables.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.perturbations.geometric import check_images

Images = Float[Tensor, "batch channels height width"]
COLUMNS = ("zoom", "degrees", "right", "down", "tilt", "distance", "light", "noise", "seed")
STEEPEST = 60.0             # degrees of tilt; beyond, the far edge of the image is behind the horizon
CAMERA = 4.0                # distance of the camera from the middle, in halves of the image's longer side


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """One view per row, everything needed to see it again: `table` (views, 9) as in `COLUMNS`, doubles.

    zoom is a factor; degrees anticlockwise; right and down in pixels; tilt in degrees about the upright axis; distance ≥ 1
    in units of that at which the picture was taken; light and the standard deviation of the noise in shares of the range;
    seed starts the noise. `gain` and `offset` (views, channels) are the printer's errors, 0 for none.
    """

    table: Tensor
    gain: Tensor
    offset: Tensor

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> Tensor:
        return self.table[:, COLUMNS.index(name)]


@dataclass(frozen=True, kw_only=True)
class ViewSampler:
    """Independent uniform draws: zoom and distance from their intervals, the others from ± their limit.

    `shift` is a share of the side, `tilt` = (least, greatest) angle to either side, `noise` the standard deviation, the
    same in each draw. `light`, `noise`, `gain` and `offset` are shares of the range of grey levels.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    shift: float = 0.0
    light: float = 0.0
    noise: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    distance: tuple[float, float] = (1.0, 1.0)
    tilt: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("zoom", "distance", "tilt"):
            pair = tuple(getattr(self, name))
            if len(pair) != 2 or not pair[0] <= pair[1]:
                raise InputError(f"{name}: need (least, greatest), got {pair}")
            object.__setattr__(self, name, pair)                # profiles write lists
        if min(self.rotation, self.shift, self.light, self.noise, self.gain, self.offset) < 0:
            raise InputError("rotation, shift, light, noise, gain and offset are limits and must be ≥ 0")
        if self.zoom[0] <= 0 or self.distance[0] < 1 or self.tilt[0] < 0 or self.tilt[1] > STEEPEST:
            raise InputError(f"need zoom > 0, distance ≥ 1 and tilt in [0, {STEEPEST:g}] degrees, got {self.zoom}, "
                             f"{self.distance}, {self.tilt}")

    def draw(self, images: Images, generators: Sequence[torch.Generator], count: int = 1) -> Views:
        """`count` views of each image, those of the first image first; an image's views depend on its generator alone."""
        channels, height, width = check_images(images).shape[1:]
        if len(generators) != len(images):
            raise InputError(f"generators: need one for each of {len(images)} images, got {len(generators)}")
        draws = torch.cat([torch.rand(count, len(COLUMNS) + 2 * channels, dtype=torch.float64, generator=g)
                           for g in generators])
        between, sides = draws[:, : len(COLUMNS)], 2 * draws - 1
        side = torch.where(sides[:, 8] < 0, -1.0, 1.0)
        table = torch.stack([
            _within(self.zoom, between[:, 0]), self.rotation * sides[:, 1], self.shift * width * sides[:, 2],
            self.shift * height * sides[:, 3], side * _within(self.tilt, between[:, 4]),
            _within(self.distance, between[:, 5]), self.light * sides[:, 6], torch.full_like(side, self.noise),
            (between[:, 7] * 2**31).floor()], dim=1)
        errors = sides[:, len(COLUMNS):]
        return Views(table=table, gain=self.gain * errors[:, :channels], offset=self.offset * errors[:, channels:])


RECALLED = ViewSampler(zoom=(0.9, 1.4), rotation=22.5, shift=0.1, light=0.05, noise=0.1)   # Athalye et al., 2-D; recalled
STILL = ViewSampler()       # every view is the image itself


def grid(near: ViewSampler, distances: Sequence[float],
         angles: Sequence[float]) -> Mapping[tuple[float, float], ViewSampler]:
    """For held-out evaluation: the sampler `near` at every distance (in units of the picture's) and angle (degrees).

    The layout is that of the laboratory test of Eykholt et al. (2018): success by distance and angle.

    >>> [sampler.distance for sampler in grid(STILL, [1, 2], [0.0]).values()]
    [(1.0, 1.0), (2.0, 2.0)]
    """
    fields = {name: getattr(near, name) for name in ("zoom", "rotation", "shift", "light", "noise", "gain", "offset")}
    return {(d, a): ViewSampler(**fields, distance=(float(d), float(d)), tilt=(float(a), float(a)))
            for d in distances for a in angles}


def look(images: Images, views: Views, *, box: tuple[float, float] = (0.0, 1.0), fill: float | None = None) -> Images:
    """Each image as its view shows it: moved, tilted, farther away, lighter, noisy, cut to the box.

    x'(q) = clip(D[x ∘ H⁻¹](q) + (high − low)(light + noise · n)), H the map of the plane (zoom, turn, perspective, shift)
    and D the loss of resolution by the distance. `fill` is what surrounds the image, None its edge pixels repeated.
    Differentiable in the images; a view without any change gives them back bit by bit.
    """
    if len(views) != len(check_images(images)):
        raise InputError(f"views: need one for each of {len(images)} images, got {len(views)}")
    low, high = box
    seen = farther(moved(images, views, fill), views.column("distance"))
    seen = seen + per_example((high - low) * views.column("light"), seen).to(seen.dtype)
    if bool((views.column("noise") > 0).any()):
        seen = seen + per_example((high - low) * views.column("noise"), seen).to(seen.dtype) * _noise(views, images)
    return seen.clamp(low, high)


def printed(pixels: Images, views: Views, *, box: tuple[float, float] = (0.0, 1.0)) -> Images:
    """What a printer makes of the pixels: clip((1 + gain_c) · δ + offset_c (high − low)) for each channel c.

    The model of the printing error of Athalye et al. (2018): a random factor and offset of each channel.
    """
    low, high = box
    gain, offset = (e[:, :, None, None].to(pixels.dtype) for e in (views.gain, views.offset))
    return ((1 + gain) * pixels + (high - low) * offset).clamp(low, high)


def moved(images: Images, views: Views, fill: float | None = None) -> Images:
    """x ∘ H⁻¹: zoomed and turned about the middle, tilted about the upright axis, shifted; the camera `CAMERA` away."""
    height, width = images.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
                                   torch.arange(width, dtype=torch.float64) - (width - 1) / 2, indexing="ij")
    zoom, degrees, right, down, tilt = (views.column(n)[:, None, None] for n in COLUMNS[:5])
    turn, tilt = torch.deg2rad(degrees), torch.deg2rad(tilt)
    across, along = columns - right, rows - down
    slope = tilt.sin() / (CAMERA * max(height, width) / 2)
    plane = across / (tilt.cos() - across * slope)              # u' = D u cos θ / (D + u sin θ), solved for u
    upright = along * (1 + plane * slope)
    column = (turn.cos() * plane - turn.sin() * upright) / zoom + (width - 1) / 2
    row = (turn.sin() * plane + turn.cos() * upright) / zoom + (height - 1) / 2
    return bilinear(images, row, column, fill)


def bilinear(images: Images, row: Tensor, column: Tensor, fill: float | None = None) -> Images:
    """Values at (row, column), (batch, rows, columns) in pixels; outside `fill`, or the nearest pixel where it is None.

    >>> bilinear(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[0.0]]]), torch.tensor([[[0.25]]])).tolist()
    [[[[1.25]]]]
    """
    channels, height, width = images.shape[1:]
    framed = (F.pad(images, (1, 1, 1, 1), mode="replicate") if fill is None else F.pad(images, (1, 1, 1, 1), value=fill))
    row, column = (row + 1).clamp(0, height + 1), (column + 1).clamp(0, width + 1)
    top, left = row.floor(), column.floor()
    down, across = (row - top).to(images.dtype)[:, None], (column - left).to(images.dtype)[:, None]

    def corner(r: Tensor, c: Tensor) -> Tensor:
        index = (r.clamp(0, height + 1) * (width + 2) + c.clamp(0, width + 1)).long().flatten(1)
        return framed.flatten(2).gather(2, index[:, None].expand(-1, channels, -1)).unflatten(2, tuple(row.shape[1:]))

    return ((1 - down) * ((1 - across) * corner(top, left) + across * corner(top, left + 1))
            + down * ((1 - across) * corner(top + 1, left) + across * corner(top + 1, left + 1)))


def farther(images: Images, distance: Tensor) -> Images:
    """What a camera `distance` times as far away resolves: means over larger pixels, enlarged again by interpolation.

    A side of n pixels is seen by round(n / distance) of them; 1 gives the image back bit by bit.

    >>> farther(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]), torch.tensor([2.0])).tolist()
    [[[[0.5, 0.5], [0.5, 0.5]]]]
    """
    if bool((distance == 1).all()):
        return images
    down, across = (torch.stack([_coarser(n, max(1, round(n / d))) for d in distance.tolist()]).to(images.dtype)
                    for n in images.shape[2:])
    return down[:, None] @ images @ across[:, None].mT


@functools.cache
def _coarser(n: int, pixels: int) -> Tensor:
    """(n, n): n values as means over `pixels` equal parts, read again at the n places by linear interpolation."""
    edges = torch.arange(pixels + 1, dtype=torch.float64) * n / pixels
    cells = torch.arange(n, dtype=torch.float64)
    overlap = (torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)).clamp_min(0)
    mean = overlap * pixels / n
    place = ((cells + 0.5) * pixels / n - 0.5).clamp(0, pixels - 1)
    weight = (1 - (place[:, None] - torch.arange(pixels, dtype=torch.float64)).abs()).clamp_min(0)
    return weight @ mean


def _within(interval: tuple[float, float], share: Tensor) -> Tensor:
    return interval[0] + (interval[1] - interval[0]) * share


def _noise(views: Views, images: Tensor) -> Tensor:
    """Standard normal numbers of each view from its own seed."""
    seeds = views.column("seed").long().tolist()
    return torch.stack([torch.randn(images.shape[1:], dtype=images.dtype, generator=torch.Generator().manual_seed(seed))
                        for seed in seeds])
