"""The probability of a rare event under Gaussian noise, by multilevel splitting, where plain draws would need millions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.records import Stop

KEPT = 0.1              # of the particles at each level
LEVELS = 20             # at most: probabilities down to 10⁻²⁰
FIRST_STEP, AIM = 0.5, 0.35     # of the moves, and the share of them that is to be taken


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """P(V ≥ 0) as estimated, and its coefficient of variation as estimated; `stop` says why the levels ended.

    EXHAUSTED: the event was reached. BUDGET: it was not within the levels. STALLED: all particles are at one value, so that
    nothing can be split. Of these two the probability is only where the levels ended.
    """

    probability: float
    variation: float
    levels: int
    evaluations: int
    stop: Stop


def splitting(value: Callable[[Tensor], Tensor], shape: tuple[int, ...], *, particles: int, moves: int,
              generator: torch.Generator) -> Splitting:
    """P(V(z) ≥ 0) for z ~ N(0, I): a product of conditional probabilities, each a tenth or more.

    Particles are drawn, the highest tenth sets the next level L, and copies of it are moved by z' = √(1 − β²) z + β ξ,
    taken where V(z') ≥ L: that keeps N(0, I) given V ≥ L. The variation adds (1 − p_l)/(N p_l) (1 + γ_l) over the levels,
    γ from the autocorrelation of the chains. `value` maps (n, *shape) to (n,). Sources: Kahn and Harris (1951); Au
    and Beck, Prob. Eng. Mech. 16 (2001), eqs. 17 and 28; Cérou, Del Moral, Furon and Guyader, Stat. Comput. 22 (2012).
    """
    z = torch.randn(particles, *shape, generator=generator)
    v = value(z)
    chains = torch.ones(1, particles, dtype=torch.bool)
    log_p, variance, asked, step = 0.0, 0.0, particles, FIRST_STEP
    keep = max(2, round(KEPT * particles))
    for level in range(LEVELS + 1):
        share = float((v >= 0).double().mean())
        threshold = float(v.sort(descending=True).values[keep - 1])
        if share >= KEPT or threshold >= 0:
            variance += _variance(chains if level == 0 else (v >= 0).reshape(chains.shape), share)
            return Splitting(probability=math.exp(log_p) * share, variation=math.sqrt(variance), levels=level,
                             evaluations=asked, stop=Stop.EXHAUSTED)
        inside = v >= threshold
        if bool(inside.all()) or level == LEVELS:
            stop = Stop.STALLED if bool(inside.all()) else Stop.BUDGET
            return Splitting(probability=math.exp(log_p) * max(share, 1 / particles), variation=math.inf, levels=level,
                             evaluations=asked, stop=stop)
        p = float(inside.double().mean())
        variance += _variance(inside[None] if level == 0 else inside.reshape(chains.shape), p)
        log_p += math.log(p)
        z, v, chains, step = _moved(value, z[inside], v[inside], threshold, particles, moves, step, generator)
        asked += chains.numel() * moves
    raise AssertionError("the last level returns")


def _moved(value: Callable[[Tensor], Tensor], seeds: Tensor, at: Tensor, threshold: float, particles: int, moves: int,
           step: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    """Chains from the seeds, one state every `moves` moves: states, values, a shape (length, chains), the step adapted."""
    length = math.ceil(particles / len(seeds))
    states, values = [], []
    z, v = seeds.clone(), at.clone()
    for _ in range(length):
        for _ in range(moves):
            tried = math.sqrt(1 - step * step) * z + step * torch.randn(z.shape, generator=generator)
            w = value(tried)
            taken = w >= threshold
            z = torch.where(taken.reshape(-1, *[1] * (z.ndim - 1)), tried, z)
            v = torch.where(taken, w, v)
            step = min(0.99, max(0.01, step * math.exp(0.5 * (float(taken.double().mean()) - AIM))))
        states.append(z.clone())
        values.append(v.clone())
    return torch.cat(states), torch.cat(values), torch.ones(length, len(seeds), dtype=torch.bool), step


def _variance(inside: Tensor, p: float) -> float:
    """(1 − p)/(N p) (1 + γ), inside (length, chains); γ = 2 Σ_k (1 − k/length) ρ_k ≥ 0, ρ along the chains."""
    length, n = inside.shape[0], inside.numel()
    if p >= 1:
        return 0.0
    x, gamma = inside.double() - p, 0.0
    for k in range(1, length if inside.shape[0] > 1 else 1):
        rho = float((x[:-k] * x[k:]).mean()) / (p * (1 - p))
        gamma += 2 * (1 - k / length) * max(rho, 0.0)
    return (1 - p) / (n * p) * (1 + gamma)
