"""95 % intervals for shares and means. No torch: verdicts and reports use them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.numerics.student import quantile

Z95 = 1.959963984540054


def wilson(successes: float, n: float, *, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a binomial share.

    (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). Where each of n was tried several times, `successes` is the mean
    number: the interval is then that of one trial each, and rather too wide. Source: Wilson, J. Am. Stat. Assoc. 22 (1927).

    >>> [round(v, 3) for v in wilson(0, 10)]
    [0.0, 0.278]
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"need 0 ≤ successes ≤ n and n ≥ 1, got {successes} of {n}")
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def clopper_pearson(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval: coverage at least `level`. Source: Clopper and Pearson, Biometrika 26 (1934).

    >>> [round(100 * v, 1) for v in clopper_pearson(7, 10)]
    [34.8, 93.3]
    """
    from scipy.special import betaincinv  # scipy.stats has the same under `beta.ppf`, and takes a second to import

    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"need 0 ≤ successes ≤ n and n ≥ 1, got {successes} of {n}")
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def upper_bound_at_zero(n: int, *, level: float = 0.95) -> float:
    """Upper bound of a share when 0 of n were seen: 1 − (1 − level)^(1/n), about 3/n ("rule of three").

    >>> round(upper_bound_at_zero(100), 4)
    0.0295
    """
    return float(1 - (1 - level) ** (1 / n))


def samples_needed(rate: float, *, level: float = 0.95) -> int:
    """How many samples without a single failure show that the rate is at most `rate`.

    The least n with 1 − (1 − level)^(1/n) ≤ rate. Raises `ValueError` for a rate outside (0, 1): no number of samples shows
    that nothing can fail.

    >>> samples_needed(0.05), samples_needed(0.001)
    (59, 2995)
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate}: give a share above 0 and below 1; no number of samples shows a rate of 0")
    n = max(1, math.ceil(math.log1p(-level) / math.log1p(-rate)))
    while upper_bound_at_zero(n, level=level) > rate:       # the quotient may be rounded down at a whole number
        n += 1
    return n


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval (95 %) of the mean, x̄ ± t₀.₉₇₅(n − 1) s/√n. One value gives itself twice.

    Exact for normal values; for few values (a bootstrap of 2 covers 51 %, of 4 79 %) it is wide, as it should be. A
    quantity that was never negative is not given a negative end. Values that are all 0 or 1 are a share and get Wilson's
    interval. Source: Student, Biometrika 6 (1908).

    >>> [round(v, 3) for v in mean_interval([1.0, 2.0, 3.0])]
    [0.0, 4.484]
    >>> mean_interval([0.0, 1.0, 1.0]) == wilson(2, 3)
    True
    """
    n = len(values)
    if n == 0:
        raise ValueError("the mean of no values has no interval")
    mean = math.fsum(values) / n
    if n == 1:
        return mean, mean
    if set(values) <= {0.0, 1.0}:
        return wilson(round(math.fsum(values)), n)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = quantile(0.975, n - 1) * spread
    return (max(0.0, mean - half) if min(values) >= 0 else mean - half), mean + half
