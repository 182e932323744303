"""Two answers about the same samples: tests and intervals of the difference. No torch: comparing audits needs none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.numerics.intervals import Z95, wilson

Statistic = Callable[[NDArray[Any], NDArray[Any]], float]
EXACT = 16      # so many differences that are not zero: all 2^16 signs are tried; beyond, signs are drawn
DRAWN = 1000    # patterns in memory at once


def mcnemar(b: int, c: int) -> float:
    """Two-sided exact p that b samples changed one way and c the other, where both ways were equally likely.

    min(1, 2 P(X ≤ min(b, c))), X binomial of b + c trials with share ½; samples that did not change say nothing. Raises
    `ValueError` for a negative count. Sources: McNemar, Psychometrika 12 (1947); its exact form: Cochran, Biometrika 37
    (1950), section 2.

    >>> mcnemar(0, 5), mcnemar(3, 3), mcnemar(0, 0)
    (0.0625, 1.0, 1.0)
    """
    from scipy.special import betainc

    if b < 0 or c < 0:
        raise ValueError(f"need counts of at least 0, got {b} and {c}")
    less, n = min(b, c), b + c
    return 1.0 if 2 * less >= n else min(1.0, 2 * float(betainc(n - less, less + 1, 0.5)))


def paired_difference_interval(both: float, only_first: float, only_second: float, neither: float, *,
                               z: float = Z95) -> tuple[float, float]:
    """Interval (95 %) of the first share minus the second, of two shares counted on the same samples.

    With Wilson's intervals (l₁, u₁) and (l₂, u₂) of p₁ = (both + only_first)/n and p₂ = (both + only_second)/n, and φ their
    correlation with its correction for continuity (counts need not be whole: of groups they are over the design effect):
    d − √((p₁−l₁)² − 2φ(p₁−l₁)(u₂−p₂) + (u₂−p₂)²) to d + √((u₁−p₁)² − 2φ(u₁−p₁)(p₂−l₂) + (p₂−l₂)²), d = p₁ − p₂. Raises
    `ValueError` for a negative count or no sample. Source: Newcombe, Stat. Med. 17 (1998) 2635, method 10.

    >>> [round(v, 4) for v in paired_difference_interval(36, 12, 2, 0)]
    [0.0569, 0.3404]
    """
    table = (both, only_first, only_second, neither)
    n = sum(table)
    if min(table) < 0 or n == 0:
        raise ValueError(f"need four counts of at least 0 and one sample, got {table}")
    first, second = both + only_first, both + only_second
    (l1, u1), (l2, u2) = wilson(first, n, z=z), wilson(second, n, z=z)
    p1, p2, phi = first / n, second / n, _correlation(*table)

    def half(mine: float, other: float) -> float:
        return math.sqrt(max(0.0, mine * mine - 2 * phi * mine * other + other * other))

    return max(-1.0, p1 - p2 - half(p1 - l1, u2 - p2)), min(1.0, p1 - p2 + half(u1 - p1, p2 - l2))


def _correlation(a: float, b: float, c: float, d: float) -> float:
    """Newcombe's φ: a positive ad − bc is brought n/2 towards 0, and no further."""
    product_of_margins = (a + b) * (c + d) * (a + c) * (b + d)
    if product_of_margins == 0:
        return 0.0
    excess = a * d - b * c
    if excess > 0:
        return max(excess - (a + b + c + d) / 2, 0.0) / math.sqrt(product_of_margins)
    return excess / math.sqrt(product_of_margins)


