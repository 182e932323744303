"""How far to go along a step that Newton's method proposes."""

from __future__ import annotations

from collections.abc import Callable

SHORTEST, SHARE, ROUNDING = 1e-6, 1e-4, 1e-14


def longest(value: Callable[[float], float], slope: float) -> float:
    """The first of 1, ½, ¼, … at which `value` is below `value(0)` by a ten-thousandth of what its slope at 0 promises.

    Armijo's rule ("Minimization of functions having Lipschitz continuous first partial derivatives", 1966), forgiving the
    rounding of `value`; where no length does, one below 1e-6.

    >>> longest(lambda t: (1 - t) ** 2, -2.0), longest(lambda t: (0.2 - t) ** 2, -0.4)
    (1.0, 0.25)
    """
    start, length = value(0.0), 1.0
    while length > SHORTEST and value(length) > start + SHARE * length * slope + ROUNDING * abs(start):
        length /= 2
    return length
