"""The search of Carlini and Wagner for the softest added sound: a bound that shrinks whenever the change works within it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.boxes import project_onto_ball_in_box
from assay.numerics.norms import norm as size_of
from assay.searches.smallest.nearest import Nearest, spread
from assay.searches.smallest.result import Box, Scores, Smallest

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8          # decay of Adam's two means, and what its quotient is kept from


def shrinking(scores: Scores, x: Tensor, decision: Tensor, *, radius: PerExample, norm: str = "linf", box: Box | None = None,
              towards: bool = True, steps: int = 1000, rate: float = 0.05, shrink: float = 0.8, every: int = 10) -> Smallest:
    """p ← P_ε(p + rate · ε₀ · Adam(sign ∇)), ∇ of the softened margin; ε ← shrink · min(ε, ‖p‖) where p works.

    ε₀ = `radius` (batch,), in the unit of the inputs; P the Euclidean projection onto the ball of radius ε cut by the box.
    `every` so many steps a working p shrinks the bound, which ends it at once with a large jump to ‖p‖. Arguments as for
    `smallest_change`; `towards` a class by default. As in the released code of the source: Adam on the sign of the gradient,
    rate 100 of a bound of 2,000, 1,000 steps, a look every 10; there the loss is the CTC loss or the cross-entropy and the
    samples are rounded to 16 bits, which is left to the system here. Raises `InputError` for bad arguments.
    Source: Carlini and Wagner, "Audio adversarial examples: targeted attacks on speech-to-text", IEEE SPW 2018
    (arXiv 1801.01944), section III, and its released code.

    >>> found = shrinking(lambda x: torch.cat((0 * x[:, :1], x @ torch.tensor([[3.0], [4.0]]) - 5), 1), torch.zeros(1, 2),
    ...                   torch.tensor([1]), radius=torch.tensor([2.0]), steps=200)
    >>> 0.714 < float(found.size) < 0.9                                 # 5 / (3 + 4), to within one shrinking
    True
    """
    if steps < 1 or every < 1 or not 0 < rate < math.inf or not 0 < shrink < 1:
        raise InputError(f"need steps and every ≥ 1, rate > 0 and 0 < shrink < 1, got {steps}, {every}, {rate}, {shrink}")
    if radius.shape != x.shape[:1] or not bool(((radius > 0) & torch.isfinite(radius)).all()):
        raise InputError(f"radius must be a positive bound for each of the {len(x)} examples")
    state = Nearest(scores, x, decision, kind=norm, box=box, stage="shrinking", towards=towards)
    index = state.open()
    bound, length = radius.double().clone(), rate * radius.double()
    p, mean, square = (torch.zeros_like(state.x) for _ in range(3))
    late = state.size.clone()
    for step in range(1, steps + 1):
        if step == 3 * steps // 4:
            late = state.size.clone()
        margin, _, gradient = state.uphill(index, p[index])
        alive = torch.isfinite(margin) & (gradient.flatten(1).abs().amax(1) > 0)
        index, gradient, margin = index[alive], gradient[alive], margin[alive]
        if len(index) == 0:
            break
        if step % every == 0:
            works = index[margin > 0]
            bound[works] = shrink * torch.minimum(bound[works], size_of(p[works].double(), norm))
        way = gradient.sign()
        mean[index] = FIRST * mean[index] + (1 - FIRST) * way
        square[index] = SECOND * square[index] + (1 - SECOND) * way.square()
        move = mean[index] / (1 - FIRST ** step) / ((square[index] / (1 - SECOND ** step)).sqrt() + TINY)
        moved = p[index] + spread(length[index], move) * move
        p[index] = project_onto_ball_in_box(moved, bound[index].to(moved.dtype), *state.room(index), kind=norm)
    if len(index):
        state.look(index, p[index])
    return state.result(settled=(late - state.size <= 1e-3 * state.size) & state.found)
