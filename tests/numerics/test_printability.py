"""Printability and total variation against loops, and their zeros."""

from __future__ import annotations

import math

import pytest
import torch

from assay.arrays import InputError
from assay.numerics.printability import non_printability, palette, total_variation


def picture(channels: int = 3, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, channels, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def by_loop(pixels: torch.Tensor, colours: torch.Tensor) -> list[float]:
    """The published sum of products, pixel by pixel."""
    found = []
    for image in pixels.tolist():
        total = 0.0
        for row in range(len(image[0])):
            for column in range(len(image[0][0])):
                pixel = [channel[row][column] for channel in image]
                total += math.prod(math.dist(pixel, colour) for colour in colours.tolist())
        found.append(total)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_the_score_is_the_published_sum_of_products(channels):
    x = picture(channels)
    assert non_printability(x).tolist() == pytest.approx(by_loop(x, palette(channels)))


def is_zero_for_printable_colours(score) -> None:
    colours = palette(3)[torch.arange(20) % 30].T.reshape(1, 3, 4, 5)
    assert float(score(colours)) == 0.0
    changed = colours.clone()
    changed[0, :, 0, 0] = torch.tensor([1.0, 0.0, 1.0])
    assert float(score(changed)) > 0


def test_printable_colours_score_zero_and_one_other_pixel_does_not():
    is_zero_for_printable_colours(non_printability)


def test_a_score_by_channel_instead_of_colour_is_caught():
    """Broken: each channel near some printable level, though no printable colour has these three together."""
    with pytest.raises(AssertionError):
        is_zero_for_printable_colours(lambda x: (
            x[:, None] - torch.tensor([0.0, 1.0, *palette(3)[:, 0]])[None, :, None, None, None]).abs().amin(1).sum())


def test_gradients_are_finite_at_a_printable_colour_and_point_uphill_elsewhere():
    x = palette(3)[:4].T.reshape(1, 3, 2, 2).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(non_printability(x).sum(), x)
    assert bool(torch.isfinite(gradient).all())
    y = picture(3, 1)[..., :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(non_printability, (y,), fast_mode=True)


def test_there_are_thirty_colours_all_different_and_a_mask_leaves_pixels_out():
    assert palette(3).shape == (30, 3) and len(palette(3).unique(dim=0)) == 30
    x = picture(3, 1)
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    assert float(non_printability(x, mask=mask)) == 0
    mask[0, 1, 2] = True
    assert float(non_printability(x, mask=mask)) == pytest.approx(by_loop(x[:, :, 1:2, 2:3], palette(3))[0])


def test_total_variation_is_the_sum_of_lengths_of_differences():
    x = picture(2)
    expected = [sum(math.hypot(c[i + 1][j] - c[i][j] if i < 3 else 0.0, c[i][j + 1] - c[i][j] if j < 4 else 0.0)
                    for c in image for i in range(4) for j in range(5)) for image in x.tolist()]
    assert total_variation(x).tolist() == pytest.approx(expected)
    flat = torch.full((1, 1, 3, 3), 0.2, requires_grad=True)
    (gradient,) = torch.autograd.grad(total_variation(flat).sum(), flat)
    assert float(total_variation(flat.detach())) == 0 and not gradient.any()


def test_other_channels_are_refused():
    with pytest.raises(InputError, match="1 or 3 channels"):
        palette(2)
    with pytest.raises(InputError, match="colours"):
        non_printability(picture(1), palette(3))
