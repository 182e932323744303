"""The penalised ascent of Antun et al. (2020): heavy ball on a penalised objective, early stops as perturbations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import PerExample
from assay.perturbations.protocol import ConvexSet, Examples
from assay.searches.result import Best, Objective, SearchResult, score

Smooth = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The perturbation after `iterations` steps, its size and the objective there."""

    iterations: int
    parameters: Tensor
    size: PerExample
    value: PerExample


def penalised_ascent(objective: Smooth, start: Tensor, *, penalty: float, rate: float, momentum: float = 0.9,
                     stops: Sequence[int]) -> list[Stopped]:
    """Heavy ball on Q(r) = objective(r) − (λ/2)‖r‖²: v ← μ v + η ∇Q(r), r ← r + v, without projection.

    `objective` is ½‖f(A(x + r)) − ref‖²; λ = `penalty`, η = `rate`, μ = `momentum`; the perturbations r₁, r₂, … are
    the iterates at the given `stops` of one run. λ and η are *not* scale-free: the published values belong to images
    of the published scale. Source: Antun, Renna, Poon, Adcock and Hansen, PNAS 117 (2020), SI, eqs. S1–S3.

    >>> run = penalised_ascent(lambda r: r.sum(1), torch.zeros(1, 1), penalty=1.0, rate=0.5, momentum=0.0, stops=[1, 2])
    >>> [float(s.parameters) for s in run]
    [0.5, 0.75]
    """
    found = []
    for iteration, r in enumerate(_iterates(objective, start, penalty, rate, momentum, max(stops)), start=1):
        if iteration in stops:
            with torch.no_grad():
                found.append(Stopped(iterations=iteration, parameters=r, value=objective(r),
                                     size=torch.linalg.vector_norm(r.flatten(1), dim=1)))
    return found


def _iterates(objective: Smooth, r: Tensor, penalty: float, rate: float, momentum: float, steps: int) -> Iterator[Tensor]:
    velocity = torch.zeros_like(r)
    for _ in range(steps):
        r = r.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(r).sum(), r)
        velocity = momentum * velocity + rate * (gradient - penalty * r.detach())
        r = r.detach() + velocity
        yield r


def penalised_search(objective: Objective, within: ConvexSet, *, x: Examples, generators: Sequence[torch.Generator],
                     steps: int, penalty: float, rate: float, momentum: float = 0.9, start: float = 1e-2) -> SearchResult:
    """The same ascent as a search of a ball: the run is not constrained, its iterates are judged at their nearest member.

    Ascends Q(r) = ½ objective(r)² − (λ/2)‖r‖² from r with entries uniform in `start`·[0, 1], as published; with the
    metric "error-norm", λ and η are those of the paper. Each iterate, projected onto the ball, is a candidate, so the
    early stops of the paper are among them. Returns the best for each example.
    """
    best = Best(within.zero(x))
    zero = within.zero(x)
    begin = start * torch.stack([torch.rand(zero.shape[1:], generator=g) for g in generators]).to(zero.dtype)
    for r in _iterates(lambda p: score(objective(p)).climbed.square() / 2, begin, penalty, rate, momentum, steps):
        best.backward += 1
        with torch.no_grad():
            p = within.project(x, r)
            best.see(p, objective(p))
    return best.result()
