"""Rare events whose probability is known: a halfspace, a slab, a ball; what a wrong move or a wrong product would give."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2, norm

from assay.records import Stop
from assay.searches import splitting as module
from assay.searches.splitting import splitting

D = 20


def run(value, seed: int, particles: int = 1000, moves: int = 5):
    return splitting(value, (D,), particles=particles, moves=moves, generator=torch.Generator().manual_seed(seed))


def halfspace(distance: float):
    return lambda z: z[:, 0] - distance


def finds(estimate, value, exact: float) -> None:
    """The mean of the logarithms of ten runs is right to within 0.3, and no run is off by a factor of 5."""
    logs = [math.log(estimate(value, seed).probability / exact) for seed in range(10)]
    assert abs(sum(logs) / 10) < 0.3 and max(map(abs, logs)) < math.log(5)


@pytest.mark.parametrize("distance", [1.0, 3.0, 4.5, 5.5])
def test_a_halfspace(distance):
    finds(run, halfspace(distance), norm.sf(distance))


def test_a_slab_and_the_outside_of_a_ball():
    finds(run, lambda z: z[:, 0].abs() - 4.0, 2 * norm.sf(4.0))
    radius = math.sqrt(chi2.isf(1e-6, D))
    finds(run, lambda z: z.norm(dim=1) - radius, 1e-6)


def test_the_stated_variation_is_about_that_of_repeated_runs():
    found = [run(halfspace(4.0), seed) for seed in range(30)]
    mean = sum(f.probability for f in found) / 30
    spread = math.sqrt(sum((f.probability / mean - 1) ** 2 for f in found) / 29)
    said = sum(f.variation for f in found) / 30
    assert 0.4 * spread < said < 2.5 * spread and all(f.stop is Stop.EXHAUSTED for f in found)
    assert found[0].evaluations < 100_000 < 1 / norm.sf(4.0) * 10       # plain draws would need that for a tenth of it


def test_moves_that_leave_the_law_are_caught(monkeypatch):
    """Without the factor √(1 − β²) the particles drift outwards, and the event seems far likelier."""
    monkeypatch.setattr(module.math, "sqrt", lambda x: 1.0 if x < 1 else x ** 0.5)
    with pytest.raises(AssertionError):
        finds(run, halfspace(4.5), norm.sf(4.5))


def test_one_level_too_many_or_too_few_is_caught():
    for factor in (0.1, 10.0):
        with pytest.raises(AssertionError):
            finds(run, halfspace(4.5), factor * norm.sf(4.5))


def test_what_cannot_be_split_is_said():
    flat = run(lambda z: torch.full((len(z),), -1.0), 0)
    assert flat.stop is Stop.STALLED and flat.variation == math.inf
    never = run(lambda z: -1 - torch.exp(-z[:, 0]), 0, particles=200, moves=1)
    assert never.stop in (Stop.BUDGET, Stop.STALLED) and never.probability <= 1e-12


def test_the_generator_is_obeyed():
    assert run(halfspace(3.0), 1) == run(halfspace(3.0), 1) != run(halfspace(3.0), 2)
