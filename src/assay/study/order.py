"""Where a sample stands in its file, or when it was taken: does that alone tell its class? No system is shown it.

Data collected class by class, or site by site, have neighbours that are alike in more than the class. A random split puts
one of them into training and the other into the test, which then asks what was learnt by heart. Two questions: are
neighbours of one class (`near`), and does the class go with the place beyond that neighbours are alike (`far`)?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import stream
from assay.study.statistics import Estimate, balanced_accuracy
from assay.study.stretches import BLOCKS, LEAST, Blocks

REACH = 20              # places on either side that vote
PERMUTED = 999
CHUNK = 64              # permutations at once
RARE = 0.002            # p at most which order is said to tell the class
CHECKED = 200           # orders by lot that are judged as the data's own


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number of each sample, (n,), that is no part of the inputs; `unfit` is why it says nothing about these, or ""."""

    id: str
    title: str
    formula: str
    values: Tensor
    unfit: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """How much of the classes is told beyond chance (0 none, 1 all), its p, and `alarms`: of `CHECKED` orders that tell
    nothing, how many have a p as small."""

    beyond: Estimate
    p: float
    alarms: int

    @property
    def tells(self) -> bool:
        """Whether p is rare, and the control has no more alarms than that allows."""
        return self.p <= RARE and clopper_pearson(self.alarms, CHECKED)[0] <= RARE


@dataclass(frozen=True, kw_only=True)
class ByOrder:
    """How well order alone tells the class: `success` of neighbours, `near` beside orders by lot, `far` (None of fewer than
    100 rows) beside whole stretches by lot. `runs` counts stretches of one class, as many as classes in a sorted file."""

    success: Estimate
    near: Told
    far: Told | None
    runs: int


