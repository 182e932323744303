"""Paired comparison of two systems on the same samples. No torch: verdicts use it."""

from __future__ import annotations

import math


def sign_test(first: int, second: int) -> float:
    """Two-sided exact sign test: the chance of discordant pairs as uneven as `first` to `second`, if neither is likelier.

    min(1, 2 Σ_{k ≤ min(b, c)} C(b + c, k) 2^−(b + c)); 1 where there is no discordant pair. On decisions it is McNemar's
    test in its exact form. Source: McNemar, Psychometrika 12 (1947); Dixon and Mood, J. Am. Stat. Assoc. 41 (1946).

    >>> sign_test(5, 0), sign_test(1, 1), sign_test(0, 0)
    (0.0625, 1.0, 1.0)
    """
    if min(first, second) < 0:
        raise ValueError(f"expected counts, got {first} and {second}")
    n = first + second
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(first, second) + 1)) / 2**n)
