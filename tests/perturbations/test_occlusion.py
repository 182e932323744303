"""Occlusion and added details: what is touched and what is not, bounded area and contrast, places searched exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.occlusion import MARKS, AddedDetail, Occlusion, mark
from assay.perturbations.protocol import Examples, PerturbationSet, stream
from assay.searches.exhaustive import exhaustive
from assay.searches.hill_climb import hill_climb

SETS = [Occlusion(share=5 / 24), *(AddedDetail(mark=name, area=0.15) for name in MARKS)]


def examples(batch: int = 2, height: int = 24, width: int = 30) -> Examples:
    g = torch.Generator().manual_seed(0)
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=torch.rand(batch, 3, height, width, generator=g),
                    truth=torch.arange(batch))


def streams(batch: int = 2, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, i) for i in range(batch)]


def test_the_square_hides_its_pixels_and_touches_no_other():
    x, within = examples(), Occlusion(share=4 / 24, grey=0.25)
    hidden = within.apply(x, torch.tensor([[3.0, 5.0], [20.0, 26.0]])).inputs
    inside = torch.zeros(2, 1, 24, 30, dtype=torch.bool)
    inside[0, :, 3:7, 5:9] = inside[1, :, 20:24, 26:30] = True
    assert bool((hidden[inside.expand_as(hidden)] == 0.25).all())
    assert torch.equal(torch.where(inside, x.inputs, hidden), x.inputs)


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize(("height", "width"), [(24, 30), (64, 48), (224, 224)])
@pytest.mark.parametrize("area", [0.15, 0.3])
def test_marks_fit_and_touch_no_more_than_their_area(name, height, width, area):
    picture = mark(name, height, width, area)
    touched = int(picture.count_nonzero())
    assert 0 < touched <= area * height * width
    assert picture.shape[0] <= height and picture.shape[1] <= width
    assert float(picture.min()) >= 0 and float(picture.max()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("contrast", [0.4, -0.4])
def test_details_are_bounded_by_area_and_contrast_and_stay_in_the_box(name, contrast):
    x, within = examples(), AddedDetail(mark=name, area=0.15, contrast=contrast)
    change = within.apply(x, within.sample(x, streams())).inputs - x.inputs
    assert float(change.abs().max()) <= 0.4 + 1e-6
    assert 0 < int((change.abs().amax(1) > 0).flatten(1).sum(1).max()) <= 0.15 * 24 * 30
    assert bool((change * contrast >= 0).all())
    changed = change + x.inputs
    assert float(changed.min()) >= -1e-6 and float(changed.max()) <= 1 + 1e-6
    assert within.size(x, within.zero(x)).tolist() == pytest.approx([0.4, 0.4])


def test_a_larger_mark_would_touch_too_much():
    """The bound is used: the next larger disc exceeds it."""
    picture = mark("marker", 64, 64, 0.05)
    assert mark("marker", 64, 64, 0.06).shape[0] > picture.shape[0] or int(picture.count_nonzero()) > 0.045 * 64 * 64
    with pytest.raises(InputError, match="larger area"):
        mark("border", 24, 30, 0.01)
    with pytest.raises(InputError, match="larger area"):
        mark("text", 8, 8, 0.05)


@pytest.mark.parametrize("within", SETS, ids=lambda s: getattr(s, "mark", "square"))
def test_laws_of_places(within):
    x = examples()
    p = torch.tensor([[-3.2, 100.0], [2.4, 1.6]], dtype=torch.float64)
    places, nearest = within.places(x), within.project(x, p)
    assert nearest[0].tolist() == [0.0, float(places.columns)]
    assert torch.equal(within.project(x, nearest), nearest)
    draw = within.sample(x, streams())
    assert torch.equal(draw, within.sample(x, streams())) and torch.equal(draw, within.project(x, draw))
    assert torch.equal(draw[1:], within.sample(examples(batch=1), streams()[1:]))
    members = torch.stack([m[0] for m in within.members(x)])
    assert within.count(x) == len(members) == len(members.unique(dim=0)) == (places.rows + 1) * (places.columns + 1)
    assert all(torch.equal(m, within.project(x, m)) for m in within.neighbours(x, draw, 4.0))
    assert isinstance(within, PerturbationSet) and len(within.neighbours(x, draw, 1.0)) == 8
    kept = x.inputs.clone()
    together = within.apply(x, draw)
    assert torch.equal(x.inputs, kept) and torch.equal(together.truth, x.truth)
    alone = within.apply(Examples(ids=("b",), inputs=x.inputs[1:]), draw[1:])
    assert torch.equal(alone.inputs, together.inputs[1:])


def test_a_stride_keeps_the_last_row_and_column():
    x = examples(batch=1, height=10, width=8)
    members = torch.stack([m[0] for m in Occlusion(share=3 / 8, stride=3).members(x)])
    assert members[:, 0].unique().tolist() == [0.0, 3.0, 6.0, 7.0] and members[:, 1].unique().tolist() == [0.0, 3.0, 5.0]


def one_pixel(images: Tensor) -> Tensor:
    """Harm of a classifier that looks at one bright pixel: how dark it has become there."""
    return 1 - images[:, :, 13, 17].mean(1).double()


def test_the_square_is_found_over_the_one_pixel_that_matters():
    x, within = examples(), Occlusion(share=5 / 24, grey=0.0)

    def harm(p: Tensor) -> Tensor:
        return one_pixel(within.apply(x, p).inputs)

    found = exhaustive(harm, within.members(x), x=x)
    assert found.value.tolist() == [1.0, 1.0]
    assert bool(((found.parameters <= torch.tensor([13.0, 17.0])) & (found.parameters > torch.tensor([8.0, 12.0]))).all())
    assert found.parameters[0].tolist() == [9.0, 13.0]                                    # of equals the first
    blind = exhaustive(lambda p: harm(p) * 0, within.members(x), x=x)
    assert float(harm(blind.parameters).min()) < 1


def test_a_hill_climb_finds_the_place_of_a_smooth_harm():
    x, within = examples(batch=3), AddedDetail(mark="marker", area=0.05)
    goal = torch.tensor([7.0, 11.0], dtype=torch.float64)
    found = hill_climb(lambda p: -(p - goal).square().sum(1), within, x=x, generators=streams(3), draws=3,
                       distances=(8.0, 4.0, 2.0, 2.0, 1.0, 1.0))
    assert float(found.value.min()) >= -2.0
    stay = hill_climb(lambda p: -(p * 0).sum(1), within, x=x, generators=streams(3), draws=3)
    assert float((stay.parameters - goal).square().sum(1).max()) > 2.0


def test_white_on_white_changes_nothing_and_is_clipped():
    x = Examples(ids=("a",), inputs=torch.ones(1, 1, 24, 24))
    light, dark = AddedDetail(contrast=0.5), AddedDetail(contrast=-0.5)
    assert torch.equal(light.apply(x, light.zero(x)).inputs, x.inputs)
    assert float(dark.apply(x, dark.zero(x)).inputs.min()) == 0.5


def test_grey_and_contrast_are_shares_of_the_range_of_the_inputs():
    x = Examples(ids=("a",), inputs=torch.zeros(1, 1, 24, 24), box=(-1.0, 3.0))
    square, disc = Occlusion(share=0.25, grey=0.25), AddedDetail(contrast=0.5)
    assert float(square.apply(x, square.zero(x)).inputs[0, 0, 12, 12]) == 0.0
    assert float(disc.apply(x, disc.zero(x)).inputs.max()) == 2.0


def test_resized_keeps_the_sign_and_the_place():
    assert AddedDetail(contrast=-0.5).resized(0.2).contrast == -0.2
    assert Occlusion(share=0.2).resized(0.3).share == 0.3


@pytest.mark.parametrize("bad", [lambda: Occlusion(share=0.0), lambda: Occlusion(grey=2.0), lambda: AddedDetail(mark="logo"),
                                 lambda: AddedDetail(area=0.0), lambda: AddedDetail(contrast=1.5),
                                 lambda: Occlusion(share=1.1), lambda: mark("text", 40, 40, 0.9, " ")])
def test_bad_input_is_refused(bad):
    with pytest.raises(InputError):
        bad()
