"""Where a sample stands in its file, or when it was taken: does that alone tell its class? No system is shown it.

Data collected class by class, or site by site, have neighbours that are alike in more than the class. A random split puts
one of them into training and the other into the test, which then asks what was learnt by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.study.statistics import Estimate, balanced_accuracy

REACH = 20              # places on either side that vote
PERMUTED = 999
CHUNK = 64              # permutations at once
RARE = 0.002            # p below which order is said to tell the class
CHECKED = 20            # permutations that are judged themselves


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number of each sample, (n,), that is no part of the inputs; `unfit` is why it says nothing about these, or ""."""

    id: str
    title: str
    formula: str
    values: Tensor
    unfit: str = ""


@dataclass(frozen=True, kw_only=True)
class ByOrder:
    """How well order alone tells the class of the rows left out, beside classes exchanged at random.

    `p` is (1 + permutations at least as good)/(1 + all), `highest` the best of them, `alarms` how many of the first twenty
    would be said to tell the class; `runs` counts stretches of one class, as many as classes in a file sorted by class.
    """

    success: Estimate
    p: float
    highest: float
    alarms: int
    runs: int

    @property
    def tells(self) -> bool:
        return self.p <= RARE


def by_order(values: Tensor, y: Tensor, above: Tensor | float, *words: object) -> ByOrder:
    """Success of order alone, (n,) values and classes: half of the rows vote on the class of the other half.

    Of every two neighbours one is left out, by lot, so that both halves run through the whole file. A row left out is given
    the class with the most of Σ 1/distance over the rows kept within `REACH` places, each class over its share. Equal values
    stand in an order drawn by lot. `above` is the share that p of the success refutes; all depend on `words` as on a seed.

    >>> sorted_file = torch.tensor([0] * 50 + [1] * 50)
    >>> found = by_order(torch.arange(100), sorted_file, 0.5, 0)
    >>> found.success.value > 0.95, found.p, found.runs
    (True, 0.001, 2)
    """
    generator = stream("order", *words)
    shuffled = torch.randperm(len(y), generator=generator)
    order = shuffled[values[shuffled].argsort(stable=True)]
    y = _first_seen(y[order])
    out = left_out(len(y), generator)
    right = voted(y[None], out)[0] == y[out]
    success = balanced_accuracy(right, y[out], above, "order", *words)
    by_chance = torch.cat([
        _balanced(torch.stack([y[torch.randperm(len(y), generator=generator)] for _ in range(min(CHUNK, PERMUTED - start))]),
                  out) for start in range(0, PERMUTED, CHUNK)])
    (own,) = _balanced(y[None], out)
    rank = (by_chance[None] >= by_chance[:CHECKED, None]).sum(1)        # each is at least as good as itself
    return ByOrder(success=success, p=float(1 + (by_chance >= own).sum()) / (1 + PERMUTED), highest=float(by_chance.max()),
                   alarms=int((rank <= RARE * PERMUTED).sum()), runs=1 + int((y[1:] != y[:-1]).sum()))


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


def said(fact: str, found: ByOrder, chance: float, classes: int) -> str:
    """What it means that order tells the class, or "" where it does not."""
    if not found.tells:
        return ""
    where = "when the sample was taken" if fact == "time" else "where the row stands in the file"
    blocks = fact != "time" and found.runs == classes
    sorted_file = "; a file sorted by class after collection looks the same" if blocks else ""
    return (f"the class can be told from {where} ({100 * found.success.value:.0f} %, by chance {100 * chance:.0f} %): a "
            f"random split into training and test may flatter this system; split by time or site{sorted_file}")
