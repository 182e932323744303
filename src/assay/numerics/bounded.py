"""95 % interval for the mean of numbers between 0 and 1. No torch: reports use it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.numerics.intervals import clopper_pearson


def bounded_mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a mean whose coverage is at least `level` whatever the distribution on [0, 1] is, for every n.

    All μ with n · KL(x̄ ‖ μ) ≤ ln(2 / (1 − level)), KL(p ‖ q) = p ln(p/q) + (1 − p) ln((1 − p)/(1 − q)), by bisection.
    Student's interval has no width where all values are equal, and a threshold must not be met by that. Values that are all
    0 or 1 are a count and get Clopper and Pearson's interval, which is narrower; at x̄ = 0 both end at
    1 − ((1 − level)/2)^(1/n).
    Raises `ValueError` for no values, or values outside [0, 1]. Source: Hoeffding, J. Am. Stat. Assoc. 58 (1963), Theorem 1.

    >>> [round(v, 3) for v in bounded_mean_interval([0.0] * 20)]
    [0.0, 0.168]
    >>> [round(v, 3) for v in bounded_mean_interval([0.5] * 20)]
    [0.222, 0.778]
    """
    n = len(values)
    if n == 0 or not all(0 <= v <= 1 for v in values):
        raise ValueError(f"expected at least one number, all between 0 and 1, got {list(values)[:5]}")
    if set(values) <= {0.0, 1.0}:
        return clopper_pearson(round(math.fsum(values)), n, level=level)
    mean, most = math.fsum(values) / n, math.log(2 / (1 - level)) / n
    return _edge(mean, 0.0, most), _edge(mean, 1.0, most)


def _edge(mean: float, far: float, most: float) -> float:
    """The μ between the mean and an end at which the divergence is `most`; the outer side of the last bisection."""
    inside, outside = mean, far
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _divergence(mean, middle) <= most else (inside, middle)
    return outside


def _divergence(p: float, q: float) -> float:
    """KL(p ‖ q) of two coins; infinite where q excludes what p allows."""
    total = 0.0
    for a, b in ((p, q), (1 - p, 1 - q)):
        if a > 0:
            total += math.inf if b <= 0 else a * math.log(a / b)
    return total
