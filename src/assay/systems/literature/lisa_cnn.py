"""LISA-CNN, the classifier of US traffic signs that the published stickers were made for.

Eykholt, Evtimov, Fernandes, Li, Rahmati, Xiao, Prakash, Kohno and Song, "Robust Physical-World Attacks on Deep Learning
Visual Classification" (CVPR 2018), section 4.1: three convolutions and a dense layer, trained on signs of the LISA data
set. The weights are the authors' and do not ship; `from_author` reads them from an npz of their arrays.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import InputError
from assay.systems.literature.standardise import check_images

SIZE = 32
CLASSES = ("unused", "addedLane", "keepRight", "laneEnds", "merge", "pedestrianCrossing", "school", "schoolSpeedLimit25",
           "signalAhead", "speedLimit25", "speedLimit30", "speedLimit35", "speedLimit45", "speedLimitUrdbl", "stop",
           "stopAhead", "turnRight", "yield")
WIDTHS = (64, 128, 128)
# our name, theirs, and the shape of their weight: (height, width, in, out), (in, out) for the dense layer
LAYERS = (("first", "convolution2d_1", (8, 8, 3, 64)), ("second", "convolution2d_2", (6, 6, 64, 128)),
          ("third", "convolution2d_3", (5, 5, 128, 128)), ("dense", "dense_1", (512, 18)))


class LisaCnn(nn.Module):
    """Images (batch, 3, 32, 32) in [0, 1] to logits (batch, 18), in the order of `CLASSES`; no pre-processing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, WIDTHS[0], 8, stride=2, padding=3)         # (batch, 64, 16, 16)
        self.second = nn.Conv2d(WIDTHS[0], WIDTHS[1], 6, stride=2)           # (batch, 128, 6, 6)
        self.third = nn.Conv2d(WIDTHS[1], WIDTHS[2], 5)                      # (batch, 128, 2, 2)
        self.dense = nn.Linear(4 * WIDTHS[2], len(CLASSES))

    def forward(self, x: Float[Tensor, "batch 3 32 32"]) -> Float[Tensor, "batch 18"]:
        check_images(x, channels=3, size=SIZE)
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x))
        x = torch.relu(self.third(x))
        logits: Tensor = self.dense(x.flatten(1))
        return logits


def from_author(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """State dict from the authors' arrays (`convolution2d_1_W` … `dense_1_b`); other arrays of the file are passed over.

    Theirs are filters (height, width, in, out) and a dense layer that sees (height, width, channel) flattened in that
    order. Raises `InputError` naming the array that is missing or has another shape.

    >>> from_author({})
    Traceback (most recent call last):
    assay.arrays.InputError: not the published LISA-CNN: array 'convolution2d_1_W' is missing; it has none
    """
    state: dict[str, Tensor] = {}
    for ours, theirs, shape in LAYERS:
        weight, bias = _array(arrays, f"{theirs}_W", shape), _array(arrays, f"{theirs}_b", shape[-1:])
        if ours == "dense":
            weight = weight.unflatten(0, (2, 2, WIDTHS[2])).permute(3, 2, 0, 1).flatten(1)
        else:
            weight = weight.permute(3, 2, 0, 1)
        state |= {f"{ours}.weight": weight.contiguous(), f"{ours}.bias": bias}
    return state


def _array(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in arrays:
        raise InputError(f"not the published LISA-CNN: array {name!r} is missing; it has "
                         f"{', '.join(sorted(arrays)) or 'none'}")
    value = arrays[name]
    if value.shape != shape or value.dtype.kind != "f":
        raise InputError(f"not the published LISA-CNN: array {name!r} is {value.dtype} with shape {value.shape}, expected "
                         f"floating point with {shape}")
    return torch.from_numpy(np.array(value, dtype=np.float32))
