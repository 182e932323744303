"""The largest change there is must flip every decision, and the scores must get there without a jump."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.metrics.classification import wrong
from assay.metrics.losses import margin
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Flag
from assay.searches.auto_pgd import auto_pgd
from assay.searches.random_search import random_walk
from assay.searches.result import Score
from assay.systems.metered import Metered

STEPS, DRAWS = 20, 100          # of the search over the whole range: gradients, or queries where there are none
POINTS, ZOOMS = 32, 5           # a path is looked at in 32 pieces; the steepest is halved five times: a thousandth is left
JUMP = 0.25                     # of the margin's whole change along the path, within that thousandth
SOFTEST = 5.0                   # decades below the whole change at which the path of a sound begins: 100 dB


def whole_range_flags(target: Metered, x: Examples, scores: Tensor, *, seed: int, check: str) -> list[list[Flag]]:
    """For each example that is decided rightly: `not-reached` and `jumps`. Inputs without a range have no largest change.

    Every image of another class lies within the range, so an honest classifier's own gradient leads to one (Carlini et
    al., On Evaluating Adversarial Robustness, 2019: "unbounded attacks reach 100 % success"). A continuous function that
    changes by c along a path of length 1 does not change by c/4 on one thousandth of it, unless it is 250 times steeper
    there than on average. Of sounds the way is measured in decibels, since what is heard follows the logarithm of a power.
    """
    assert x.truth is not None
    flags: list[list[Flag]] = [[] for _ in x.ids]
    if x.box is None:
        return flags
    right = ~wrong(scores, x.truth).bool()
    generators = [stream(seed, check, "whole range", sample) for sample in x.ids]
    end, flipped = _farthest(target, x, right, generators)
    low, high = x.box
    noise = low + (high - low) * torch.stack([torch.rand(x.inputs.shape[1:], dtype=x.inputs.dtype, generator=g)
                                              for g in generators])
    steepest = torch.maximum(_steepest(target, x, end), _steepest(target, x, noise))
    for i in right.nonzero().flatten().tolist():
        if not bool(flipped[i]):
            flags[i].append(Flag(id="not-reached", detail="a search over the whole range of the inputs"))
        if float(steepest[i]) > JUMP:
            flags[i].append(Flag(id="jumps", detail=f"{float(steepest[i]):.0%} of the margin's change in a thousandth of "
                                                    "the way"))
    return flags


def _farthest(target: Metered, x: Examples, right: Tensor,
              generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """The inputs where a search over the whole range ended, and which are decided wrongly there."""
    assert x.truth is not None and x.box is not None
    label = x.truth
    whole = InputBall(ball=Ball(norm="linf", radius=1.0, relative="range", box=x.box))

    def objective(p: Tensor) -> Score:
        value = margin(target(x.inputs + p), label)
        return Score(value, value)

    if target.access >= Access.GRADIENT and _differentiable(target, x):
        found = auto_pgd(objective, whole, x=x, generators=generators, steps=STEPS, restarts=1,
                         starts=[torch.zeros_like(x.inputs)], done=lambda value: (value > 0) | ~right)
    else:
        found = random_walk(objective, whole, x=x, generators=generators, draws=DRAWS)
    with torch.no_grad():
        flipped = wrong(target(x.inputs + found.parameters), label).bool()
    return x.inputs + found.parameters, flipped


def _differentiable(target: Metered, x: Examples) -> bool:
    with torch.enable_grad():
        return target(x.inputs.detach().clone().requires_grad_(True)).requires_grad


def _steepest(target: Metered, x: Examples, end: Tensor) -> Tensor:
    """The margin's greatest change within a thousandth of the way to `end`, as a share of its whole change: (batch,).

    The piece of greatest change is halved again and again. Where the margin is not finite the answer is 0: that has a
    flag of its own.
    """
    at = torch.linspace(0, 1, POINTS + 1, dtype=torch.float64)
    along = torch.stack([_margin_at(target, x, end, torch.full((len(x),), float(t), dtype=torch.float64)) for t in at])
    finite = torch.isfinite(along).all(0)
    along = along.nan_to_num()
    span = (along.amax(0) - along.amin(0)).clamp_min(1e-30)
    piece = along.diff(dim=0).abs().argmax(0)
    low, high = at[piece], at[piece + 1]
    below, above = along.gather(0, piece[None])[0], along.gather(0, piece[None] + 1)[0]
    for _ in range(ZOOMS):
        t = (low + high) / 2
        middle = _margin_at(target, x, end, t)
        first = (middle - below).abs() >= (above - middle).abs()
        low, high = torch.where(first, low, t), torch.where(first, t, high)
        below, above = torch.where(first, below, middle), torch.where(first, middle, above)
    return torch.where(finite, ((above - below).abs() / span).nan_to_num(), 0.0)


def _margin_at(target: Metered, x: Examples, end: Tensor, t: Tensor) -> Tensor:
    assert x.truth is not None
    if x.decibels:
        t = 10 ** (SOFTEST * (t - 1))
    inputs = x.inputs + per_example(t.to(x.inputs.dtype), end) * (end - x.inputs)
    if x.box is not None:
        inputs = inputs.clamp(*x.box)
    with torch.no_grad():
        return margin(target(inputs), x.truth).double()
