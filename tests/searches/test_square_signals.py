"""Square Attack on signals: its closed form, intervals in place of squares, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

import bounded_oracles as oracle
from assay.arrays import InputError
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.sounds import AddedSound
from assay.searches.random_search import random_search
from assay.searches.square import area, square

RADIUS = 0.25


def signals(batch: int = 3, samples: int = 16, dtype: torch.dtype = torch.float64) -> Examples:
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=torch.zeros(batch, samples, dtype=dtype))


def streams(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def weights(x: Examples) -> Tensor:
    return torch.randn(x.inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# the maximum

def reaches(search, samples: int, share: float) -> None:
    """At least that share of radius · ‖c‖₁, which is the maximum of p · c, and never more than all of it."""
    x = signals(samples=samples)
    c = weights(x)
    found = search(lambda p: (p * c).sum(1), oracle.ball("linf", RADIUS, None), x=x, generators=streams(x))
    exact = torch.tensor([RADIUS * sum(abs(v) for v in row) for row in c.tolist()], dtype=torch.float64)
    assert bool((found.value <= exact * (1 + 1e-9)).all()) and found.backward == 0
    assert bool((found.value >= share * exact).all()), (found.value / exact).tolist()
    assert torch.allclose((found.parameters * c).sum(1), found.value)


@pytest.mark.parametrize("samples", [1, 2, 7, 16])
def test_a_linear_objective_of_few_samples_is_solved(samples):
    reaches(lambda f, s, **k: square(f, s, draws=800, **k), samples, 0.999)


def test_a_linear_objective_of_more_samples_is_nearly_solved():
    reaches(lambda f, s, **k: square(f, s, draws=2000, **k), 64, 0.95)


def test_random_members_and_too_few_draws_are_caught():
    for search in (lambda f, s, **k: random_search(f, s, draws=2000, **k), lambda f, s, **k: square(f, s, draws=10, **k)):
        with pytest.raises(AssertionError):
            reaches(search, 64, 0.95)


def test_within_full_scale_the_maximum_is_that_of_the_box():
    x = Examples(ids=("a", "b"), inputs=torch.tensor([[0.9, -1.0, 0.5, 0.0], [0.2, 0.1, -0.3, 0.95]]).double(),
                 box=(-1.0, 1.0))
    c, within = torch.tensor([[1.0, -2.0, 3.0, -1.0], [1.0, 1.0, -1.0, 2.0]]).double(), AddedSound.at(-6.0, x)
    found = square(lambda p: (p * c).sum(1), within, x=x, generators=streams(x), draws=300)
    radius = 10**-0.3 * x.inputs.abs().amax(1)
    expected = [oracle.support(w.numpy(), "linf", float(r), -1 - a.numpy(), 1 - a.numpy())
                for w, r, a in zip(c, radius, x.inputs, strict=True)]
    assert found.value.tolist() == pytest.approx(expected)
    assert bool((within.size(x, found.parameters) <= -6.0 + 1e-9).all())


# proposals

def proposals(x: Examples, draws: int, *, keep: bool) -> list[Tensor]:
    """What is asked, from nothing: each proposal kept, or none, for an objective that grows or never does."""
    seen: list[Tensor] = []

    def objective(p: Tensor) -> Tensor:
        seen.append(p.clone())
        return torch.full((len(x),), float(len(seen)) if keep else 0.0)

    square(objective, oracle.ball("linf", RADIUS, None), x=x, generators=streams(x), draws=draws, restarts=0,
           starts=[torch.zeros_like(x.inputs)])
    assert len(seen) == draws
    return seen


def are_intervals(seen: list[Tensor], samples: int) -> None:
    """Beside nothing, each proposal is ± the radius on so many consecutive samples as the schedule says, else 0."""
    for draw, p in enumerate(seen[1:], start=1):
        long = max(1, round(area(draw - 1, len(seen), 0.8) * samples))
        for row in p.tolist():
            where = [i for i, v in enumerate(row) if v != 0]
            assert where == list(range(where[0], where[0] + long)), (draw, where, long)
            assert {row[i] for i in where} in ({RADIUS}, {-RADIUS})


@pytest.mark.parametrize("samples", [1, 2, 9, 100, 1000])
def test_a_proposal_is_one_interval(samples):
    are_intervals(proposals(signals(2, samples), 60, keep=False), samples)


def test_proposals_of_another_length_or_scattered_are_caught():
    seen = proposals(signals(2, 100), 60, keep=False)
    scattered = [p[:, torch.randperm(100, generator=torch.Generator().manual_seed(0))] for p in seen]
    sides = [torch.where(torch.arange(100) < 9, RADIUS, 0.0).repeat(2, 1) for _ in seen]       # those of a square of pixels
    for broken in (scattered, sides, [2 * p for p in seen]):
        with pytest.raises(AssertionError):
            are_intervals(broken, 100)


def test_intervals_lie_anywhere_and_have_both_signs():
    last = proposals(signals(1, 40), 1200, keep=False)[600:]
    assert {int(p[0].nonzero()[0]) for p in last} == set(range(40))
    assert 240 < sum(float(p.sum()) > 0 for p in last) < 360


def change_one_interval(seen: list[Tensor], samples: int) -> None:
    """From one kept proposal to the next: all that changes lies in so many consecutive samples, which are then equal."""
    for draw, (before, after) in enumerate(pairwise(seen), start=1):
        long = max(1, round(area(draw - 1, len(seen), 0.8) * samples))
        for old, new in zip(before.tolist(), after.tolist(), strict=True):
            changed = [i for i in range(samples) if old[i] != new[i]]
            assert all(abs(new[i]) == RADIUS for i in changed)
            if changed:
                assert changed[-1] - changed[0] < long and len({new[i] for i in changed}) == 1


def test_each_step_changes_one_interval():
    seen = proposals(signals(2, 100), 80, keep=True)
    change_one_interval(seen, 100)
    with pytest.raises(AssertionError):
        change_one_interval(seen[::3], 100)


def test_the_start_is_the_radius_everywhere_with_a_sign_for_each_sample():
    seen: list[Tensor] = []
    x = signals(2, 200)
    square(lambda p: seen.append(p.clone()) or torch.zeros(2), oracle.ball("linf", RADIUS, None), x=x,
           generators=streams(x), draws=1)
    assert bool((seen[0].abs() == RADIUS).all()) and not torch.equal(seen[0][0], seen[0][1])
    assert bool(((seen[0] > 0).sum(1) - 100).abs().max() < 30)


def windows(shape: tuple[int, ...], draws: int = 60) -> list[tuple[int, int, int]]:
    """Height, width and number of pixels of what each proposal changes, of every example and channel."""
    x = Examples(ids=("a", "b"), inputs=torch.zeros(2, *shape, dtype=torch.float64))
    found = []
    for p in proposals(x, draws, keep=False)[1:]:
        for plane in p.reshape(-1, *(shape[-2:] if len(shape) > 1 else (1, *shape))):
            rows, columns = plane.nonzero(as_tuple=True)
            found.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1, len(rows)))
    return found


def are_squares(found: list[tuple[int, int, int]], shape: tuple[int, ...], draws: int = 60) -> None:
    """As wide as high, of the schedule's area or as large as the image is high or wide."""
    height, width = shape[-2:]
    planes = 2 * (shape[0] if len(shape) == 3 else 1)
    for place, window in enumerate(found):
        side = max(1, min(round((area(place // planes, draws, 0.8) * height * width) ** 0.5), height, width))
        assert window == (side, side, side * side)


@pytest.mark.parametrize("shape", [(12, 12), (2, 9, 20), (1, 20, 9), (3, 2, 30), (1, 30), (30, 1), (2, 1, 30), (3, 30, 1)])
def test_a_proposal_on_an_image_is_one_square(shape):
    found = windows(shape)
    are_squares(found, shape)
    assert len({tall for tall, _, _ in found}) > 1 or min(shape[-2:]) == 1


def test_an_interval_on_an_image_of_height_one_is_caught():
    """As of a signal: 24 pixels of 30 at first, where a square has one."""
    with pytest.raises(AssertionError):
        are_squares([(1, long, long) for _, long, _ in windows((30,))], (1, 30))


# the rest

def test_results_do_not_depend_on_the_batch():
    x, within = signals(3, 30), oracle.ball("linf", 0.5, None)
    M = torch.randn(7, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def run(ids: tuple[str, ...]) -> Tensor:
        part = Examples(ids=ids, inputs=x.inputs[[x.ids.index(i) for i in ids]])
        return square(lambda p: torch.sin(4 * p @ M.T).sum(1), within, x=part, generators=streams(part), draws=60,
                      restarts=2).parameters

    together = run(x.ids)
    assert torch.allclose(together, run(x.ids[::-1]).flip(0), atol=1e-9)
    assert torch.allclose(together, torch.cat([run((i,)) for i in x.ids]), atol=1e-9)


def test_every_query_is_a_member_and_none_asks_for_a_gradient():
    x = Examples(ids=("a", "b"), inputs=oracle.saturated(2, 50, dtype=torch.float32), box=(0.0, 1.0))
    within = InputBall(ball=Ball(norm="linf", radius=0.3, relative=True, box=(0.0, 1.0)))

    def objective(p: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and p.shape == x.inputs.shape and p.dtype == torch.float32
        changed = x.inputs + p
        assert float(changed.min()) >= 0 and float(changed.max()) <= 1
        assert bool((p.abs().amax(1) <= 0.3 * x.inputs.amax(1) * (1 + 1e-6)).all())
        return p.sum(1)

    assert square(objective, within, x=x, generators=streams(x), draws=100).forward == 100


def test_balls_of_l2_and_complex_signals_are_refused():
    x = signals()
    for inputs, norm in ((x.inputs, "l2"), (x.inputs.to(torch.complex128), "linf")):
        part = Examples(ids=x.ids, inputs=inputs)
        with pytest.raises(InputError, match=r"signals in a ball of linf.*use random_walk for other inputs"):
            square(lambda p: p.real.sum(1), oracle.ball(norm, RADIUS, None), x=part, generators=streams(part))
