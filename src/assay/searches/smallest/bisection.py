"""Across the boundary and back: a point that has not crossed is pushed on, one that has is brought back to the edge."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.searches.smallest.nearest import Nearest, spread

TOLERANCE = 1e-4
# a point short of the boundary by rounding needs the first of these, one in a curved region the last
FACTORS = (1.001, 1.01, 1.05, 1.2, 1.5, 2.0, 4.0, 8.0, 16.0)


def cross(state: Nearest, index: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Lengthen p (n, …) by growing factors, clipped to the box, until it flips: where each ended, and whether it flips."""
    end = p.clone()
    flips = torch.zeros(len(index), dtype=torch.bool, device=index.device)
    for factor in FACTORS:
        active = (~flips).nonzero()[:, 0]
        if len(active) == 0:
            break
        longer = state.clip(index[active], factor * p[active])
        margin = state.look(index[active], longer)
        end[active], flips[active] = longer, margin > 0
    return end, flips


def bisect(state: Nearest, index: Tensor, p: Tensor, *, tolerance: float = TOLERANCE, steps: int = 24) -> Tensor:
    """The t in (0, 1] for which t·p just flips, found to `tolerance` of itself; returns t·p (n, …).

    p must flip. The box is convex and x in it, so the line stays inside. The margin brackets a change of sign; the next
    t is a secant (regula falsi, the kept end halved: Dowell and Jarratt, BIT 11 (1971)), once just beyond, once just
    before it, and every third time the middle. A linear margin takes two evaluations.
    """
    n = len(index)
    least = torch.zeros(n, dtype=torch.float64, device=index.device)
    most, at_least = torch.ones_like(least), state.margin[index].clone()
    at_most = state.look(index, p)
    most = torch.where(at_most > 0, most, torch.nan)             # not a flip: nothing to bring back
    last = torch.zeros_like(least)
    for step in range(steps):
        active = (most - least > tolerance * most).nonzero()[:, 0]
        if len(active) == 0:
            break
        low, high = least[active], most[active]
        t = _next(low, high, at_least[active], at_most[active], step, tolerance)
        margin = state.look(index[active], spread(t, p[active]) * p[active])
        crossed = margin > 0
        side = torch.where(crossed, 1.0, -1.0).double()
        again = (side == last[active]) & (step % 3 < 2)
        least[active], most[active] = torch.where(crossed, low, t), torch.where(crossed, t, high)
        at_least[active] = torch.where(crossed, torch.where(again, 0.5, 1.0) * at_least[active], margin)
        at_most[active] = torch.where(crossed, margin, torch.where(again, 0.5, 1.0) * at_most[active])
        last[active] = side
    return spread(most.nan_to_num(1.0), p) * p


def _next(low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor, step: int, tolerance: float) -> Tensor:
    middle = (low + high) / 2
    if step % 3 == 2:
        return middle
    nudge = 0.4 * tolerance * high
    secant = low - (high - low) * at_low / (at_high - at_low)
    secant = torch.where(torch.isfinite(secant), secant, middle)
    t = secant + (nudge if step % 3 == 0 else -nudge)
    return torch.minimum(torch.maximum(t, low + nudge), high - nudge)
