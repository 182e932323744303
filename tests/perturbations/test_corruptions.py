"""Corruptions: severity 0 bit by bit, severities ordered, seeds per example and severity, formulas against a second form."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations import corruption_optics as optics
from assay.perturbations.corruption_weather import height_map
from assay.perturbations.corruptions import CORRUPTIONS, NAMES, SEVERITIES, Corruptions, corrupt, suits
from assay.perturbations.protocol import Examples, PerturbationSet, stream
from assay.perturbations.union import OfKinds
from assay.searches.exhaustive import exhaustive

# not pixelate (its grids do not nest); the other kinds are random, or published out of order
MONOTONE = ("gaussian noise", "shot noise", "impulse noise", "defocus blur", "motion blur", "zoom blur", "fog", "brightness",
            "contrast", "jpeg compression")


def pictures(batch: int = 2, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    """Smooth shapes with some grain, in [0.1, 0.9]."""
    g = torch.Generator().manual_seed(1)
    coarse = torch.rand(batch, channels, 8, 8, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return (smooth + 0.05 * torch.randn(batch, channels, height, width, generator=g)).clamp(0.1, 0.9)


def examples(**shape: int) -> Examples:
    images = pictures(**shape)
    return Examples(ids=tuple(f"s{i}" for i in range(len(images))), inputs=images, truth=torch.arange(len(images)))


def member(name: str, severity: int, batch: int = 2) -> Tensor:
    return torch.tensor([[float(NAMES.index(name)), float(severity)]], dtype=torch.float64).repeat(batch, 1)


def distances(name: str, x: Examples) -> list[float]:
    return [float((Corruptions().apply(x, member(name, s, len(x))).inputs - x.inputs).norm()) for s in range(6)]


def test_there_are_fifteen_kinds_of_five_severities_each_with_its_provenance():
    assert len(CORRUPTIONS) == len(set(NAMES)) == 15
    assert all("published" in kind.provenance for kind in CORRUPTIONS)
    assert all("ours" in CORRUPTIONS[NAMES.index(name)].provenance for name in ("glass blur", "snow", "frost", "fog"))
    with pytest.raises(InputError, match="5 settings"):
        replace(CORRUPTIONS[0], settings=(1, 2))


@pytest.mark.parametrize("name", NAMES)
def test_severity_zero_is_the_input_bit_by_bit_and_others_change_it_within_the_box(name):
    x = examples()
    kept = x.inputs.clone()
    same = Corruptions().apply(x, member(name, 0))
    assert torch.equal(same.inputs, x.inputs) and torch.equal(same.truth, x.truth)
    for severity in (1, 5):
        changed = Corruptions().apply(x, member(name, severity)).inputs
        assert changed.dtype == x.inputs.dtype and changed.shape == x.inputs.shape
        assert bool(((changed >= 0) & (changed <= 1)).all())
        assert float((changed - x.inputs).abs().max()) > 0.01
    assert torch.equal(x.inputs, kept)


@pytest.mark.parametrize("name", MONOTONE)
def test_a_greater_severity_lies_further_away(name):
    found = distances(name, examples(batch=8))
    assert found[0] == 0 and all(a < b for a, b in itertools.pairwise(found)), found


def test_the_order_catches_severities_in_the_wrong_order():
    kind = CORRUPTIONS[NAMES.index("gaussian noise")]
    image = pictures()[0].double().numpy()
    found = [np.linalg.norm(kind.corrupt(image, c, stream(s)) - image) for s, c in enumerate(reversed(kind.settings))]
    assert not all(a < b for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 24, 40), (2, 33, 17), (1, 1, 3)])
def test_any_size_and_number_of_channels(name, shape):
    x = examples(batch=1, channels=shape[0], height=shape[1], width=shape[2])
    for severity in (1, 3, 5):
        changed = Corruptions().apply(x, member(name, severity, 1)).inputs
        assert changed.shape == x.inputs.shape and bool(torch.isfinite(changed).all())


def test_noise_is_seeded_by_run_example_and_severity_and_no_global_seed_moves():
    x, state = examples(), torch.random.get_rng_state()
    p = member("gaussian noise", 3)
    noise = Corruptions().apply(x, p).inputs - x.inputs
    assert torch.equal(Corruptions().apply(x, p).inputs - x.inputs, noise)
    assert not torch.equal(Corruptions(seed=1).apply(x, p).inputs - x.inputs, noise)
    twins = replace(x, inputs=x.inputs[:1].expand(2, -1, -1, -1))
    assert not torch.equal(*(Corruptions().apply(twins, p).inputs))                          # two ids, two draws
    other = Corruptions().apply(x, member("gaussian noise", 4)).inputs - x.inputs
    correlation = torch.corrcoef(torch.stack((noise.flatten(), other.flatten())))[0, 1]
    assert abs(float(correlation)) < 0.1
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", NAMES)
def test_each_example_is_corrupted_alone(name):
    x = examples(batch=3)
    together = Corruptions().apply(x, member(name, 4, 3)).inputs
    order = [2, 0]
    some = Examples(ids=tuple(x.ids[i] for i in order), inputs=x.inputs[order])
    assert torch.equal(Corruptions().apply(some, member(name, 4, 2)).inputs, together[order])


def test_noise_has_the_stated_moments():
    grey = np.full((1, 200, 200), 0.5)
    assert (optics.gaussian_noise(grey, 0.08, stream(0)) - grey).std() == pytest.approx(0.08, rel=0.02)
    assert (optics.shot_noise(grey, 100, stream(0)) - grey).var() == pytest.approx(0.5 / 100, rel=0.03)
    impulses = optics.impulse_noise(grey, 0.07, stream(0))
    assert (impulses != 0.5).mean() == pytest.approx(0.07, rel=0.1)
    assert (impulses == 1).sum() == pytest.approx((impulses == 0).sum(), rel=0.2)


def test_blurs_keep_a_flat_image_and_the_mass_and_spread_of_a_point():
    flat, point = np.full((2, 32, 32), 0.3), np.zeros((1, 32, 32))
    point[0, 16, 16] = 1
    for corruption in (optics.defocus_blur, optics.motion_blur, optics.glass_blur, optics.zoom_blur):
        kind = next(k for k in CORRUPTIONS if k.corrupt is corruption)
        for setting in kind.settings:
            np.testing.assert_allclose(corruption(flat, setting, stream(0)), flat, atol=1e-12)
    disc = optics.defocus_blur(point, (1.0, 1e-3), stream(0))[0, 15:18, 15:18]
    np.testing.assert_allclose(disc, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5, atol=1e-12)
    line = optics.motion(point, 6, 2, 0.0)[0]
    weights = np.exp(-np.arange(13) ** 2 / 8)
    np.testing.assert_allclose(line[16, 16:29], weights / weights.sum(), atol=1e-12)
    assert line.sum() == pytest.approx(1)
    assert optics.motion(point, 6, 2, 30.0)[0].sum() == pytest.approx(1)


def test_motion_along_a_slope_agrees_with_shifted_copies():
    """Second form: the weighted mean of images that scipy moves one by one."""
    image, angle = pictures()[0].double().numpy(), np.deg2rad(25.0)
    weights = np.exp(-np.arange(13) ** 2 / 8)
    moved = [ndimage.shift(image, (0, i * np.sin(angle), i * np.cos(angle)), order=1, mode="nearest") for i in range(13)]
    expected = np.tensordot(weights / weights.sum(), np.stack(moved), axes=1)
    np.testing.assert_allclose(optics.motion(image, 6, 2, 25.0), expected, atol=1e-9)


def test_glass_moves_values_and_invents_none():
    image = pictures(channels=1)[0].double().numpy()
    shuffled = optics.glass_blur(image, (0.0, 1, 2), stream(0))
    np.testing.assert_allclose(np.sort(shuffled.ravel()), np.sort(image.ravel()))
    assert (shuffled != image).mean() > 0.5 and np.array_equal(shuffled[:, 0, 0], image[:, 0, 0])


def test_elastic_without_strength_is_the_identity_and_with_it_keeps_the_range():
    image = pictures()[0].double().numpy()
    np.testing.assert_allclose(optics.elastic_transform(image, (0, 0, 0), stream(0)), image, atol=1e-9)
    moved = optics.elastic_transform(image, (0.1, 0.03, 0.03), stream(0))
    assert moved.min() >= image.min() - 1e-12 and moved.max() <= image.max() + 1e-12


def test_brightness_raises_the_value_and_keeps_the_hue():
    """Second form: Python's own hue-saturation-value conversion."""
    import colorsys

    image = pictures()[0].double().numpy()
    image[:, 0, 0] = 0                                                                  # black has no hue
    ours = optics.brightness(image, 0.15, stream(0))
    for r, c in ((0, 0), (3, 4), (10, 31)):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[:, r, c])
        np.testing.assert_allclose(ours[:, r, c], colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.15)), atol=1e-12)


