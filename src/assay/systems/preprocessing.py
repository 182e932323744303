"""What happens to an image before a network sees it. It belongs to the system: searches act on the image as it is stored.

An audit changes the pixels that a camera or scanner gives, in [0, 1]. Whatever a network wants instead (another size,
grey levels to 255, blue first, channels last, mean zero) is part of what is audited, and enters the system's digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.arrays import InputError
from assay.records import Access
from assay.systems.protocol import System

Numbers = tuple[float, ...]
Filter = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Steps in this order, all differentiable; the defaults change nothing. Images are (batch, channels, height, width).

    `channels` repeats a single grey channel so often; `size` resizes to (height, width), or the shorter side to one
    number, by `filter` with antialiasing; `crop` keeps so many central pixels (height, width); `order` "bgr" turns the
    channels round; x ↦ (scale·x − mean) / std, mean and std for each channel, in the unit of scale·x; `layout` "NHWC"
    puts the channels last.

    >>> Preprocessing(scale=255, mean=(127,), std=(128,))(torch.ones(1, 1, 1, 1)).tolist()
    [[[[1.0]]]]
    """

    channels: int | None = None
    size: int | tuple[int, int] | None = None
    filter: Filter = "bilinear"
    crop: tuple[int, int] | None = None
    order: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1.0
    mean: Numbers = ()
    std: Numbers = ()
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    def __post_init__(self) -> None:
        for name, value, lengths in (
            ("size", self.size, (1, 2)),
            ("crop", self.crop, (2,)),
            ("channels", self.channels, (1,)),
        ):
            counts = value if isinstance(value, tuple) else (value,)
            if value is not None and (len(counts) not in lengths or not all(
                    isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in counts)):
                raise InputError(f"{name}={value}: give whole numbers, of pixels as (height, width)")
        if not isinstance(self.scale, (int, float)) or not self.scale > 0 or any(not s > 0 for s in self.std):
            raise InputError(
                f"scale={self.scale}, std={self.std}: give positive numbers, one scale, and a std for each channel"
            )
        for name, known in (("filter", ("bilinear", "bicubic")), ("order", ("rgb", "bgr")), ("layout", ("NCHW", "NHWC"))):
            if getattr(self, name) not in known:
                raise InputError(f"{name}={getattr(self, name)!r}; known: {', '.join(known)}")

    @property
    def settings(self) -> dict[str, Any]:
        """The steps that do something, as plain values: what enters the digest.

        >>> Preprocessing(scale=255, layout="NHWC").settings
        {'scale': 255.0, 'layout': 'NHWC'}
        """
        plain = {"channels": self.channels, "size": self.size, "crop": self.crop, "order": self.order,
                 "scale": float(self.scale), "mean": self.mean, "std": self.std, "layout": self.layout}
        used = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items() if v != _USUAL[k]}
        return {**used, "filter": self.filter} if self.size is not None else used

    def __call__(self, images: Tensor) -> Tensor:
        x = check_images(images)
        if self.channels is not None and x.shape[1] == 1:
            x = x.expand(-1, self.channels, -1, -1)
        if self.size is not None:
            x = _resized(x, self.size, self.filter)
        if self.crop is not None:
            x = _cropped(x, self.crop)
        if self.order == "bgr":
            x = x.flip(1)
        if self.scale != 1.0:
            x = x * self.scale
        if self.mean:
            x = x - _per_channel(self.mean, x, "mean")
        if self.std:
            x = x / _per_channel(self.std, x, "std")
        return x.permute(0, 2, 3, 1).contiguous() if self.layout == "NHWC" else x


_USUAL: dict[str, Any] = {"channels": None, "size": None, "crop": None, "order": "rgb", "scale": 1.0, "mean": (),
                          "std": (), "layout": "NCHW"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessed:
    """system(preprocessing(images)): images in [0, 1] as they are stored, the system's own view of them inside.

    >>> from assay.systems.function import FunctionSystem
    >>> inner = FunctionSystem(lambda x: x.flatten(1).sum(1, keepdim=True))
    >>> Preprocessed(system=inner, preprocessing=Preprocessing(scale=255))(torch.ones(1, 1, 1, 2)).tolist()
    [[510.0]]
    """

    system: System
    preprocessing: Preprocessing
    name: str = ""
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inner = self.system
        object.__setattr__(self, "name", self.name or getattr(inner, "name", type(inner).__name__))
        object.__setattr__(self, "kind", getattr(inner, "kind", self.kind))
        object.__setattr__(self, "settings", {**getattr(inner, "settings", {}), **self.settings,
                                              "preprocessing": self.preprocessing.settings})

    @property
    def access(self) -> Access:
        return self.system.access

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.system(self.preprocessing(inputs))


def check_images(images: Tensor) -> Tensor:
    """The images themselves, or `InputError`: floats (batch, channels, height, width), channels first.

    >>> check_images(torch.zeros(2, 8, 8, 3))
    Traceback (most recent call last):
    assay.arrays.InputError: images of shape (2, 8, 8, 3) have their channels last; give (batch, channels, height, ...
    """
    if not images.is_floating_point():
        raise InputError(f"images are {images.dtype}; a system takes floats: convert with .float() / 255")
    if images.ndim != 4:
        raise InputError(f"images have shape {tuple(images.shape)}; expected (batch, channels, height, width)")
    if channels_last(images):
        raise InputError(f"images of shape {tuple(images.shape)} have their channels last; give (batch, channels, height, "
                         "width): images.permute(0, 3, 1, 2)")
    return images


def channels_last(images: Tensor) -> bool:
    """Whether (batch, …) can only be (batch, height, width, channels): 1, 3 or 4 at the end and not in front."""
    few = (1, 3, 4)
    return images.ndim == 4 and images.shape[-1] in few and images.shape[1] not in (*few, 2)


def _resized(x: Tensor, size: int | tuple[int, int], mode: str) -> Tensor:
    height, width = x.shape[-2:]
    if isinstance(size, int):       # the shorter side; the longer one cut to a whole number, as torchvision does
        short = min(height, width)
        size = (size * height // short, size * width // short)
    if size == (height, width):
        return x
    return F.interpolate(x, size=size, mode=mode, align_corners=False, antialias=True)


def _cropped(x: Tensor, crop: tuple[int, int]) -> Tensor:
    (height, width), (rows, columns) = x.shape[-2:], crop
    if rows > height or columns > width:
        raise InputError(f"images of {height}×{width} pixels cannot be cropped to {rows}×{columns}; say size= as well")
    top, left = round((height - rows) / 2), round((width - columns) / 2)
    return x[..., top:top + rows, left:left + columns]


def _per_channel(values: Numbers, x: Tensor, name: str) -> Tensor:
    if len(values) not in (1, x.shape[1]):
        raise InputError(f"{name} has {len(values)} values, and the images {x.shape[1]} channels; give one for each, or "
                         "channels= to repeat a grey channel")
    return torch.tensor(values, dtype=x.dtype, device=x.device)[:, None, None]
