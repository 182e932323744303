"""Square Attack: closed forms, membership, silence about gradients, its published parts, and searches that are broken."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

import bounded_oracles as oracle
from assay.arrays import InputError
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.records import Stop
from assay.searches.random_search import random_search
from assay.searches.result import Score
from assay.searches.square import HALVINGS, area, pyramids, square

BOXES = {"box": oracle.BOX, "whole": None}


def streams(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def smooth(x: Examples) -> Tensor:
    """Weights that vary slowly over the image, a different wave for each example and channel."""
    batch, channels, height, width = x.inputs.shape
    r, c = torch.linspace(0, 2, height), torch.linspace(0, 2, width)
    phase = torch.arange(batch * channels).reshape(batch, channels, 1, 1)
    return torch.cos(r[:, None] + phase) * torch.sin(1 + c[None] + 2 * phase).to(x.inputs.dtype)


def share_of_the_maximum(search, norm: str, box: tuple[float, float] | None) -> Tensor:
    """The share found of the exact maximum of ⟨w, p⟩; never more than all of it."""
    x, within = oracle.examples(3, 2, 12, 12), oracle.ball(norm, 0.4, box)
    w = smooth(x)
    found = search(lambda p: (w * p).flatten(1).sum(1), within, x=x, generators=streams(x))
    exact = oracle.linear_maxima(w, x.inputs, norm, 0.4, box)
    assert bool((found.value <= exact * (1 + 1e-7)).all()) and found.backward == 0
    return found.value / exact


# of 288 dimensions after 500 draws: ℓ2, made of ready patterns, is far from the maximum; random members have 0.1 to 0.3
REACH = {"linf": 0.85, "l2": 0.35}


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("norm", REACH)
def test_linear_classifier(norm, box):
    found = share_of_the_maximum(lambda f, s, **k: square(f, s, draws=500, **k), norm, BOXES[box])
    assert float(found.min()) >= REACH[norm]


@pytest.mark.parametrize("box", BOXES)
def test_linear_classifier_of_few_pixels_is_solved_exactly(box):
    x, within = oracle.examples(4, 1, 4, 4), oracle.ball("linf", 0.4, BOXES[box])
    w = torch.randn(x.inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = square(lambda p: (w * p).flatten(1).sum(1), within, x=x, generators=streams(x), draws=600)
    assert torch.allclose(found.value, oracle.linear_maxima(w, x.inputs, "linf", 0.4, BOXES[box]), rtol=1e-9)


@pytest.mark.parametrize("norm", REACH)
def test_random_members_are_caught(norm):
    found = share_of_the_maximum(lambda f, s, **k: random_search(f, s, draws=500, **k), norm, oracle.BOX)
    assert float(found.min()) < REACH[norm] - 0.1


class Watched:
    """An objective that records whether it was asked for gradients, and every perturbation it saw."""

    def __init__(self, function) -> None:
        self.function, self.seen = function, []

    def __call__(self, p: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not p.requires_grad, "a query-only search asked for a gradient"
        self.seen.append(p.clone())
        return self.function(p)


def never_leaves(within: InputBall, x: Examples) -> None:
    objective, w = Watched(lambda p: (smooth(x) * p).flatten(1).sum(1)), within.ball
    square(objective, within, x=x, generators=streams(x), draws=150)
    assert len(objective.seen) == 150
    for p in objective.seen:
        changed = x.inputs + p
        assert bool((changed >= 0).all() and (changed <= 1).all()), "outside the box"
        size = p.flatten(1).norm(dim=1) if w.norm == "l2" else p.flatten(1).abs().amax(1)
        assert bool((size <= w.radius * (1 + 1e-6)).all()), "outside the ball"


@pytest.mark.parametrize("norm", REACH)
@pytest.mark.parametrize("radius", [0.1, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_query_is_a_member_and_none_asks_for_a_gradient(norm, radius, dtype):
    never_leaves(oracle.ball(norm, radius), oracle.examples(2, 3, 7, 9, dtype=dtype))


@pytest.mark.parametrize("norm", REACH)
def test_a_set_that_lets_proposals_out_is_caught(norm):
    class Open(InputBall):
        def project(self, x, p):
            return p

    with pytest.raises(AssertionError, match="outside"):
        never_leaves(Open(ball=oracle.ball(norm, 2.0).ball), oracle.examples(2, 3, 7, 9))


def test_a_search_with_gradients_is_caught():
    from assay.searches.auto_pgd import auto_pgd
    x = oracle.examples(2, 3, 4, 4)
    with pytest.raises(AssertionError, match="gradient"):
        auto_pgd(Watched(lambda p: p.flatten(1).sum(1)), oracle.ball("l2", 0.3), x=x, generators=streams(x), steps=2)


def queries(norm: str, *, draws: int = 60, channels: int = 2, shape: tuple[int, int] = (9, 8)) -> list[Tensor]:
    """What is asked, for an objective that keeps every proposal, without a box."""
    x = Examples(ids=("a", "b"), inputs=torch.full((2, channels, *shape), 0.5, dtype=torch.float64))
    seen: list[Tensor] = []

    def objective(p: Tensor) -> Tensor:
        seen.append(p.clone())
        return torch.full((2,), float(len(seen)))

    square(objective, oracle.ball(norm, 0.25, None), x=x, generators=streams(x), draws=draws)
    return seen


def test_linf_begins_with_stripes_and_sets_squares_to_the_radius():
    seen = queries("linf")
    assert bool((seen[0] == seen[0][:, :, :1]).all() and (seen[0].abs() == 0.25).all())
    assert len({tuple(row) for row in seen[0][:, :, 0].flatten(0, 1).tolist()}) == 4
    for draw, (before, after) in enumerate(pairwise(seen), start=1):
        assert bool((after.abs() == 0.25).all())
        side = max(1, min(round((area(draw - 1, 60, 0.8) * 72) ** 0.5), 8))
        for example in range(2):
            for channel in range(2):
                rows, columns = (before != after)[example, channel].nonzero(as_tuple=True)
                if len(rows):
                    assert int(rows.max() - rows.min()) < side and int(columns.max() - columns.min()) < side
                    assert after[example, channel][rows, columns].unique().numel() == 1


def test_l2_keeps_the_norm_of_the_ball_and_changes_two_squares():
    for before, after in pairwise(queries("l2")):
        assert torch.allclose(after.flatten(1).norm(dim=1), torch.full((2,), 0.25, dtype=torch.float64))
        assert bool((before != after).flatten(1).any(1).all())


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3), (4, 17)])
@pytest.mark.parametrize("norm", REACH)
def test_small_and_oblong_images(norm, shape):
    for p in queries(norm, draws=8, channels=1, shape=shape):
        assert p.shape[2:] == shape and bool(torch.isfinite(p).all())
        assert bool((oracle.ball(norm, 0.25, None).size(Examples(ids=(), inputs=p), p) <= 0.25 + 1e-9).all())


def test_the_share_of_pixels_follows_the_schedule():
    assert [area(after, 10_000, 0.8) for after in HALVINGS] == [0.8 / 2**k for k in range(9)]
    assert [area(after + 1, 10_000, 0.8) for after in HALVINGS] == [0.8 / 2**k for k in range(1, 10)]
    assert all(area(draw, 500, 0.3) == area(20 * draw, 10_000, 0.3) for draw in range(500))


def test_pyramids_by_hand():
    """Side 3, n = 1: one row of ½-height 1 (centre row 0), two rows of height 2 (centre row 1); 1 + ¼ at a centre, 1 around.

    terms: distance 0: 1/4 + 1; distance 1: 1/4.
    """
    upper, lower = [0.25, 1.25, 0.25], [[0.25, 0.25, 0.25], [0.25, 1.25, 0.25]]
    expected = torch.tensor([upper, [-v for v in lower[0]], [-v for v in lower[1]]], dtype=torch.float64)
    assert torch.allclose(pyramids(3), expected / expected.norm())
    for side in (1, 2, 5, 8):
        assert float(pyramids(side).norm()) == pytest.approx(1)


def rough(x: Examples):
    M = torch.randn(9, x.inputs[0].numel(), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return lambda p: torch.sin(4 * ((x.inputs + p).flatten(1) @ M.T)).sum(1)


@pytest.mark.parametrize("norm", REACH)
def test_results_do_not_depend_on_the_batch(norm):
    x, within = oracle.examples(3, 1, 5, 6), oracle.ball(norm, 0.5)

    def run(ids: tuple[str, ...]) -> Tensor:
        part = Examples(ids=ids, inputs=x.inputs[[x.ids.index(i) for i in ids]])
        return square(rough(part), within, x=part, generators=streams(part), draws=40, restarts=2,
                      done=lambda harm: harm > 5.0).parameters

    together = run(x.ids)
    assert torch.allclose(together, run(x.ids[::-1]).flip(0), atol=1e-9)
    assert torch.allclose(together, torch.cat([run((i,)) for i in x.ids]), atol=1e-9)


def test_more_restarts_are_never_better_for_the_system():
    x, within = oracle.examples(4, 4, 4), oracle.ball("linf", 0.5)
    values = [square(rough(x), within, x=x, generators=streams(x), draws=15, restarts=k).value for k in (1, 2, 4)]
    assert all(bool((more >= fewer).all()) for fewer, more in pairwise(values))
    assert float((values[-1] - values[0]).max()) > 0.1


@pytest.mark.parametrize("norm", REACH)
def test_images_without_channels_are_images_of_one(norm):
    x, within = oracle.examples(2, 5, 6), oracle.ball(norm, 0.3)
    single = Examples(ids=x.ids, inputs=x.inputs[:, None])
    found = square(rough(x), within, x=x, generators=streams(x), draws=30).parameters
    assert torch.equal(found, square(rough(single), within, x=single, generators=streams(x), draws=30).parameters[:, 0])


def test_finished_examples_are_frozen_and_the_search_stops_when_all_are():
    x, within, seen = oracle.examples(2, 4, 4), oracle.ball("linf", 0.3), []
    limit = torch.tensor([-100.0, 100.0])

    def objective(p: Tensor) -> Tensor:
        seen.append(p.clone())
        return p.flatten(1).sum(1)

    found = square(objective, within, x=x, generators=streams(x), draws=20, done=lambda harm: harm > limit)
    assert all(torch.equal(p[0], seen[0][0]) for p in seen)
    assert found.stop == (Stop.CONVERGED, Stop.BUDGET) and found.forward == 20
    quick = square(objective, within, x=x, generators=streams(x), draws=20, restarts=4,
                   done=lambda harm: harm > torch.tensor(-100.0))
    assert quick.forward == 1


def test_a_plateau_of_harm_is_climbed_by_its_stand_in():
    """The harm is 0 or 1; the margin beside it leads to where it is 1, and the harm is what is reported."""
    x, within = oracle.examples(2, 4, 4), oracle.ball("linf", 0.3)
    need = 0.7 * oracle.linear_maxima(torch.ones_like(x.inputs), x.inputs, "linf", 0.3)

    def objective(p: Tensor) -> Score:
        margin = p.flatten(1).sum(1) - need
        return Score((margin > 0).double(), margin)

    assert square(objective, within, x=x, generators=streams(x), draws=250).value.tolist() == [1.0, 1.0]
    blind = square(lambda p: objective(p).harm, within, x=x, generators=streams(x), draws=250)
    assert blind.value.tolist() != [1.0, 1.0]


def test_nothing_of_the_caller_is_changed_and_starts_are_projected():
    x, within, seen = oracle.examples(2, 4, 4), oracle.ball("l2", 0.3), []
    inputs, start, state = x.inputs.clone(), torch.ones(2, 4, 4, dtype=torch.float64), torch.get_rng_state()

    def objective(p: Tensor) -> Tensor:
        seen.append(p.clone())
        return p.flatten(1).sum(1)

    square(objective, within, x=x, generators=streams(x), draws=5, starts=[start], restarts=0)
    assert torch.equal(seen[0], within.project(x, start)) and len(seen) == 5
    assert torch.equal(x.inputs, inputs) and bool((start == 1).all()) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("inputs", "options", "words"), [
    (torch.zeros(2, 5), {}, "real images"), (torch.zeros(2, 4, 4, dtype=torch.complex64), {}, "real images"),
    (torch.zeros(1, 1, 1, 2, 2), {}, "real images"), (torch.zeros(2, 4, 4), {"draws": 0}, "draws"),
    (torch.zeros(2, 4, 4), {"restarts": 0}, "start"), (torch.zeros(2, 4, 4), {"share": 0.0}, "share"),
])
def test_what_cannot_be_searched_is_refused(inputs, options, words):
    x = Examples(ids=tuple("ab"[: len(inputs)]), inputs=inputs)
    with pytest.raises(InputError, match=words):
        square(lambda p: p.flatten(1).sum(1), InputBall(ball=Ball(radius=0.1, relative=False)), x=x, generators=streams(x),
               **options)
