"""Ascent of an expectation: what does harm under random views, not under one; and where a sticker should sit.

The objective draws its own random views from the generators it is given, one for each example, so that the search knows
nothing of cameras and printers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from assay.arrays import InputError, PerExample, per_example
from assay.numerics.norms import norm
from assay.perturbations.protocol import Examples
from assay.records import Stop
from assay.searches.moments import Moments
from assay.searches.result import Best, Score, SearchResult, score

# parameters, a generator per example -> the mean harm over fresh random views (batch,): unbiased, and differentiable
RandomObjective = Callable[[Tensor, Sequence[torch.Generator]], "Tensor | Score"]
Penalty = Callable[[Tensor], PerExample]
Optimiser = Literal["momentum", "adam"]
LONGEST, SHORTEST, MOMENTUM = 0.5, 0.02, 0.9
ROUNDS = 4                  # times the objective is drawn to compare candidates, on the same views for all of them
ASPECT = 4                  # longest side of a rectangle in shortest ones


class Set(Protocol):
    """What an ascent needs of a convex set."""

    def zero(self, x: Examples) -> Tensor: ...

    def project(self, x: Examples, p: Tensor) -> Tensor: ...

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor: ...


def expectation_ascent(objective: RandomObjective, within: Set, *, x: Examples, generators: Sequence[torch.Generator],
                       steps: int = 100, optimiser: Optimiser = "momentum", starts: Sequence[Tensor] = (),
                       penalty: Penalty | None = None) -> SearchResult:
    """Maximise E_t[objective(p, t)] − penalty(p) over a convex set, with fresh draws t in every step.

    "momentum": g_t ← 0.9 g_{t−1} + 0.1 ∇/‖∇‖₂, p ← P(p + α_t u(g_t)), u the set's own steepest direction and α_t from ½
    of its radius down to 0.02: no step depends on a scale. "adam": moments of Kingma and Ba (2015), one second moment for
    each example, so that the step shrinks where the draws disagree. From each start (the neutral member if none are given)
    the last iterate and the mean of the second half (Polyak and Juditsky, SIAM J. Control Optim. 30 (1992); in a convex set
    it is a member) are compared with the start on the same draws, which are none of the training's; `value` is the
    mean there. `history` is the estimate at every step. `steps` counts gradients from each start.
    Sources: Athalye, Engstrom, Ilyas and Kwok (ICML 2018); Eykholt et al. (CVPR 2018), whose λ‖δ‖_p and NPS are penalties.

    >>> from assay.perturbations.balls import Ball, InputBall
    >>> from assay.perturbations.protocol import stream
    >>> x = Examples(ids=("a",), inputs=torch.zeros(1, 2))
    >>> ball = InputBall(ball=Ball(radius=1.0, relative=False))
    >>> noisy = lambda p, generators: p @ torch.tensor([3.0, 4.0]) + torch.randn(1, generator=generators[0])
    >>> found = expectation_ascent(noisy, ball, x=x, generators=[stream(0)])
    >>> [round(v, 2) for v in found.parameters[0].tolist()]
    [0.6, 0.8]
    """
    if steps < 1 or len(generators) != len(x):
        raise InputError(f"need steps ≥ 1 and a generator for each of {len(x)} examples, got {steps} and {len(generators)}")
    begin = [within.project(x, start) for start in starts] or [within.zero(x)]
    judges = [g.clone_state() for g in generators]      # the first draws are kept for comparing candidates
    for _ in range(ROUNDS):
        with torch.no_grad():
            objective(begin[0], generators)
    found = Best(within.zero(x))
    found.flat = torch.ones(len(x), dtype=torch.bool)
    trace: list[Tensor] = []
    for start in begin:
        last, mean = _climb(objective, within, x, generators, start, steps, optimiser, penalty, found, trace)
        for candidate in (start, last, within.project(x, mean)):
            found.see(candidate, _judged(objective, candidate, judges, penalty))
    result = found.result(Stop.BUDGET)
    forward = len(begin) * (steps + 3 * ROUNDS) + ROUNDS
    return replace(result, forward=forward, backward=len(begin) * steps, history=torch.stack(trace))


def _climb(objective: RandomObjective, within: Set, x: Examples, generators: Sequence[torch.Generator], start: Tensor,
           steps: int, optimiser: Optimiser, penalty: Penalty | None, found: Best,
           trace: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The last iterate and the mean of the second half; notes in `found` who never saw a gradient, in `trace` the values."""
    p, direction, total = start, torch.zeros_like(start), torch.zeros_like(start)
    moments = Moments(start)
    for step in range(steps):
        gradient, value = _gradient(objective, p, generators, penalty)
        trace.append(value)
        found.broken |= ~torch.isfinite(value)
        found.flat &= gradient.flatten(1).abs().amax(1) == 0
        if optimiser == "adam":
            move = moments.move(gradient, lambda mean: within.uphill(x, mean))
        else:
            unit = gradient / per_example(norm(gradient).clamp_min(1e-38), gradient)
            direction = MOMENTUM * direction + (1 - MOMENTUM) * unit
            move = within.uphill(x, direction)
        p = within.project(x, p + _length(step, steps) * move)
        if step >= steps // 2:
            total = total + p
    return p, total / (steps - steps // 2)


def _length(step: int, steps: int) -> float:
    return LONGEST * (SHORTEST / LONGEST) ** (step / max(1, steps - 1))


def _gradient(objective: RandomObjective, p: Tensor, generators: Sequence[torch.Generator],
              penalty: Penalty | None) -> tuple[Tensor, Tensor]:
    """A draw of the gradient, 0 where it is not finite, and of the harm, (batch,)."""
    p = p.detach().requires_grad_(True)
    value = score(objective(p, generators))
    climbed = value.climbed if penalty is None else value.climbed - penalty(p)
    (gradient,) = torch.autograd.grad(climbed.sum(), p)
    return torch.where(torch.isfinite(gradient), gradient, 0.0), value.harm.detach().double()


def _judged(objective: RandomObjective, p: Tensor, judges: Sequence[torch.Generator], penalty: Penalty | None) -> Tensor:
    """Mean harm over the draws kept for comparison: the same for every candidate."""
    again = [g.clone_state() for g in judges]
    with torch.no_grad():
        values = [score(objective(p, again)).harm.double() for _ in range(ROUNDS)]
        mean = torch.stack(values).mean(0)
        return mean if penalty is None else mean - penalty(p).double()


def drawn_back(objective: Callable[[Tensor], Tensor | Score], within: Set, *, x: Examples, parameters: Tensor,
               halvings: int = 12) -> Tensor:
    """The parameters drawn back towards the neutral member p₀ until the harm is barely above 0: p₀ + t (p − p₀).

    t by bisection between 0 and 1, one crossing assumed; 1 where the harm at p is not above 0. The objective is fixed, not
    random. What a search that stops at the first success leaves: a change that works where it was made.
    """
    centre = within.zero(x)
    low, high = torch.zeros(len(x), dtype=parameters.dtype), torch.ones(len(x), dtype=parameters.dtype)

    def at(t: Tensor) -> Tensor:
        return within.project(x, centre + per_example(t, centre) * (parameters - centre))

    with torch.no_grad():
        for _ in range(halvings):
            middle = (low + high) / 2
            works = score(objective(at(middle))).harm > 0
            low, high = torch.where(works, low, middle), torch.where(works, middle, high)
    return at(high)


def universal_patch(objective: Callable[[Tensor, Sequence[int], torch.Generator], Tensor | Score], within: Set, *,
                    canvas: Examples, images: int, generator: torch.Generator, steps: int = 200, batch: int = 16,
                    optimiser: Optimiser = "momentum") -> SearchResult:
    """One patch for many images: maximise the mean harm over random images, places, sizes and angles.

    `objective(p, chosen, generator)` -> (len(chosen),) is the harm of the patch p (1, …) on the chosen images (numbers
    below `images`) at random places; every step chooses `batch` of them. `canvas` is the one example that the patch is.
    Source: Brown, Mané, Roy, Abadi and Gilmer, "Adversarial patch" (2017, arXiv 1712.09665); to a target or against the
    labels, as the objective says.
    """
    if len(canvas) != 1 or images < 1:
        raise InputError(f"need one canvas and at least one image, got {len(canvas)} and {images}")

    def mean(p: Tensor, generators: Sequence[torch.Generator]) -> Score:
        chosen = torch.randperm(images, generator=generators[0])[:batch].tolist()
        value = score(objective(p, chosen, generators[0]))
        return Score(value.harm.mean()[None], value.climbed.mean()[None])

    return expectation_ascent(mean, within, x=canvas, generators=[generator], steps=steps, optimiser=optimiser)


def l1_mask(objective: RandomObjective, within: Set, *, x: Examples, generators: Sequence[torch.Generator], steps: int = 50,
            share: float = 0.3, count: int = 2, area: float = 0.1) -> Bool[Tensor, "batch height width"]:
    """Where a sticker of `count` rectangles and at most `area` of the image should sit: the first stage of RP2.

    Rectangles where `l1_change` over `within`, a sticker on the whole allowed region, is greatest. The second stage is
    `expectation_ascent` on a sticker of these masks. Source of the two stages: Eykholt et al., CVPR 2018 (arXiv 1707.08945),
    and their released code.
    """
    magnitude = l1_change(objective, within, x=x, generators=generators, steps=steps, share=share)
    allowed = within.uphill(x, torch.ones_like(within.zero(x)))[:, 0] != 0
    return place_rectangles(magnitude.sum(1), allowed, count=count, area=area)


def l1_change(objective: RandomObjective, within: Set, *, x: Examples, generators: Sequence[torch.Generator],
              steps: int = 50, share: float = 0.3, grouped: bool = False) -> Float[Tensor, "batch channels height width"]:
    """|p − p₀| of the change that does harm in few places: max E_t[objective(p)] − λ‖p − p₀‖₁ over `within`, p₀ its neutral.

    By proximal gradient steps (Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009)) with λ = `share` of the greatest |∂| at p₀:
    of log P(another class) of a system that is sure, the best p has that probability at 1 − `share`. With `grouped` the
    penalty is λ Σ over pixels of ‖·‖₂ over their channels (Yuan and Lin, J. R. Stat. Soc. B 68 (2006)), and λ goes by the
    greatest such norm. Told is the sum over the second half of the steps.
    """
    centre = within.zero(x)
    first, _ = _gradient(objective, centre, generators, None)

    def size(v: Tensor) -> Tensor:
        return v.square().sum(1, keepdim=True).sqrt() if grouped else v.abs()

    steepest = size(first).flatten(1).amax(1)
    price = per_example(share * steepest, centre)
    reach = per_example(within.uphill(x, torch.ones_like(centre)).flatten(1).abs().amax(1), centre)
    rate = reach / per_example(steepest.clamp_min(1e-38), centre)
    p, total = centre, torch.zeros_like(centre)
    for step in range(steps):
        gradient, _ = _gradient(objective, p, generators, None)
        length = _length(step, steps) * rate
        away = p + length * gradient - centre
        p = within.project(x, centre + away * (1 - length * price / size(away).clamp_min(1e-38)).clamp_min(0))
        if step >= steps // 2:
            total = total + (p - centre).abs()
    return total


def place_rectangles(magnitude: Float[Tensor, "batch height width"], allowed: Bool[Tensor, "batch height width"], *,
                     count: int, area: float) -> Bool[Tensor, "batch height width"]:
    """Up to `count` rectangles of equal budget, one after another where the sum of `magnitude` inside is greatest.

    Each lies in the allowed region, overlaps no other, covers at most the share `area` / `count` of the image, and is at
    most four times as long as wide. Raises `InputError` where not even one pixel may be covered.

    >>> place_rectangles(torch.tensor([[[0.0, 5.0], [1.0, 5.0]]]), torch.ones(1, 2, 2).bool(), count=1, area=0.5).tolist()
    [[[False, True], [False, True]]]
    """
    height, width = magnitude.shape[1:]
    budget = int(area * height * width / max(1, count) + 1e-9)
    if budget < 1 or count < 1:
        raise InputError(f"area {area:g} for {count} rectangles is less than a pixel each of {height}×{width}; allow more")
    shapes = {(h, min(width, budget // h)) for h in range(1, min(height, budget) + 1)}
    shapes = {(h, w) for h, w in shapes if max(h, w) <= ASPECT * min(h, w)} or {(1, 1)}
    masks = torch.zeros_like(allowed)
    for i, (one, free) in enumerate(zip(magnitude.double(), allowed.clone(), strict=True)):
        for _ in range(count):
            sums = {shape: _window_sums(one, free, shape) for shape in sorted(shapes)}
            h, w = max(sums, key=lambda shape: float(sums[shape].max()))
            if not bool(torch.isfinite(sums[h, w].max())):
                break
            top, left = divmod(int(sums[h, w].argmax()), sums[h, w].shape[1])
            masks[i, top:top + h, left:left + w] = True
            free[top:top + h, left:left + w] = False
    return masks


def _window_sums(magnitude: Tensor, free: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sum of the magnitude in each window of the shape; −∞ where the window is not wholly free."""
    ones = torch.ones(1, 1, *shape, dtype=torch.float64)
    inside = F.conv2d(free.double()[None, None], ones)[0, 0] > shape[0] * shape[1] - 0.5
    return torch.where(inside, F.conv2d(magnitude[None, None], ones)[0, 0], -torch.inf)
