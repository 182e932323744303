"""Extreme values: how bad the worst of very many uses would be, and where a quantity's greatest value ends. No torch.

Both are extrapolations of a fitted law: estimates, never bounds, and refused where the fit cannot carry them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXCEEDANCES = 50        # fewer carry no tail
HEAVY = 0.5             # a shape beyond which the variance is infinite, and an extrapolation says nothing
TAIL = 0.95             # quantile that is the threshold


@dataclass(frozen=True, kw_only=True)
class Tail:
    """A generalised Pareto law of what exceeds `threshold`, which the share `rate` of all values does.

    `distance` is Kolmogorov and Smirnov's between the exceedances and the law.
    """

    threshold: float
    rate: float
    shape: float
    scale: float
    exceedances: int
    distance: float

    def level(self, uses: float) -> float:
        """The value exceeded once in so many uses: u + σ/ξ ((rate · uses)^ξ − 1), or u + σ log(rate · uses) at ξ = 0."""
        m = math.log(self.rate * uses)
        return self.threshold + self.scale * (m if abs(self.shape) < 1e-9 else math.expm1(self.shape * m) / self.shape)

    def share_beyond(self, value: float) -> float:
        """The share of uses beyond the value, which must not lie below the threshold: rate · (1 + ξ (v − u)/σ)^(−1/ξ)."""
        if value < self.threshold:
            raise ValueError(f"{value} lies below the threshold {self.threshold}: count the values instead")
        cdf = pareto_cdf(np.asarray([value - self.threshold]), self.shape, self.scale)
        return self.rate * float(1 - cdf[0])


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """No extrapolation, and why."""

    reason: str


def peaks_over_threshold(values: Sequence[float], *, tail: float = TAIL) -> Tail | Refusal:
    """The law of the largest values: generalised Pareto, by maximum likelihood, above the quantile `tail`.

    P(V − u > y | V > u) = (1 + ξ y/σ)^(−1/ξ). Refused with fewer than 50 exceedances, with ξ > 0.5, or where the
    exceedances are all one value. Sources: Pickands, Ann. Stat. 3 (1975); Davison and Smith, J. R. Stat. Soc. B 52 (1990);
    the profile likelihood in θ = ξ/σ is Grimshaw's, Technometrics 35 (1993).

    >>> peaks_over_threshold([1.0, 2.0]).reason
    '0 values exceed the threshold; at least 50 are needed'
    """
    known = np.asarray([v for v in values if math.isfinite(v)], dtype=np.float64)
    threshold = float(np.quantile(known, tail)) if len(known) >= EXCEEDANCES else math.inf
    peaks = known[known > threshold] - threshold
    if len(peaks) < EXCEEDANCES:
        return Refusal(reason=f"{len(peaks)} values exceed the threshold; at least {EXCEEDANCES} are needed")
    if float(np.ptp(peaks)) <= 1e-12 * float(peaks.max()):
        return Refusal(reason="all values beyond the threshold are the same, so there is no tail to fit")
    shape, scale = pareto_fit(peaks)
    if shape > HEAVY:
        return Refusal(reason=f"the tail is too heavy (shape {shape:.2g} > {HEAVY:g}): an extrapolation would say nothing")
    ordered = np.sort(peaks)
    return Tail(threshold=threshold, rate=len(peaks) / len(known), shape=shape, scale=scale, exceedances=len(peaks),
                distance=ks_distance(ordered, pareto_cdf(ordered, shape, scale)))


def pareto_fit(peaks: NDArray[np.float64]) -> tuple[float, float]:
    """(ξ, σ) of the greatest likelihood with ξ ≥ −1, beyond which the likelihood has no maximum.

    With θ = ξ/σ the best ξ is mean log(1 + θ y), and the profile −log(ξ/θ) − ξ − 1 has one variable, searched on
    θ > −1/max y: on a grid, then by golden section beside its best point.

    >>> shape, scale = pareto_fit(-np.log(1 - (np.arange(2000) + 0.5) / 2000))      # quantiles of the exponential law
    >>> round(abs(shape), 1), round(scale, 1)
    (0.0, 1.0)
    """
    y = peaks / peaks.mean()

    def profile(theta: float) -> float:
        if abs(theta) < 1e-9:
            return -1.0                         # ξ = 0: the exponential law with σ = mean = 1
        shape = float(np.log1p(theta * y).mean())
        return -math.log(shape / theta) - shape - 1 if shape >= -1 else -math.inf

    limit = -1 / float(y.max())
    grid = np.concatenate([limit * (1 - np.geomspace(1e-6, 1, 200)), [0.0], np.geomspace(1e-6, 1e3, 300)])
    grid = np.sort(grid)
    shapes = np.log1p(np.outer(grid, y)).mean(1)
    flat = np.abs(grid) < 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        heights = np.where(flat, -1.0, -np.log(shapes / np.where(flat, 1.0, grid)) - shapes - 1)
    best = int(np.argmax(np.where(flat | (shapes >= -1), heights, -np.inf)))
    theta = _golden(profile, float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)]))
    shape = 0.0 if abs(theta) < 1e-9 else float(np.log1p(theta * y).mean())
    scale = 1.0 if abs(theta) < 1e-9 else shape / theta
    return shape, scale * float(peaks.mean())


def pareto_cdf(y: NDArray[np.float64], shape: float, scale: float) -> NDArray[np.float64]:
    """1 − (1 + ξ y/σ)^(−1/ξ); 1 − exp(−y/σ) at ξ = 0."""
    if abs(shape) < 1e-9:
        return -np.expm1(-y / scale)
    inside = np.maximum(1 + shape * y / scale, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(1 - np.where(inside > 0, np.exp(-np.log(inside) / shape), 0.0 if shape < 0 else 1.0))


def ks_distance(ordered: NDArray[np.float64], cdf: NDArray[np.float64]) -> float:
    """max |F_n − F| over the sorted values (Kolmogorov 1933)."""
    n = len(ordered)
    steps = np.arange(n + 1) / n
    return float(np.maximum(steps[1:] - cdf, cdf - steps[:-1]).max())


def _golden(function: object, low: float, high: float, steps: int = 80) -> float:
    """The argument of the maximum of a function with one peak between the ends."""
    assert callable(function)
    ratio = (math.sqrt(5) - 1) / 2
    a, b = low, high
    for _ in range(steps):
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        if function(c) >= function(d):
            b = d
        else:
            a = c
    return (a + b) / 2
