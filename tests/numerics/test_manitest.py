"""Manitest against arc lengths known in closed form, an independent path integral, and brute force on small grids."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.manitest import manitest, path_length
from assay.perturbations.geometric import transform

SIGMA = 3.0
OFFSET = torch.arange(32, dtype=torch.float64) - 15.5
BUMP = torch.exp(-(OFFSET[:, None] ** 2 + OFFSET[None] ** 2) / (2 * SIGMA ** 2))[None]
SHIFTS = torch.arange(-4, 5, dtype=torch.float64)
SPEED = 1 / (SIGMA * math.sqrt(2))          # ‖∂x bump‖ / ‖bump‖ = √(π/2) / (√π σ)


def shifted(images: Tensor, p: Tensor) -> Tensor:
    """The bump moved exactly: no interpolation between the formula and the test."""
    columns, rows = OFFSET[None, None] - p[:, 0, None, None], OFFSET[None, :, None] - p[:, 1, None, None]
    return torch.exp(-(rows ** 2 + columns ** 2) / (2 * SIGMA ** 2))[:, None]


def resampled(images: Tensor, p: Tensor) -> Tensor:
    return transform(images, torch.nn.functional.pad(p, (1, 0)))


def turned(images: Tensor, p: Tensor) -> Tensor:
    return transform(images, torch.nn.functional.pad(p, (0, 2)))


def centre(images: Tensor) -> tuple[Tensor, Tensor]:
    mass = images.sum((1, 2, 3))
    return (images.sum((1, 2)) * OFFSET).sum(1) / mass, (images.sum((1, 3)) * OFFSET).sum(1) / mass


def beyond(slope: float, distance: float):
    """Class 1 where the centre of mass passes a line at that distance from the middle."""
    def decide(images: Tensor) -> Tensor:
        column, row = centre(images)
        return ((column + slope * row) / math.hypot(1, slope) > distance).long()
    return decide


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("move", "tolerance"), [(shifted, 0.006), (resampled, 0.01)])
def test_a_translated_bump_travels_its_analytic_arc_length(slope, move, tolerance):
    """All translations of a smooth bump are a flat plane of constant metric, so the nearest way to a line is straight."""
    found = manitest(beyond(slope, 2.3), BUMP, move, [SHIFTS, SHIFTS])
    assert found.found and (found.original, found.decision) == (0, 1)
    assert found.distance == pytest.approx(2.3 * SPEED, rel=tolerance)
    assert found.horizon == pytest.approx(4 * SPEED, rel=0.01)
    assert beyond(slope, 2.3)(move(BUMP[None], found.parameters[None])) == 1


def test_distance_and_place_do_not_depend_on_the_scale_of_the_image():
    one = manitest(beyond(0.5, 2.3), BUMP, resampled, [SHIFTS, SHIFTS])
    other = manitest(beyond(0.5, 2.3), 1000 * BUMP, resampled, [SHIFTS, SHIFTS])
    assert other.distance == pytest.approx(one.distance) and torch.allclose(other.parameters, one.parameters)


def test_a_short_stencil_is_too_long_where_the_way_lies_between_its_steps_and_never_too_short():
    """A line at 22.5° to the axes: 8 neighbours overestimate by 1/cos 22.5° = 8 %; the bound says by how much at most."""
    slope = math.tan(math.radians(22.5))
    axis = torch.arange(-12, 13, dtype=torch.float64) / 3
    lengths = [manitest(beyond(slope, 2.3), BUMP, shifted, [axis, axis], reach=reach).distance / (2.3 * SPEED)
               for reach in (1, 2, 3)]
    assert lengths[0] >= lengths[1] >= lengths[2] > 0.998
    assert lengths[0] < 1.083 and lengths[1] < 1.028 and lengths[2] < 1.014


def elongated(ratio: float) -> Tensor:
    return torch.exp(-OFFSET[:, None] ** 2 / 8 - OFFSET[None] ** 2 / (8 * ratio ** 2))[None]


@pytest.mark.parametrize("limit", [7.3, 25.3, -18.0])
def test_rotation_alone_is_the_path_integral(limit):
    """One way only: the sum of chords over a fine path, without metric or graph, from 0 to the limit."""
    image = elongated(3.0)

    def decide(images: Tensor) -> Tensor:
        mixed = -2 * (images[:, 0] * OFFSET[:, None] * OFFSET).sum((1, 2))
        spread = (images[:, 0] * (OFFSET ** 2 - OFFSET[:, None] ** 2)).sum((1, 2))
        angle = torch.rad2deg(0.5 * torch.atan2(mixed, spread))
        return (angle / limit > 1).long()

    found = manitest(decide, image, turned, [torch.linspace(-40, 40, 41)])
    assert float(found.parameters[0]) == pytest.approx(limit, abs=0.2)
    path = torch.linspace(0, float(found.parameters[0]), 300, dtype=torch.float64)[:, None]
    assert found.distance == pytest.approx(float(path_length(image, turned, path)[-1]), rel=0.01)


def test_path_length_of_a_circle_and_of_the_bump():
    point = torch.tensor([2.0, 0.0], dtype=torch.float64)

    def turn(images: Tensor, p: Tensor) -> Tensor:
        return 2 * torch.stack((p[:, 0].cos(), p[:, 0].sin()), 1)

    arc = path_length(point, turn, torch.linspace(0, math.pi, 400, dtype=torch.float64)[:, None])
    assert float(arc[0]) == 0 and float(arc[-1]) == pytest.approx(math.pi, rel=1e-4)


def test_a_rotation_that_changes_nothing_costs_nothing():
    """The bump is round: turning is free, so the distance is that of the shift, and the horizon says how near the rim is."""
    axes = [torch.tensor([-10.0, 0.0, 10.0]), SHIFTS, SHIFTS]
    found = manitest(beyond(0.0, 2.3), BUMP, transform, axes, reach=1)
    assert found.distance == pytest.approx(2.3 * SPEED, rel=0.02)
    assert found.horizon < 0.05 < found.distance


def test_nothing_found_is_censored_not_zero():
    found = manitest(lambda z: torch.full((len(z),), 3), BUMP, shifted, [SHIFTS, SHIFTS])
    assert not found.found and found.distance == math.inf and found.decision == found.original == 3
    assert found.horizon == pytest.approx(4 * SPEED, rel=0.01) and bool((found.parameters == 0).all())
    assert found.decided == 81


def test_a_find_between_grid_points_is_not_rounded_up_to_one():
    """The broken twin without bisection reports the nearest grid point beyond the line, a sixth too far."""
    exact = manitest(beyond(0.0, 2.6), BUMP, shifted, [SHIFTS, SHIFTS])
    rounded = manitest(beyond(0.0, 2.6), BUMP, shifted, [SHIFTS, SHIFTS], bisections=0)
    assert exact.distance == pytest.approx(2.6 * SPEED, rel=0.004)
    assert rounded.distance == pytest.approx(3.0 * SPEED, rel=0.004)
    assert exact.decided > rounded.decided


def test_the_arc_length_catches_euclid_in_parameters_and_the_chord():
    """Broken twins: the length in pixels, and the straight distance ‖x_τ − x‖, which leaves the orbit."""
    found = manitest(beyond(0.0, 3.5), BUMP, shifted, [torch.linspace(-8, 8, 33), torch.linspace(-1, 1, 3)])
    exact = 3.5 * SPEED
    assert found.distance == pytest.approx(exact, rel=0.004)
    chord = float((shifted(BUMP[None], found.parameters[None]) - BUMP).norm() / BUMP.norm())
    assert chord < 0.95 * exact
    assert abs(float(found.parameters.norm()) - exact) > 1


def test_way_around_a_hill_is_taken_where_it_is_shorter():
    """A curved metric: images (τ₁, τ₂, h(τ)) with a high ridge between start and goal; the straight way climbs it."""
    def surface(images: Tensor, p: Tensor) -> Tensor:
        ridge = 6 * torch.exp(-((p[:, 0] - 1) ** 2) / 0.1 - p[:, 1] ** 2 / 0.5)
        return torch.stack((p[:, 0], p[:, 1], ridge, torch.ones_like(ridge)), 1)

    image = surface(torch.zeros(0), torch.zeros(1, 2, dtype=torch.float64))[0]
    axes = [torch.linspace(-1, 3, 41), torch.linspace(-3, 3, 61)]
    decide_goal = manitest(lambda z: ((z[:, 0] - 2) ** 2 + z[:, 1] ** 2 < 0.02).long(), image, surface, axes)
    line = torch.linspace(0, 2, 800, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.0])
    straight = path_length(image, surface, line)
    assert 1.8 < decide_goal.distance * float(image.norm()) < 6 < float(straight[-1] * image.norm())


@pytest.mark.parametrize("axis", [torch.tensor([0.0]), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]),
                                  torch.zeros(2, 2)])
def test_bad_axes_are_refused(axis):
    with pytest.raises(InputError, match="axis 0"):
        manitest(beyond(0, 1), BUMP, shifted, [axis, SHIFTS])


def test_an_image_of_zeros_is_refused():
    with pytest.raises(InputError, match="not zero"):
        manitest(beyond(0, 1), 0 * BUMP, shifted, [SHIFTS, SHIFTS])
