"""Sets of changes of several kinds at five severities: kind and severity are the parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.protocol import Examples, stream

SEVERITIES = 5


@dataclass(frozen=True, kw_only=True)
class Graded(ABC):
    """{(kind, severity)}: p (batch, 2) = (index into `names`, severity); severity 0 is the input itself.

    What chance there is in a kind is seeded by `seed`, the example's id, the kind and the severity: the same p gives the
    same input. A set of images or of sounds says what its kinds are called and what each does to one input.
    """

    names: ClassVar[tuple[str, ...]] = ()

    kinds: tuple[str, ...]
    severities: tuple[int, ...] = tuple(range(1, SEVERITIES + 1))
    seed: int = 0
    unit: str = f"of {SEVERITIES} in severity"

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in self.names]
        if unknown or not self.kinds:
            raise InputError(f"kinds: unknown or none {unknown}; known: {', '.join(self.names)}")
        if not self.severities or not set(self.severities) <= set(range(1, SEVERITIES + 1)):
            raise InputError(f"severities: need some of 1 … {SEVERITIES}, got {self.severities}")

    @abstractmethod
    def one(self, x: Examples, i: int, kind: str, severity: int, generator: torch.Generator) -> Tensor:
        """Example i changed by a kind at a severity from 1 to 5."""

    def zero(self, x: Examples) -> Tensor:
        return torch.tensor([[float(self.names.index(self.kinds[0])), 0.0]], dtype=torch.float64).repeat(len(x), 1)

    def apply(self, x: Examples, p: Tensor) -> Examples:
        changed = x.inputs.detach().clone()
        for i, (kind, severity) in enumerate(p.round().long().tolist()):
            if not (0 <= kind < len(self.names) and 0 <= severity <= SEVERITIES):
                raise InputError(f"parameters: need kind 0 … {len(self.names) - 1} and severity 0 … {SEVERITIES}, got "
                                 f"{kind} and {severity}")
            if severity:
                g = stream("corruption", self.seed, x.ids[i], self.names[kind], severity)
                changed[i] = self.one(x, i, self.names[kind], severity, g)
        return x.changed(inputs=changed, truth=x.truth)

    def kind_of(self, p: Tensor) -> Tensor:
        return torch.tensor([self.kinds.index(self.names[kind]) for kind in p[:, 0].round().long().tolist()])

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """A kind and a severity, each equally likely; with a size, of that severity."""
        kinds = [int(torch.randint(len(self.kinds), (), generator=g)) for g in generators]
        return torch.cat([self._drawn(kind, g, None if size is None else float(size[i]))
                          for i, (kind, g) in enumerate(zip(kinds, generators, strict=True))])

    def sample_of(self, kind: int, x: Examples, generators: Sequence[torch.Generator],
                  size: PerExample | None = None) -> Tensor:
        return torch.cat([self._drawn(kind, g, None if size is None else float(size[i]))
                          for i, g in enumerate(generators)])

    def _drawn(self, kind: int, g: torch.Generator, size: float | None) -> Tensor:
        drawn = self.severities[int(torch.randint(len(self.severities), (), generator=g))]
        severity = float(drawn) if size is None else float(round(size))
        return torch.tensor([[float(self.names.index(self.kinds[kind])), severity]], dtype=torch.float64)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return p[:, 1].double()

    def count(self, x: Examples) -> int:
        return len(self.kinds) * len(self.severities)

    def members(self, x: Examples) -> Iterator[Tensor]:
        """Every kind at every severity, (batch, 2) each."""
        for kind in self.kinds:
            for severity in self.severities:
                yield torch.tensor([[float(self.names.index(kind)), float(severity)]],
                                   dtype=torch.float64).expand(len(x), -1)

    def resized(self, radius: float) -> Self:
        return replace(self, severities=(round(radius),))
