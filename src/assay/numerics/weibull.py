"""Where a quantity ends that is seen through the greatest of many draws: the reverse Weibull law of maxima. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.numerics.extremes import ks_distance

FARTHEST = 100.0        # spreads of the maxima beyond the greatest: a likelihood still rising there has no end to show
CRITICAL = 1.358        # of √n times Kolmogorov and Smirnov's distance, at 5 %; with fitted parameters a mild test


@dataclass(frozen=True, kw_only=True)
class End:
    """The fitted law 1 − …: P(M ≤ m) = exp(−((end − m)/scale)^shape) for m ≤ end, and how well it fits the n maxima."""

    end: float
    shape: float
    scale: float
    n: int
    distance: float
    settled: bool           # whether the likelihood has a greatest value short of the farthest end tried

    @property
    def fits(self) -> bool:
        """Whether the maxima look like draws of the law (5 %), and its end was found."""
        return self.settled and self.distance <= CRITICAL / math.sqrt(self.n)


def upper_end(maxima: Sequence[float]) -> End:
    """The end of the reverse Weibull law of greatest likelihood with shape at least 1, where the likelihood is bounded.

    For an end a the rest is a Weibull fit of y = a − m, whose shape c solves 1/c = Σ y^c log y / Σ y^c − mean log y; a is
    searched on a grid up to 100 spreads beyond the greatest maximum and refined. Equal maxima end where they are. Raises
    `ValueError` for fewer than two. Sources: Fisher and Tippett (1928); de Haan and Ferreira, Extreme Value Theory (2006),
    section 1.1.3.

    >>> upper_end([2.0, 2.0, 2.0]).end
    2.0
    """
    m = np.asarray(maxima, dtype=np.float64)
    if len(m) < 2 or not np.isfinite(m).all():
        raise ValueError("need at least two maxima, all of them numbers")
    top, spread = float(m.max()), float(np.ptp(m))
    if spread <= 1e-9 * max(abs(top), 1e-300):
        return End(end=top, shape=math.inf, scale=0.0, n=len(m), distance=0.0, settled=True)
    grid = top + spread * np.geomspace(1e-4, FARTHEST, 120)
    heights = [_profile(a, m)[0] for a in grid]
    best = int(np.argmax(heights))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    fine = np.linspace(low, high, 60)
    end = float(fine[int(np.argmax([_profile(a, m)[0] for a in fine]))])
    _, shape, scale = _profile(end, m)
    ordered = np.sort(m)
    law = np.exp(-(((end - ordered) / scale) ** shape))
    return End(end=end, shape=shape, scale=scale, n=len(m), distance=ks_distance(ordered, law),
               settled=best < len(grid) - 1 and math.isfinite(heights[best]))


def _profile(end: float, m: NDArray[np.float64]) -> tuple[float, float, float]:
    """(log likelihood, shape, scale) of the best Weibull law of end − m with shape at least 1."""
    y = end - m
    unit = float(y.mean())
    shape = max(_shape(y / unit), 1.0)
    scale = unit * float(np.mean((y / unit) ** shape)) ** (1 / shape)
    logs = np.log(y / scale)
    return float(len(y) * math.log(shape / scale) + (shape - 1) * logs.sum() - (np.exp(shape * logs)).sum()), shape, scale


def _shape(y: NDArray[np.float64]) -> float:
    """The root c of Σ y^c log y / Σ y^c − mean log y − 1/c, which grows with c; by bisection of log c."""
    logs = np.log(y)
    low, high = -7.0, 9.0
    for _ in range(60):
        c = math.exp((low + high) / 2)
        weights = np.exp(c * (logs - logs.max()))
        value = float((weights * logs).sum() / weights.sum() - logs.mean()) - 1 / c
        low, high = (math.log(c), high) if value < 0 else (low, math.log(c))
    return math.exp((low + high) / 2)
