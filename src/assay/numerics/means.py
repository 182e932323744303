"""Whether values have a mean above 0, said so that neither symmetric nor skewed values say it too often. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from assay.numerics.paired import sign_flip, sign_flip_above

STEP, REACH = 0.05, 40.0        # of log t, in which the integrand is smooth and dies out exponentially on both sides


def mean_above(values: Sequence[float], *, draws: int = 9999, seed: int = 0) -> float:
    """One-sided p that independent values have a mean of 0 or less: the larger of `sign_flip_above` and `weighted_above`.

    Flipped signs alone assume that the values scatter symmetrically; of values whose rare ones are far below 0 they say
    "above" too often. No test holds for every distribution (Bahadur and Savage, Ann. Math. Stat. 27 (1956)): this one is
    made for those that are symmetric, or that never lie further below 0 than the farthest of the values seen lies from
    it. What is so rare that none was seen is not allowed for.
    The least p that n values can have is 2⁻ⁿ. Raises `ValueError` for a value that is no finite number.

    >>> mean_above([1.0] * 3), mean_above([-1.0, 0.5]), round(mean_above([1.0, 2.0, 3.0]), 4)
    (0.125, 1.0, 0.225)
    """
    return max(sign_flip_above(values, draws=draws, seed=seed), weighted_above(values))


def mean_differs(differences: Sequence[float], *, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided p that independent differences have mean 0: the larger of `sign_flip` and twice `weighted_above`.

    Made for what `mean_above` is made for. Raises `ValueError` for a value that is no finite number.

    >>> mean_differs([1.0] * 3), mean_differs([-1.0] * 3), mean_differs([1.0, -1.0])
    (0.25, 0.25, 1.0)
    """
    side = 1.0 if math.fsum(differences) > 0 else -1.0
    return max(sign_flip(differences, draws=draws, seed=seed), min(1.0, 2 * weighted_above([side * x for x in differences])))


def weighted_above(values: Sequence[float]) -> float:
    """P(D₀·a + Σ Dᵢ·xᵢ ≤ 0), a = −max|x|, D uniform on the simplex; 1 where Σ xᵢ ≤ 0.

    The p of a mean of 0 or less by Gaffke, for values that are never below a: weights are drawn as a Bayesian bootstrap
    draws them, with one more value at the worst place there is. With Dᵢ = Eᵢ/ΣE, E of an exponential distribution, it is
    the distribution of Σ E z at 0: ½ − (1/π)∫ Im Π 1/(1 − i t zⱼ) dt/t, by the trapezoidal rule over log t. That the level
    holds for every number of values is a conjecture that simulations bear out. Sources: Gaffke, Math. Methods Stat. 14
    (2005), "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable";
    Learned-Miller and Thomas, arXiv 1905.06208 (2019). The integral: Gil-Pelaez, Biometrika 38 (1951).

    >>> [round(weighted_above([2.0] * n), 9) for n in (1, 2, 3)], weighted_above([])
    ([0.5, 0.25, 0.125], 1.0)
    """
    x = np.asarray(values, dtype=float).reshape(-1)
    if not np.isfinite(x).all():
        raise ValueError("the values hold one that is no finite number")
    if x.size == 0 or math.fsum(x) <= 0:
        return 1.0
    most = float(np.abs(x).max())
    z = np.concatenate([[-1.0], x / most])
    t = np.exp(np.arange(-REACH, REACH + STEP / 2, STEP))
    modulus = -0.5 * np.log1p((t[:, None] * z) ** 2).sum(1)             # of the product, and its angle
    angle = np.arctan(t[:, None] * z).sum(1)
    return float(min(1.0, max(0.5 - STEP / math.pi * float((np.exp(modulus) * np.sin(angle)).sum()), 2.0**-x.size)))
