"""Projected gradient ascent, normalised: no step size depends on the scale of the data or of the objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.perturbations.protocol import ConvexSet, Examples
from assay.searches.moments import Moments
from assay.searches.result import Best, Objective, SearchResult, score

Optimiser = Literal["momentum", "adam"]
LONGEST, SHORTEST, MOMENTUM = 2.0, 0.1, 0.5


def gradient_ascent(objective: Objective, within: ConvexSet, *, x: Examples, generators: Sequence[torch.Generator],
                    steps: int = 20, restarts: int = 1, optimiser: Optimiser = "momentum",
                    starts: Sequence[Tensor] = ()) -> SearchResult:
    """Maximise the objective over a ball: p ← P(p + α_t r d_t), α_t from 2 down to 0.1, r the radius.

    "momentum": d_t ← ½ d_{t−1} + ½ s(∇), s the steepest direction of the ball (∇/‖∇‖₂, or its sign for ℓ∞). With long
    steps this is the generalised power method, whose fixed points for ‖Jp‖ are the top singular vectors (Journée,
    Nesterov, Richtárik and Sepulchre, J. Mach. Learn. Res. 11 (2010)); short ones settle on curved objectives.
    "adam": moments as in Adam (Kingma and Ba, 2015), which Genzel, Macdonald and März, IEEE Trans. Pattern Anal. Mach.
    Intell. 45 (2023), section 3.2, project onto the ball; but one second moment for each example. With one for each
    coordinate the projected iteration has another fixed point: for a linear objective ⟨w, p⟩ it ends at the sign of w
    instead of w/‖w‖, a fifth below the maximum in twelve dimensions. Each restart begins at a random member at up to
    three times the radius, projected; `starts` (warm starts) come first, and the centre is never a start: the error
    may be stationary there. Returns the member of greatest harm over all runs, per example (the objective may name a
    smoother number to climb); `steps` counts gradients per run.

    >>> from assay.perturbations.balls import Ball, InputBall
    >>> from assay.perturbations.protocol import stream
    >>> x = Examples(ids=("a",), inputs=torch.zeros(1, 2))
    >>> ball = InputBall(ball=Ball(radius=1.0, relative=False))
    >>> found = gradient_ascent(lambda p: p @ torch.tensor([3.0, 4.0]), ball, x=x, generators=[stream(0)])
    >>> round(float(found.value), 4)
    5.0
    """
    if steps < 1 or restarts < 0 or restarts + len(starts) < 1:
        raise InputError(f"need steps ≥ 1 and at least one start, got steps={steps}, restarts={restarts}")
    begin = [within.project(x, start) for start in starts]
    begin += [within.project(x, _far_start(within, x, generators)) for _ in range(restarts)]
    best = Best(within.zero(x))
    for start in begin:
        best.begin()
        _climb(objective, within, x, start, steps, optimiser, best)
    return best.result()


def _far_start(within: ConvexSet, x: Examples, generators: Sequence[torch.Generator]) -> Tensor:
    """A random direction at a random multiple (up to 3) of the radius; outside the ball it lands on the sphere."""
    full = within.sample(x, generators)
    scale = torch.stack([3 * torch.rand((), generator=g) for g in generators])
    return full * per_example(scale.to(full.real.dtype), full)


def _climb(objective: Objective, within: ConvexSet, x: Examples, start: Tensor, steps: int, optimiser: Optimiser,
           best: Best) -> None:
    p, direction, moments = start, torch.zeros_like(start), Moments(start)
    for step in range(steps):
        p = p.detach().requires_grad_(True)
        value = objective(p)
        (gradient,) = torch.autograd.grad(score(value).climbed.sum(), p)
        best.see(p, value)
        best.backward += 1
        flat = gradient.abs().flatten(1).amax(1) == 0
        best.flat |= flat
        gradient = torch.where(torch.isfinite(gradient.abs()), gradient, torch.zeros_like(gradient))
        if optimiser == "adam":
            move = moments.move(gradient, lambda mean: within.uphill(x, mean))
        else:
            direction = MOMENTUM * direction + (1 - MOMENTUM) * within.uphill(x, gradient)
            move = direction
        length = LONGEST * (SHORTEST / LONGEST) ** (step / max(1, steps - 1))
        p = within.project(x, p.detach() + length * move)
    with torch.no_grad():
        best.see(p, objective(p))

