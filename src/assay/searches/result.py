"""What every search returns, per example, and how candidates are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from assay.arrays import PerExample, per_example
from assay.records import Stop

Objective = Callable[[Tensor], Tensor]      # parameters (batch, …) -> harm (batch,), to be made large


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The worst member found for each example.

    `parameters` (batch, …), `value` (batch,) the objective there, `stop` why each example stopped, `forward` and
    `backward` evaluations per example, `history` the best value after each step (steps, batch).
    """

    parameters: Tensor
    value: PerExample
    stop: tuple[Stop, ...]
    forward: int
    backward: int
    history: Tensor = field(repr=False)


class Best:
    """The greatest finite value seen for each example, and where."""

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters.detach().clone()
        self.value = torch.full((len(parameters),), -torch.inf, dtype=torch.float64)
        self.broken = torch.zeros(len(parameters), dtype=torch.bool)
        self.flat = torch.zeros(len(parameters), dtype=torch.bool)
        self.history: list[Tensor] = []
        self.forward = self.backward = 0

    def see(self, parameters: Tensor, value: Tensor) -> Tensor:
        """Take note of one evaluation; returns which examples improved."""
        value = value.detach().double()
        self.broken |= ~torch.isfinite(value)
        better = torch.isfinite(value) & (value > self.value)
        if bool(better.any()):
            self.parameters = torch.where(per_example(better, parameters), parameters.detach(), self.parameters)
            self.value = torch.where(better, value, self.value)
        self.history.append(self.value.clone())
        self.forward += 1
        return better

    def result(self, *, exhausted: bool = False, window: int = 3, tolerance: float = 1e-3) -> SearchResult:
        """Stop reasons: exhausted · non-finite · zero gradient · converged (< `tolerance` growth in `window`) · budget."""
        history = torch.stack(self.history) if self.history else self.value[None]
        last = history[-min(window + 1, len(history))]
        settled = (self.value - last) <= tolerance * self.value.abs()
        stops = []
        for i in range(len(self.value)):
            if exhausted:
                stops.append(Stop.EXHAUSTED)
            elif not bool(torch.isfinite(self.value[i])) or bool(self.broken[i]):
                stops.append(Stop.NON_FINITE)
            elif bool(self.flat[i]):
                stops.append(Stop.ZERO_GRADIENT)
            else:
                stops.append(Stop.CONVERGED if bool(settled[i]) and len(history) > window else Stop.BUDGET)
        return SearchResult(parameters=self.parameters, value=self.value, stop=tuple(stops), forward=self.forward,
                            backward=self.backward, history=history)
