"""What every search returns, per example, and how candidates are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from assay.arrays import PerExample, per_example
from assay.records import Stop

# parameters (batch, …) -> harm (batch,), to be made large; with a number that is easier to climb beside it, if need be
Objective = Callable[[Tensor], "Tensor | Score"]


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The worst member found for each example.

    `parameters` (batch, …), `value` (batch,) the objective there, `stop` why each example stopped, `forward` and
    `backward` evaluations per example, `history` the best value after each step (steps, batch), `beside` what else the
    members that were asked say, by name, for each example.
    """

    parameters: Tensor
    value: PerExample
    stop: tuple[Stop, ...]
    forward: int
    backward: int
    history: Tensor = field(repr=False)
    beside: tuple[Mapping[str, float], ...] = ()


class Score(NamedTuple):
    """What an objective may return where the judged harm is hard to climb: the harm, and a smoother stand-in."""

    harm: Tensor
    climbed: Tensor


def score(value: Tensor | Score) -> Score:
    """The harm that is judged and the number that is climbed: one and the same unless the objective says otherwise."""
    return value if isinstance(value, Score) else Score(value, value)


class Best:
    """The greatest finite harm seen for each example, and where; a search of several runs says when one begins."""

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters.detach().clone()
        self.value = torch.full((len(parameters),), -torch.inf, dtype=torch.float64)
        self.broken = torch.zeros(len(parameters), dtype=torch.bool)
        self.flat = torch.zeros(len(parameters), dtype=torch.bool)
        self.history: list[Tensor] = []
        self.run: list[Tensor] = []                                 # the best of this run alone, after each evaluation
        self.settled = torch.zeros(len(parameters), dtype=torch.bool)
        self.held = torch.zeros(len(parameters), dtype=torch.long)  # the run that found the best
        self.runs = 0
        self.forward = self.backward = 0

    def begin(self) -> None:
        """Another run: whether it converges is its own matter."""
        self.run = []
        self.runs += 1

    def see(self, parameters: Tensor, value: Tensor | Score, *, window: int = 3, tolerance: float = 1e-3) -> Tensor:
        """Take note of one evaluation; returns which examples improved.

        An example has settled if the run that found its best grew by less than `tolerance` in its last `window` steps.
        """
        harm = score(value).harm.detach().double()
        self.broken |= ~torch.isfinite(harm)
        finite = harm.nan_to_num(nan=-torch.inf, posinf=-torch.inf)
        better = finite > self.value
        if bool(better.any()):
            self.parameters = torch.where(per_example(better, parameters), parameters.detach(), self.parameters)
            self.value = torch.where(better, finite, self.value)
            self.held = torch.where(better, self.runs, self.held)
        self.history.append(self.value.clone())
        self.run.append(torch.maximum(self.run[-1], finite) if self.run else finite)
        if len(self.run) > window:
            calm = self.run[-1] - self.run[-1 - window] <= tolerance * self.run[-1].abs()
            self.settled = torch.where(self.held == self.runs, calm, self.settled)
        else:
            self.settled &= self.held != self.runs
        self.forward += 1
        return better

    def result(self, stop: Stop | None = None) -> SearchResult:
        """Non-finite · zero gradient · then `stop` if the search knows why it stopped, else converged · budget."""
        history = torch.stack(self.history) if self.history else self.value[None]
        stops = []
        for value, broken, flat, settled in zip(self.value.tolist(), self.broken.tolist(), self.flat.tolist(),
                                                self.settled.tolist(), strict=True):
            if not math.isfinite(value) or broken:
                stops.append(Stop.NON_FINITE)
            elif flat:
                stops.append(Stop.ZERO_GRADIENT)
            else:
                stops.append(stop or (Stop.CONVERGED if settled else Stop.BUDGET))
        return SearchResult(parameters=self.parameters, value=self.value, stop=tuple(stops), forward=self.forward,
                            backward=self.backward, history=history)
