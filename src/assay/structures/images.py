"""Structures of images (batch, channels, height, width): intensity, channels, border, corner, bands, orientation, texture,
thumbnail.

Edits keep to the box, [0, 1] unless said otherwise: a shift of brightness by more than an image has room for is cut off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[float, float]
UNIT: Box = (0.0, 1.0)


def not_images(x: Tensor) -> str:
    return "" if x.ndim == 4 and x.is_floating_point() else "it is about images"


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """The mean of all values; edited by adding the same to every pixel.

    >>> g = Intensity()
    >>> g.given(torch.zeros(1, 1, 2, 2), torch.tensor([[0.5]])).flatten().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    box: Box = UNIT
    id: str = "intensity"
    title: str = "mean brightness"
    formula: str = "mean of all values"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_images(x)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1).mean(1, keepdim=True)

    def content(self, x: Tensor) -> Tensor:
        return self.features(x)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        return (x + (content - self.features(x))[:, :, None, None]).clamp(*self.box)


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The means of the colours, less that of all: the hue of the light; edited by adding to every pixel of a channel."""

    box: Box = UNIT
    id: str = "channels"
    title: str = "colour cast"
    formula: str = "mean of each channel less the mean of all"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_images(x) or ("the images have one channel" if x.shape[1] < 2 else "")

    def features(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        return means - means.mean(1, keepdim=True)

    def content(self, x: Tensor) -> Tensor:
        return self.features(x)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        return (x + (content - self.features(x))[:, :, None, None]).clamp(*self.box)


@dataclass(frozen=True, kw_only=True)
class Border:
    """Mean and spread of each channel within a frame of a sixteenth of the shorter side; edited by exchanging the frame."""

    box: Box = UNIT
    id: str = "border"
    title: str = "border of the image"
    formula: str = "mean and standard deviation of each channel in a frame of 1/16 of the shorter side"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_images(x) or ("the images are smaller than 8 pixels" if min(x.shape[2:]) < 8 else "")

    def frame(self, x: Tensor) -> Tensor:
        """Where the frame is, (height, width)."""
        width = max(1, min(x.shape[2:]) // 16)
        mask = torch.ones(x.shape[2:], dtype=torch.bool, device=x.device)
        mask[width:-width, width:-width] = False
        return mask

    def features(self, x: Tensor) -> Tensor:
        values = x[:, :, self.frame(x)]
        return torch.cat((values.mean(2), values.var(2, correction=0).clamp_min(1e-12).sqrt()), 1)

    def content(self, x: Tensor) -> Tensor:
        return x * self.frame(x)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        return torch.where(self.frame(x), content.to(x.dtype), x)


@dataclass(frozen=True, kw_only=True)
class Corner:
    """The mean of each corner's square, an eighth of the shorter side: a marker, a tag, a burnt-in letter; edited as it
    is."""

    box: Box = UNIT
    id: str = "corner"
    title: str = "marker in a corner"
    formula: str = "mean of each corner's square, 1/8 of the shorter side"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_images(x) or ("the images are smaller than 8 pixels" if min(x.shape[2:]) < 8 else "")

    def corners(self, x: Tensor) -> Tensor:
        """Where the corners are, (height, width)."""
        side = max(2, min(x.shape[2:]) // 8)
        mask = torch.zeros(x.shape[2:], dtype=torch.bool, device=x.device)
        for rows in (slice(None, side), slice(-side, None)):
            for columns in (slice(None, side), slice(-side, None)):
                mask[rows, columns] = True
        return mask

    def features(self, x: Tensor) -> Tensor:
        side, grey = max(2, min(x.shape[2:]) // 8), x.mean(1)
        parts = [grey[:, :side, :side], grey[:, :side, -side:], grey[:, -side:, :side], grey[:, -side:, -side:]]
        return torch.stack([part.flatten(1).mean(1) for part in parts], 1)

    def content(self, x: Tensor) -> Tensor:
        return x * self.corners(x)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        return torch.where(self.corners(x), content.to(x.dtype), x)


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The logarithm of the energy in each of `count` rings of frequency, coarse to fine; edited by scaling the rings.

    Phases stay, and with them where edges lie. The mean of the image (frequency 0) is not touched.
    """

    count: int = 6
    box: Box = UNIT
    id: str = "bands"
    title: str = "sharpness: energy by spatial frequency"
    formula: str = "log Σ |x̂|² in 6 rings of spatial frequency, without frequency 0"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_images(x) or ("the images are smaller than 8 pixels" if min(x.shape[2:]) < 8 else "")

    def rings(self, x: Tensor) -> Tensor:
        """The ring of each coefficient of `rfft2`, −1 at frequency 0: (height, width // 2 + 1)."""
        rows = torch.fft.fftfreq(x.shape[2])[:, None]
        columns = torch.fft.rfftfreq(x.shape[3])[None]
        radius = (rows**2 + columns**2).sqrt()
        found = (radius / 0.5 * self.count).floor().clamp_max(self.count - 1).long()
        found[0, 0] = -1
        return found

    def features(self, x: Tensor) -> Tensor:
        energy, rings = torch.fft.rfft2(x).abs().square().sum(1), self.rings(x)
        scale = x.shape[1] * x.shape[2] * x.shape[3]
        return torch.stack([(energy[:, rings == k].sum(1) / scale**2 + 1e-12).log() for k in range(self.count)], 1)

    def content(self, x: Tensor) -> Tensor:
        return self.features(x)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        gain = ((content - self.features(x)) / 2).clamp(-4, 4).exp()            # of amplitudes; at most e⁴
        rings = self.rings(x)
        factor = torch.where(rings >= 0, gain[:, rings.clamp_min(0)], torch.ones((), dtype=x.dtype))
        return torch.fft.irfft2(torch.fft.rfft2(x) * factor[:, None], s=x.shape[2:]).to(x.dtype).clamp(*self.box)


