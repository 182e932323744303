"""Masks: the fraction asked for, nested, dense in the middle, drawn from the generator alone."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.arrays import InputError
from assay.operators.subsampling import cartesian_lines, line_priorities, variable_density

SAMPLERS = {"lines": cartesian_lines, "density": variable_density}
FRACTIONS = (0.05, 0.1, 0.25, 1 / 3, 0.5, 0.8, 1.0)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def units(mask: torch.Tensor, sampler: str) -> torch.Tensor:
    """What is drawn: lines, or single points."""
    return mask.any(1) if sampler == "lines" else mask.flatten()


def is_nested(masks: list[torch.Tensor]) -> bool:
    """Whether each mask holds the one before it."""
    return all(bool((small & ~large).sum() == 0) for small, large in itertools.pairwise(masks))


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=30, deadline=None)
@given(height=st.integers(4, 40), width=st.integers(4, 40), fraction=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_fraction_is_the_nearest_that_can_be(sampler, height, width, fraction, seed):
    mask = SAMPLERS[sampler]((height, width), fraction, generator=g(seed))
    drawn = units(mask, sampler)
    assert mask.shape == (height, width) and mask.dtype == torch.bool
    assert abs(int(drawn.sum()) - fraction * len(drawn)) <= max(0.5, 1 - fraction * len(drawn)) + 1e-9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nested(sampler, seed):
    assert is_nested([SAMPLERS[sampler]((32, 24), fraction, generator=g(seed)) for fraction in FRACTIONS])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_masks_of_different_seeds_are_not_nested(sampler):
    masks = [SAMPLERS[sampler]((32, 24), 0.3 + 0.05 * seed, generator=g(seed)) for seed in range(4)]
    assert not is_nested(masks)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_generator_is_obeyed(sampler):
    first, again, other = (SAMPLERS[sampler]((32, 32), 0.25, generator=g(seed)) for seed in (1, 1, 2))
    assert bool((first == again).all()) and bool((first != other).any())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_middle_is_denser_than_the_rim(sampler):
    mean = torch.stack([SAMPLERS[sampler]((64, 64), 0.25, generator=g(seed)).float() for seed in range(60)]).mean(0)
    rows = mean[:, 32] if sampler == "density" else mean.mean(1)
    assert rows[32] == 1                                    # zero frequency is always measured
    assert rows[24:40].mean() > 3 * torch.cat((rows[:8], rows[-8:])).mean()
    assert rows[:8].mean() > 0                              # and the rim is not left out


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_corner_layout_is_the_shifted_centred_one(sampler):
    centred = SAMPLERS[sampler]((9, 8), 0.4, generator=g())
    corner = SAMPLERS[sampler]((9, 8), 0.4, generator=g(), centred=False)
    assert bool(corner[0, 0]) and bool((corner == torch.fft.ifftshift(centred)).all())


def test_lines_run_along_the_other_axis():
    rows = cartesian_lines((12, 8), 0.5, generator=g(), axis=0)
    columns = cartesian_lines((12, 8), 0.5, generator=g(), axis=1)
    assert bool((rows.all(1) == rows.any(1)).all()) and bool((columns.all(0) == columns.any(0)).all())
    assert int(rows.any(1).sum()) == 6 and int(columns.any(0).sum()) == 4


def test_central_share_comes_first():
    keys = line_priorities(50, centre=0.1, decay=0.15, generator=g())
    assert keys.argsort(descending=True)[:5].sort().values.tolist() == [23, 24, 25, 26, 27]


def test_draws_follow_their_weights():
    """A line's first place is won with probability weight / sum of weights (Efraimidis and Spirakis 2006)."""
    n, wins = 5, torch.zeros(5)
    stream = g(5)
    for _ in range(4000):
        keys = line_priorities(n, centre=0.2, decay=0.4, generator=stream)
        keys[n // 2] = -math.inf                            # the centre is given, not drawn
        wins[keys.argmax()] += 1
    weights = torch.exp(-0.5 * ((torch.arange(n) - n // 2) / (0.4 * n)) ** 2) + 1e-3
    weights[n // 2] = 0
    assert (wins / 4000 - weights / weights.sum()).abs().max() < 0.035   # more than four standard errors


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, math.nan])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_refuses_impossible_fractions(sampler, fraction):
    with pytest.raises(InputError, match="fraction"):
        SAMPLERS[sampler]((8, 8), fraction, generator=g())
