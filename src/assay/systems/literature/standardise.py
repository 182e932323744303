"""Per-channel standardisation as part of a network, so that it enters the network's digest and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import InputError


class Standardise(nn.Module):
    """(x − mean) / deviation for every channel; images of another shape are refused.

    `mean` and `deviation` are in the unit of x (grey values in [0, 1]) and are part of the state. Raises `InputError`
    naming the shape the network needs.

    >>> step = Standardise(size=1, channels=1)
    >>> step.set(mean=[0.5], deviation=[0.25])
    >>> step(torch.ones(1, 1, 1, 1)).item()
    2.0
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, size: int, channels: int) -> None:
        super().__init__()
        self.size, self.channels = size, channels
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def set(self, *, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Fix the constants, rounded to half precision: what is trained with is then what is stored."""
        self.mean.copy_(torch.tensor(mean).half())
        self.deviation.copy_(torch.tensor(deviation).half())

    def forward(self, x: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch channels size size"]:
        check_images(x, channels=self.channels, size=self.size)
        return (x - self.mean[:, None, None]) / self.deviation[:, None, None]


def check_images(x: Tensor, *, channels: int, size: int) -> None:
    """`InputError` unless x is floating point (batch, channels, size, size).

    >>> check_images(torch.zeros(1, 2, 2, 3), channels=3, size=2)
    Traceback (most recent call last):
    assay.arrays.InputError: images: expected floating point (batch, 3, 2, 2) with values in [0, 1], got ...
    """
    if x.shape[1:] != (channels, size, size) or not x.is_floating_point():
        raise InputError(f"images: expected floating point (batch, {channels}, {size}, {size}) with values in [0, 1], got "
                         f"{x.dtype} {tuple(x.shape)}; put the channels second, resize, divide by the greatest grey value")
