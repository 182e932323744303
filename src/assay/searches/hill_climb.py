"""Worst member of a finite set of places: random draws, then moves to worse neighbours until there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from assay.perturbations.protocol import Examples, PerturbationSet
from assay.searches.result import Best, Objective, SearchResult

DISTANCES = (4.0, 2.0, 1.0)         # pixels: coarse moves, then fine ones


class Neighbourly(PerturbationSet, Protocol):
    """A set whose members have neighbours at a distance."""

    def neighbours(self, x: Examples, p: Tensor, distance: float) -> list[Tensor]: ...


def hill_climb(objective: Objective, within: Neighbourly, *, x: Examples, generators: Sequence[torch.Generator],
               draws: int, distances: Sequence[float] = DISTANCES) -> SearchResult:
    """The worst of `draws` random members, improved by neighbours at shrinking distances.

    Pattern search: Hooke and Jeeves, J. ACM 8 (1961). One sweep of all neighbours per distance; converged where the
    last sweep found no worse one.
    """
    best = Best(within.zero(x))
    with torch.no_grad():
        for _ in range(draws):
            p = within.sample(x, generators)
            best.see(p, objective(p))
        for distance in distances:
            moves = within.neighbours(x, best.parameters, distance)
            for p in moves:
                best.see(p, objective(p), window=len(moves))
    return best.result()
