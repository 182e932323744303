"""Searches over finite choices: c_i alternatives at each of n places, at most k places changed.

`ask` gives the harm of members (m, places) -> (m,) of one example. Exhaustive search is the only one that proves
anything; the others are what the literature uses where the set is too large, and are never better than it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.records import Stop

Ask = Callable[[Tensor], Tensor]
AT_ONCE = 256       # members asked in one call
WHOLE = 10_000      # up to so many members every one is asked


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The member of greatest harm (places,), its harm, why the search stopped, and how many members it asked."""

    choice: Tensor
    value: float
    stop: Stop
    asked: int


class _Seen:
    """The worst member seen: of equal ones that with fewest changes, then the first."""

    def __init__(self, ask: Ask, places: int) -> None:
        self.ask, self.asked = ask, 0
        self.choice = torch.zeros(places, dtype=torch.long)
        self.value, self.broken = -math.inf, False

    def look(self, members: Tensor, *, count: bool = True) -> Tensor:
        """The harms of members (m, places); those that do not `count` (a phrase left out) are never kept."""
        harms = []
        for some in members.split(AT_ONCE):
            harm = self.ask(some).double()
            self.asked += len(some)
            self.broken |= not bool(torch.isfinite(harm).all())
            harms.append(harm.nan_to_num(nan=-math.inf, posinf=-math.inf))
        found = torch.cat(harms) if harms else torch.zeros(0, dtype=torch.float64)
        if count and len(found):
            best = int(found.argmax())
            fewer = int((members[best] != 0).sum()) < int((self.choice != 0).sum())
            if float(found[best]) > self.value or (float(found[best]) == self.value and fewer):
                self.value, self.choice = float(found[best]), members[best].clone()
        return found

    def result(self, stop: Stop) -> Chosen:
        return Chosen(choice=self.choice, value=self.value, asked=self.asked,
                      stop=Stop.NON_FINITE if self.broken else stop)


def count(choices: Tensor, most: int) -> int:
    """How many members there are: Σ_{j ≤ most} e_j(c₁, …, c_n), e_j the elementary symmetric polynomials.

    >>> count(torch.tensor([2, 1]), 1), count(torch.tensor([2, 1]), 2)
    (4, 6)
    """
    ways = [1] + [0] * most
    for c in choices.tolist():
        for j in range(most, 0, -1):
            ways[j] += ways[j - 1] * c
    return sum(ways)


def exhaustive_choice(ask: Ask, choices: Tensor, *, most: int) -> Chosen:
    """Every member, those with fewest changes first.

    >>> exhaustive_choice(lambda p: p.sum(1).double(), torch.tensor([2, 1]), most=1).choice.tolist()
    [2, 0]
    """
    seen = _Seen(ask, len(choices))
    for members in _batches(_members(choices, most), AT_ONCE):
        seen.look(members)
    return seen.result(Stop.EXHAUSTED)


def greedy_choice(ask: Ask, choices: Tensor, *, most: int) -> Chosen:
    """Places in the order of the harm that leaving their phrase out does; at each the worst alternative, if it is worse.

    Ranking by deletion: Jin et al., "Is BERT really robust?" (TextFooler), AAAI 2020, without its sentence encoder: the
    set itself keeps the meaning.
    """
    seen = _Seen(ask, len(choices))
    places = choices.nonzero()[:, 0]
    seen.look(torch.zeros(1, len(choices), dtype=torch.long))
    if len(places) == 0 or most == 0:
        return seen.result(Stop.EXHAUSTED)
    left_out = torch.zeros(len(places), len(choices), dtype=torch.long)
    left_out[torch.arange(len(places)), places] = -1
    order = seen.look(left_out, count=False).argsort(descending=True, stable=True)
    for place in places[order].tolist():
        if int((seen.choice != 0).sum()) >= most:
            break
        members = seen.choice.repeat(int(choices[place]), 1)
        members[:, place] = torch.arange(1, int(choices[place]) + 1)
        seen.look(members)
    return seen.result(Stop.STALLED)


