"""First a change that does harm in a larger set, then less and less of it beyond the set, as long as it still does harm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import ConvexSet, Examples
from assay.searches.auto_pgd import Done, auto_pgd, finished
from assay.searches.result import Best, Objective, SearchResult, score

SHARE = 0.25                            # of the steps, for the first stage
FIRST, HEAVIER, LIGHTER = 5e-4, 1.2, 0.85       # the weight of the excess, and what harm, or its absence, multiplies it by
LEAST, MOST = 1e-6, 1e2
MARGIN = 0.5                            # of the number that is climbed, beyond which the hinge is flat
LONGEST, SHORTEST = 0.3, 0.03           # steps of the second stage, in sizes of the set, from first to last
BETA1, BETA2 = 0.9, 0.99


def two_stage(objective: Objective, within: ConvexSet, *, larger: ConvexSet, x: Examples,
              generators: Sequence[torch.Generator], done: Done, steps: int = 100,
              starts: Sequence[Tensor] = ()) -> SearchResult:
    """Maximise the objective over a product of discs (or of intervals), coming from outside: harm first, then less excess.

    The first stage climbs in the `larger` set (APGD, a quarter of the `steps`). The second descends, by Adam, the sum of
    max(0, ½ − f(p)) and α Σ max(0, |u|² − 1), u the entries of p over the set's own sizes; α becomes 1.2 α where
    `done(harm)` says that p does harm, and 0.85 α elsewhere. Judged and kept is each iterate's nearest member, so the result
    is one of the set. Source: Qin, Carlini, Goodfellow, Cottrell and Raffel, ICML 2019 (arXiv 1903.10346), section 4: their
    first stage is bounded by ℓ∞ of the waveform, their second weighs the excess over the masking threshold by an α that is
    adapted in the same way every 20 and 50 of some thousand steps, and their result may lie above it. Raises `InputError`
    where there is no step.

    >>> from assay.perturbations.balls import Ball, InputBall
    >>> from assay.perturbations.protocol import stream
    >>> x = Examples(ids=("a",), inputs=torch.zeros(1, 2))
    >>> small, large = (InputBall(ball=Ball(norm="linf", radius=r, relative=False)) for r in (1.0, 3.0))
    >>> found = two_stage(lambda p: p @ torch.tensor([3.0, -4.0]), small, larger=large, x=x, generators=[stream(0)],
    ...                   done=lambda harm: harm > 6.9)
    >>> bool(found.value > 6.9), bool(found.parameters.abs().max() <= 1)
    (True, True)
    """
    if steps < 1:
        raise InputError(f"need steps ≥ 1, got {steps}")
    early = max(1, round(SHARE * steps))
    outer = auto_pgd(objective, larger, x=x, generators=generators, steps=early, starts=starts, done=done)
    best = Best(within.zero(x))
    best.forward, best.backward = outer.forward, outer.backward
    best.begin()
    sizes = within.steepest(x, torch.ones_like(outer.parameters)).abs().clamp_min(1e-38)
    u, first, second = outer.parameters / sizes, torch.zeros_like(outer.parameters), torch.zeros_like(sizes)
    weight = torch.full((len(x),), FIRST, dtype=torch.float64)
    for step in range(1, steps - early + 1):
        _look(objective, within, x, u * sizes, best)
        if bool(finished(best, done).all()):
            break
        u = u.detach().requires_grad_(True)
        seen = score(objective(u * sizes))
        excess = (u.abs().square() - 1).clamp_min(0).flatten(1).sum(1).double()
        loss = (MARGIN - seen.climbed.double()).clamp_min(0) + weight * excess
        (gradient,) = torch.autograd.grad(loss.sum(), u)
        best.forward, best.backward = best.forward + 1, best.backward + 1
        gradient = torch.where(torch.isfinite(gradient.abs()), gradient, torch.zeros_like(gradient))
        best.flat |= (gradient.abs().flatten(1).amax(1) == 0) & ~done(seen.harm.detach().double())
        weight = torch.where(done(seen.harm.detach().double()), HEAVIER * weight, LIGHTER * weight).clamp(LEAST, MOST)
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * gradient.abs().square()
        length = LONGEST * (SHORTEST / LONGEST) ** (step / (steps - early))
        rooted = (second / (1 - BETA2 ** step)).sqrt()
        u = u.detach() - length * first / (1 - BETA1 ** step) / rooted.clamp_min(1e-12)
    _look(objective, within, x, u.detach() * sizes, best)
    best.settled |= finished(best, done)
    return best.result()


def _look(objective: Objective, within: ConvexSet, x: Examples, p: Tensor, best: Best) -> None:
    """The nearest member is judged."""
    nearest = within.project(x, p.detach())
    with torch.no_grad():
        best.see(nearest, objective(nearest))
