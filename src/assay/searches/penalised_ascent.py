"""The penalised ascent of Antun et al. (2020): heavy ball on a penalised objective, early stops as perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import PerExample
from assay.searches.result import Objective


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The perturbation after `iterations` steps, its size and the objective there."""

    iterations: int
    parameters: Tensor
    size: PerExample
    value: PerExample


def penalised_ascent(objective: Objective, start: Tensor, *, penalty: float, rate: float, momentum: float = 0.9,
                     stops: Sequence[int]) -> list[Stopped]:
    """Heavy ball on Q(r) = objective(r) − (λ/2)‖r‖²: v ← μ v + η ∇Q(r), r ← r + v, without projection.

    `objective` is ½‖f(A(x + r)) − ref‖²; λ = `penalty`, η = `rate`, μ = `momentum`; the perturbations r₁, r₂, … are
    the iterates at the given `stops` of one run. λ and η are *not* scale-free: the published values belong to images
    of the published scale. Source: Antun, Renna, Poon, Adcock and Hansen, PNAS 117 (2020), SI, eqs. S1–S3.

    >>> run = penalised_ascent(lambda r: r.sum(1), torch.zeros(1, 1), penalty=1.0, rate=0.5, momentum=0.0, stops=[1, 2])
    >>> [float(s.parameters) for s in run]
    [0.5, 0.75]
    """
    r, velocity, found = start, torch.zeros_like(start), []
    for iteration in range(1, max(stops) + 1):
        r = r.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(r).sum(), r)
        velocity = momentum * velocity + rate * (gradient - penalty * r.detach())
        r = r.detach() + velocity
        if iteration in stops:
            with torch.no_grad():
                found.append(Stopped(iterations=iteration, parameters=r, value=objective(r),
                                     size=torch.linalg.vector_norm(r.flatten(1), dim=1)))
    return found
