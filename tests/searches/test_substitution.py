"""Searches over finite choices: exhaustive equals brute force, the others are members and never better."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.records import Stop
from assay.searches.substitution import (
    beam_choice,
    count,
    exhaustive_choice,
    genetic_choice,
    greedy_choice,
    worst_choice,
)

PROBLEMS = range(100)


def problem(seed: int) -> tuple[Tensor, int, dict[tuple[int, ...], float]]:
    """Choices, most changes, and the harm of every member: a rough table, so that greedy steps mislead."""
    g = torch.Generator().manual_seed(seed)
    places = int(torch.randint(1, 5, (), generator=g))
    choices = torch.randint(0, 4, (places,), generator=g)
    most = int(torch.randint(0, 4, (), generator=g))
    table = {p: float(torch.randint(0, 30, (), generator=g))
             for p in itertools.product(*(range(-1, int(c) + 1) for c in choices))}
    return choices, most, table


def asker(table: dict[tuple[int, ...], float]):
    return lambda members: torch.tensor([table[tuple(p)] for p in members.tolist()])


def brute_force(choices: Tensor, most: int, table: dict[tuple[int, ...], float]) -> tuple[float, int]:
    """Greatest harm, and the fewest changes that reach it."""
    allowed = [p for p in table if min(p, default=0) >= 0 and sum(map(bool, p)) <= most]
    assert len(allowed) == count(choices, most)
    worst = max(table[p] for p in allowed)
    return worst, min(sum(map(bool, p)) for p in allowed if table[p] == worst)


@pytest.mark.parametrize("seed", PROBLEMS)
def test_exhaustive_is_brute_force_and_the_others_are_never_better(seed):
    choices, most, table = problem(seed)
    worst, fewest = brute_force(choices, most, table)
    found = exhaustive_choice(asker(table), choices, most=most)
    assert (found.value, int((found.choice != 0).sum()), found.stop) == (worst, fewest, Stop.EXHAUSTED)
    assert found.asked == count(choices, most)
    for other in (greedy_choice(asker(table), choices, most=most), beam_choice(asker(table), choices, most=most),
                  genetic_choice(asker(table), choices, most=most, generator=torch.Generator().manual_seed(seed))):
        assert other.value <= worst
        assert min(other.choice.tolist(), default=0) >= 0 and int((other.choice != 0).sum()) <= most
        assert bool((other.choice <= choices).all()) and other.value == table[tuple(other.choice.tolist())]
    assert beam_choice(asker(table), choices, most=most, width=10_000).value == worst      # a beam that forgets nothing


def test_brute_force_catches_a_search_that_forgets_the_last_alternative():
    missed = 0
    for seed in PROBLEMS:
        choices, most, table = problem(seed)
        broken = exhaustive_choice(asker(table), (choices - 1).clamp_min(0), most=most)
        missed += broken.value < brute_force(choices, most, table)[0]
    assert missed > 30


def test_greedy_can_miss_what_only_two_changes_together_do():
    table = {p: float(p == (1, 1)) - 0.1 * sum(map(bool, p)) for p in itertools.product((-1, 0, 1), repeat=2)}
    ask, choices = asker(table), torch.tensor([1, 1])
    assert greedy_choice(ask, choices, most=2).value == 0.0
    assert exhaustive_choice(ask, choices, most=2).choice.tolist() == [1, 1]
    assert beam_choice(ask, choices, most=2).choice.tolist() == [1, 1]


def test_beyond_the_limit_the_worst_of_three_searches_is_no_proof():
    choices = torch.full((12,), 3)
    weights = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights[:, 0] = 0.0

    def ask(members: Tensor) -> Tensor:
        return weights.gather(1, members.clamp_min(0).T).sum(0)

    assert count(choices, 6) > 10_000
    found = worst_choice(ask, choices, most=6, generator=torch.Generator().manual_seed(1))
    best = weights[:, 1:].amax(1).clamp_min(0).sort(descending=True).values[:6].sum()
    assert found.stop is Stop.BUDGET and found.value == pytest.approx(float(best))        # a sum: greedy steps reach it
    small = worst_choice(ask, choices, most=2, generator=torch.Generator())
    assert small.stop is Stop.EXHAUSTED and small.asked == count(choices, 2)


def test_answers_that_are_no_numbers_are_said():
    found = exhaustive_choice(lambda p: torch.where(p.sum(1) > 0, math.nan, 0.0).double(), torch.tensor([1]), most=1)
    assert found.stop is Stop.NON_FINITE and found.choice.tolist() == [0]


def test_no_place_or_no_change_leaves_the_input():
    for choices, most in ((torch.tensor([0]), 3), (torch.tensor([2]), 0)):
        found = worst_choice(lambda p: p.sum(1).double(), choices, most=most, generator=torch.Generator())
        assert found.choice.tolist() == [0] and found.stop is Stop.EXHAUSTED and found.asked == 1


def test_bad_settings():
    with pytest.raises(InputError, match="width"):
        beam_choice(lambda p: p.sum(1).double(), torch.tensor([1]), most=1, width=0)
    with pytest.raises(InputError, match="population"):
        genetic_choice(lambda p: p.sum(1).double(), torch.tensor([1]), most=1, generator=torch.Generator(), population=1)
