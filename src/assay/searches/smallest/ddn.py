"""DDN: decoupled direction and norm. The gradient turns the perturbation; its norm shrinks or grows by a fixed share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.norms import norm
from assay.numerics.projections import steepest
from assay.searches.smallest.nearest import Nearest, spread
from assay.searches.smallest.result import Box, Scores, Smallest

SHORTEST = 0.01         # the last step length over the first


def ddn(scores: Scores, x: Tensor, decision: Tensor, *, steps: int = 100, box: Box | None = None, gamma: float = 0.05,
        size: float = 1.0) -> Smallest:
    """ℓ2: δ ← δ + α g/‖g‖, g the gradient of the softened margin; ε ← (1 ∓ γ) ε where x + δ flips or not; δ ← ε δ/‖δ‖.

    In the box, if there is one. Starts from δ = 0 with ε = `size` (unit of the inputs: 1 as published, for images in
    [0, 1]); α falls from `size` to `size`/100 along a cosine. The published loss is the cross-entropy; `Nearest.uphill` has
    its direction where the scores' own unit fits, and does not vanish in float32 where the margin is large. Without the
    entries that the box holds.
    Raises `InputError` for bad arguments. Source: Rony et al., CVPR 2019 (arXiv 1811.09600), algorithm 1.

    >>> found = ddn(lambda x: torch.cat((0 * x[:, :1], x @ torch.tensor([[3.0], [4.0]]) - 5), 1), torch.zeros(1, 2),
    ...             torch.tensor([0]))
    >>> 1.0 < float(found.size) < 1.06
    True
    """
    if steps < 1 or not 0 < gamma < 1 or not size > 0:
        raise InputError(f"need steps ≥ 1, 0 < gamma < 1 and size > 0, got {steps}, {gamma}, {size}")
    state = Nearest(scores, x, decision, kind="l2", box=box, stage="ddn")
    index = state.open()
    start = torch.full((len(index),), size, dtype=torch.float64, device=x.device)
    settled = turn(state, index, torch.zeros_like(state.x[index]), start, steps=steps, gamma=gamma)
    return state.result(settled=settled)


def turn(state: Nearest, index: Tensor, p: Tensor, size: PerExample, *, steps: int, gamma: float = 0.05,
         step_length: float = 1.0, fading: bool = False) -> Tensor:
    """DDN from p (n, …) and ε = `size` (n,), α from `step_length`·`size`; returns which of all examples have settled.

    `fading`: γ falls with α, as in FMN: a constant γ keeps the size swinging by its share.
    """
    radius, first = size.double().clone(), step_length * size.double()
    active = torch.arange(len(index), device=index.device)
    p = p.clone()
    late = state.size.clone()
    for step in range(steps):
        if step == 3 * steps // 4:
            late = state.size.clone()
        at = index[active]
        margin, _, gradient = state.uphill(at, p[active])
        active, gradient, margin = _keep(active, gradient, margin)
        at = index[active]
        if len(active) == 0:
            break
        share = SHORTEST + (1 - SHORTEST) * (1 + math.cos(math.pi * step / steps)) / 2
        moved = p[active] + spread(share * first[active], gradient) * steepest(state.free(at, p[active], gradient), "l2")
        change = gamma * share if fading else gamma
        radius[active] *= torch.where(margin > 0, 1 - change, 1 + change)
        p[active] = state.clip(at, spread(radius[active] / norm(moved).double().clamp_min(1e-300), moved) * moved)
    return (late - state.size <= 1e-3 * state.size) & state.found


def _keep(active: Tensor, gradient: Tensor, margin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Examples whose scores are finite and whose gradient is not zero go on."""
    alive = torch.isfinite(margin) & (gradient.flatten(1).abs().amax(1) > 0)
    return active[alive], gradient[alive], margin[alive]