def test_zoom_one_is_the_identity_and_the_centre_stays():
    image = pictures(height=31, width=33)[0].double().numpy()
    np.testing.assert_allclose(optics.zoomed(image, 1.0), image, atol=1e-12)
    np.testing.assert_allclose(optics.zoomed(image, 1.7)[:, 15, 16], image[:, 15, 16], atol=1e-12)


def test_jpeg_and_pixels_lose_what_they_should():
    image = pictures()[0].double().numpy()
    fine, coarse = (np.abs(optics.jpeg_compression(image[:1], q, stream(0)) - image[:1]).mean() for q in (95, 40))
    assert 0 < fine < 0.01 < coarse                                    # grey: no colour is averaged away
    blocks = optics.pixelate(image, 0.5, stream(0))
    np.testing.assert_allclose(blocks[:, ::2, ::2], image.reshape(3, 16, 2, 16, 2).mean((2, 4)), atol=1e-6)


def test_landscapes_are_rougher_when_octaves_decay_less():
    rough, smooth = (height_map((64, 64), decay, stream(0)) for decay in (1.75, 3.0))
    assert min(rough.min(), smooth.min()) == 0 and max(rough.max(), smooth.max()) == 1
    assert np.abs(np.diff(rough)).mean() > 1.5 * np.abs(np.diff(smooth)).mean()


