"""Affine changes: exact identity and whole shifts, an independent resampling, box laws, closed forms, broken twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.geometric import Affine, transform
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.searches.exhaustive import exhaustive
from assay.searches.hill_climb import hill_climb


def examples(batch: int = 2, height: int = 9, width: int = 12, channels: int = 2, seed: int = 0) -> Examples:
    g = torch.Generator().manual_seed(seed)
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=torch.rand(batch, channels, height, width, generator=g),
                    truth=torch.arange(batch))


def streams(batch: int, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, i) for i in range(batch)]


def by_scipy(image: np.ndarray, degrees: float, dx: float, dy: float, s: float, fill: float) -> np.ndarray:
    """The definition as an inverse matrix for scipy: rotation and size about the centre, then the shift."""
    a = math.radians(degrees)
    forward = (1 + s) * np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])     # of (row, column)
    back, centre = np.linalg.inv(forward), (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(image, back, offset=centre - back @ (centre + np.array([dy, dx])), order=1,
                                    mode="grid-constant", cval=fill)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (8, 8), (1, 5)])
def test_identity_parameters_change_nothing_bit_by_bit(dtype, height, width):
    x = examples(height=height, width=width)
    images = x.inputs.to(dtype)
    for k in (3, 4):
        assert torch.equal(transform(images, torch.zeros(2, k, dtype=torch.float64), fill=0.3), images)
    same = Affine().apply(x, Affine().zero(x))
    assert torch.equal(same.inputs, x.inputs) and torch.equal(same.truth, x.truth)


def test_a_whole_shift_and_back_restores_the_interior_bit_by_bit():
    x = examples().inputs
    there = transform(x, torch.tensor([[0.0, 3.0, -2.0]]).expand(2, -1), fill=0.7)
    assert torch.equal(there[:, :, :-2, 3:], x[:, :, 2:, :-3])
    assert bool((there[:, :, -2:] == 0.7).all()) and bool((there[:, :, :, :3] == 0.7).all())
    back = transform(there, torch.tensor([[0.0, -3.0, 2.0]]).expand(2, -1), fill=0.7)
    assert torch.equal(back[:, :, 2:, :-3], x[:, :, 2:, :-3])


@pytest.mark.parametrize("p", [(20.0, 1.3, -0.4, 0.0), (-77.0, 0.0, 2.2, 0.15), (90.0, 0.5, 0.0, -0.3),
                               (3.0, 40.0, 0.0, 0.0)])
def test_moved_images_agree_with_an_independent_resampling(p):
    image = examples(batch=1, channels=1).inputs.double()
    ours = transform(image, torch.tensor([p], dtype=torch.float64), fill=0.25)[0, 0].numpy()
    np.testing.assert_allclose(ours, by_scipy(image[0, 0].numpy(), *p, 0.25), atol=1e-9)


def test_a_rotation_the_wrong_way_is_caught_by_the_independent_resampling():
    image = examples(batch=1, channels=1).inputs.double()
    wrong = transform(image, torch.tensor([[-20.0, 1.3, -0.4]]), fill=0.25)[0, 0].numpy()
    assert np.abs(wrong - by_scipy(image[0, 0].numpy(), 20.0, 1.3, -0.4, 0.0, 0.25)).max() > 0.05


def test_positive_angles_turn_anticlockwise_as_seen():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 4] = 1                                                     # at three o'clock
    assert float(transform(image, torch.tensor([[90.0, 0.0, 0.0]]))[0, 0, 0, 2]) == pytest.approx(1.0)       # at twelve


def test_values_never_leave_the_range_of_image_and_fill():
    x = (examples(batch=4).inputs > 0.5).float()
    p = Affine(rotation=180, translation=4).sample(examples(batch=4), streams(4))
    moved = transform(x, p, fill=1.0)
    assert float(moved.min()) >= 0 and float(moved.max()) <= 1


def test_gradients_reach_the_parameters():
    """d/dx of a bar of slope 1 moved to the right is −1 at every pixel of the slope."""
    ramp = torch.arange(9, dtype=torch.float64).expand(1, 1, 3, 9)
    p = torch.tensor([[0.0, 0.3, 0.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(transform(ramp, p)[0, 0, 1, 4], p)
    assert gradient[0, 1].item() == pytest.approx(-1.0)


def test_projection_is_the_nearest_point_of_the_box():
    x, within = examples(batch=5), Affine(rotation=20, translation=2, scale=0.1, share=0.5)
    p = 3 * torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * within.limits
    nearest = within.project(x, p)
    assert float(within.size(x, nearest).max()) <= 0.5 + 1e-12
    assert torch.equal(within.project(x, nearest), nearest)
    for seed in range(20):
        z = within.sample(x, streams(5, seed))
        assert bool((((p - nearest) * (z - nearest)).sum(1) <= 1e-12).all())
    rescaled = p / within.size(x, p)[:, None] * 0.5                           # feasible, idempotent, and not the nearest
    assert bool((((p - rescaled) * (within.sample(x, streams(5)) - rescaled)).sum(1) > 0).any())


def test_samples_obey_their_generators_sizes_and_the_box():
    x, within = examples(batch=3), Affine(rotation=30, translation=0)
    draw = within.sample(x, streams(3))
    assert torch.equal(draw, within.sample(x, streams(3))) and not torch.equal(draw, within.sample(x, streams(3, 1)))
    assert torch.equal(draw[1:2], within.sample(examples(batch=1), [stream(0, 1)]))
    assert bool((draw[:, 1:] == 0).all())
    wanted = torch.tensor([0.2, 0.7, 1.0], dtype=torch.float64)
    assert torch.allclose(Affine(scale=0.2).size(x, Affine(scale=0.2).sample(x, streams(3), wanted)), wanted)
    assert float(within.size(x, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))) == math.inf
    many = torch.cat([Affine().sample(x, streams(3, seed)) for seed in range(200)])
    np.testing.assert_allclose(many.abs().mean(0) / Affine().limits, 0.5, atol=0.05)          # uniform: mean modulus ½


def test_the_grid_has_the_published_points():
    x = examples()
    points = torch.stack([p[0] for p in Affine().members(x)])
    assert len(points) == 775 and len(points.unique(dim=0)) == 775
    assert points[:, 0].unique().diff().numpy() == pytest.approx(2.0)
    assert points[:, 1].unique().tolist() == [-3.0, -1.5, 0.0, 1.5, 3.0]
    assert bool((points == 0).all(1).any())
    small = torch.stack([p[0] for p in Affine(grid=(3, 1, 2), share=0.5).members(x)])
    assert small.tolist() == [[a, 0.0, d] for a in (-15.0, 0.0, 15.0) for d in (-1.5, 1.5)]


def one_pixel(images: Tensor) -> Tensor:
    """A classifier that looks at one pixel only: harm is what it sees there."""
    return images[:, 0, 4, 6].double()


def test_worst_of_the_grid_for_a_classifier_that_looks_at_one_pixel():
    """With shifts alone the worst value is the greatest pixel that a shift on the grid brings there."""
    x, within = examples(batch=3), Affine(rotation=0, translation=2, grid=(1, 5, 5))
    found = exhaustive(lambda p: one_pixel(within.apply(x, p).inputs), within.members(x), x=x)
    assert torch.equal(found.value, x.inputs[:, 0, 2:7, 4:9].flatten(1).amax(1).double())
    assert torch.equal(one_pixel(within.apply(x, found.parameters).inputs), found.value)


def bar(degrees: float) -> Tensor:
    """A smooth bar through the centre at that angle, anticlockwise from horizontal."""
    offset, a = torch.arange(25, dtype=torch.float64) - 12, math.radians(degrees)
    rows, columns = torch.meshgrid(offset, offset, indexing="ij")
    along, across = columns * math.cos(a) - rows * math.sin(a), columns * math.sin(a) + rows * math.cos(a)
    return torch.exp(-(along / 8) ** 2 - (across / 2) ** 2)[None, None]


def angle_of(images: Tensor) -> Tensor:
    """Degrees of the principal axis, from second moments."""
    offset = torch.arange(25, dtype=images.dtype) - 12
    rows, columns = torch.meshgrid(offset, offset, indexing="ij")
    mass = images[:, 0]
    mixed = -2 * (mass * rows * columns).sum((1, 2))
    return torch.rad2deg(0.5 * torch.atan2(mixed, (mass * (columns ** 2 - rows ** 2)).sum((1, 2))))


@pytest.mark.parametrize("turn", [-25.0, 10.0, 30.0])
def test_a_bar_turns_by_the_angle_it_is_turned_by(turn):
    moved = transform(bar(15.0), torch.tensor([[turn, 0.0, 0.0]]))
    assert float(angle_of(moved)) == pytest.approx(15 + turn, abs=0.3)
    interior = (..., slice(5, -5), slice(5, -5))                             # what a turn brings no border to
    assert torch.allclose(moved[interior], bar(15.0 + turn)[interior], atol=0.06)


def test_the_search_turns_a_bar_to_where_its_classifier_errs():
    """Harm −|angle − 33°|: the best grid point turns the bar of 15° by 18°; a hill climb gets as near as a degree."""
    x = Examples(ids=("bar",), inputs=bar(15.0))
    within = Affine(rotation=30, translation=1, grid=(31, 1, 1))

    def harm(p: Tensor) -> Tensor:
        return -(angle_of(within.apply(x, p).inputs) - 33).abs()

    found = exhaustive(harm, within.members(x), x=x)
    assert float(found.parameters[0, 0]) == 18.0
    climbed = hill_climb(harm, within, x=x, generators=streams(1), draws=4, distances=(2.0, 1.0, 0.5, 0.25))
    assert float(climbed.value) > -1.0
    still = hill_climb(lambda p: harm(p) * 0 + p[:, 1], within, x=x, generators=streams(1), draws=4)      # blind twin
    assert float(harm(still.parameters)) < -1.0


def test_neighbours_stay_in_the_box_and_move_the_corners_by_the_distance():
    x, within = examples(batch=1, height=20, width=20), Affine()
    moves = within.neighbours(x, within.zero(x), 2.0)
    assert len(moves) == 26 and all(float(within.size(x, p)) <= 1 for p in moves)
    degrees = max(float(p[0, 0]) for p in moves)
    assert math.radians(degrees) * math.hypot(20, 20) / 2 == pytest.approx(2.0)
    corner = within.limits.expand(1, -1)
    assert all(float(within.size(x, p)) <= 1 + 1e-12 for p in within.neighbours(x, corner, 1.0))
    assert len(Affine(translation=0).neighbours(x, within.zero(x), 1.0)) == 2


def test_each_image_moves_alone():
    x, within = examples(batch=3), Affine(scale=0.1)
    p = within.sample(x, streams(3))
    together = within.apply(x, p).inputs
    for i in range(3):
        assert torch.equal(transform(x.inputs[i:i + 1], p[i:i + 1]), together[i:i + 1])


def test_an_affine_set_is_convex_and_nested():
    assert isinstance(Affine(), ConvexSet)
    x, half = examples(), Affine().resized(0.5)
    assert float(half.size(x, half.sample(x, streams(2))).max()) <= 0.5
    assert torch.equal(half.steepest(x, torch.tensor([[1.0, -1.0, 0.0]])), torch.tensor([[15.0, -1.5, 0.0]]))


@pytest.mark.parametrize("bad", [{"rotation": -1}, {"rotation": 0, "translation": 0}, {"share": 2.0}, {"scale": 1.0},
                                 {"grid": (3, 3)}, {"grid": (0, 1, 1)}])
def test_bad_limits_are_refused(bad):
    with pytest.raises(InputError):
        Affine(**bad)


def test_bad_images_and_parameters_are_refused():
    with pytest.raises(InputError, match="channels"):
        Affine().apply(Examples(ids=("a",), inputs=torch.zeros(1, 4, 4)), torch.zeros(1, 3))
    with pytest.raises(InputError, match="float"):
        Affine().apply(Examples(ids=("a",), inputs=torch.zeros(1, 1, 4, 4, dtype=torch.uint8)), torch.zeros(1, 3))
    with pytest.raises(InputError, match="parameters"):
        transform(torch.zeros(2, 1, 4, 4), torch.zeros(1, 3))