def sign_flip(differences: Sequence[float], *, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided p that each paired difference could as well have had the other sign.

    The null is that symmetry, as where it does not matter which of two answers is whose; a mean of 0 alone does not give it,
    and of skewed differences of mean 0 more than the level are called different (`assay.numerics.means` tests a mean).

    The share of sign patterns s with |Σ sᵢdᵢ| ≥ |Σ dᵢ|: all of them for up to 16 differences that are not zero, else
    `draws` drawn ones and the observed one. Raises `ValueError` for a value that is no number. Source: Fisher, The Design of
    Experiments (1935), section 21; the drawn form: Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010).

    >>> sign_flip([1.0, 2.0, 3.0]), sign_flip([1.0, -1.0]), sign_flip([])
    (0.25, 1.0, 1.0)
    """
    values = np.asarray(differences, dtype=float).reshape(-1)
    if not np.isfinite(values).all():
        raise ValueError("the differences hold a value that is no finite number")
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    enough = abs(values.sum()) - 1e-12 * np.abs(values).sum()           # equal sums differ by rounding
    if values.size <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=values.size - 1))).reshape(
            2 ** (values.size - 1), values.size - 1)
        return float((np.abs(values[0] + signs @ values[1:]) >= enough).mean())         # the other half mirrors it
    rng = np.random.default_rng(seed)
    hits = sum(int((np.abs(rng.choice((1.0, -1.0), (min(DRAWN, draws - start), values.size)) @ values) >= enough).sum())
               for start in range(0, draws, DRAWN))
    return (hits + 1) / (draws + 1)


def sign_flip_above(values: Sequence[float], *, draws: int = 9999, seed: int = 0) -> float:
    """One-sided p that values, each of which could as well have had the other sign, lie about 0 or less.

    Half of `sign_flip`'s where their sum is above 0, else 1: the signs have a symmetric distribution. Exact where the values
    scatter symmetrically about 0; where each is at most such a value, however much less, p is too large. Not a test of the
    mean of skewed values: that is `assay.numerics.means.mean_above`.

    >>> sign_flip_above([1.0, 2.0, 3.0]), sign_flip_above([-1.0, -1.0]), sign_flip_above([0.0])
    (0.125, 1.0, 1.0)
    """
    return sign_flip(values, draws=draws, seed=seed) / 2 if math.fsum(values) > 0 else 1.0


def paired_bootstrap(a: ArrayLike, b: ArrayLike, statistic: Statistic, draws: int = 9999, seed: int = 0, *,
                     level: float = 0.95) -> tuple[float, float]:
    """Interval (95 %) of `statistic(a, b)`, samples drawn again as pairs: biased-corrected and accelerated (BCa).

    `a` and `b` (n, …) hold the same samples in the same order; `statistic` gets both drawn again with the same places. An
    interval of few samples is too narrow: of the mean of 10 normal values it covers about 90 %. Where every drawing gives
    the same value, that value is both ends. Raises `ValueError` for unequal numbers, no sample, or a statistic that is no
    finite number. Source: Efron, J. Am. Stat. Assoc. 82 (1987), equations 2.3 and 6.6.

    >>> paired_bootstrap([1.0, 2.0], [0.0, 1.0], lambda x, y: float(np.mean(x - y)), draws=99)
    (1.0, 1.0)
    """
    from scipy.special import ndtr, ndtri

    x, y = np.asarray(a), np.asarray(b)
    if x.ndim == 0 or len(x) == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"need as many values in both, at least one, got shapes {x.shape} and {y.shape}")
    rng, n = np.random.default_rng(seed), len(x)
    found = np.array([statistic(x[i], y[i]) for i in (rng.integers(n, size=n) for _ in range(draws))])
    observed = float(statistic(x, y))
    if not np.isfinite(found).all() or not math.isfinite(observed):
        raise ValueError("the statistic is no finite number on every drawing; choose one that is defined on any samples")
    below = float(((found < observed).sum() + (found <= observed).sum()) / (2 * draws))
    if found.min() == found.max() or not 0 < below < 1:
        return float(min(found.min(), observed)), float(max(found.max(), observed))
    bias, bend = float(ndtri(below)), _acceleration(x, y, statistic)
    tails = ndtri((1 - level) / 2), ndtri((1 + level) / 2)
    low, high = np.quantile(found, [float(ndtr(bias + (bias + z) / (1 - bend * (bias + z)))) for z in tails])
    return float(low), float(high)


def _acceleration(x: NDArray[Any], y: NDArray[Any], statistic: Statistic) -> float:
    """Σ d³ / 6 (Σ d²)^1.5 of the jackknife's deviations d; 0 for one sample or none."""
    if len(x) < 2:
        return 0.0
    left_out = np.array([statistic(np.delete(x, i, axis=0), np.delete(y, i, axis=0)) for i in range(len(x))])
    deviations = left_out.mean() - left_out
    scale = float((deviations ** 2).sum() ** 1.5)
    return float((deviations ** 3).sum()) / (6 * scale) if scale > 0 else 0.0
