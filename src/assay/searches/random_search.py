"""Searches that need no gradient: independent draws, and a random walk that keeps what helps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import PerExample, per_example
from assay.perturbations.protocol import ConvexSet, Examples, PerturbationSet
from assay.records import Stop
from assay.searches.result import Best, Objective, SearchResult


def random_search(objective: Objective, within: PerturbationSet, *, x: Examples,
                  generators: Sequence[torch.Generator], draws: int, size: PerExample | None = None) -> SearchResult:
    """The worst of `draws` independent random members of the given size.

    >>> from assay.perturbations.balls import Ball, InputBall
    >>> from assay.perturbations.protocol import stream
    >>> ball = InputBall(ball=Ball(radius=1.0, relative=False))
    >>> x = Examples(ids=("a",), inputs=torch.zeros(1, 1))
    >>> float(random_search(lambda p: p[:, 0], ball, x=x, generators=[stream(0)], draws=20).value)
    1.0
    """
    best = Best(within.zero(x))
    with torch.no_grad():
        for _ in range(draws):
            p = within.sample(x, generators, size)
            best.see(p, objective(p))
    return best.result(Stop.BUDGET)


def random_walk(objective: Objective, within: ConvexSet, *, x: Examples, generators: Sequence[torch.Generator],
                draws: int, starts: Sequence[Tensor] = ()) -> SearchResult:
    """Query-only ascent: propose P(p + s · random direction), keep it if worse; s shrinks when proposals stop helping.

    A (1+1) evolution strategy with the one-fifth success rule (Rechenberg, 1973; Schumer and Steiglitz, IEEE Trans.
    Autom. Control 13 (1968)). For systems that give no gradients, and as the check that gradients are not masked. The
    walk begins at the worst of a random member and the `starts`. Chance does not converge: it stops with its budget.
    """
    zero = within.zero(x)
    best = Best(zero)
    step = torch.full((len(x),), 1.0, dtype=torch.float64)
    with torch.no_grad():
        for p in (*(within.project(x, start) for start in starts), within.sample(x, generators)):
            best.see(p, objective(p))
        for _ in range(draws - 1):
            move = within.uphill(x, _gaussian(zero, generators))
            proposal = within.project(x, best.parameters + per_example(step.to(move.real.dtype), move) * move)
            better = best.see(proposal, objective(proposal))
            step = torch.where(better, step * 1.5, step * 1.5 ** -0.25).clamp(1e-3, 2.0)
    return best.result(Stop.BUDGET)


def _gaussian(like: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
    return torch.stack([torch.randn(like.shape[1:], dtype=like.dtype, generator=g) for g in generators])
