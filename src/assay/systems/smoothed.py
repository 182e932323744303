"""A classifier smoothed by Gaussian noise: another system than the one it is made of, and one that can be certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.records import Access
from assay.systems.protocol import System
from assay.systems.torch import TorchSystem

AT_ONCE = 100               # draws of noise


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Votes (batch, classes): how often `system` decides for each class under `draws` fixed draws of noise N(0, σ² I).

    In the limit of many draws its decision is g(x) = argmax_c P(system(x + σN) = c), of which `assay.bounds.smoothing`
    proves a radius. `sigma` is in the unit of the inputs. The draws are the same at every call, so that equal inputs get
    equal votes; a certificate draws its own. Ties go to the class with the lower number.

    >>> halves = TorchSystem(nn.Linear(1, 2, bias=False))
    >>> Smoothed(halves, sigma=0.1, draws=10)(torch.zeros(3, 1)).sum(1).tolist()
    [10.0, 10.0, 10.0]
    """

    system: System
    sigma: float
    draws: int = 200
    seed: int = 0
    name: str = ""
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sigma > 0 or self.draws < 1:
            raise InputError(f"sigma={self.sigma}, draws={self.draws}: noise and number of draws must be above 0")
        if isinstance(self.system, nn.Module):
            object.__setattr__(self, "system", TorchSystem(self.system, name=type(self.system).__name__))
        inner = self.system
        object.__setattr__(self, "name", self.name or f"{getattr(inner, 'name', type(inner).__name__)}-smoothed")
        object.__setattr__(self, "kind", getattr(inner, "kind", self.kind))
        object.__setattr__(self, "settings", {**getattr(inner, "settings", {}), **self.settings, "sigma": self.sigma,
                                              "draws": self.draws, "noise_seed": self.seed})

    @property
    def access(self) -> Access:
        return Access.SCORE                     # votes are whole numbers: no gradient runs through them

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.votes(inputs, self.draws, torch.Generator().manual_seed(self.seed))

    def votes(self, inputs: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Votes (batch, classes) under so many draws of the generator, each the same for the whole batch."""
        counts = torch.zeros(len(inputs), 1, dtype=inputs.dtype)
        with torch.no_grad():
            for start in range(0, draws, AT_ONCE):          # always so many at once: the batch must not change the noise
                noise = torch.randn(min(AT_ONCE, draws - start), *inputs.shape[1:], dtype=inputs.dtype, generator=generator)
                scores = self.system((inputs[:, None] + self.sigma * noise).flatten(0, 1))
                chosen = torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).unflatten(0, (len(inputs), -1))
                counts = counts + chosen.sum(1)
        return counts