def test_members_samples_and_sizes():
    x, within = examples(), Corruptions(kinds=("fog", "contrast"), severities=(1, 2, 3))
    members = [tuple(p[0].tolist()) for p in within.members(x)]
    assert members == [(NAMES.index(k), s) for k in ("fog", "contrast") for s in (1, 2, 3)]
    assert len(list(Corruptions().members(x))) == 75
    draws = [within.sample(x, [stream(seed, i) for i in range(2)]) for seed in range(60)]
    assert {tuple(p.tolist()) for draw in draws for p in draw} == set(members)
    assert torch.equal(draws[0], within.sample(x, [stream(0, i) for i in range(2)]))
    assert torch.equal(draws[0][1:], within.sample(x, [stream(0, 1)]))
    sized = Corruptions().sample(x, [stream(0), stream(1)], torch.tensor([2.0, 5.0]))
    assert Corruptions().size(x, sized).tolist() == [2.0, 5.0] and Corruptions().count(x) == 75
    assert float(within.size(x, within.zero(x)).max()) == 0 and isinstance(within, PerturbationSet)
    assert Corruptions().resized(2.0).severities == (2,)


def test_each_kind_can_be_drawn_by_its_place_in_the_list():
    x, within = examples(), Corruptions(kinds=("fog", "contrast"), severities=(4,))
    drawn = within.sample_of(1, x, [stream(0), stream(1)], torch.tensor([4.0, 4.0]))
    assert torch.equal(drawn, member("contrast", 4)) and within.kind_of(drawn).tolist() == [1, 1]
    assert isinstance(within, OfKinds)


def test_another_range_is_mapped_onto_the_published_one_and_back():
    x = examples()
    wide = replace(x, inputs=x.inputs * 255 - 100, box=(-100.0, 155.0))
    for name in ("fog", "gaussian noise"):
        changed = Corruptions().apply(x, member(name, 3)).inputs
        np.testing.assert_allclose(Corruptions().apply(wide, member(name, 3)).inputs, changed * 255 - 100, atol=1e-3)


def test_glass_blur_does_not_suit_small_images():
    small = replace(examples(), inputs=examples().inputs[:, :, :8, :8])
    assert not suits("glass blur", small) and suits("glass blur", examples()) and suits("fog", small)


def test_the_worst_corruption_of_a_classifier_that_measures_contrast_is_the_strongest_contrast():
    x, within = examples(), Corruptions(kinds=("contrast", "brightness", "fog"))
    found = exhaustive(lambda p: -within.apply(x, p).inputs.flatten(1).std(1).double(), within.members(x), x=x)
    assert torch.equal(found.parameters, member("contrast", SEVERITIES))


def test_bad_images_kinds_and_severities_are_refused():
    x = examples()
    with pytest.raises(InputError, match="normalisation"):
        Corruptions().apply(replace(x, inputs=2 * x.inputs), member("fog", 1))
    with pytest.raises(InputError, match="known"):
        Corruptions(kinds=("rain",))
    with pytest.raises(InputError, match="severities"):
        Corruptions(severities=(6,))
    with pytest.raises(InputError, match="severity"):
        Corruptions().apply(x, member("fog", 6))
    assert corrupt(x.inputs[0], "fog", 1, stream(0)).dtype == torch.float32
