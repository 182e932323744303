"""The statistics of a study: balanced accuracy, medians of ratios, preferences, each with its interval and p value."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assay.numerics.intervals import clopper_pearson
from assay.numerics.student import quantile
from assay.perturbations.protocol import stream

DRAWS = 4_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, how many it rests on, p of what is to be refuted, and p of the opposite.

    Both are 1 where nothing was asked. `p` is small where the number is large enough (or small enough, where that is what
    the question is), `against` where it is not.
    """

    value: float
    low: float
    high: float
    n: int
    p: float = 1.0
    against: float = 1.0


NOTHING = Estimate(value=float("nan"), low=0.0, high=1.0, n=0)


def _share_of(wrong_side: Tensor) -> float:
    """(1 + k)/(1 + draws): Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.2."""
    return float((1 + wrong_side.sum()) / (1 + len(wrong_side)))


def design_effect(right: Tensor, y: Tensor, groups: Tensor | None) -> float:
    """How many inputs of groups weigh as much as one by itself, for the balanced accuracy; at least 1.

    With u = (right − its class's share)/(n_c K): G/(G − 1) Σ_groups (Σ u)² / Σ u². Where all of each class are alike nothing
    tells how groups hang together, and each counts once: n/G. Source: Rao and Scott, Biometrics 48 (1992).

    >>> right, y = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.zeros(4).long()
    >>> design_effect(right, y, torch.tensor([0, 0, 1, 1])), design_effect(right, y, torch.arange(4))
    (4.0, 1.3333333333333333)
    """
    if groups is None:
        return 1.0
    _, place = groups.unique(return_inverse=True)
    count = int(place.max()) + 1
    u = _off_class(right, y)
    total = float(u.square().sum())
    if total < 1e-18 or count == 1:
        return len(y) / count
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, place, u)
    return max(1.0, count / (count - 1) * float(sums.square().sum()) / total)


def _off_class(right: Tensor, y: Tensor) -> Tensor:
    """(right − the share of its class)/(inputs of the class · classes), of each input."""
    _, place, n = y.unique(return_inverse=True, return_counts=True)
    right = right.double()
    share = torch.zeros(len(n), dtype=torch.float64).index_add_(0, place, right) / n
    return (right - share[place]) / (n[place] * len(n))


def accuracy_draws(right: Tensor, y: Tensor, *words: object, design: float = 1.0) -> Tensor:
    """`DRAWS` values that the balanced accuracy b may have: Beta(b m + 1/K, (1 − b) m + 1 − 1/K), m as many inputs as give
    its variance.

    The prior weighs one observation and has its mean at chance, 1/K, for all classes together: one for each class pulls
    towards its mean once a class (of 10 classes with 25 inputs and a true share of .94 intervals of 95 % covered half). m =
    b (1 − b) / V over `design`, the effect of groups, with V = Σ p (1 − p)/n_c / K² and p = (hits + ½)/(n_c + 1), so that
    two inputs that are both right are no certainty. Neither order nor names of classes matter.
    """
    seed = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    _, place, n = y.unique(return_inverse=True, return_counts=True)
    k, n, chance = len(n), n.double(), 1 / max(len(n), 2)
    hits = torch.zeros(k, dtype=torch.float64).index_add_(0, place, right.double())
    p, b, even = (hits + 0.5) / (n + 1), float((hits / n).mean()), float(k**2 / (1 / n).sum())
    near = (b * even + chance) / (even + 1)
    m = near * (1 - near) / (float((p * (1 - p) / n).sum()) / k**2) / design
    return torch.from_numpy(rng.beta(b * m + chance, max(1 - b, 0.0) * m + 1 - chance, DRAWS))


def balanced(right: Tensor, y: Tensor) -> float:
    """The mean over classes of the share decided rightly: the one measure of accuracy in a study.

    >>> balanced(torch.tensor([True, True, False, True]), torch.tensor([0, 0, 0, 1])) == (2 / 3 + 1) / 2
    True
    """
    classes = y.unique()
    return sum(float(right[y == c].double().mean()) for c in classes) / len(classes)


def balanced_accuracy(right: Tensor, y: Tensor, above: Tensor | float = 0.0, *words: object,
                      groups: Tensor | None = None) -> Estimate:
    """Mean over classes of the share decided rightly; p of "at most `above`", and of the opposite.

    `above` may be draws itself, where it is not known exactly. Inputs of one of `groups` (n,), which share a donor or stand
    side by side, are no independent trials.

    >>> balanced_accuracy(torch.tensor([True, True, False, True]), torch.tensor([0, 0, 1, 1])).value
    0.75
    """
    value = balanced(right, y)
    draws = accuracy_draws(right, y, "balanced", *words, design=design_effect(right, y, groups))
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(y), p=_share_of(draws <= above),
                    against=_share_of(draws >= above))


