"""Expectation ascent against closed forms: linear classifiers under masks, boxes and shifts; broken twins are caught."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.patches import Placing, placed
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Sticker, rectangles
from assay.perturbations.viewing import STILL, ViewSampler
from assay.records import Stop
from assay.searches.expectation import drawn_back, expectation_ascent, l1_mask, place_rectangles, universal_patch
from assay.searches.gradient_ascent import gradient_ascent

SIDE = 6


def examples(batch: int = 2) -> Examples:
    g = torch.Generator().manual_seed(0)
    inputs = torch.rand(batch, 1, SIDE, SIDE, dtype=torch.float64, generator=g).round(decimals=1)
    return Examples(ids=tuple(map(str, range(batch))), inputs=inputs, truth=torch.zeros(batch, dtype=torch.long))


def streams(batch: int = 2, seed: object = 0) -> list[torch.Generator]:
    return [stream(seed, i) for i in range(batch)]


def weights(seed: int = 1) -> torch.Tensor:
    return torch.randn(1, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(within: Sticker, x: Examples, w: torch.Tensor, sampler: ViewSampler = STILL, count: int = 4):
    """E over views of ⟨w, view⟩: the score of a linear classifier of what the camera sees."""
    def harm(p, generators):
        seen = within.seen(x, p, sampler.draw(x.inputs, generators, count))
        return (seen * w).flatten(1).sum(1).unflatten(0, (len(x), count)).mean(1)
    return harm


def reaches_the_optimum(search, mode: str) -> None:
    """A masked sticker on a linear classifier: the sign of the weights on the mask, bounded by the box."""
    x, w = examples(), weights()
    within = Sticker(mask=rectangles(SIDE, SIDE, [(0.0, 0.0, 0.5, 0.7)]), mode=mode)
    found = search(linear(within, x, w), within, x=x, generators=streams())
    exact = torch.where(within.at(x), (w > 0).double(), x.inputs)
    assert torch.allclose(within.apply(x, found.parameters).inputs, exact, atol=1e-9)
    assert torch.allclose(found.value, (exact * w).flatten(1).sum(1))


@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
def test_a_masked_sticker_on_a_linear_classifier_is_exact(mode, optimiser):
    reaches_the_optimum(lambda *a, **k: expectation_ascent(*a, optimiser=optimiser, steps=40, **k), mode)


def test_a_descent_and_a_search_that_stops_early_are_caught():
    for sign, steps in ((-1, 40), (1, 1)):
        with pytest.raises(AssertionError):
            reaches_the_optimum(lambda f, *a, sign=sign, steps=steps, **k: expectation_ascent(
                lambda p, g: sign * f(p, g), *a, steps=steps, **k), "replace")


def shifted_average(w: torch.Tensor, reach: int) -> torch.Tensor:
    """Mean over whole shifts of up to `reach` of the weights moved the other way, 0 from outside."""
    total = torch.zeros_like(w)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            padded = torch.nn.functional.pad(w, (reach,) * 4)
            total += padded[:, reach + dy:reach + dy + SIDE, reach + dx:reach + dx + SIDE]
    return total / (2 * reach + 1) ** 2


def test_the_gradient_over_all_translations_is_the_average_of_the_shifted_weights():
    x, w = examples(1), weights()
    within = Sticker(mask=torch.ones(1, SIDE, SIDE).bool(), fill=0.0)
    views = STILL.draw(x.inputs, streams(1), 9)
    shifts = torch.tensor([[dx, dy] for dx in (-1.0, 0, 1) for dy in (-1.0, 0, 1)], dtype=torch.float64)
    views.table[:, 2:4] = shifts
    p = x.inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((within.seen(x, p, views) * w).sum() / 9, p)
    assert torch.allclose(gradient[0], shifted_average(w, 1))
    with pytest.raises(AssertionError):                 # the weights as they stand are not that average
        assert torch.allclose(gradient[0], w)


def test_under_translations_the_sticker_follows_the_averaged_weights():
    x, w = examples(1), weights(5)
    within = Sticker(mask=rectangles(SIDE, SIDE, [(0.2, 0.2, 0.8, 0.8)]), fill=0.0)

    def harm(p, generators):
        views = STILL.draw(x.inputs, generators, 8)
        views.table[:, 2:4] = torch.randint(-1, 2, (8, 2), generator=generators[0]).double()
        return (within.seen(x, p, views) * w).flatten(1).sum(1).mean()[None]

    average = shifted_average(w, 1)
    clear = within.mask[0] & (average[0].abs() > 0.1)
    found = expectation_ascent(harm, within, x=x, generators=streams(1), steps=100).parameters[0, 0]
    alone = expectation_ascent(linear(within, x, w), within, x=x, generators=streams(1), steps=60).parameters[0, 0]
    assert bool(((found > 0.5) == (average[0] > 0))[clear].all())
    assert not bool(((alone > 0.5) == (average[0] > 0))[clear].all())       # without views another sticker is best


def test_a_noisy_objective_is_judged_on_draws_of_its_own():
    """The value told is the mean on the draws kept for comparison, not the luckiest one that was seen."""
    x = Examples(ids=("a",), inputs=torch.zeros(1, 2, dtype=torch.float64))
    ball = InputBall(ball=Ball(radius=1.0, relative=False))
    found = expectation_ascent(lambda p, g: 0.01 * p.sum(1) + torch.randn(1, dtype=torch.float64, generator=g[0]), ball, x=x,
                               generators=streams(1), steps=100)
    assert float(found.history.max()) > 1.5 > abs(float(found.value))
    assert found.stop == (Stop.BUDGET,) and found.history.shape == (100, 1) and found.backward == 100


def batch_invariant(search) -> None:
    x, w = examples(3), weights()
    sampler = ViewSampler(rotation=20.0, shift=0.2, noise=0.1)

    def run(some: Examples, generators):
        within = Sticker(mask=rectangles(SIDE, SIDE, [(0.0, 0.0, 0.5, 0.5)]))
        return search(linear(within, some, w, sampler, 2), within, x=some, generators=generators).parameters

    together = run(x, streams(3))
    for i in range(3):
        alone = run(Examples(ids=x.ids[i:i + 1], inputs=x.inputs[i:i + 1]), streams(3)[i:i + 1])
        assert torch.allclose(alone, together[i:i + 1], atol=1e-9)


def test_an_example_ends_the_same_alone_and_among_others():
    batch_invariant(lambda *a, **k: expectation_ascent(*a, steps=15, **k))


def test_a_step_shared_over_the_batch_is_caught():
    def shared(objective, within, *, x, generators):
        return expectation_ascent(lambda p, g: objective(p, [g[0]] * len(x)), within, x=x, generators=generators, steps=15)
    with pytest.raises(AssertionError):
        batch_invariant(shared)


def test_a_penalty_holds_the_sticker_back():
    """⟨w, p⟩ − λ‖p‖₁ with λ above every weight has its maximum at 0."""
    x, w = examples(1), weights()
    within = Sticker(mask=torch.ones(1, SIDE, SIDE).bool(), mode="add")
    price = 2 * float(w.abs().max())
    found = expectation_ascent(linear(within, x, w), within, x=x, generators=streams(1), steps=60,
                               penalty=lambda p: price * p.abs().flatten(1).sum(1))
    assert not found.parameters.any()


def test_zero_and_broken_gradients_are_told():
    x = examples(2)
    within = Sticker(mask=torch.ones(1, SIDE, SIDE).bool())

    def harm(p, generators):
        value = p.flatten(1).sum(1)
        return torch.stack([0 * value[0], value[1] * float("nan")])
    assert expectation_ascent(harm, within, x=x, generators=streams(), steps=3).stop == (Stop.ZERO_GRADIENT, Stop.NON_FINITE)
    with pytest.raises(InputError, match="steps"):
        expectation_ascent(harm, within, x=x, generators=streams(), steps=0)


def test_the_callers_tensors_and_random_state_stay_as_they_were():
    x, before = examples(1), torch.random.get_rng_state()
    start, kept = torch.full_like(x.inputs, 0.5), x.inputs.clone()
    within = Sticker(mask=torch.ones(1, SIDE, SIDE).bool())
    expectation_ascent(linear(within, x, weights()), within, x=x, generators=streams(1), steps=3, starts=[start])
    assert torch.equal(torch.random.get_rng_state(), before) and torch.equal(x.inputs, kept)
    assert not start.requires_grad and bool((start == 0.5).all())


def test_drawing_back_stops_where_the_harm_begins():
    x = Examples(ids=("a", "b"), inputs=torch.zeros(2, 1, 1, 1, dtype=torch.float64))
    within = Sticker(mask=torch.ones(1, 1, 1).bool())
    back = drawn_back(lambda p: p.flatten(1)[:, 0] - torch.tensor([0.25, 9.0]), within, x=x,
                      parameters=torch.ones(2, 1, 1, 1, dtype=torch.float64), halvings=20)
    assert back.flatten().tolist() == pytest.approx([0.25, 1.0], abs=1e-5) and float(back[0]) > 0.25


def test_rectangles_lie_where_the_sum_is_greatest():
    magnitude = torch.rand(2, 7, 6, generator=torch.Generator().manual_seed(0))
    allowed = torch.ones(2, 7, 6, dtype=torch.bool)
    allowed[:, 0] = False
    masks = place_rectangles(magnitude, allowed, count=1, area=4 / 42)
    best = [max(float(m[r:r + h, c:c + w].sum()) for h, w in ((1, 4), (2, 2), (4, 1)) for r in range(1, 8 - h)
                for c in range(7 - w)) for m in magnitude]
    assert (magnitude * masks).flatten(1).sum(1).tolist() == pytest.approx(best)
    two = place_rectangles(magnitude, allowed, count=2, area=8 / 42)
    assert bool((masks <= two).all()) and two.flatten(1).sum(1).tolist() == [8, 8] and not two[:, 0].any()
    with pytest.raises(InputError, match="less than a pixel"):
        place_rectangles(magnitude, allowed, count=2, area=1 / 42)


def test_the_l1_mask_finds_the_only_place_that_matters():
    x = examples(2)
    w = 0.01 * weights()
    w[0, 3:5, 1:3] = torch.tensor([[5.0, -5.0], [-5.0, 5.0]])
    whole = Sticker(mask=torch.ones(1, SIDE, SIDE).bool())
    x = Examples(ids=x.ids, inputs=torch.full_like(x.inputs, 0.5))
    masks = l1_mask(linear(whole, x, w), whole, x=x, generators=streams(), steps=30, count=1, area=4 / SIDE**2)
    expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    expected[3:5, 1:3] = True
    assert bool((masks == expected).all())


def test_a_universal_patch_on_a_linear_classifier_is_white_where_all_weights_are_positive():
    images = torch.rand(10, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    canvas = Examples(ids=("patch",), inputs=torch.full((1, 1, 5, 5), 0.5, dtype=torch.float64))
    within = Sticker(mask=torch.ones(1, 5, 5).bool())

    def harm(p, chosen, generator):
        some = images[chosen]
        return placed(some, p, Placing(scale=(0.4, 0.8)).draw(some, [generator] * len(some))).flatten(1).mean(1)

    found = universal_patch(harm, within, canvas=canvas, images=10, generator=stream("patch"), steps=40)
    assert torch.allclose(found.parameters[0, 0, 1:-1, 1:-1], torch.ones(3, 3, dtype=torch.float64))
    assert float(found.value) > float(found.history[0])


def test_adam_agrees_with_plain_ascent_on_a_deterministic_objective():
    """A second implementation: gradient_ascent on the same linear objective over an ℓ2 ball."""
    x = Examples(ids=("a",), inputs=torch.zeros(1, 4, dtype=torch.float64))
    ball, w = InputBall(ball=Ball(radius=1.0, relative=False)), torch.tensor([3.0, 0.0, 4.0, 0.0], dtype=torch.float64)
    ours = expectation_ascent(lambda p, g: p @ w, ball, x=x, generators=streams(1), steps=50, optimiser="adam")
    theirs = gradient_ascent(lambda p: p @ w, ball, x=x, generators=streams(1), steps=20)
    assert float(ours.value) == pytest.approx(float(theirs.value), rel=1e-3) == pytest.approx(5.0, rel=1e-3)
