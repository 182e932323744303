"""Jaggedness and the one-pixel statistic against patterns counted by hand, and against a second implementation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.metrics.jaggedness import flip_size, jaggedness, one_pixel_change


def counted(grid: np.ndarray) -> float:
    """Second implementation: visit every point and look one step further along each axis."""
    changed = pairs = 0
    for place in itertools.product(*(range(n) for n in grid.shape)):
        for axis in range(grid.ndim):
            other = list(place)
            other[axis] += 1
            if other[axis] < grid.shape[axis]:
                pairs += 1
                changed += grid[place] != grid[tuple(other)]
    return changed / pairs


@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 5)])
def test_jaggedness_equals_counting(shape):
    decisions = torch.randint(0, 3, (4, *shape), generator=torch.Generator().manual_seed(0))
    assert jaggedness(decisions).tolist() == pytest.approx([counted(grid.numpy()) for grid in decisions])


def test_constant_half_and_chessboard():
    board = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    half = (torch.arange(6)[None] >= 3).long().expand(6, 6)                  # one change in each of 6 rows, none in columns
    values = jaggedness(torch.stack((torch.zeros(6, 6).long(), half, board)))
    assert values.tolist() == [0.0, 6 / 60, 1.0]
    assert jaggedness(half[None], axes=[1]).tolist() == [6 / 30] and jaggedness(half[None], axes=[0]).tolist() == [0.0]


def test_one_pixel_change_of_a_classifier_that_looks_at_one_pixel():
    """Stripes under a one-pixel classifier: every shift across changes the decision, no shift along, no shift by two."""
    stripes = (torch.arange(8) % 2).expand(5, 8)[None]
    assert one_pixel_change(stripes).tolist() == [1.0]
    assert one_pixel_change(stripes, shift=(1, 0)).tolist() == [0.0]
    assert one_pixel_change(stripes, shift=(0, 2)).tolist() == [0.0]
    assert one_pixel_change(stripes, shift=(-1, -1)).tolist() == [1.0]


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (0, -1), (1, -1), (2, 1)])
def test_one_pixel_change_equals_counting(shift):
    grid = torch.randint(0, 2, (1, 6, 7), generator=torch.Generator().manual_seed(1))
    pairs = [(grid[0, r, c], grid[0, r + shift[0], c + shift[1]]) for r in range(6) for c in range(7)
             if 0 <= r + shift[0] < 6 and 0 <= c + shift[1] < 7]
    assert float(one_pixel_change(grid, shift=shift)) == pytest.approx(np.mean([int(a != b) for a, b in pairs]))


def test_wrapping_round_the_grid_is_caught():
    """A broken twin that rolls the grid joins its ends: half a grid then changes twice in a row instead of once."""
    half = (torch.arange(6) >= 3).long().expand(1, 4, 6)
    rolled = float((half != half.roll(-1, 2)).double().mean())
    assert float(one_pixel_change(half)) == 1 / 5 != rolled


def test_examples_are_judged_alone_and_names_of_classes_do_not_matter():
    decisions = torch.randint(0, 3, (4, 5, 5), generator=torch.Generator().manual_seed(0))
    renamed = torch.tensor([7, -2, 100])[decisions]
    for metric in (jaggedness, one_pixel_change):
        assert torch.equal(metric(decisions), metric(renamed))
        assert torch.equal(metric(decisions)[2:3], metric(decisions[2:3]))


def test_the_least_size_that_flips_is_infinite_where_nothing_does():
    sizes = torch.tensor([[0.5, 0.2, 0.9], [0.5, 0.2, 0.9]], dtype=torch.float64)
    assert flip_size(torch.tensor([[True, False, True], [False] * 3]), sizes).tolist() == [0.5, float("inf")]


def test_bad_decisions_are_refused():
    with pytest.raises(InputError, match="argmax"):
        jaggedness(torch.zeros(2, 3))
    with pytest.raises(InputError, match="two points"):
        jaggedness(torch.zeros(2, 1).long())
    with pytest.raises(InputError, match="axes"):
        jaggedness(torch.zeros(2, 3).long(), axes=[1])
    with pytest.raises(InputError, match="rows"):
        one_pixel_change(torch.zeros(2, 3).long())
    for shift in ((0, 0), (0, 3)):
        with pytest.raises(InputError, match="placement"):
            one_pixel_change(torch.zeros(2, 3, 3).long(), shift=shift)
    with pytest.raises(InputError, match="one shape"):
        flip_size(torch.zeros(1, 2), torch.zeros(1, 3))
