"""FMN: the ball shrinks and grows around the boundary while a projected gradient search climbs the softened margin in it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.boxes import nearest_on_hyperplane, project_onto_ball_in_box
from assay.numerics.norms import norm as size_of
from assay.numerics.projections import steepest
from assay.searches.smallest.nearest import Nearest, spread
from assay.searches.smallest.result import Box, Scores, Smallest

GAMMA_FIRST, GAMMA_LAST, SHORTEST = 0.05, 1e-3, 0.01


def fmn(scores: Scores, x: Tensor, decision: Tensor, *, norm: str = "l2", steps: int = 100, box: Box | None = None,
        step_length: float = 1.0) -> Smallest:
    """δ ← P_ε(δ + α g), g the steepest direction of the softened margin (`Nearest.uphill`); ε follows the boundary.

    Where x + δ does not flip and no flip is known, ε = (1 + γ)(‖δ‖ + the distance to the linearised boundary, within the
    box if there is one); the published factor is 1, which may end just short. Else ε ← (1 + γ) ε, at most the smallest
    size known. Where it flips, ε ← (1 − γ) min(ε, ‖δ‖). γ falls from 0.05 to 0.001 along a cosine. P is the Euclidean
    projection onto the ball cut by the box. α falls from `step_length`·ε to a hundredth of it: the published α is a
    length in the unit of the inputs, this one has no unit, and for ℓ∞ the direction is that norm's own, the sign. Raises
    `InputError` for bad arguments. Source: Pintor et al., NeurIPS 2021 (arXiv 2102.12827), algorithm 1.

    >>> found = fmn(lambda x: torch.cat((0 * x[:, :1], x @ torch.tensor([[3.0], [4.0]]) - 5), 1), torch.zeros(1, 2),
    ...             torch.tensor([0]), norm="linf")
    >>> round(float(found.size), 2)                                     # 5 / (3 + 4)
    0.71
    """
    if steps < 1 or not step_length > 0:
        raise InputError(f"need steps ≥ 1 and step_length > 0, got {steps}, {step_length}")
    state = Nearest(scores, x, decision, kind=norm, box=box, stage="fmn")
    index = state.open()
    settled = follow(state, index, torch.zeros_like(state.x[index]), steps=steps, step_length=step_length)
    return state.result(settled=settled)


def follow(state: Nearest, index: Tensor, p: Tensor, *, steps: int, step_length: float = 1.0) -> Tensor:
    """FMN from p (n, …), for the examples of `index`; returns which of all examples have settled."""
    radius = size_of(p.double(), state.kind)
    active = torch.arange(len(index), device=index.device)
    p = p.clone()
    late = state.size.clone()
    for step in range(steps):
        if step == 3 * steps // 4:
            late = state.size.clone()
        margin, _, gradient = state.uphill(index[active], p[active])
        alive = torch.isfinite(margin) & (gradient.flatten(1).abs().amax(1) > 0)
        active, gradient, margin = active[alive], gradient[alive], margin[alive]
        at = index[active]
        if len(active) == 0:
            break
        falling = (1 + math.cos(math.pi * step / steps)) / 2
        gamma = GAMMA_LAST + (GAMMA_FIRST - GAMMA_LAST) * falling
        radius[active] = _radius(state, at, p[active], radius[active], margin, gradient, gamma)
        length = step_length * (SHORTEST + (1 - SHORTEST) * falling) * radius[active]
        moved = p[active] + spread(length, gradient) * steepest(gradient, state.kind)
        p[active] = project_onto_ball_in_box(moved, radius[active].to(moved.dtype), *state.room(at), kind=state.kind)
    return (late - state.size <= 1e-3 * state.size) & state.found


def _radius(state: Nearest, index: Tensor, p: Tensor, radius: Tensor, margin: Tensor, gradient: Tensor,
            gamma: float) -> Tensor:
    here, known = size_of(p.double(), state.kind), state.size[index]
    ahead, _ = nearest_on_hyperplane(gradient, -margin, *state.room(index, p), kind=state.kind)
    guess = (1 + gamma) * (here + size_of(ahead.double(), state.kind))     # exactly there is, by rounding, never across
    wider = torch.where(radius > 0, (1 + gamma) * radius, guess)
    outside = torch.where(torch.isfinite(known), torch.minimum(wider, known), guess)
    return torch.where(margin > 0, (1 - gamma) * torch.minimum(radius, here), outside)
