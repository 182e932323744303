"""How far chance must go to a flat boundary, as a multiple of the worst case: the theorem's band and the exact quantiles.

S is a random m-dimensional subspace of R^d, r* the distance to the boundary, r_S the distance within S. A flat boundary has
r_S = r* / ‖P_S n‖, n its unit normal: about √(d/m) r*. All here are factors of √(d/m) r*, or their squares.
"""

from __future__ import annotations

import math

from assay.arrays import InputError


def zeta1(m: int, delta: float) -> float:
    """(1 + 2 √(ln(1/δ)/m) + 2 ln(1/δ)/m)⁻¹: √ζ₁ √(d/m) r* bounds r_S from below.

    For a flat boundary both bounds hold with a probability of about 1 − 4δ over S. Raises `InputError` unless m ≥ 1 and
    0 < δ < 1. Source: Fawzi, Moosavi-Dezfooli and Frossard, NIPS 2016, theorem 1.

    >>> round(zeta1(100, 0.05), 2)
    0.71
    """
    _check(m, delta)
    tail = math.log(1 / delta) / m
    return 1 / (1 + 2 * math.sqrt(tail) + 2 * tail)


def zeta2(m: int, delta: float) -> float:
    """(max(δ^(2/m)/e, 1 − √(2(1 − δ^(2/m)))))⁻¹: √ζ₂ √(d/m) r* bounds r_S from above.

    Conditions and source as for `zeta1`. At m = 1 and δ = 0.05 it is 1087: too loose to decide anything.

    >>> round(zeta2(100, 0.05), 2)
    1.52
    """
    _check(m, delta)
    power = delta ** (2 / m)
    return 1 / max(power / math.e, 1 - math.sqrt(2 * (1 - power)))


def flat_ratio(m: int, d: int, share: float = 0.5) -> float:
    """The quantile of r_S √(m/d) / r* over random S, where the boundary is one flat plane: √(m/d) / √b.

    ‖P_S n‖² is Beta(m/2, (d − m)/2), of which b is the quantile of 1 − `share`; for m = d the ratio is 1. The median at
    m = 1 tends to 1/0.6745 = 1.483 as d grows. Raises `InputError` unless 1 ≤ m ≤ d and 0 < share < 1.

    >>> round(flat_ratio(1, 10_000), 3), flat_ratio(7, 7)
    (1.483, 1.0)
    """
    _check(m, share)
    if m > d:
        raise InputError(f"a subspace of {m} dimensions does not fit in {d}; take m ≤ d")
    if m == d:
        return 1.0
    from scipy.special import betaincinv  # scipy.stats is slow to import

    return math.sqrt(m / d / float(betaincinv(m / 2, (d - m) / 2, 1 - share)))


def _check(m: int, probability: float) -> None:
    if m < 1 or not 0 < probability < 1:
        raise InputError(f"need m ≥ 1 dimensions and a probability strictly between 0 and 1, got {m} and {probability}")
