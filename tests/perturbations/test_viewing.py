"""Views: nothing changes at identity, draws are each image's own, and every part is what its formula says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay.arrays import InputError
from assay.perturbations.geometric import transform
from assay.perturbations.protocol import stream
from assay.perturbations.viewing import COLUMNS, RECALLED, STILL, Views, ViewSampler, farther, grid, look, moved, printed

EVERYTHING = ViewSampler(zoom=(0.8, 1.3), rotation=25.0, shift=0.2, light=0.1, noise=0.1, gain=0.2, offset=0.1,
                         distance=(1.0, 3.0), tilt=(10.0, 50.0))


def images(batch: int = 3, channels: int = 3, height: int = 9, width: int = 8, dtype=torch.float64) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0))


def streams(batch: int = 3, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, i) for i in range(batch)]


def one(channels: int = 1, **changes: float) -> Views:
    """A single view, identity but for the named columns."""
    row = {"zoom": 1.0, "distance": 1.0, **changes}
    return Views(table=torch.tensor([[row.get(name, 0.0) for name in COLUMNS]], dtype=torch.float64),
                 gain=torch.zeros(1, channels, dtype=torch.float64), offset=torch.zeros(1, channels, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fill", [None, 0.5])
def test_a_still_view_changes_nothing_bit_by_bit(dtype, fill):
    x = images(dtype=dtype)
    views = STILL.draw(x, streams())
    assert torch.equal(look(x, views, fill=fill), x)
    assert torch.equal(printed(x, views), x)


def test_rotation_shift_and_zoom_are_those_of_the_affine_change():
    x = images(1)
    views = one(3, zoom=1.2, degrees=17.0, right=0.7, down=-0.4)
    assert torch.allclose(moved(x, views, 0.0), transform(x, torch.tensor([[17.0, 0.7, -0.4, 0.2]])), atol=1e-12)


def test_a_tilt_shows_the_near_side_larger_and_foreshortens():
    """A camera 4 half sides away sees the plane point u at D u cos θ / (D + u sin θ)."""
    ramp = torch.arange(33, dtype=torch.float64).expand(1, 1, 33, 33).contiguous()
    seen = moved(ramp, one(tilt=30.0))[0, 0, 16] - 16
    at = torch.arange(33, dtype=torch.float64) - 16
    c, s, d = 3**0.5 / 2, 0.5, 4 * 33 / 2
    plane = (at * d / (d * c - at * s)).clamp(-16, 16)
    assert torch.allclose(seen, plane, atol=1e-9)
    assert torch.allclose(moved(ramp, one(tilt=-30.0)), 32 - moved(ramp, one(tilt=30.0)).flip(-1), atol=1e-9)


def test_distance_keeps_the_mean_and_takes_away_what_is_fine():
    stripes = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(4).expand(1, 1, 8, 8).contiguous()
    assert torch.allclose(farther(stripes, torch.tensor([2.0])), torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64))
    flat = torch.full((1, 1, 8, 8), 0.3, dtype=torch.float64)
    assert torch.allclose(farther(flat, torch.tensor([1.7])), flat)


def test_every_draw_stays_within_its_limits_and_reaches_near_them():
    x = images()
    views = EVERYTHING.draw(x, streams(), 400)
    for name, low, high in (("zoom", 0.8, 1.3), ("degrees", -25, 25), ("right", -1.6, 1.6), ("down", -1.8, 1.8),
                            ("tilt", -50, 50), ("distance", 1, 3), ("light", -0.1, 0.1)):
        values = views.column(name)
        near = 0.05 * (high - low)
        assert low <= float(values.min()) < low + near and high - near < float(values.max()) <= high
    assert float(views.column("tilt").abs().min()) >= 10
    assert float(views.gain.abs().max()) <= 0.2 and float(views.offset.abs().max()) <= 0.1


def batch_invariant(draw) -> None:
    x = images()
    together = draw(x, streams())
    for i in range(3):
        alone = draw(x[i:i + 1], streams()[i:i + 1])
        assert torch.equal(alone.table, together.table.unflatten(0, (3, -1))[i])
    assert torch.equal(look(x.repeat_interleave(2, 0), together)[:2], look(x[:1].repeat_interleave(2, 0),
                                                                           draw(x[:1], streams()[:1])))


def test_an_images_views_depend_on_its_generator_alone():
    batch_invariant(lambda x, generators: EVERYTHING.draw(x, generators, 2))


def test_views_from_one_shared_generator_are_caught():
    with pytest.raises(AssertionError):
        batch_invariant(lambda x, generators: EVERYTHING.draw(x, [stream("shared", len(x))] * len(x), 2))


def test_a_recorded_view_is_seen_again_and_other_streams_see_others():
    x = images()
    views = EVERYTHING.draw(x, streams())
    again = Views(table=torch.tensor(views.table.tolist(), dtype=torch.float64), gain=views.gain, offset=views.offset)
    assert torch.equal(look(x, views), look(x, again))
    assert not torch.equal(views.table, EVERYTHING.draw(x, streams(seed=1)).table)
    reseeded = replace(views, table=torch.cat([views.table[:, :-1], views.table[:, -1:] + 1], dim=1))
    assert not torch.equal(look(x, views), look(x, reseeded))


def test_looking_is_differentiable_and_linear_inside_the_box():
    x = (0.4 + 0.2 * images(1)).requires_grad_()
    views = replace(EVERYTHING, noise=0.0, light=0.02).draw(x, streams(1))
    assert torch.autograd.gradcheck(lambda image: look(image, views), (x,), fast_mode=True)


def test_printing_is_a_gain_and_an_offset_of_each_channel():
    pixels = torch.tensor([[[[0.5]], [[0.5]]]], dtype=torch.float64)
    views = replace(one(2), gain=torch.tensor([[0.2, 0.0]]), offset=torch.tensor([[0.0, 0.9]]))
    assert torch.allclose(printed(pixels, views).flatten(), torch.tensor([0.6, 1.0], dtype=torch.float64))


def test_the_recalled_ranges_are_those_told_and_the_grid_holds_distance_and_angle():
    assert (RECALLED.zoom, RECALLED.rotation, RECALLED.light, RECALLED.noise) == ((0.9, 1.4), 22.5, 0.05, 0.1)
    cells = grid(RECALLED, [1.0, 2.0], [0.0, 30.0])
    assert list(cells) == [(1.0, 0.0), (1.0, 30.0), (2.0, 0.0), (2.0, 30.0)]
    views = cells[2.0, 30.0].draw(images(), streams(), 20)
    assert set(views.column("distance").tolist()) == {2.0} and set(views.column("tilt").tolist()) == {30.0, -30.0}


@pytest.mark.parametrize("bad", [{"zoom": (0.0, 1.0)}, {"distance": (0.5, 1.0)}, {"tilt": (0.0, 80.0)}, {"rotation": -1.0},
                                 {"zoom": (1.2, 1.0)}])
def test_impossible_limits_are_refused(bad):
    with pytest.raises(InputError):
        ViewSampler(**bad)
