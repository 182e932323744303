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
from assay.study.statistics import Estimate, preference

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
    edited: tuple[Tensor, Tensor]       # an original and its conflict input, for the picture


def use(g: Editable, decide: Decide, learner: Learner, data: Material, *, seed: int) -> Use:
    """Edit every judged input thrice; each donor is drawn from the half the learner was fitted to.

    A conflict input has the structure of a donor that the learner takes for another class c', and is still taken for c'
    after the edit. P_g = decided c' / (decided c' + decided as the truth).
    """
    x, y = data.part(data.judged)
    fx, fy = data.part(data.fit)
    normal = decide(x)
    generator = stream(seed, "donors", g.id)
    other, found = donors(learner(g.features(fx)).argmax(1), fy, y, generator, same=False)
    flipped = g.given(x, g.content(fx[other]))
    decided = decide(flipped)
    suggests = learner(g.features(flipped)).argmax(1)
    conflict = found & (suggests == fy[other]) & (suggests != y)
    follows, against = int((conflict & (decided == suggests)).sum()), int((conflict & (decided == y)).sum())
    same, has = donors(fy, fy, y, generator, same=True)
    within = decide(g.given(x[has], g.content(fx[same[has]])))
    first = int(conflict.nonzero()[0]) if bool(conflict.any()) else 0
    return Use(preference=preference(follows, against), flip=fall(normal == y, decided == y),
               removal=fall(normal == y, decide(neutral(g, x, fx)) == y), within=fall((normal == y)[has], within == y[has]),
               edited=(x[first], flipped[first]))


def donors(suggested: Tensor, fy: Tensor, y: Tensor, generator: torch.Generator, *, same: bool) -> tuple[Tensor, Tensor]:
    """For each class of y a donor's place among fy, of another class (or the same), and whether there is one.

    A donor's structure must suggest the donor's own class; among those of all other classes each is as likely. The draw
    belongs to the input, not to the number of its class, so renaming classes changes nothing.
    """
    honest, drawn = suggested == fy, torch.rand(len(y), generator=generator, dtype=torch.float64)
    place, there = torch.zeros(len(y), dtype=torch.long), torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique().tolist():
        pool = (honest & ((fy == c) if same else (fy != c))).nonzero().flatten()
        mine = (y == c).nonzero().flatten()
        if len(pool):
            place[mine] = pool[(drawn[mine] * len(pool)).long()]
            there[mine] = True
    return place, there


def fall(before: Tensor, after: Tensor) -> Estimate:
    """Share right before less that after, of the same inputs: Newcombe's interval, McNemar's p (halved: a fall)."""
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    n = len(before)
    if n == 0:
        return Estimate(value=float("nan"), low=-1.0, high=1.0, n=0)
    low, high = paired_difference_interval(both, lost, won, neither)
    return Estimate(value=(lost - won) / n, low=low, high=high, n=n,
                    p=mcnemar(lost, won) / 2 if lost > won else 1.0)
