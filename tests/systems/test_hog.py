"""HOG against a slow second implementation (itself checked against scikit-image), its gradient, and simple images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.systems.hog import cell_for, hog


def slow_hog(image: np.ndarray, cell: int, *, shared: bool) -> np.ndarray:
    """HOG of one image (height, width, channels), pixel by pixel; `shared` votes go to two bins, else to the one hit."""
    height, width, channels = image.shape
    cells = np.zeros((height // cell, width // cell, 9))
    for row in range(height // cell * cell):
        for column in range(width // cell * cell):
            best = (0.0, 0.0, 0.0)
            for c in range(channels):
                down = image[row + 1, column, c] - image[row - 1, column, c] if 0 < row < height - 1 else 0.0
                right = image[row, column + 1, c] - image[row, column - 1, c] if 0 < column < width - 1 else 0.0
                best = max(best, (math.hypot(down, right), down, right), key=lambda found: found[0])
            size, degrees = best[0], math.degrees(math.atan2(best[1], best[2])) % 180
            if shared:
                low = math.floor(degrees / 20 - 0.5)
                upper = degrees / 20 - 0.5 - low
                votes = ((low % 9, 1 - upper), ((low + 1) % 9, upper))
            else:
                votes = ((int(degrees // 20) % 9, 1.0),)
            for bin_, share in votes:
                cells[row // cell, column // cell, bin_] += size * share / cell**2
    blocks = []
    for row in range(cells.shape[0] - 1):
        for column in range(cells.shape[1] - 1):
            block = cells[row: row + 2, column: column + 2].ravel()
            blocks.append(block / math.sqrt((block**2).sum() + 1e-8))
    return np.concatenate(blocks)


def grey(height: int = 16, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1)) / 255


def colour(height: int = 12, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)) / 255


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy())


@pytest.mark.parametrize(("image", "cell"), [(grey(), 4), (grey(8, 8), 2), (colour(), 2), (colour(8, 12), 4),
                                              (colour(15, 18), 4)])
def test_equals_the_slow_implementation(image, cell):
    assert np.allclose(hog(tensor(image), cell=cell)[0].numpy(), slow_hog(image, cell, shared=True), atol=1e-12)
    assert not np.allclose(hog(tensor(image), cell=cell)[0].numpy(), slow_hog(image, cell, shared=False), atol=1e-2)


@pytest.mark.parametrize(("image", "cell"), [(grey(), 4), (grey(8, 8), 2), (colour(), 2), (colour(15, 18), 4)])
def test_the_slow_implementation_with_whole_votes_equals_scikit_image(image, cell):
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is not installed")
    theirs = feature.hog(image, orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(2, 2), block_norm="L2",
                         channel_axis=-1)
    small = feature.hog(image * 1e6, orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(2, 2),
                        block_norm="L2", channel_axis=-1)    # at which their ε = 1e-5 and ours are both nothing
    assert np.allclose(slow_hog(image, cell, shared=False), theirs, atol=1e-6)
    assert np.allclose(slow_hog(image * 1e6, cell, shared=False), small, atol=1e-7)    # theirs is summed in single precision


def test_as_many_features_as_published():
    assert hog(torch.rand(2, 1, 28, 28)).shape == (2, 1296)
    assert hog(torch.rand(2, 1, 8, 8), cell=2).shape == (2, 324)
    assert hog(torch.rand(1, 3, 128, 64), cell=cell_for(128, 64) * 2).shape == (1, 3780)


def test_cells_suit_the_size_and_features_stay_few():
    sides = (4, 8, 15, 16, 28, 31, 64, 65, 100, 128, 224, 299)
    counts = {side: hog(torch.rand(1, 1, side, side), cell=cell_for(side, side)).shape[1] for side in sides}
    assert counts[8] == 324 and counts[28] == 1296 and counts[224] == 8100
    assert max(counts.values()) <= 8100 and min(counts.values()) >= 36


def test_a_constant_image_has_no_features_and_no_gradient():
    x = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
    features = hog(x, cell=2)
    (gradient,) = torch.autograd.grad(features.sum(), x)
    assert bool((features == 0).all()) and bool((gradient == 0).all())


@pytest.mark.parametrize("degrees", [10.0, 50.0, 90.0, 170.0])
def test_a_ramp_votes_for_its_own_bin(degrees):
    """∇x of x = r·(cos θ, sin θ) is at θ everywhere; at a bin's centre that bin gets all, in four equal cells ½ each."""
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    angle = math.radians(degrees)
    x = (columns * math.cos(angle) + rows * math.sin(angle))[None, None].double()
    inner = hog(x, cell=2).reshape(5, 5, 4, 9)[1:4, 1:4]
    expected = torch.zeros(9, dtype=torch.float64)
    expected[int(degrees // 20)] = 0.5
    assert torch.allclose(inner, expected.expand(3, 3, 4, 9), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_equals_finite_differences(channels):
    generator, step = torch.Generator().manual_seed(1), 1e-6
    x = torch.rand(1, channels, 8, 8, generator=generator, dtype=torch.float64).requires_grad_(True)
    weights = torch.randn(324, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(hog(x, cell=2)[0] @ weights, x)
    steps = torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape[1:]) * step
    difference = (hog(x.detach() + steps, cell=2) - hog(x.detach() - steps, cell=2)) @ weights / (2 * step)
    assert torch.allclose(gradient.flatten(), difference, rtol=1e-5, atol=1e-6)
    detached = torch.autograd.grad(hog(x * 1.0, cell=2)[0].abs() @ weights.abs(), x)[0]
    assert not torch.allclose(detached.flatten(), difference, rtol=1e-2)     # another function's gradient is told apart


def test_gradient_is_finite_on_flat_background():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 3:5, 3:5] = 1
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(hog(x, cell=2).square().sum(), x)
    assert bool(torch.isfinite(gradient).all()) and float(gradient.abs().max()) > 0


def test_does_not_depend_on_the_batch():
    x = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alone = torch.cat([hog(x[i: i + 1], cell=2) for i in range(7)])
    assert torch.allclose(hog(x, cell=2), alone, atol=1e-12)


@pytest.mark.parametrize(("x", "cell", "words"), [
    (torch.zeros(1, 1, 9, 7), 4, "whole cells, got 9×7"),
    (torch.zeros(1, 1, 4, 4), 4, "at least 2×2 whole cells"),
    (torch.zeros(1, 8, 8), 2, "(batch, channels, height, width)"),
    (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), 2, "/ 255")])
def test_refuses_other_images(x, cell, words):
    with pytest.raises(InputError) as caught:
        hog(x, cell=cell)
    assert words in str(caught.value)