def by_order(values: Tensor, y: Tensor, above: Tensor | float, *words: object) -> ByOrder:
    """Success of order alone, (n,) values and classes: half of the rows vote on the class of the other half.

    Of every two neighbours one is left out, by lot, so that both halves run through the whole file. A row left out is given
    the class with the most of Σ 1/distance over the rows kept within `REACH` places, each class over its share. Equal values
    stand in an order drawn by lot. `above` is the share that p of the success refutes; all depend on `words` as on a seed.
    Votes side by side share rows: the interval is that of so many twentieths of the file as groups.

    >>> sorted_file = torch.tensor([0] * 50 + [1] * 50)
    >>> found = by_order(torch.arange(100), sorted_file, 0.5, 0)
    >>> found.success.value > 0.95, found.near.p, found.runs
    (True, 0.001, 2)
    """
    generator = stream("order", *words)
    y = _first_seen(_sorted(values, y, generator))
    out = left_out(len(y), generator)
    right = voted(y[None], out)[0] == y[out]
    success = balanced_accuracy(right, y[out], above, "order", *words, groups=out * BLOCKS // len(y))
    by_lot = _by_lot(y, PERMUTED, lambda v: _balanced(v, out), generator)

    def p_of(found: Tensor) -> Tensor:
        return (1 + (by_lot[None] >= found[:, None]).sum(1)).double() / (1 + PERMUTED)

    checked = torch.stack([_as_judged(torch.rand(len(y), generator=generator), y, generator) for _ in range(CHECKED)])
    near = Told(beyond=beyond(success, float(by_lot.mean())), p=float(p_of(_balanced(y[None], out))[0]),
                alarms=int((p_of(checked) <= RARE).sum()))
    return ByOrder(success=success, near=near, far=_far(y, generator, *words), runs=1 + int((y[1:] != y[:-1]).sum()))


def beyond(success: Estimate, chance: float) -> Estimate:
    """The share told beyond chance, (success − chance)/(1 − chance), its interval likewise."""
    def of(v: float) -> float:
        return (v - chance) / max(1 - chance, 1e-12)

    return replace(success, value=of(success.value), low=of(success.low), high=of(success.high), p=1.0, against=1.0)


def _sorted(values: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Classes by value, equal values in an order drawn by lot."""
    shuffled = torch.randperm(len(y), generator=generator)
    return y[shuffled[values[shuffled].argsort(stable=True)]]


def _as_judged(values: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Success, (), of values that say nothing, by the way that those of the data go."""
    y = _sorted(values, y, generator)
    return _balanced(y[None], left_out(len(y), generator))[0]


def _by_lot(y: Tensor, count: int, statistic: Callable[[Tensor], Tensor], generator: torch.Generator) -> Tensor:
    """The statistic of `count` orders of the classes by lot."""
    return torch.cat([statistic(torch.stack([y[torch.randperm(len(y), generator=generator)] for _ in range(min(CHUNK, n))]))
                      for n in range(count, 0, -CHUNK)])


def _far(y: Tensor, generator: torch.Generator, *words: object) -> Told | None:
    """What rows further than a twentieth of the file tell, beside the same twentieths in an order by lot."""
    if len(y) < LEAST:
        return None
    blocks = Blocks.drawn(PERMUTED, generator)
    right, place = blocks.credit(y)
    success = balanced_accuracy(right, y, 0.0, "far", *words, groups=place)
    alarms = sum(blocks.p(blocks.stretches_by_lot(y, generator)) <= RARE for _ in range(CHECKED))
    return Told(beyond=beyond(success, float(blocks.by_lot(y).mean())), p=blocks.p(y), alarms=alarms)


def left_out(n: int, generator: torch.Generator) -> Tensor:
    """Places of the rows to be judged: of every two neighbours one, by lot."""
    first = torch.arange(0, n - 1, 2)
    return first + torch.randint(2, (len(first),), generator=generator)


def voted(labels: Tensor, out: Tensor) -> Tensor:
    """Classes (k, len(out)) that the rows kept give to those left out, for k orders of classes (k, n)."""
    k, n = labels.shape
    classes = int(labels.max()) + 1
    kept = torch.ones(n)
    kept[out] = 0.0
    known = F.one_hot(labels, classes).transpose(1, 2) * kept
    distance = (torch.arange(2 * REACH + 1) - REACH).abs()
    weight = torch.where(distance > 0, 1 / distance.clamp_min(1).float(), 0.0)
    votes = F.conv1d(known.reshape(k * classes, 1, n), weight[None, None], padding=REACH).reshape(k, classes, n)
    return (votes[:, :, out] / known.sum(2, keepdim=True).clamp_min(1.0)).argmax(1)


def _balanced(labels: Tensor, out: Tensor) -> Tensor:
    """The mean over classes of the share voted rightly, (k,), for k orders of classes."""
    truth = F.one_hot(labels[:, out], int(labels.max()) + 1).double()
    right = (voted(labels, out) == labels[:, out]).double()
    count = truth.sum(1)
    return ((truth * right[..., None]).sum(1) / count.clamp_min(1.0)).sum(1) / (count > 0).sum(1)


def _first_seen(y: Tensor) -> Tensor:
    """Classes numbered as they first come, so that their names do not matter."""
    number = {c: i for i, c in enumerate(dict.fromkeys(y.tolist()))}
    return torch.tensor([number[c] for c in y.tolist()])


def said(fact: str, found: ByOrder, classes: int) -> str:
    """What it means that order tells the class, or "" where it does not."""
    near, far = found.near, found.far
    drifts = far is not None and far.tells
    if not near.tells and not drifts:
        return ""
    when = fact == "time"
    blocks = not when and found.runs == classes
    sorted_file = "; a file sorted by class after collection looks the same" if blocks else ""
    told = [f"neighbours in {'time' if when else 'the file'} are of one class more often than by chance (they tell "
            f"{_share(near.beyond)} of what chance leaves)"] if near.tells else []
    if far is not None and drifts:
        told.append(f"the class goes with {'when the sample was taken' if when else 'where the row stands'}, beyond that "
                    f"neighbours are alike (rows further than a twentieth of all tell {_share(far.beyond)})")
    return (f"{', and '.join(told)}: a random split into training and test may flatter this system; split by time or site"
            f"{sorted_file}")


def _share(e: Estimate) -> str:
    return f"{100 * e.value:.0f} % ({100 * e.low:.0f} to {100 * e.high:.0f})"