def balanced_difference(first: Tensor, second: Tensor, y: Tensor, groups: Tensor) -> Estimate:
    """Balanced accuracy of `first` less that of `second`, (trainings, n) of the same inputs and first weights.

    The variance is that over groups of inputs, Σ (Σ u)² G/(G − 1) with u as in `design_effect` (at least that of one input),
    plus that over trainings, s²/S; interval by t with Satterthwaite's degrees of freedom (Biometrics Bulletin 2 (1946)).
    Trainings differ over the same inputs, so that what both have in common counts twice: rather too wide.

    >>> one = torch.tensor([[True, True, False, False]] * 2)
    >>> round(balanced_difference(one, ~one, torch.tensor([0, 0, 0, 1]), torch.arange(4)).value, 3)
    -0.333
    """
    change = first.double() - second.double()
    _, place = groups.unique(return_inverse=True)
    count, runs = int(place.max()) + 1, len(change)
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, place, _off_class(change.mean(0), y))
    _, n = y.unique(return_counts=True)
    inputs = max(float(sums.square().sum()) * count / max(count - 1, 1), float(1 / (n * len(n)).min()) ** 2)
    each = torch.tensor([balanced(row, y) for row in change], dtype=torch.float64)
    trainings = float(each.var()) / runs if runs > 1 else 0.0
    freedom = (inputs + trainings) ** 2 / (inputs**2 / max(count - 1, 1) + trainings**2 / max(runs - 1, 1))
    value, half = float(each.mean()), quantile(0.975, max(1, int(freedom))) * math.sqrt(inputs + trainings)
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half), n=len(y))


def _resampled(n: int, words: tuple[object, ...]) -> Tensor:
    return torch.randint(n, (DRAWS, n), generator=stream("bootstrap", *words))


def median_ratio(top: Tensor, bottom: Tensor, below: float, *words: object) -> Estimate:
    """The median of top/bottom of the same samples; p of "at least `below`".

    A size that was not found is infinite, and stays so in the median: censored, not left out. What is no number counts so
    too.

    >>> median_ratio(torch.tensor([1.0, 2.0, 3.0]), torch.ones(3), 10.0).value
    2.0
    """
    ratio = (top / bottom).double().nan_to_num(nan=math.inf, posinf=math.inf)
    if len(ratio) == 0:
        return NOTHING
    # the middle one (the lower of two): a quantile between a number and infinity is no number
    draws = ratio[_resampled(len(ratio), words)].sort(1).values[:, (len(ratio) - 1) // 2]
    order = draws.sort().values
    return Estimate(value=float(ratio.sort().values[(len(ratio) - 1) // 2]), low=float(order[int(0.025 * DRAWS)]),
                    high=float(order[int(0.975 * DRAWS)]), n=len(ratio), p=_share_of(draws >= below))


def mean_of(values: Tensor, above: float, *words: object) -> Estimate:
    """The mean with its bootstrap interval; p of "at most `above`"."""
    if len(values) == 0:
        return NOTHING
    draws = values.double()[_resampled(len(values), words)].mean(1)
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return Estimate(value=float(values.double().mean()), low=low, high=high, n=len(values), p=_share_of(draws <= above))


def preference(follows: int, against: int, *, above: float = 0.5, below: float = 0.1,
               distinct: int | None = None) -> Estimate:
    """follows/(follows + against) with Clopper and Pearson's interval; exact p of "at most `above`" and of "at least
    `below`".

    Inputs that share a donor are no independent trials: with `distinct` donors the interval and p are those of so many
    trials at most, the share kept (rounded towards what is to be refuted).

    >>> e = preference(9, 1)
    >>> e.value, round(e.p, 4)
    (0.9, 0.0107)
    """
    n = follows + against
    if n == 0:
        return NOTHING
    from scipy.special import betainc

    trials = n if distinct is None else min(n, distinct)
    fewest, most = math.floor(follows * trials / n), math.ceil(follows * trials / n)
    low, high = clopper_pearson(fewest, trials)[0], clopper_pearson(most, trials)[1]
    p = 1.0 if fewest == 0 else float(betainc(fewest, trials - fewest + 1, above))
    opposite = 1.0 if most == trials else float(betainc(trials - most, most + 1, 1 - below))
    return Estimate(value=follows / n, low=low, high=high, n=trials, p=p, against=opposite)
