"""LeNet: two convolutions with pooling, then two fully connected layers.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), in
the form of the Caffe examples (20 and 50 filters of 5×5, 500 units), which the papers on adversarial perturbations use:
for 28×28 pixels 28 → 24 → 12 → 8 → 4 without padding. At 8×8 pixels a 5×5 filter without padding leaves 4 × 4 and the
second one nothing, so there both convolutions are padded by 2: 8 → 4 → 2. ReLU follows each convolution and the 500
units; after the convolutions that is the one change to Caffe's, which has it after the 500 alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import InputError

FILTERS, UNITS = (20, 50), 500
SIDES = {8: 2, 28: 4}       # pixels of a side of the image → of the second pooled map


class LeNet(nn.Module):
    """Images (batch, channels, size, size) in [0, 1] to class scores (batch, classes), before any softmax.

    >>> LeNet(size=8)(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 10])
    """

    def __init__(self, *, size: int = 28, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        if size not in SIDES:
            raise InputError(f"size={size}: this LeNet is made for images of 8×8 or 28×28 pixels; resize the images")
        padding = 2 if size == 8 else 0
        self.conv1 = nn.Conv2d(channels, FILTERS[0], 5, padding=padding)
        self.conv2 = nn.Conv2d(FILTERS[0], FILTERS[1], 5, padding=padding)
        self.hidden = nn.Linear(FILTERS[1] * SIDES[size] ** 2, UNITS)
        self.last = nn.Linear(UNITS, classes)

    def forward(self, x: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch classes"]:
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)      # (batch, 20, 12, 12), or 4 × 4 from 8 × 8
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)      # (batch, 50, 4, 4), or 2 × 2
        return self.last(torch.relu(self.hidden(x.flatten(1))))


def build(state: Mapping[str, Tensor]) -> LeNet:
    """The network whose weights these are, by their shapes; `InputError` if they belong to no size of `SIDES`."""
    sizes = {FILTERS[1] * side**2: size for size, side in SIDES.items()}
    features, channels = state["hidden.weight"].shape[1], state["conv1.weight"].shape[1]
    if features not in sizes:
        raise InputError(f"LeNet weights: 'hidden.weight' takes {features} values, and the networks for 8×8 and 28×28 "
                         f"pixels need {' and '.join(map(str, sizes))}; train with recipes/digits.py")
    return LeNet(size=sizes[features], channels=channels, classes=state["last.weight"].shape[0])
