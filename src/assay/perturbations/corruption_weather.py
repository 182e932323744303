"""Snow, frost and fog made from random numbers: no photographs are bundled.

Signatures as in `corruption_optics`. Amounts are those published for 32×32 by Hendrycks and Dietterich (ICLR 2019).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage

from assay.perturbations.corruption_optics import Picture, motion, normal, uniform, zoomed

GREY = np.array([0.299, 0.587, 0.114])       # luma of ITU-R BT.601


def height_map(shape: tuple[int, int], decay: float, g: torch.Generator) -> Picture:
    """A random landscape in [0, 1]: uniform noise at every octave, each weaker than the one before by `decay`.

    The published fog uses midpoint displacement on a power of two (Fournier, Fussell and Carpenter, Commun. ACM 25
    (1982)); this has its octaves and decay, for any shape.
    """
    octaves = max(1, math.ceil(math.log2(max(shape))))
    total = np.zeros(shape)
    for octave in range(octaves + 1):
        cells = 2 ** octave
        coarse = uniform((cells + 1, cells + 1), g, -1, 1)
        places = np.meshgrid(*(np.linspace(0, cells, n) for n in shape), indexing="ij")
        total += decay ** -octave * ndimage.map_coordinates(coarse, places, order=1)
    total -= total.min()
    return total / max(total.max(), 1e-38)


def fog(x: Picture, setting: tuple[float, float], g: torch.Generator) -> Picture:
    """(x + a h) · max(x) / (max(x) + a), h a random landscape with the decay."""
    amount, decay = setting
    top = float(x.max())
    return (x + amount * height_map(x.shape[1:], decay, g)) * top / (top + amount)


def frost(x: Picture, setting: tuple[float, float], g: torch.Generator) -> Picture:
    """a x + b f, f needles of ice: ridges of a random landscape, sharpened, thicker towards a random side."""
    keep, amount = setting
    shape: tuple[int, int] = x.shape[1:]
    ridges = 1 - np.abs(2 * height_map(shape, 1.3, g) - 1)
    cover = 0.5 + 0.5 * height_map(shape, 3.0, g)
    ice = cover * (0.4 + 0.6 * ridges ** 3)
    return keep * x + amount * ice


def snow(x: Picture, setting: tuple[float, ...], g: torch.Generator) -> Picture:
    """Flakes added, the scene greyed: k x + (1 − k) max(x, 1.5 grey + ½) + s + s turned by 180°.

    s is normal noise (mean, deviation), enlarged, cut to 0 below a threshold, and blurred along a falling line.
    """
    mean, deviation, zoom, threshold, radius, sigma, keep = setting
    flakes = zoomed(mean + deviation * normal((1, *x.shape[1:]), g), zoom)
    flakes = np.where(flakes < threshold, 0.0, flakes).clip(0, 1)
    flakes = motion(flakes, radius, sigma, float(uniform((1,), g, -135, -45)[0]))
    grey = np.tensordot(GREY, x, axes=1)[None] if len(x) == 3 else x.mean(0, keepdims=True)
    return keep * x + (1 - keep) * np.maximum(x, 1.5 * grey + 0.5) + flakes + np.rot90(flakes, 2, axes=(1, 2))
