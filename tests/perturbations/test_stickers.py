"""Stickers and patches: the laws of a convex set, what is covered, and what lies off the mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay.arrays import InputError
from assay.perturbations.patches import Placing, placed
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.perturbations.stickers import Sticker, octagon, rectangles
from assay.perturbations.viewing import STILL, ViewSampler

MASKS = {"rectangles": rectangles(6, 5, [(0.0, 0.0, 0.4, 0.4), (0.5, 0.4, 1.0, 1.0)]), "octagon": octagon(6, 5, 0.4)}


def examples(batch: int = 3) -> Examples:
    inputs = torch.rand(batch, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    return Examples(ids=tuple(map(str, range(batch))), inputs=inputs, truth=torch.zeros(batch, dtype=torch.long))


def streams(batch: int = 3) -> list[torch.Generator]:
    return [stream("sticker", i) for i in range(batch)]


def projection_laws(within: Sticker, x: Examples) -> None:
    """Feasible, idempotent, and ⟨y − Py, z − Py⟩ ≤ 0 for members z: the nearest point and no other."""
    g = torch.Generator().manual_seed(1)
    y = 3 * torch.randn(x.inputs.shape, dtype=torch.float64, generator=g)
    near = within.project(x, y)
    low, high = within.box
    stuck = within.apply(x, near).inputs
    assert float(stuck.min()) >= low and float(stuck.max()) <= high
    assert torch.equal(within.project(x, near), near)
    assert not (near * ~within.at(x)).any()
    for _ in range(20):
        z = within.sample(x, [stream(2, i) for i in range(len(x))])
        mix = torch.rand(z.shape, dtype=torch.float64, generator=g)
        member = mix * z + (1 - mix) * within.zero(x)
        assert torch.allclose(within.project(x, member), member)
        assert bool((((y - near) * (member - near)).flatten(1).sum(1) <= 1e-12).all())


@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("mask", MASKS)
def test_the_projection_is_the_nearest_member(mode, mask):
    within = Sticker(mask=MASKS[mask], mode=mode)
    projection_laws(within, examples())
    assert isinstance(within, ConvexSet)


class Rescaled(Sticker):
    """Broken: shortens the whole sticker instead of clipping each value."""

    def project(self, x: Examples, p: torch.Tensor) -> torch.Tensor:
        return torch.where(self.at(x), p.abs() / p.abs().flatten(1).amax(1).clamp_min(1.0)[:, None, None, None], 0.0)


def test_a_rescaling_is_caught():
    with pytest.raises(AssertionError):
        projection_laws(Rescaled(mask=MASKS["octagon"]), examples())


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_the_neutral_member_changes_nothing_and_others_nothing_off_the_mask(mode):
    x, within = examples(), Sticker(mask=MASKS["octagon"], mode=mode)
    assert torch.equal(within.apply(x, within.zero(x)).inputs, x.inputs)
    views = STILL.draw(x.inputs, streams())
    assert torch.equal(within.seen(x, within.zero(x), views), x.inputs)
    changed = within.apply(x, within.sample(x, streams())).inputs
    off = ~within.at(x).expand_as(changed)
    assert torch.equal(changed[off], x.inputs[off])
    assert set(changed[~off].unique().tolist()) == {0.0, 1.0}
    assert bool((within.size(x, x.inputs) == MASKS["octagon"].double().mean()).all())


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_steepest_is_the_best_member_for_a_linear_objective(mode):
    x, within = examples(), Sticker(mask=MASKS["rectangles"], mode=mode)
    w = torch.randn(x.inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    best = (w * within.steepest(x, w)).flatten(1).sum(1)
    ones = x.inputs if mode == "add" else torch.zeros_like(x.inputs)
    exact = torch.where(within.at(x), torch.maximum(w * (1 - ones), -w * ones), 0.0).flatten(1).sum(1)
    assert torch.allclose(best, exact)
    assert not (within.uphill(x, w) * ~within.at(x)).any()


def test_gradients_vanish_off_the_mask_and_each_view_has_its_own_image():
    x, within = examples(), Sticker(mask=MASKS["rectangles"])
    views = ViewSampler(rotation=20.0, gain=0.1).draw(x.inputs, streams(), 2)
    p = torch.full_like(x.inputs, 0.5).requires_grad_()
    seen = within.seen(x, p, views)
    (gradient,) = torch.autograd.grad(seen.square().sum(), p)
    assert not (gradient * ~within.at(x)).any() and gradient.any()
    alone = Examples(ids=("1",), inputs=x.inputs[1:2])
    theirs = ViewSampler(rotation=20.0, gain=0.1).draw(alone.inputs, streams()[1:2], 2)
    assert torch.equal(within.seen(alone, p[1:2], theirs), seen[2:4])


def test_the_sticker_moves_with_the_image():
    """Whole shifts: the view of a stuck image is the shifted stuck image."""
    x, within = examples(1), Sticker(mask=rectangles(6, 5, [(0.0, 0.0, 0.5, 0.5)]), fill=0.0)
    p = within.project(x, torch.ones_like(x.inputs))
    views = STILL.draw(x.inputs, streams(1))
    views = replace(views, table=views.table + torch.tensor([0.0, 0, 1, 2, 0, 0, 0, 0, 0], dtype=torch.float64))
    expected = torch.zeros_like(x.inputs)
    expected[..., 2:, 1:] = within.apply(x, p).inputs[..., :-2, :-1]
    assert torch.equal(within.seen(x, p, views), expected)


def test_masks_cover_what_they_say():
    assert rectangles(8, 8, [(0.25, 0.0, 0.5, 1.0)]).sum() == 16
    share = octagon(32, 32, 0.3).double().mean()
    assert 0.25 < float(share) <= 0.3
    one = octagon(33, 33, 0.3)[0]
    assert torch.equal(one, one.T) and torch.equal(one, one.flip(0)) and not bool(one[0, 0])
    small = Sticker(mask=MASKS["rectangles"]).resized(0.1)
    assert small.mask.sum() == 3 and bool((small.mask <= MASKS["rectangles"]).all())


@pytest.mark.parametrize("make", [
    lambda: Sticker(mask=torch.ones(1, 4, 4)), lambda: Sticker(mask=torch.zeros(1, 4, 4).bool()),
    lambda: Sticker(mask=MASKS["octagon"], mode="glue"), lambda: Sticker(mask=MASKS["octagon"], box=(1.0, 0.0)),
    lambda: rectangles(4, 4, [(0.5, 0.0, 0.2, 1.0)]), lambda: rectangles(4, 4, [(0.0, 0.0, 0.01, 0.01)]),
    lambda: octagon(4, 4, 0.0), lambda: Sticker(mask=torch.ones(1, 3, 3).bool()).zero(examples()),
])
def test_what_is_no_sticker_is_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_patch_covers_its_disc_and_nothing_else():
    images = torch.zeros(2, 1, 17, 17, dtype=torch.float64)
    places = Placing(scale=(0.5, 0.5), rotation=10.0).draw(images, streams(2))
    patch = torch.ones(1, 1, 5, 5, dtype=torch.float64)
    shown = placed(images, patch, places)
    area = torch.pi * (0.5 * 17 / 2) ** 2
    assert torch.allclose(shown.flatten(1).sum(1), torch.full((2,), area, dtype=torch.float64), rtol=0.1)
    rows, columns = torch.meshgrid(torch.arange(17.0) - 8, torch.arange(17.0) - 8, indexing="ij")
    for i, (_, _, right, down) in enumerate(places.table.tolist()):
        far = (rows - down) ** 2 + (columns - right) ** 2 > (0.5 * 17 / 2) ** 2
        assert not shown[i, 0][far].any()
        assert abs(right) <= 17 / 4 and abs(down) <= 17 / 4
    assert torch.equal(placed(images, patch * 0, places), images)


def test_a_patch_of_other_channels_is_refused():
    images = torch.zeros(1, 1, 4, 4)
    with pytest.raises(InputError, match="patch"):
        placed(images, torch.zeros(1, 3, 2, 2), Placing().draw(images, streams(1)))
