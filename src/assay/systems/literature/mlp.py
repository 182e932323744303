"""The fully connected network FC500-150-10 of the papers on adversarial perturbations.

Szegedy et al., "Intriguing properties of neural networks" (2014), and Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool"
(2016), Table 1: pixels → 500 → 150 → classes, with ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import Batch

UNITS = (500, 150)


class Mlp(nn.Module):
    """Images (batch, *shape) in [0, 1], `pixels` values each, to class scores (batch, classes), before any softmax.

    >>> Mlp(pixels=64)(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 10])
    """

    def __init__(self, *, pixels: int, classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Linear(pixels, UNITS[0])
        self.second = nn.Linear(UNITS[0], UNITS[1])
        self.last = nn.Linear(UNITS[1], classes)

    def forward(self, x: Batch) -> Float[Tensor, "batch classes"]:
        return self.last(torch.relu(self.second(torch.relu(self.first(x.flatten(1))))))


def build(state: Mapping[str, Tensor]) -> Mlp:
    """The network whose weights these are, by their shapes."""
    return Mlp(pixels=state["first.weight"].shape[1], classes=state["last.weight"].shape[0])
