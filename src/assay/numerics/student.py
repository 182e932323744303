"""Quantiles of Student's distribution without scipy, whose import takes longer than everything that reads a label."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

_TINY, _TURNS = 1e-300, 300


@functools.cache
def quantile(p: float, freedom: int) -> float:
    """The t with P(T ≤ t) = p for T with `freedom` degrees of freedom, 0.5 < p < 1; to 11 digits up to ν = 100,000.

    P(T > t) = ½ I_x(ν/2, ½) with x = ν/(ν + t²). Newton's method on the logarithm of the tail, from the normal quantile.
    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.1 and 26.5.27.

    >>> round(quantile(0.975, 1), 6), round(quantile(0.975, 10), 6)
    (12.706205, 2.228139)
    """
    if not 0.5 < p < 1 or freedom < 1:
        raise ValueError(f"need 0.5 < p < 1 and one degree of freedom or more, got {p} and {freedom}")
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    tail, half = 1 - p, freedom / 2
    t = NormalDist().inv_cdf(p)
    scale = _log_ratio(half) - 0.5 * math.log(math.pi * freedom)
    for _ in range(100):
        beyond = 0.5 * _incomplete_beta(freedom / (freedom + t * t), half, 0.5)
        density = math.exp(scale - (half + 0.5) * math.log1p(t * t / freedom))
        step = math.log(beyond / tail) * beyond / density
        t += step
        if abs(step) <= 1e-15 * t:
            break
    return t


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), a or b being ½, by its continued fraction (Lentz's method)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(_log_ratio(max(a, b)) - math.lgamma(0.5) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _TURNS):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                     -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d, c = 1 / _away(1 + term * d), _away(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return front * fraction


def _log_ratio(a: float) -> float:
    """log Γ(a + ½) − log Γ(a), for a ≥ ½; for large a by the difference of Stirling's series, where both would cancel."""
    if a < 50:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return 0.5 * math.log(a) - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