def beam_choice(ask: Ask, choices: Tensor, *, most: int, width: int = 8) -> Chosen:
    """All members with one more change than the `width` worst of those before, `most` times.

    Of width 1, greedy search by what each replacement does; Ebrahimi et al., "HotFlip", ACL 2018, use a beam so.
    """
    if width < 1:
        raise InputError(f"width must be at least 1, got {width}")
    seen = _Seen(ask, len(choices))
    beam = torch.zeros(1, len(choices), dtype=torch.long)
    seen.look(beam)
    for _ in range(min(most, int((choices > 0).sum()))):
        grown = {tuple(q) for p in beam for q in _grown(p, choices)}
        if not grown:
            break
        members = torch.tensor(sorted(grown))
        harms = seen.look(members)
        beam = members[harms.argsort(descending=True, stable=True)[:width]]
    return seen.result(Stop.STALLED)


def genetic_choice(ask: Ask, choices: Tensor, *, most: int, generator: torch.Generator, population: int = 20,
                   generations: int = 20) -> Chosen:
    """A population of members; children take each place from one of two parents, drawn by rank, and one place anew.

    Alzantot et al., "Generating natural language adversarial examples", EMNLP 2018, on the set's own alternatives; the
    worst of each generation goes on unchanged. A child with too many changes takes some back, at random.
    """
    if population < 2 or generations < 1:
        raise InputError(f"need a population of at least 2 and 1 generation, got {population} and {generations}")
    seen = _Seen(ask, len(choices))
    places = choices.nonzero()[:, 0]
    zero = torch.zeros(1, len(choices), dtype=torch.long)
    seen.look(zero)
    if len(places) == 0 or most == 0:
        return seen.result(Stop.EXHAUSTED)
    members = torch.cat([_mutated(zero[0], choices, places, most, generator)[None] for _ in range(population)])
    harms = seen.look(members)
    for _ in range(generations):
        order = harms.argsort(descending=True, stable=True)
        members, harms = members[order], harms[order]
        weight = torch.arange(population, 0, -1, dtype=torch.float64)
        children = [members[0]]
        for _ in range(population - 1):
            one, other = torch.multinomial(weight, 2, replacement=True, generator=generator).tolist()
            mixed = torch.where(torch.rand(len(choices), generator=generator) < 0.5, members[one], members[other])
            children.append(_mutated(mixed, choices, places, most, generator))
        members = torch.stack(children)
        harms = seen.look(members)
    return seen.result(Stop.BUDGET)


def worst_choice(ask: Ask, choices: Tensor, *, most: int, generator: torch.Generator, whole: int = WHOLE, width: int = 8,
                 population: int = 20, generations: int = 20) -> Chosen:
    """Every member where there are at most `whole`; else the worst that greedy, beam and genetic search find."""
    if count(choices, most) <= whole:
        return exhaustive_choice(ask, choices, most=most)
    found = [greedy_choice(ask, choices, most=most), beam_choice(ask, choices, most=most, width=width),
             genetic_choice(ask, choices, most=most, generator=generator, population=population, generations=generations)]
    best = max(found, key=lambda chosen: chosen.value)
    stop = Stop.NON_FINITE if any(chosen.stop is Stop.NON_FINITE for chosen in found) else Stop.BUDGET
    return Chosen(choice=best.choice, value=best.value, stop=stop, asked=sum(chosen.asked for chosen in found))


def _members(choices: Tensor, most: int) -> Iterator[tuple[int, ...]]:
    places = choices.nonzero()[:, 0].tolist()
    for changes in range(min(most, len(places)) + 1):
        for which in itertools.combinations(places, changes):
            for picked in itertools.product(*(range(1, int(choices[place]) + 1) for place in which)):
                member = [0] * len(choices)
                for place, choice in zip(which, picked, strict=True):
                    member[place] = choice
                yield tuple(member)


def _batches(members: Iterator[tuple[int, ...]], size: int) -> Iterator[Tensor]:
    while batch := list(itertools.islice(members, size)):
        yield torch.tensor(batch)


def _grown(p: Tensor, choices: Tensor) -> Iterator[list[int]]:
    """The members that change one more place than p."""
    for place in ((p == 0) & (choices > 0)).nonzero()[:, 0].tolist():
        for choice in range(1, int(choices[place]) + 1):
            q = p.tolist()
            q[place] = choice
            yield q


def _mutated(p: Tensor, choices: Tensor, places: Tensor, most: int, generator: torch.Generator) -> Tensor:
    q = p.clone()
    place = int(places[int(torch.randint(len(places), (), generator=generator))])
    q[place] = int(torch.randint(int(choices[place]) + 1, (), generator=generator))
    changed = q.nonzero()[:, 0]
    if len(changed) > most:
        q[changed[torch.randperm(len(changed), generator=generator)[most:]]] = 0
    return q
