"""Does the system follow the structure? Inputs in which structure and truth say different things, and inputs without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.numerics.paired import mcnemar, paired_difference_interval
from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, neutral
from assay.study.learner import Learner
from assay.study.material import Material
from assay.study.statistics import NOTHING, Estimate, preference

Decide = Callable[[Tensor], Tensor]         # inputs (n, …) -> classes (n,)


@dataclass(frozen=True, kw_only=True)
class Use:
    """What exchanging and removing the structure does to decisions.

    `preference` is P_g on conflict inputs; `flip`, `removal` and `within` are falls of accuracy when the structure comes
    from an input of another class, is at its mean, or comes from another input of the same class: what the edit itself
    costs.
    """

    preference: Estimate
    flip: Estimate
    removal: Estimate
    within: Estimate
    edited: tuple[Tensor, Tensor] | None        # an original and its conflict input, for the picture
    exchanged: Tensor                           # judged inputs with the structure of another class
    found: Tensor                               # whether there was such a donor
    decided: Tensor                             # the system's classes of the exchanged


FEWEST_DONORS = 10          # different ones; of fewer nothing is said


def use(g: Editable, decide: Decide, learner: Learner, data: Material, *, seed: int, sure: bool = True) -> Use:
    """Edit every judged input thrice; each donor is drawn from the half the learner was fitted to.

    A conflict input is one that the system decides rightly as it is and with the structure of another input of its own class
    (where there is one), so that neither its ordinary errors nor the edit itself count as following. It has the structure of
    a donor that the learner takes for another class c', and is still taken for c' after the edit. P_g = decided c' /
    (decided c' + decided as the truth). With `sure` false every input may be one: for a system that was taught nothing of
    the truth, and is right by chance alone.
    """
    x, y = data.part(data.judged)
    fx, fy = data.part(data.fit)
    normal = decide(x)
    generator = stream(seed, "donors", g.id)
    suggested = learner(g.features(fx)).argmax(1)
    other, found = donors(suggested, fy, y, generator, same=False)
    same, has = donors(fy, fy, y, generator, same=True)
    flipped = g.given(x, g.content(fx[other]))
    kept = decide(g.given(x, g.content(fx[same])))
    decided, suggests = decide(flipped), learner(g.features(flipped)).argmax(1)
    conflict = found & (suggests == fy[other]) & (suggests != y)
    conflict &= (normal == y) & (~has | (kept == y)) if sure else torch.ones_like(conflict)
    follows, against = conflict & (decided == suggests), conflict & (decided == y)
    distinct = len(other[follows | against].unique())
    enough = distinct >= FEWEST_DONORS
    followed = preference(int(follows.sum()), int(against.sum()), distinct=distinct) if enough else NOTHING
    first = int(conflict.nonzero()[0]) if bool(conflict.any()) else None
    return Use(preference=followed, flip=fall((normal == y)[found], decided[found] == y[found]),
               removal=fall(normal == y, decide(neutral(g, x, fx)) == y), within=fall((normal == y)[has], (kept == y)[has]),
               edited=None if first is None else (x[first], flipped[first]), exchanged=flipped, found=found, decided=decided)


def donors(suggested: Tensor, fy: Tensor, y: Tensor, generator: torch.Generator, *, same: bool) -> tuple[Tensor, Tensor]:
    """For each class of y a donor's place among fy, of another class (or the same), and whether there is one.

    A donor's structure must suggest the donor's own class. Inputs of a class take the donors in turn, in an order drawn for
    the class, so that as many different ones as there are serve. The order belongs to the inputs, not to the number of their
    class: renaming classes changes nothing.
    """
    honest, drawn = suggested == fy, torch.rand(len(fy), generator=generator, dtype=torch.float64)
    place, there = torch.zeros(len(y), dtype=torch.long), torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique().tolist():
        pool = (honest & ((fy == c) if same else (fy != c))).nonzero().flatten()
        mine = (y == c).nonzero().flatten()
        if len(pool):
            pool = pool[drawn[pool].argsort()]
            place[mine] = pool[(torch.arange(len(mine)) + int(mine[0])) % len(pool)]
            there[mine] = True
    return place, there


def fall(before: Tensor, after: Tensor) -> Estimate:
    """Share right before less that after, of the same inputs: Newcombe's interval, McNemar's p (halved: a fall)."""
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    n = len(before)
    if n == 0:
        return NOTHING
    low, high = paired_difference_interval(both, lost, won, neither)
    return Estimate(value=(lost - won) / n, low=low, high=high, n=n,
                    p=mcnemar(lost, won) / 2 if lost > won else 1.0)
