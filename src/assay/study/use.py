"""Does the system follow the structure? Inputs in which structure and truth say different things, and inputs without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.numerics.paired import mcnemar, paired_difference_interval, sign_flip_above
from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, neutral
from assay.study.learner import Learner
from assay.study.material import Material
from assay.study.statistics import NOTHING, Estimate, design_effect, preference

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
    donor: Tensor                               # its place in the fitting half
    decided: Tensor                             # the system's classes of the exchanged


FEWEST_DONORS = 10          # different ones; of fewer nothing is said


@dataclass(frozen=True, kw_only=True)
class Donors:
    """For each judged input the places of its donors in the fitting half, of another class and of its own, and whether there
    are such."""

    other: Tensor
    found: Tensor
    same: Tensor
    has: Tensor


def use(g: Editable, decide: Decide, learner: Learner, data: Material, normal: Tensor, *, seed: int,
        sure: bool = True) -> Use:
    """Edit every judged input thrice; each donor is drawn from the half the learner was fitted to.

    A conflict input is one that the system decides rightly as it is (`normal`) and with the structure of another input of
    its own class (where there is one), so that neither its ordinary errors nor the edit itself count as following. It has
    the structure of a donor that the learner takes for another class c', and is still taken for c' after the edit. P_g =
    decided c' / (decided c' + decided as the truth). With `sure` false every input may be one: for a system that was taught
    nothing of the truth, and is right by chance alone.
    """
    x, y = data.part(data.judged)
    fx, _ = data.part(data.fit)
    drawn = _drawn(g, learner, data, seed)
    flipped = g.given(x, g.content(fx[drawn.other]))
    decided, kept = decide(flipped), decide(g.given(x, g.content(fx[drawn.same])))
    suggests = learner(g.features(flipped)).argmax(1)
    conflict = _conflict(drawn, suggests, data) & (_right_twice(normal, kept, y, drawn.has) if sure else True)
    first = int(conflict.nonzero()[0]) if bool(conflict.any()) else None
    given, from_own = drawn.found, drawn.has
    return Use(preference=_preference(conflict, decided, suggests, y, drawn.other), donor=drawn.other,
               flip=fall((normal == y)[given], decided[given] == y[given], drawn.other[given]),
               removal=fall(normal == y, decide(neutral(g, x, fx)) == y),
               within=fall((normal == y)[from_own], (kept == y)[from_own], drawn.same[from_own]),
               edited=None if first is None else (x[first], flipped[first]), exchanged=flipped, found=given, decided=decided)


def followed(g: Editable, decide: Decide, learner: Learner, data: Material, normal: Tensor, *, seed: int) -> Estimate:
    """The preference alone, as `use` has it: the system is asked of inputs that may be in conflict, and of no others."""
    x, y = data.part(data.judged)
    fx, _ = data.part(data.fit)
    drawn = _drawn(g, learner, data, seed)
    suggests, decided, kept = (torch.full_like(y, -1) for _ in range(3))
    asked = (drawn.found & (normal == y)).nonzero().flatten()
    flipped = g.given(x[asked], g.content(fx[drawn.other[asked]]))
    suggests[asked] = learner(g.features(flipped)).argmax(1)
    asked, flipped = (v[_conflict(drawn, suggests, data)[asked]] for v in (asked, flipped))
    if len(asked) == 0:
        return NOTHING
    decided[asked], kept[asked] = decide(flipped), decide(g.given(x[asked], g.content(fx[drawn.same[asked]])))
    conflict = _conflict(drawn, suggests, data) & _right_twice(normal, kept, y, drawn.has)
    return _preference(conflict, decided, suggests, y, drawn.other)


def _drawn(g: Editable, learner: Learner, data: Material, seed: int) -> Donors:
    fx, fy = data.part(data.fit)
    y, generator = data.y[data.judged], stream(seed, "donors", g.id)
    suggested = learner(g.features(fx)).argmax(1)
    other, found = donors(suggested, fy, y, generator, same=False)
    same, has = donors(fy, fy, y, generator, same=True)
    return Donors(other=other, found=found, same=same, has=has)


def _conflict(drawn: Donors, suggests: Tensor, data: Material) -> Tensor:
    return drawn.found & (suggests == data.y[data.fit][drawn.other]) & (suggests != data.y[data.judged])


def _right_twice(normal: Tensor, kept: Tensor, y: Tensor, has: Tensor) -> Tensor:
    return (normal == y) & (~has | (kept == y))


def _preference(conflict: Tensor, decided: Tensor, suggests: Tensor, y: Tensor, donor: Tensor) -> Estimate:
    follows, against = conflict & (decided == suggests), conflict & (decided == y)
    distinct = len(donor[follows | against].unique())
    return preference(int(follows.sum()), int(against.sum()), distinct=distinct) if distinct >= FEWEST_DONORS else NOTHING


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


def fall(before: Tensor, after: Tensor, groups: Tensor | None = None) -> Estimate:
    """Share right before less that after, of the same inputs: Newcombe's interval, McNemar's p (halved: a fall).

    Inputs that share one of `groups`, a donor, are no independent pairs: the interval is that of counts over the effect of
    groups (Rao and Scott, Biometrics 48 (1992)), p that of the sums of groups, each of which could as well have had the
    other sign; of groups of one this is McNemar's.
    """
    change = before.double() - after.double()
    n, lost, won = len(before), int((change > 0).sum()), int((change < 0).sum())
    if n == 0:
        return NOTHING
    design = design_effect(change, torch.zeros(n, dtype=torch.long), groups)
    both = int((before & after).sum())
    low, high = paired_difference_interval(*(count / design for count in (both, lost, won, n - both - lost - won)))
    if groups is None:
        p = mcnemar(lost, won) / 2 if lost > won else 1.0
    else:
        _, place = groups.unique(return_inverse=True)
        sums = torch.zeros(int(place.max()) + 1, dtype=torch.float64).index_add_(0, place, change)
        p = sign_flip_above(sums.tolist())
    return Estimate(value=(lost - won) / n, low=low, high=high, n=n, p=p)
