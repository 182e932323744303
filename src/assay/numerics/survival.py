"""Sizes of which some are only known to be larger than was looked: the Kaplan–Meier estimate. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from assay.numerics.intervals import Z95


@dataclass(frozen=True, kw_only=True)
class Step:
    """From `size` on, up to the next step: the share that is still beyond, with its 95 % interval."""

    size: float
    beyond: float
    low: float
    high: float
    at_risk: int
    events: int


@dataclass(frozen=True, kw_only=True)
class Survival:
    """The steps at the sizes that were seen, in increasing order; of `n` sizes `censored` are only known from below."""

    steps: tuple[Step, ...]
    n: int
    censored: int

    def at(self, size: float) -> Step | None:
        """The step that holds at the size; None below the first, where all are beyond for certain of what was seen."""
        return next((step for step in reversed(self.steps) if step.size <= size), None)

    @property
    def median(self) -> tuple[float, float, float]:
        """The least size beyond which at most half are, and the ends of its 95 % interval; infinite where never reached.

        The interval holds the sizes at which the interval of the share holds ½ (Brookmeyer and Crowley, Biometrics 38
        (1982), on the log–log scale).
        """
        def first(which: str) -> float:
            return next((step.size for step in self.steps if getattr(step, which) <= 0.5), math.inf)

        return first("beyond"), first("low"), first("high")


def kaplan_meier(sizes: Sequence[float], seen: Sequence[bool], *, z: float = Z95) -> Survival:
    """S(t) = Π_{t_i ≤ t} (1 − d_i/n_i): the share of sizes beyond t, where those not `seen` are only known to be larger.

    d_i sizes equal t_i, and n_i are not smaller, of which censored ones at t_i count as larger. The interval is that of
    log(−log S) with Greenwood's variance, S^exp(± z √V / log S), V = Σ d_i / (n_i (n_i − d_i)): it stays within (0, 1).
    At S = 0 its upper end is the exact one for none of the n_i, 1 − 0.025^(1/n_i); its lower end is 0. A censored size
    may be infinite: beyond all others. Raises `ValueError` for no sizes, NaN, or a size that was seen and is infinite.
    Sources: Kaplan and Meier, J. Am. Stat. Assoc. 53 (1958); Greenwood (1926); Kalbfleisch and Prentice (1980), eq. 1.13.

    >>> found = kaplan_meier([1.0, 2.0, 3.0, 4.0], [True, True, False, True])
    >>> [(s.size, s.beyond) for s in found.steps], found.median[0]
    ([(1.0, 0.75), (2.0, 0.5), (4.0, 0.0)], 2.0)
    """
    if not sizes or len(sizes) != len(seen):
        raise ValueError(f"need as many sizes as marks, and at least one; got {len(sizes)} and {len(seen)}")
    if any(math.isnan(s) or (known and math.isinf(s)) for s, known in zip(sizes, seen, strict=True)):
        raise ValueError("a size is not a number, or was seen and is infinite; leave out what was not measured")
    steps: list[Step] = []
    share, variance = 1.0, 0.0
    for size in sorted({s for s, known in zip(sizes, seen, strict=True) if known}):
        at_risk = sum(s >= size for s in sizes)
        events = sum(known and s == size for s, known in zip(sizes, seen, strict=True))
        share *= 1 - events / at_risk
        if at_risk > events:
            variance += events / (at_risk * (at_risk - events))
            half = z * math.sqrt(variance) / abs(math.log(share))
            low, high = share ** math.exp(half), share ** math.exp(-half)
        else:
            share, low, high = 0.0, 0.0, 1 - 0.025 ** (1 / at_risk)
            high = min(high, steps[-1].high) if steps else high
        steps.append(Step(size=size, beyond=share, low=low, high=high, at_risk=at_risk, events=events))
    return Survival(steps=tuple(steps), n=len(sizes), censored=len(sizes) - sum(map(bool, seen)))
