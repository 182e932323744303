"""Gradient ascent to a class: closed forms, the published step, scale, saturation, and ends that are told."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.records import Stop
from assay.searches.fooling_ascent import fooling_ascent, start_near

W = torch.tensor([[2.0, -1.0, 0.5], [-1.0, 1.0, 0.25]])
BOX = (-1.0, 1.0)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(images: Tensor, sharp: float = 1.0) -> Tensor:
    return (sharp * images.double() @ W.double().T).log_softmax(1)


def smooth(images: Tensor) -> Tensor:
    """Three classes of a network with curvature."""
    hidden = torch.tanh(images.double() @ torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4))
    return (hidden @ torch.cos(torch.arange(12.0, dtype=torch.float64)).reshape(4, 3)).log_softmax(1)


def test_linear_softmax_reaches_the_corner():
    start = torch.zeros(2, 3)
    found = fooling_ascent(linear, start, torch.tensor([0, 1]), box=BOX, decay=0.0, steps=60, enough=1.0)
    towards = (W[0] - W[1]).sign()
    assert torch.equal(found.images, torch.stack((towards, -towards)))
    expected = 1 / (1 + math.exp(-float((W[0] - W[1]).abs().sum())))
    assert found.confidence.tolist() == pytest.approx([expected] * 2, rel=1e-6)
    assert found.stop == (Stop.CONVERGED,) * 2 and int(found.evaluations.amax()) < 60


def test_the_step_is_the_published_one():
    x, c = torch.tensor([[0.3, -0.2, 0.1], [-0.5, 0.4, 0.0]], dtype=torch.float64), torch.tensor([1, 2])
    found = fooling_ascent(smooth, x, c, box=(-9.0, 9.0), decay=0.01, steps=2, enough=1.0,
                           acceptable=lambda images: (images != x).any(1))
    y = x.clone().requires_grad_(True)
    p = smooth(y).exp().gather(1, c[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(p.sum(), y)
    rate = torch.minimum(torch.tensor(0.03), 0.1 * (1 - p)) / gradient.square().sum(1)
    expected = -9 + 0.99 * (x + 9) + (rate[:, None] * gradient).detach()
    assert torch.allclose(found.images, expected, atol=1e-12)
    assert torch.allclose(found.history[0], p.detach(), atol=1e-12)


def test_it_does_not_depend_on_the_unit_of_the_data():
    x, c = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64), torch.tensor([2])
    one = fooling_ascent(smooth, x, c, box=BOX, steps=20, enough=1.0)
    many = fooling_ascent(lambda images: smooth(images / 255), 255 * x, c, box=(-255.0, 255.0), steps=20, enough=1.0)
    assert torch.allclose(255 * one.images, many.images) and torch.allclose(one.history, many.history)


def test_saturated_scores_are_climbed_all_the_same():
    start = torch.tensor([[-0.9, 0.9, 0.0]])
    x = start.clone().requires_grad_(True)
    p = (1e4 * x @ W.T).softmax(1)[:, 0]
    assert not torch.autograd.grad(p.sum(), x)[0].any(), "the gradient of p itself does not vanish: nothing is tested"
    found = fooling_ascent(lambda images: linear(images, 1e4), start, torch.tensor([0]), box=BOX, decay=0.0)
    assert found.stop == (Stop.CONVERGED,)


def test_alone_as_in_a_batch():
    starts, classes = 2 * torch.rand(5, 3, generator=g()) - 1, torch.tensor([0, 1, 0, 0, 1])
    together = fooling_ascent(linear, starts, classes, box=BOX, decay=0.0, steps=40, enough=0.97)
    for i in range(5):
        alone = fooling_ascent(linear, starts[i: i + 1], classes[i: i + 1], box=BOX, decay=0.0, steps=40,
                               enough=0.97)
        assert torch.allclose(alone.images[0], together.images[i], atol=1e-6)
        assert alone.stop[0] == together.stop[i] and int(alone.evaluations) == int(together.evaluations[i])
    assert len(set(together.evaluations.tolist())) > 1, "all end together: nothing is tested"


def test_only_acceptable_images_are_returned():
    found = fooling_ascent(linear, torch.zeros(1, 3), torch.tensor([0]), box=BOX, decay=0.0, steps=80,
                           acceptable=lambda images: images[:, 0] < 0.5)
    assert float(found.images[0, 0]) < 0.5 and float(found.history.amax()) > float(found.confidence)
    none = fooling_ascent(linear, torch.zeros(1, 3), torch.tensor([0]), box=BOX, steps=5,
                          acceptable=lambda images: torch.zeros(1, dtype=torch.bool))
    assert none.confidence.tolist() == [-math.inf] and none.stop == (Stop.BUDGET,)


def test_why_it_ends():
    flat = fooling_ascent(lambda x: torch.zeros(len(x), 2).log_softmax(1) + 0 * x.sum(1, keepdim=True), torch.zeros(1, 3),
                          torch.tensor([0]), box=BOX)
    assert flat.stop == (Stop.ZERO_GRADIENT,) and flat.evaluations.tolist() == [1]
    cut = fooling_ascent(lambda x: torch.zeros(len(x), 2).log_softmax(1), torch.zeros(1, 3), torch.tensor([0]), box=BOX)
    assert cut.stop == (Stop.ZERO_GRADIENT,)
    broken = fooling_ascent(lambda x: linear(x) * math.nan, torch.zeros(1, 3), torch.tensor([0]), box=BOX)
    assert broken.stop == (Stop.NON_FINITE,) and broken.confidence.tolist() == [-math.inf]
    done = fooling_ascent(linear, torch.zeros(1, 3), torch.tensor([0]), box=BOX, decay=0.0, enough=0.9)
    assert done.stop == (Stop.CONVERGED,) and int(done.evaluations) == len(done.history) < 300


def test_the_start_is_near_the_mean_and_left_alone():
    mean = torch.full((1, 40, 40), 0.5)
    start = start_near(mean, [g(1), g(2)], box=(0.0, 1.0))
    assert float((start - mean).std()) == pytest.approx(1 / 255, rel=0.05) and not torch.equal(start[0], start[1])
    assert torch.equal(start, start_near(mean, [g(1), g(2)], box=(0.0, 1.0)))
    x = torch.zeros(1, 3)
    fooling_ascent(linear, x, torch.tensor([0]), box=BOX, steps=3)
    assert not x.any() and not x.requires_grad


def test_bad_input():
    with pytest.raises(InputError, match="steps"):
        fooling_ascent(linear, torch.zeros(1, 3), torch.tensor([0]), box=BOX, steps=0)
    with pytest.raises(InputError, match="start"):
        fooling_ascent(linear, torch.full((1, 3), math.nan), torch.tensor([0]), box=BOX)
