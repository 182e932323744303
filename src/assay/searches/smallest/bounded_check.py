"""An independent look for a flip within a given size: projected gradient ascent from several starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.boxes import project_onto_ball_in_box
from assay.numerics.projections import steepest
from assay.searches.smallest.nearest import Nearest, spread
from assay.searches.smallest.result import Box, Scores, Smallest

LONGEST, SHORTEST, MOMENTUM = 1.0, 0.02, 0.5


def bounded_check(scores: Scores, x: Tensor, decision: Tensor, *, norm: str, radius: PerExample,
                  generators: Sequence[torch.Generator], box: Box | None = None, steps: int = 20,
                  restarts: int = 1, draws: int = 1) -> Smallest:
    """A flip of size ≤ radius (batch,), if one of the `restarts` ascents finds it: p ← P(p + α_t radius d_t).

    d_t ← ½ d_{t−1} + ½ s(g), s(g) the steepest direction of the norm, of the gradient of the softened margin
    (`Nearest.uphill`) without the entries that the box holds; α_t from 1 down to 0.02 geometrically; P the Euclidean
    projection onto the ball cut by the box. Each start is the best by margin of `draws` random members, one generator per
    example. An example leaves when it flips. Momentum as in gradient_ascent. Raises `InputError` for bad arguments.

    >>> found = bounded_check(lambda x: torch.cat((0 * x[:, :1], x.sum(1, keepdim=True) - 3), 1), torch.zeros(2, 2),
    ...                       torch.tensor([0, 0]), norm="linf", radius=torch.tensor([1.4, 1.6]),
    ...                       generators=[torch.Generator().manual_seed(i) for i in range(2)])
    >>> found.found.tolist()
    [False, True]
    """
    if min(steps, restarts, draws) < 1 or len(generators) != len(x) or radius.shape != x.shape[:1]:
        raise InputError(f"need steps, restarts and draws ≥ 1, and one radius and one generator for each of the {len(x)} "
                         f"examples, got {steps}, {restarts}, {draws}, {tuple(radius.shape)}, {len(generators)}")
    state = Nearest(scores, x, decision, kind=norm, box=box, stage="bounded check")
    for _ in range(restarts):
        index = state.open()
        index = index[~state.found[index]]
        if len(index) == 0:
            break
        start = random_start(state, index, radius[index], generators, draws)
        climb(state, index, start, radius[index], steps=steps)
    return state.result()


def random_start(state: Nearest, index: Tensor, radius: PerExample, generators: Sequence[torch.Generator],
                 draws: int = 1) -> Tensor:
    """The best by margin of `draws` random directions (ℓ2: Gaussian; ℓ∞: signs) at the radius, in the box."""
    x, best, greatest = state.x, torch.zeros_like(state.x[index]), torch.full_like(radius, -torch.inf, dtype=torch.float64)
    for _ in range(draws):
        noise = torch.stack([torch.randn(x.shape[1:], dtype=x.dtype, generator=generators[i]) for i in index.tolist()])
        p = spread(radius, x) * steepest(noise.to(x.device), state.kind)
        p = project_onto_ball_in_box(p, radius.to(x.dtype), *state.room(index), kind=state.kind)
        if draws == 1:
            return p
        margin = state.look(index, p)
        best = torch.where(spread(margin > greatest, p) > 0, p, best)
        greatest = torch.maximum(margin, greatest)
    return best


def climb(state: Nearest, index: Tensor, start: Tensor, radius: PerExample, *, steps: int,
          longest: float = LONGEST) -> tuple[Tensor, Tensor]:
    """The ascent from `start` (n, …) in balls of `radius` (n,); returns where each ended, and which flipped."""
    end, flips = start.clone(), torch.zeros(len(index), dtype=torch.bool, device=index.device)
    direction = torch.zeros_like(start)
    active = torch.arange(len(index), device=index.device)
    for step in range(steps + 1):
        at = index[active]
        if step == steps:
            flips[active] = state.look(at, end[active]) > 0
            break
        margin, _, gradient = state.uphill(at, end[active])
        flips[active] = margin > 0
        alive = (margin <= 0) & torch.isfinite(margin) & (gradient.flatten(1).abs().amax(1) > 0)
        active, gradient, at = active[alive], gradient[alive], at[alive]
        if len(active) == 0:
            break
        p, size = end[active], radius[active]
        direction[active] = (1 - MOMENTUM) * steepest(state.free(at, p, gradient), state.kind) + MOMENTUM * direction[active]
        length = longest * (SHORTEST / longest) ** (step / max(1, steps - 1))
        end[active] = project_onto_ball_in_box(p + spread(length * size, p) * direction[active], size.to(p.dtype),
                                               *state.room(at), kind=state.kind)
    return end, flips
