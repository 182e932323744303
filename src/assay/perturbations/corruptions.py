"""The fifteen common corruptions at five severities, as a finite set: kind and severity are the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations import corruption_optics as optics
from assay.perturbations import corruption_weather as weather
from assay.perturbations.geometric import check_images
from assay.perturbations.graded import SEVERITIES, Graded
from assay.perturbations.protocol import Examples

PUBLISHED = "numbers published for 32×32 (CIFAR-10-C)"


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One kind: what it does, its setting at severities 1 to 5, and which of its numbers are published.

    On images with a side of fewer than `least` pixels it is another corruption than the published one.
    """

    name: str
    corrupt: optics.Corrupt
    settings: tuple[Any, ...]
    provenance: str
    least: int = 1

    def __post_init__(self) -> None:
        if len(self.settings) != SEVERITIES:
            raise InputError(f"{self.name}: need {SEVERITIES} settings, got {len(self.settings)}")


def _table() -> tuple[Corruption, ...]:
    resampled = f"{PUBLISHED}; ours: bilinear sampling of the line instead of ImageMagick's rounding"
    rows: list[tuple[str, optics.Corrupt, tuple[Any, ...], str]] = [
        ("gaussian noise", optics.gaussian_noise, (.04, .06, .08, .09, .10), PUBLISHED),
        ("shot noise", optics.shot_noise, (500, 250, 100, 75, 50), PUBLISHED),
        ("impulse noise", optics.impulse_noise, (.01, .02, .03, .05, .07), PUBLISHED),
        ("defocus blur", optics.defocus_blur, ((.3, .4), (.4, .5), (.5, .6), (1, .2), (1.5, .1)), PUBLISHED),
        ("glass blur", optics.glass_blur, ((.05, 1, 1), (.25, 1, 1), (.4, 1, 1), (.25, 1, 2), (.4, 1, 2)),
         f"{PUBLISHED}; ours: true swaps, equally likely in all directions"),
        ("motion blur", optics.motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), resampled),
        ("zoom blur", optics.zoom_blur, (7, 12, 16, 21, 26),
         f"{PUBLISHED}, greatest zoom 1.06, 1.11, 1.15, 1.20, 1.25; ours: zoom about the exact centre"),
        ("snow", weather.snow,
         ((.1, .2, 1, .6, 8, 3, .95), (.1, .2, 1, .5, 10, 4, .9), (.15, .3, 1.75, .55, 10, 4, .9),
          (.25, .3, 2.25, .6, 12, 6, .85), (.3, .3, 1.25, .65, 14, 12, .8)), resampled),
        ("frost", weather.frost, ((1, .2), (1, .3), (.9, .4), (.85, .4), (.75, .45)),
         f"weights: {PUBLISHED}; ours: generated ice instead of photographs"),
        ("fog", weather.fog, ((.2, 3), (.5, 3), (.75, 2.5), (1, 2), (1.5, 1.75)),
         f"{PUBLISHED}; ours: octaves of noise instead of midpoint displacement"),
        ("brightness", optics.brightness, (.05, .1, .15, .2, .3), PUBLISHED),
        ("contrast", optics.contrast, (.75, .5, .4, .3, .15), PUBLISHED),
        ("elastic transform", optics.elastic_transform,
         ((0, 0, .08), (.05, .2, .07), (.08, .06, .06), (.1, .04, .05), (.1, .03, .03)), PUBLISHED),
        ("pixelate", optics.pixelate, (.95, .9, .85, .75, .65), PUBLISHED),
        ("jpeg compression", optics.jpeg_compression, (80, 65, 58, 50, 40), PUBLISHED),
    ]
    swaps = {"glass blur": 16}          # it moves whole pixels, which on small images cannot be made smaller
    return tuple(Corruption(name=n, corrupt=f, settings=s, provenance=p, least=swaps.get(n, 1)) for n, f, s, p in rows)


CORRUPTIONS = _table()
NAMES = tuple(kind.name for kind in CORRUPTIONS)


def suits(name: str, x: Examples) -> bool:
    """Whether the images are large enough for this kind to be what was published."""
    if name not in NAMES:
        raise InputError(f"unknown corruption {name!r}; known: {', '.join(NAMES)}")
    return min(check_images(x.inputs).shape[2:]) >= CORRUPTIONS[NAMES.index(name)].least


@dataclass(frozen=True, kw_only=True)
class Corruptions(Graded):
    """The corruptions of images: p (batch, 2) = (index into `NAMES`, severity).

    Inputs with another range than [0, 1] (`Examples.box`) are mapped onto it and back. Hendrycks and Dietterich,
    "Benchmarking neural network robustness to common corruptions and perturbations" (ICLR 2019), with the severities of
    their 32×32 files; `CORRUPTIONS[i].provenance` says which numbers are theirs. For other sizes lengths in pixels grow with
    the shorter side (ours), so on far smaller images the weakest blurs change little or nothing.
    """

    names: ClassVar[tuple[str, ...]] = NAMES

    kinds: tuple[str, ...] = NAMES

    def apply(self, x: Examples, p: Tensor) -> Examples:
        images, (least, greatest) = check_images(x.inputs), x.box or (0.0, 1.0)
        if bool(((images < least) | (images > greatest)).any()):
            raise InputError(f"inputs: corruptions are defined for images in a range, here {least:g} … {greatest:g}; put "
                             "the normalisation into the system")
        return super().apply(x, p)

    def one(self, x: Examples, i: int, kind: str, severity: int, generator: torch.Generator) -> Tensor:
        least, greatest = x.box or (0.0, 1.0)
        unit = (x.inputs[i] - least) / (greatest - least)
        return least + (greatest - least) * corrupt(unit, kind, severity, generator)


def corrupt(image: Tensor, name: str, severity: int, generator: torch.Generator) -> Tensor:
    """One image (channels, height, width) in [0, 1], corrupted; severity 1 to 5.

    >>> corrupt(torch.tensor([[[0.0, 1.0]]]), "contrast", 2, torch.Generator()).tolist()
    [[[0.25, 0.75]]]
    """
    kind = CORRUPTIONS[NAMES.index(name)]
    picture = image.detach().cpu().double().numpy()
    changed = kind.corrupt(picture, kind.settings[severity - 1], generator)
    return torch.from_numpy(np.clip(changed, 0.0, 1.0)).to(image)
