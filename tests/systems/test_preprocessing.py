"""Pre-processing against closed forms, torchvision's published transform written out, and its gradient."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assay.arrays import InputError
from assay.records import Access
from assay.systems import catalogue
from assay.systems.function import FunctionSystem
from assay.systems.preprocessing import Preprocessed, Preprocessing, channels_last
from assay.systems.torch import TorchSystem

RGB = torch.arange(2 * 3 * 6 * 4, dtype=torch.float64).reshape(2, 3, 6, 4) / 144


@pytest.mark.parametrize(("steps", "expected"), [
    (Preprocessing(), RGB),
    (Preprocessing(scale=255), 255 * RGB),
    (Preprocessing(order="bgr"), RGB[:, [2, 1, 0]]),
    (Preprocessing(layout="NHWC"), RGB.permute(0, 2, 3, 1)),
    (Preprocessing(crop=(2, 4)), RGB[:, :, 2:4]),
    (Preprocessing(scale=2, mean=(1.0, 0.5, 0.0), std=(2.0, 1.0, 4.0)),
     torch.stack((RGB[:, 0] - 0.5, 2 * RGB[:, 1] - 0.5, RGB[:, 2] / 2), 1)),
    (Preprocessing(order="bgr", mean=(1.0, 2.0, 3.0)), torch.stack((RGB[:, 2] - 1, RGB[:, 1] - 2, RGB[:, 0] - 3), 1)),
    (Preprocessing(size=2), F.interpolate(RGB, size=(3, 2), mode="bilinear", antialias=True)),
    (Preprocessing(size=(12, 8), filter="bicubic"), F.interpolate(RGB, size=(12, 8), mode="bicubic", antialias=True)),
])
def test_each_step_is_what_it_says(steps, expected):
    torch.testing.assert_close(steps(RGB), expected)


def test_halving_with_antialiasing_has_the_triangle_weights():
    """A row resized to half: interior weights 1, 3, 3, 1 of 8."""
    row = torch.tensor([0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0]).expand(1, 1, 8, 8)
    torch.testing.assert_close(Preprocessing(size=4)(row)[0, 0, 0, :3], torch.tensor([0.0, 3.0, 1.0]), atol=1e-5, rtol=0)


def test_a_grey_channel_is_repeated_and_colours_are_left():
    grey = RGB[:, :1]
    assert torch.equal(Preprocessing(channels=3)(grey), grey.expand(-1, 3, -1, -1))
    assert torch.equal(Preprocessing(channels=3)(RGB), RGB)


@pytest.mark.parametrize("steps", [
    Preprocessing(size=3, filter="bicubic", crop=(3, 2), order="bgr", scale=7, mean=(1, 2, 3), std=(2, 3, 4), layout="NHWC"),
    Preprocessing(channels=3, size=(8, 8), scale=255)])
def test_gradients_run_through_every_step(steps):
    images = RGB[:1, :1] if steps.channels else RGB[:1]
    assert torch.autograd.gradcheck(steps, images.clone().requires_grad_(True))


def test_examples_do_not_influence_each_other():
    steps = Preprocessing(size=5, mean=(0.3,), std=(0.2,))
    torch.testing.assert_close(torch.cat([steps(x[None]) for x in RGB]), steps(RGB))


def test_the_system_behind_it_keeps_name_access_and_its_own_settings():
    inner = FunctionSystem(lambda x: x.flatten(1), name="inner", access=Access.SCORE, settings={"a": 1})
    outer = Preprocessed(system=inner, preprocessing=Preprocessing(scale=255))
    assert (outer.name, outer.access, outer.kind) == ("inner", Access.SCORE, "function")
    assert outer.settings == {"a": 1, "preprocessing": {"scale": 255.0}}
    assert torch.equal(outer(RGB), 255 * RGB.flatten(1))


def _digest(scale: float, weight: float = 1.0, steps: Preprocessing | None = None) -> str:
    module = nn.Conv2d(1, 1, 1)
    nn.init.constant_(module.weight, weight)
    nn.init.zeros_(module.bias)
    system = Preprocessed(system=TorchSystem(module), preprocessing=steps or Preprocessing(scale=scale))
    return catalogue.adopt(system, role="audited").record.digest


def test_pre_processing_and_weights_both_enter_the_digest():
    assert _digest(255) == _digest(255)
    assert len({_digest(255), _digest(1), _digest(255, weight=2.0), _digest(0, steps=Preprocessing(order="bgr"))}) == 4


@pytest.mark.parametrize(("images", "words"), [
    (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "torch.uint8; a system takes floats"),
    (torch.zeros(2, 8, 8, 3), "channels last"), (torch.zeros(8, 8), "expected \\(batch, channels, height, width\\)"),
    (torch.zeros(2, 1, 8, 8), "mean has 3 values, and the images 1 channels"),
])
def test_images_that_do_not_fit_are_refused(images: Tensor, words: str):
    with pytest.raises(InputError, match=words):
        Preprocessing(mean=(0.1, 0.2, 0.3))(images)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"crop": (3, 0)}, {"scale": 0}, {"std": (0.0,)}, {"layout": "HWC"},
                                   {"order": "grb"}, {"filter": "nearest"}, {"size": True}, {"size": (1, 2, 3)},
                                   {"size": 1.5}, {"channels": 0}, {"channels": (1, 2)}, {"scale": (1, 2)}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Preprocessing(**wrong)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match="6×4 pixels cannot be cropped to 7×4"):
        Preprocessing(crop=(7, 4))(RGB)


def test_every_field_that_does_something_stands_in_the_settings():
    """A step added later and forgotten in `settings` would not enter the digest."""
    values = {"channels": 3, "size": 9, "filter": "bicubic", "crop": (2, 2), "order": "bgr", "scale": 2.0, "mean": (1.0,),
              "std": (2.0,), "layout": "NHWC"}
    assert set(values) == {f.name for f in dataclasses.fields(Preprocessing)} == set(Preprocessing(**values).settings)


def test_channels_last_is_seen_only_where_nothing_else_can_be_meant():
    assert channels_last(torch.zeros(1, 8, 8, 3)) and channels_last(torch.zeros(1, 8, 8, 1))
    assert not channels_last(torch.zeros(1, 3, 8, 3)) and not channels_last(torch.zeros(1, 3, 8, 8))
