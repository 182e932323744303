"""Noise, blur and digital corruptions of one image; the recipes of Hendrycks and Dietterich (ICLR 2019), own code.

Each takes an image (channels, height, width) in [0, 1], double, its setting and a generator, and returns an image that
the caller clips to [0, 1]. Settings are those published for 32×32 (CIFAR-10-C). Lengths in pixels are meant for a
shorter side of 32 and grow and shrink with it. Images stay real numbers; the published files are rounded to 256 levels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, signal

Picture = NDArray[np.float64]
Corrupt = Callable[[Picture, Any, torch.Generator], Picture]


def magnification(x: Picture) -> float:
    """Pixels of this image per pixel of a 32×32 one."""
    return min(x.shape[1:]) / 32


def normal(shape: tuple[int, ...], g: torch.Generator) -> Picture:
    return torch.randn(shape, dtype=torch.float64, generator=g).numpy()


def uniform(shape: tuple[int, ...], g: torch.Generator, low: float = 0.0, high: float = 1.0) -> Picture:
    return low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=g).numpy()


def gaussian_noise(x: Picture, deviation: float, g: torch.Generator) -> Picture:
    """x + σ n, n standard normal."""
    return x + deviation * normal(x.shape, g)


def shot_noise(x: Picture, photons: float, g: torch.Generator) -> Picture:
    """Poisson(λ x) / λ: photon counting with λ photons at white."""
    return torch.poisson(torch.from_numpy(x * photons), generator=g).numpy() / photons


def impulse_noise(x: Picture, share: float, g: torch.Generator) -> Picture:
    """A share of the values, independently, becomes 0 or 1 with equal chance."""
    draw = uniform(x.shape, g)
    return np.where(draw < share / 2, 0.0, np.where(draw < share, 1.0, x))


def spread(rows: Picture, columns: Picture, weights: Picture) -> Picture:
    """The kernel of the mean of an image moved by (rows, columns) with the weights: each move bilinear, sum 1."""
    reach = math.ceil(max(np.abs(rows).max(), np.abs(columns).max()))
    kernel = np.zeros((2 * reach + 3, 2 * reach + 3))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, across = rows - top, columns - left
    for dr, share in ((0, 1 - down), (1, down)):
        for dc, part in ((0, 1 - across), (1, across)):
            np.add.at(kernel, (top + dr + reach + 1, left + dc + reach + 1), weights * share * part)
    return kernel / kernel.sum()


def convolve(x: Picture, kernel: Picture, *, edges: Literal["edge", "reflect"]) -> Picture:
    """Each channel convolved with an odd kernel; beyond the edges the last pixel repeated, or the image mirrored."""
    reach = kernel.shape[0] // 2
    if edges == "reflect" and min(x.shape[1:]) == 1:
        edges = "edge"                                       # one row has no mirror image
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode=edges)
    return signal.fftconvolve(padded, kernel[None], mode="valid", axes=(1, 2))


def defocus_blur(x: Picture, setting: tuple[float, float], g: torch.Generator) -> Picture:
    """Convolution with a disc of the radius, softened by a Gaussian of the second number; edges mirrored.

    On 32×32 the disc is the published set of whole pixels; on other sizes it is sampled finely, since a disc of whole
    pixels would jump with the size.
    """
    scale = magnification(x)
    radius, soften, rim = setting[0] * scale, setting[1] * scale, max(1, math.ceil(scale))
    fine = np.arange(-radius, radius + 1e-9, radius / 16) if scale != 1 else np.arange(-8.0, 9.0)
    rows, columns = (axis.ravel() for axis in np.meshgrid(fine, fine, indexing="ij"))
    inside = rows ** 2 + columns ** 2 <= radius ** 2 * (1 + 1e-9)
    disc = np.pad(spread(rows[inside], columns[inside], np.ones(inside.sum())), rim)
    kernel = ndimage.gaussian_filter(disc, soften, radius=rim, mode="constant")
    return convolve(x, kernel / kernel.sum(), edges="reflect")


def glass_blur(x: Picture, setting: tuple[float, int, int], g: torch.Generator) -> Picture:
    """Gaussian blur, then every pixel swapped with one at most δ away, again and again, then blur."""
    deviation, delta, rounds = setting
    reach, sigma = max(1, round(delta * magnification(x))), deviation * magnification(x)
    height, width = x.shape[1:]
    order = np.arange(height * width).reshape(height, width).tolist()
    for _ in range(rounds):
        steps = torch.randint(-reach, reach + 1, (height, width, 2), generator=g).tolist()
        for r in range(height - reach - 1, reach - 1, -1):
            for c in range(width - reach - 1, reach - 1, -1):
                dr, dc = steps[r][c]
                order[r][c], order[r + dr][c + dc] = order[r + dr][c + dc], order[r][c]
    blurred = ndimage.gaussian_filter(x, (0, sigma, sigma), mode="nearest")
    shuffled = blurred.reshape(len(x), -1)[:, np.array(order).ravel()].reshape(x.shape)
    return ndimage.gaussian_filter(shuffled, (0, sigma, sigma), mode="nearest")


def motion(x: Picture, radius: float, deviation: float, degrees: float) -> Picture:
    """The mean of x moved along a line by s = 0, 1, …, 2·radius pixels, with weights exp(−s² / 2σ²); edges repeated."""
    scale, angle = magnification(x), math.radians(degrees)
    steps = np.arange(0, 2 * radius * scale + 1e-9, min(1.0, scale))
    weights = np.exp(-0.5 * (steps / (deviation * scale)) ** 2)
    return convolve(x, spread(steps * math.sin(angle), steps * math.cos(angle), weights), edges="edge")


def motion_blur(x: Picture, setting: tuple[float, float], g: torch.Generator) -> Picture:
    """Motion along a random line within 45° of horizontal."""
    return motion(x, *setting, float(uniform((1,), g, -45, 45)[0]))


def zoomed(x: Picture, factor: float) -> Picture:
    """x enlarged about its centre by the factor, bilinear, cut to its own size."""
    centre = (np.array(x.shape) - 1) / 2
    scale = np.array([1, 1 / factor, 1 / factor])
    return ndimage.affine_transform(x, scale, offset=centre * (1 - scale), order=1, mode="nearest")


def zoom_blur(x: Picture, steps: int, g: torch.Generator) -> Picture:
    """The mean of x and of x enlarged by 1, 1.01, 1.02, …, `steps` of them."""
    return (x + sum(zoomed(x, 1 + 0.01 * i) for i in range(steps))) / (steps + 1)


def brightness(x: Picture, amount: float, g: torch.Generator) -> Picture:
    """The value of the hue-saturation-value model, max over channels, raised by the amount, to at most 1."""
    value = x.max(0, keepdims=True)
    raised = np.minimum(value + amount, 1.0)
    return np.where(value > 0, x * (raised / np.where(value > 0, value, 1.0)), raised)


def contrast(x: Picture, share: float, g: torch.Generator) -> Picture:
    """(x − m) · share + m, m the mean of each channel."""
    mean = x.mean((1, 2), keepdims=True)
    return (x - mean) * share + mean


def elastic_transform(x: Picture, setting: tuple[float, float, float], g: torch.Generator) -> Picture:
    """A random affine map of three points, then a smooth random displacement; the setting in units of the side."""
    amplitude, smoothness, jitter = (value * min(x.shape[1:]) for value in setting)
    height, width = x.shape[1:]
    centre, arm = np.array([height // 2, width // 2]), min(height, width) // 3
    points = centre + arm * np.array([[1, 1], [1, -1], [-1, -1]], dtype=np.float64)
    moved = points + uniform((3, 2), g, -jitter, jitter)
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), points).T        # (2, 3): where a pixel comes from
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    sources = np.tensordot(back, np.stack([rows, columns, np.ones_like(rows)]), axes=1)
    x = np.stack([ndimage.map_coordinates(channel, sources, order=1, mode="mirror") for channel in x])
    shift = [amplitude * ndimage.gaussian_filter(uniform((height, width), g, -1, 1), smoothness, mode="reflect", truncate=3)
             for _ in range(2)]
    places = [rows + shift[0], columns + shift[1]]
    return np.stack([ndimage.map_coordinates(channel, places, order=1, mode="reflect") for channel in x])


def pixelate(x: Picture, share: float, g: torch.Generator) -> Picture:
    """Reduced to that share of the side and enlarged again, both by box averages."""
    height, width = x.shape[1:]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    return np.stack([np.asarray(Image.fromarray(channel.astype(np.float32)).resize(small, Image.Resampling.BOX)
                                .resize((width, height), Image.Resampling.BOX), dtype=np.float64) for channel in x])


def jpeg_compression(x: Picture, quality: int, g: torch.Generator) -> Picture:
    """Through a JPEG file of that quality: three channels as colour, any other number each as grey."""
    levels = np.rint(255 * x.clip(0, 1)).astype(np.uint8)
    if len(x) == 3:
        return _through_jpeg(np.moveaxis(levels, 0, -1), quality).transpose(2, 0, 1)
    return np.stack([_through_jpeg(channel, quality) for channel in levels])


def _through_jpeg(levels: NDArray[np.uint8], quality: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality)
    with Image.open(io.BytesIO(file.getvalue())) as picture:
        return np.asarray(picture, dtype=np.float64) / 255
