"""Medians of numbers of which some are only known to be large."""

from __future__ import annotations

import math

from torch import Tensor


def censored_median(values: Tensor) -> float:
    """The median of n numbers, the mean of the middle two where n is even; infinite where one of those is, or n = 0.

    Infinity stands for a number beyond what was looked at, so an infinite median means: beyond that, for half of them.

    >>> import torch
    >>> censored_median(torch.tensor([3.0, 1.0])), censored_median(torch.tensor([1.0, 2.0, float("inf"), float("inf")]))
    (2.0, inf)
    """
    n = len(values)
    if n == 0:
        return math.inf
    ordered = values.double().sort().values
    return float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
