"""The small networks a study trains: a yardstick of how many samples a structure takes to learn, not the audited system."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assay.perturbations.protocol import stream
from assay.study.statistics import balanced

SIDE = 32               # larger images are averaged down to it
WIDTH = 64              # units of the last hidden layer
STEPS, BATCH, RATE = 150, 64, 3e-3


class SmallNet(nn.Module):
    centre: Tensor
    spread: Tensor
    """Images: two convolutions with pooling, 64 units; rows: two layers of 64. Inputs are standardised by `centre`,
    `spread`. Another `width` than 64 units has as many fewer channels, a quarter and half of it, at least one."""

    def __init__(self, x: Tensor, classes: int, generator: torch.Generator, width: int = WIDTH) -> None:
        super().__init__()
        self.images = x.ndim == 4
        centre, spread = x.mean(), x.std().clamp_min(1e-6)
        if not self.images:
            centre, spread = x.mean(0), x.std(0).clamp_min(1e-6)
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        if self.images:
            side = max(2, min(SIDE, *x.shape[2:]) // 4)
            few, more = max(1, width // 4), max(1, width // 2)
            self.body = nn.Sequential(nn.Conv2d(x.shape[1], few, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                                      nn.Conv2d(few, more, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(side),
                                      nn.Flatten(), nn.Linear(more * side * side, width), nn.ReLU())
        else:
            self.body = nn.Sequential(nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.last = nn.Linear(width, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
                layer.bias.detach().zero_()  # type: ignore[union-attr]

    def penultimate(self, x: Tensor) -> Tensor:
        """The numbers before the scores, 64 unless the width is another."""
        if self.images and min(x.shape[2:]) > SIDE:
            x = F.adaptive_avg_pool2d(x, SIDE)
        found: Tensor = self.body(((x - self.centre) / self.spread).float())
        return found

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.penultimate(x))
        return scores


def trained(x: Tensor, y: Tensor, classes: int, *words: object, steps: int = STEPS, width: int = WIDTH,
            harder: object = None, watch: Callable[[int, SmallNet], None] | None = None) -> SmallNet:
    """Adam on the cross-entropy of batches drawn with replacement; `words` seed weights and batches.

    `harder(net, x, y)`, where given, changes each batch before its step: adversarial training. `watch(step, net)` is told
    after each step, from 1.
    """
    generator = stream("small net", *words)
    net = SmallNet(x, classes, generator, width)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - step / steps))
        chosen = torch.randint(len(x), (min(BATCH, len(x)),), generator=generator)
        batch, label = x[chosen], y[chosen]
        if callable(harder):
            batch = harder(net, batch, label)
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(net(batch), label).backward()
        optimiser.step()
        if watch is not None:
            watch(step + 1, net)
    return net.eval().requires_grad_(False)


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """The balanced accuracy, as all that a study says of accuracy."""
    with torch.no_grad():
        return balanced(net(x).argmax(1) == y, y)