@dataclass(frozen=True, kw_only=True)
class Amplitude:
    """Texture against shape: the amplitudes of all frequencies, whose phases say where edges lie; edited by exchange.

    Its features are the logarithms of the energy in 4 rings × 4 directions. Oppenheim and Lim (Proc. IEEE 69, 1981): an
    image with another's amplitudes still shows what its phases did.
    """

    box: Box = UNIT
    id: str = "amplitude"
    title: str = "texture: amplitudes of the spectrum, phases kept"
    formula: str = "log Σ |x̂|² in 4 rings × 4 directions of spatial frequency"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_images(x) or ("the images are smaller than 16 pixels" if min(x.shape[2:]) < 16 else "")

    def sectors(self, x: Tensor) -> Tensor:
        rows, columns = torch.fft.fftfreq(x.shape[2])[:, None], torch.fft.rfftfreq(x.shape[3])[None]
        ring = ((rows**2 + columns**2).sqrt() / 0.5 * 4).floor().clamp_max(3)
        turn = (torch.atan2(rows, columns) / math.pi + 0.5).clamp(0, 1 - 1e-6)
        found = (ring * 4 + (turn * 4).floor()).long()
        found[0, 0] = -1
        return found

    def features(self, x: Tensor) -> Tensor:
        energy, sectors = torch.fft.rfft2(x).abs().square().sum(1), self.sectors(x)
        scale = x.shape[1] * x.shape[2] * x.shape[3]
        return torch.stack([(energy[:, sectors == k].sum(1) / scale**2 + 1e-12).log() for k in range(16)], 1)

    def content(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x).abs()

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        own = torch.fft.rfft2(x)
        phase = torch.where(own.abs() > 0, own / own.abs().clamp_min(1e-12), torch.ones((), dtype=own.dtype))
        amplitude = content.clone()
        amplitude[..., 0, 0] = own[..., 0, 0].abs()                              # brightness is another structure
        return torch.fft.irfft2(amplitude * phase, s=x.shape[2:]).to(x.dtype).clamp(*self.box)


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """Which way edges run: a histogram of 8 directions of the gradient, weighted by its size; no editor keeps the rest."""

    id: str = "orientation"
    title: str = "directions of edges"
    formula: str = "histogram of 8 directions of ∇x, weighted by |∇x|, sum 1"
    keeps_truth: bool = False

    def unfit(self, x: Tensor) -> str:
        return not_images(x)

    def features(self, x: Tensor) -> Tensor:
        grey = x.mean(1)
        down, right = grey[:, 1:, :-1] - grey[:, :-1, :-1], grey[:, :-1, 1:] - grey[:, :-1, :-1]
        size = (down.square() + right.square() + 1e-12).sqrt()
        turn = (torch.atan2(down, right + 1e-9) / math.pi) % 1.0 * 8
        votes = [(size * (1 - ((turn - k + 4) % 8 - 4).abs()).clamp_min(0)).flatten(1).sum(1) for k in range(8)]
        found = torch.stack(votes, 1)
        return found / found.sum(1, keepdim=True).clamp_min(1e-9)


@dataclass(frozen=True, kw_only=True)
class PatchBag:
    """What small patches look like wherever they are: histogram of signs of a pixel's eight neighbours against it, 16 bins.

    Local binary patterns by number of steps and of brighter neighbours (Ojala, Pietikäinen and Mäenpää, IEEE Trans. Pattern
    Anal. Mach. Intell. 24 (2002)), with smooth signs so that gradients exist. No editor keeps the rest.
    """

    id: str = "patches"
    title: str = "texture: a bag of small patches"
    formula: str = ("shares of 3 × 3 patches by number of neighbours brighter than their middle (0 to 8), and of steps "
                    "round it (0 to 4)")
    keeps_truth: bool = False

    def unfit(self, x: Tensor) -> str:
        return not_images(x)

    def features(self, x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        around = F.unfold(grey, 3)                                               # (batch, 9, places)
        order = [0, 1, 2, 5, 8, 7, 6, 3]
        signs = torch.sigmoid((around[:, order] - around[:, 4:5]) * 40)          # (batch, 8, places)
        brighter = signs.sum(1)
        steps = (signs - signs.roll(1, 1)).abs().sum(1)
        near = [(1 - (brighter - k).abs()).clamp_min(0).mean(1) for k in range(9)]
        near += [(1 - (steps / 2 - k).abs()).clamp_min(0).mean(1) for k in range(5)]
        return torch.stack(near, 1)


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """The image in 4 × 4 blocks: coarse light and shade; edited by adding, and an edit may change what is seen."""

    side: int = 4
    box: Box = UNIT
    id: str = "thumbnail"
    title: str = "coarse light and shade, 4 × 4"
    formula: str = "mean of each of 4 × 4 blocks"
    keeps_truth: bool = False

    def unfit(self, x: Tensor) -> str:
        return not_images(x)

    def features(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x.mean(1, keepdim=True), self.side).flatten(1)

    def content(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.side)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        change = F.interpolate(content - self.content(x), size=x.shape[2:], mode="nearest")
        return (x + change).clamp(*self.box)
