"""The statistics of a study: balanced accuracy, medians of ratios, preferences, each with its interval and p value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import stream

DRAWS = 4_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, how many it rests on, and p of what is to be refuted (1 where nothing is)."""

    value: float
    low: float
    high: float
    n: int
    p: float = 1.0


def _resampled(n: int, words: tuple[object, ...]) -> Tensor:
    return torch.randint(n, (DRAWS, n), generator=stream("bootstrap", *words))


def _interval(draws: Tensor) -> tuple[float, float]:
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return float(low), float(high)


def balanced_accuracy(right: Tensor, y: Tensor, above: float = 0.0, *words: object) -> Estimate:
    """Mean over classes of the share decided rightly; p of "at most `above`". Bootstrap within classes (stratified).

    p = (1 + draws at or below `above`)/(1 + draws): Davison and Hinkley, Bootstrap Methods and their Application (1997),
    4.2.

    >>> e = balanced_accuracy(torch.tensor([True, True, False, True]), torch.tensor([0, 0, 1, 1]))
    >>> e.value
    0.75
    """
    total, classes = torch.zeros(DRAWS, dtype=torch.float64), list(dict.fromkeys(y.tolist()))
    value = 0.0
    for k, c in enumerate(classes):                 # as they come, so that the names of classes do not matter
        hits = right[y == c].double()
        value += float(hits.mean()) / len(classes)
        total += hits[_resampled(len(hits), (k, *words))].mean(1) / len(classes)
    low, high = _interval(total)
    return Estimate(value=value, low=low, high=high, n=len(y), p=float((1 + (total <= above).sum()) / (1 + DRAWS)))


def median_ratio(top: Tensor, bottom: Tensor, below: float, *words: object) -> Estimate:
    """The median of top/bottom of the same samples; p of "at least `below`".

    A size that was not found is infinite, and stays so in the median: censored, not left out.

    >>> median_ratio(torch.tensor([1.0, 2.0, 3.0]), torch.ones(3), 10.0).value
    2.0
    """
    ratio = (top / bottom).double()
    if len(ratio) == 0:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), n=0)
    # the middle one (the lower of two): a quantile between a number and infinity is no number
    draws = ratio[_resampled(len(ratio), words)].sort(1).values[:, (len(ratio) - 1) // 2]
    order = draws.sort().values
    return Estimate(value=float(ratio.sort().values[(len(ratio) - 1) // 2]), low=float(order[int(0.025 * DRAWS)]),
                    high=float(order[int(0.975 * DRAWS)]), n=len(ratio),
                    p=float((1 + (draws >= below).sum()) / (1 + DRAWS)))


def mean_of(values: Tensor, above: float, *words: object) -> Estimate:
    """The mean with its bootstrap interval; p of "at most `above`"."""
    if len(values) == 0:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), n=0)
    draws = values.double()[_resampled(len(values), words)].mean(1)
    low, high = _interval(draws)
    return Estimate(value=float(values.double().mean()), low=low, high=high, n=len(values),
                    p=float((1 + (draws <= above).sum()) / (1 + DRAWS)))


def preference(follows: int, against: int, above: float = 0.5) -> Estimate:
    """follows/(follows + against) with Clopper and Pearson's interval; exact one-sided p of "at most `above`".

    >>> e = preference(9, 1)
    >>> e.value, round(e.p, 4)
    (0.9, 0.0107)
    """
    n = follows + against
    if n == 0:
        return Estimate(value=float("nan"), low=0.0, high=1.0, n=0)
    from scipy.special import betainc

    low, high = clopper_pearson(follows, n)
    p = 1.0 if follows == 0 else float(betainc(follows, n - follows + 1, above))
    return Estimate(value=follows / n, low=low, high=high, n=n, p=p)
