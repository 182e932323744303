"""Cues that stand beside what an image shows: light, colour, border, a marker in a corner, a ruler, sharpness, texture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from assay.perturbations.geometric import check_images
from assay.perturbations.graded import SEVERITIES, Graded
from assay.perturbations.protocol import Examples
from assay.structures.images import Amplitude, Bands, Border, Channels, Intensity

LIGHT, CAST = 0.3, 0.25         # of full scale, at severity 5
SHARP = 1.5                     # of the logarithm of the finest rings' energy, at severity 5

Edit = Callable[[Tensor, float], Tensor]        # one image (1, channels, height, width) in [0, 1], strength 0..1


def _light(sign: float) -> Edit:
    return lambda x, s: Intensity().given(x, Intensity().features(x) + sign * LIGHT * s)


def _cast(warm: float) -> Edit:
    def edit(x: Tensor, s: float) -> Tensor:
        ramp = torch.linspace(1, -1, x.shape[1], dtype=x.dtype) * warm * CAST * s
        return Channels().given(x, Channels().features(x) + ramp)
    return edit


def _border(grey: float) -> Edit:
    g = Border()
    return lambda x, s: g.given(x, g.content(x) + s * (grey * g.frame(x) - g.content(x)))


def _corner(row: int, column: int, grey: float) -> Edit:
    """A filled square with a contrasting cross, an eighth of the shorter side, in one corner: a tag, a letter of a side."""
    def edit(x: Tensor, s: float) -> Tensor:
        side = max(2, min(x.shape[2:]) // 8)
        top, left = (0 if row == 0 else x.shape[2] - side), (0 if column == 0 else x.shape[3] - side)
        mark = torch.full((side, side), grey, dtype=x.dtype)
        if side >= 3:
            mark[side // 2, :] = mark[:, side // 2] = 1 - grey
        changed = x.clone()
        here = changed[:, :, top: top + side, left: left + side]
        changed[:, :, top: top + side, left: left + side] = here + s * (mark - here)
        return changed
    return edit


def _ruler(x: Tensor, s: float) -> Tensor:
    """Ticks along the lower edge, every eighth of the width, an eighth of the height long, as in dermatoscopy."""
    height, width = x.shape[2:]
    long, step, thick = max(2, height // 8), max(2, width // 8), max(1, width // 64)
    changed = x.clone()
    for k, start in enumerate(range(step // 2, width - thick + 1, step)):
        tick = long if k % 2 == 0 else max(1, long // 2)
        here = changed[:, :, height - tick:, start: start + thick]
        changed[:, :, height - tick:, start: start + thick] = here + s * (1.0 - here)
    return changed


def _sharpness(sign: float) -> Edit:
    g = Bands()

    def edit(x: Tensor, s: float) -> Tensor:
        ramp = torch.linspace(0, 1, g.count, dtype=x.dtype) * sign * SHARP * s
        return g.given(x, g.features(x) + ramp)
    return edit


def _texture(name: str) -> Edit:
    """The amplitudes of a texture of the image's own contrast, phases kept; the strength mixes them with its own."""
    def edit(x: Tensor, s: float) -> Tensor:
        g = Amplitude()
        own = g.content(x)
        theirs = torch.fft.rfft2(_pattern(name, x)).abs()
        theirs[..., 0, 0] = 0
        rest = own.clone()
        rest[..., 0, 0] = 0
        theirs = theirs * (rest.square().sum((1, 2, 3)) / theirs.square().sum((1, 2, 3)).clamp_min(1e-12)).sqrt()
        return g.given(x, own + s * (theirs - own))
    return edit


def _pattern(name: str, x: Tensor) -> Tensor:
    """(1, channels, height, width): noise of a fixed seed whose energy lies in coarse, fine, lying or standing
    frequencies."""
    height, width = x.shape[2:]
    noise = torch.randn((1, x.shape[1], height, width), generator=torch.Generator().manual_seed(0)).to(x)
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    radius = (rows**2 + columns**2).sqrt()
    angle = torch.atan2(rows.abs().expand_as(radius), columns.expand_as(radius))
    weight = {"coarse": radius.clamp_min(1 / max(height, width)) ** -2.0, "fine": radius,
              "lying": torch.exp(-((angle - math.pi / 2) / 0.4) ** 2), "standing": torch.exp(-((angle / 0.4) ** 2))}[name]
    return torch.fft.irfft2(torch.fft.rfft2(noise) * weight.to(x.dtype), s=(height, width))


EDITS: dict[str, Edit] = {
    "brighter": _light(1.0), "darker": _light(-1.0), "warmer light": _cast(1.0), "cooler light": _cast(-1.0),
    "white border": _border(1.0), "black border": _border(0.0),
    "marker top left": _corner(0, 0, 1.0), "marker top right": _corner(0, 1, 1.0),
    "marker bottom left": _corner(1, 0, 1.0), "marker bottom right": _corner(1, 1, 1.0), "ruler": _ruler,
    "softer": _sharpness(-1.0), "sharper": _sharpness(1.0),
    "coarse texture": _texture("coarse"), "fine texture": _texture("fine"),
    "lying texture": _texture("lying"), "standing texture": _texture("standing"),
}
NAMES = tuple(EDITS)
IN_COLOUR = frozenset({"warmer light", "cooler light"})
LEAST = {name: 16 if "texture" in name else 8 for name in NAMES}        # pixels of the shorter side


def suits(name: str, x: Examples) -> bool:
    """Whether a cue can be drawn on the images: casts need colours, parts need pixels."""
    images = check_images(x.inputs)
    return min(images.shape[2:]) >= LEAST[name] and (images.shape[1] == 3 or name not in IN_COLOUR)


@dataclass(frozen=True, kw_only=True)
class HiddenCues(Graded):
    """The cues of images: p (batch, 2) = (index into `NAMES`, severity), severity 5 in full and 1 a fifth of it.

    Each changes what stands beside the thing shown and leaves the thing: the mean, the colours, a frame of a sixteenth, a
    square of an eighth in a corner, ticks at the edge, the energy of fine frequencies, or the amplitudes of all (phases say
    where edges lie; Oppenheim and Lim, Proc. IEEE 69 (1981)). In medicine: laterality markers and scanner borders (Zech et
    al., PLOS Medicine 15 (2018)), rulers and ink (Winkler et al., JAMA Dermatology 155 (2019)). Texture against shape:
    Geirhos et al., ICLR 2019. Inputs with another range than [0, 1] are mapped onto it and back.
    """

    names: ClassVar[tuple[str, ...]] = NAMES

    kinds: tuple[str, ...] = NAMES

    def one(self, x: Examples, i: int, kind: str, severity: int, generator: torch.Generator) -> Tensor:
        least, greatest = x.box or (0.0, 1.0)
        unit = (x.inputs[i: i + 1] - least) / (greatest - least)
        return (least + (greatest - least) * EDITS[kind](unit, severity / SEVERITIES).clamp(0, 1))[0]
