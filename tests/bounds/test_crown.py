"""Bounds against exact radii by integer programming, closed forms and random points; broken twins are caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from exact_radii import BOX, chain_of, exact_radius, forward, module_of, network
from torch import Tensor, nn

from assay.bounds import crown
from assay.bounds.crown import lower
from assay.bounds.layers import Chain, Greatest, Relu, Sum, average_pool, convolution, dense, reshaping, scaling
from assay.bounds.radius import certified_radius, margins_over
from assay.bounds.region import around
from assay.bounds.rounding import output_error, through

SIZES = [(3, 6, 3), (4, 5, 5, 3), (2, 8, 2)]


def points(n: int, count: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.2, 0.8, size=(count, n)).astype(np.float32))


def proved(chain: Chain, x: Tensor, kind: str = "linf", most: float = 1.0, box=BOX) -> Tensor:
    label = chain(x).argmax(1)
    return certified_radius(chain, x, label, kind=kind, most=torch.full((len(x),), most), box=box)


def never_above_the_exact_radius(radius) -> list[float]:
    """The share of the exact radius that is proved, of every small network and point."""
    shares = []
    for seed, sizes in enumerate(SIZES):
        layers = network(sizes, seed)
        x = points(sizes[0], 4, seed)
        found = radius(chain_of(layers), x)
        for i in range(len(x)):
            label = int(forward(layers, x[i].double().numpy()).argmax())
            exact = min(exact_radius(layers, x[i].double().numpy(), label), 1.0)
            assert found[i] <= exact * (1 + 1e-6), (sizes, i)
            shares.append(float(found[i]) / exact)
    return shares


def test_bounds_are_never_above_exact_radii_and_not_empty():
    shares = never_above_the_exact_radius(proved)
    assert min(shares) > 0.3 and np.mean(shares) > 0.7


def wrong_slopes(a, low, high):
    form, constant = _kept(a, low, high)
    return torch.where(((low < 0) & (high > 0))[:, None], -form, form), constant


def no_offset(a, low, high):
    form, constant = _kept(a, low, high)
    return form, torch.zeros_like(constant)


def half_offset(a, low, high):
    form, constant = _kept(a, low, high)
    return form, 0.5 * constant


_kept = crown.relaxed_relu


@pytest.mark.parametrize("broken", [wrong_slopes, no_offset, half_offset])
def test_broken_relaxations_are_caught(broken, monkeypatch):
    monkeypatch.setattr(crown, "relaxed_relu", broken)
    with pytest.raises(AssertionError):
        never_above_the_exact_radius(proved)


def test_intervals_that_forget_the_modulus_are_caught(monkeypatch):
    def careless(layer, low, high):
        return (layer(low), layer(high)) if low.ndim == 2 else through(layer, low, high)

    monkeypatch.setattr(crown, "through", careless)
    with pytest.raises(AssertionError):
        never_above_the_exact_radius(proved)


def residual(seed: int):
    """x ↦ V (x + ReLU(W x + b)) + c as a sum of branches, and as layers [ReLU(W x + b), ReLU(x)], equal within (0, 1)."""
    (w, b), (v, c) = network((4, 4, 3), seed)
    inner = dense(torch.from_numpy(w), torch.from_numpy(b))
    chain = Chain(shape=(4,), layers=[Sum(branches=((), (inner, Relu()))), dense(torch.from_numpy(v), torch.from_numpy(c))])
    return chain, [(np.vstack([w, np.eye(4)]), np.concatenate([b, np.zeros(4)])), (np.hstack([v, v]), c)]


def sums_are_never_above_the_exact_radius() -> list[float]:
    shares = []
    for seed in range(4):
        chain, layers = residual(seed)
        x = points(4, 4, seed)
        found = proved(chain, x)
        for i in range(len(x)):
            z = x[i].double().numpy()
            exact = min(exact_radius(layers, z, int(forward(layers, z).argmax())), 1.0)
            assert found[i] <= exact * (1 + 1e-6), (seed, i)
            shares.append(float(found[i]) / exact)
    return shares


def test_sums_of_branches_are_bounded_and_never_above_the_exact_radius():
    shares = sums_are_never_above_the_exact_radius()
    assert min(shares) > 0.3 and np.mean(shares) > 0.7


def test_a_sum_of_linear_branches_is_bounded_exactly():
    """x + W x is the linear map 1 + W: the same radius, to rounding, also where it feeds a ReLU inside another sum."""
    (w, b), (v, c) = network((4, 4, 3), 7)
    one, last = dense(torch.from_numpy(w), torch.from_numpy(b)), dense(torch.from_numpy(v), torch.from_numpy(c))
    whole = dense(torch.from_numpy(w + np.eye(4)), torch.from_numpy(b))
    x = points(4, 6, 7)
    summed = Chain(shape=(4,), layers=[Sum(branches=((one,), ())), last])
    assert summed.linear
    assert torch.allclose(proved(summed, x), proved(Chain(shape=(4,), layers=[whole, last]), x), atol=3e-6)
    for kind in ("linf", "l2"):
        nested = Chain(shape=(4,), layers=[Sum(branches=((Sum(branches=((), (one,))), Relu()), ())), last])
        plain = Chain(shape=(4,), layers=[Sum(branches=((whole, Relu()), ())), last])
        assert torch.allclose(proved(nested, x, kind), proved(plain, x, kind), atol=3e-6)


@pytest.mark.parametrize("broken", [
    lambda steps, a: _carried([s for s in steps if not isinstance(s[0], Sum)], a),
    lambda steps, a: _carried([(s[0], replace(s[1], inside=s[1].inside[1:])) for s in steps], a),
    lambda steps, a: (_carried(steps, a)[0], 0 * _carried(steps, a)[1]),
], ids=["no branch", "one branch", "no constants"])
def test_broken_sums_are_caught(broken, monkeypatch):
    monkeypatch.setattr(crown, "_carried", broken)
    with pytest.raises((AssertionError, ValueError)):
        sums_are_never_above_the_exact_radius()


_carried = crown._carried


def test_single_precision_of_a_sum_stays_within_its_error():
    """Two large branches that cancel: the sum is small, and its error is that of the branches."""
    torch.manual_seed(3)
    big = 1e4 * torch.randn(6, 6)
    less = -big * (1 + 2.0 ** -20)
    chain = Chain(shape=(6,), layers=[Sum(branches=((dense(big),), (dense(less),), ())), dense(torch.eye(6))])
    z = torch.rand(50, 6)
    gap = ((z @ big.T + z @ less.T + z).double() - chain(z)).abs()
    error = output_error(chain, around(z, torch.zeros(50), "linf", BOX))
    assert bool((gap <= error).all()) and bool((gap > 20 * 2.0 ** -24 * chain(z).abs()).any())


@pytest.mark.parametrize("kind", ["linf", "l2"])
@pytest.mark.parametrize("box", [None, BOX])
def test_a_linear_network_is_bounded_exactly(kind, box):
    """Without a box margin/‖w‖ of the dual norm; within one, the least size whose best change reaches the plane."""
    layers = network((6, 4), 3)
    chain, x = chain_of(layers), points(6, 5, 3)
    w, b = map(torch.from_numpy, layers[0])
    scores = x.double() @ w.T + b
    label = scores.argmax(1)
    found = certified_radius(chain, x, label, kind=kind, most=torch.full((5,), 4.0), box=box)
    for i in range(5):
        slopes = w - w[label[i]]
        gap = scores[i, label[i]] - scores[i]
        if box is None:
            dual = slopes.norm(dim=1) if kind == "l2" else slopes.abs().sum(1)
            exact = float(torch.where(gap > 0, gap / dual, torch.inf).min())
        else:
            exact = min(boxed(x[i].double(), slopes[k], float(gap[k]), kind) for k in range(4) if k != int(label[i]))
        assert float(found[i]) == pytest.approx(min(exact, 4.0), rel=2e-5, abs=1e-5)
        assert float(found[i]) <= exact


def boxed(x: Tensor, w: Tensor, gap: float, kind: str) -> float:
    """The least radius at which ⟨w, p⟩ reaches the gap, p in the ball and x + p in the box: by a fine scan of KKT points."""
    room = torch.where(w >= 0, BOX[1] - x, x - BOX[0])
    if float((w.abs() * room).sum()) < gap:
        return float("inf")
    low, high = 0.0, 1e6
    for _ in range(200):
        t = (low + high) / 2
        step = torch.minimum(t * w.abs() if kind == "l2" else torch.full_like(w, t), room)
        low, high = (t, high) if float((w.abs() * step).sum()) < gap else (low, t)
    step = torch.minimum(high * w.abs() if kind == "l2" else torch.full_like(w, high), room)
    return float(step.norm() if kind == "l2" else step.max())


@pytest.fixture(scope="module")
def images():
    """A small convolutional chain with everything in it, beside the module that computes the same in single precision."""
    torch.manual_seed(0)
    conv, second, last = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Conv2d(4, 6, 2, groups=2), nn.Linear(6, 3)
    module = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2, stride=1, padding=1), second, nn.ReLU(),
                           nn.AvgPool2d(2, stride=2), nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), last).eval()
    chain = Chain(shape=(2, 8, 8), layers=[
        convolution(conv.weight, conv.bias, (2, 8, 8), stride=(2, 2), padding=(1, 1)), Relu(),
        Greatest(kernel=(2, 2), stride=(1, 1), padding=(1, 1)),
        convolution(second.weight, second.bias, (4, 5, 5), groups=2), Relu(),
        average_pool((6, 4, 4), kernel=(2, 2), stride=(2, 2)), reshaping((6, 2, 2), (24,)),
        dense(module[7].weight, module[7].bias), Relu(), dense(last.weight, last.bias)])
    return module, chain, torch.rand(3, 2, 8, 8)


@pytest.mark.parametrize("kind", ["linf", "l2"])
def test_no_point_of_the_ball_breaks_a_bound(images, kind):
    """Random points, corners, and a few steps of ascent: none goes below, for a chain with everything in it."""
    module, chain, x = images
    label = chain(x).argmax(1)
    radius = torch.full((3,), 0.05 if kind == "linf" else 0.5, dtype=torch.float64)
    bound = margins_over(chain, x, label, radius, kind, BOX)
    reached = least_margin(module, x, label, float(radius[0]), kind)
    assert bool((bound <= reached).all())
    assert bool((bound > reached - 3 * (reached.abs() + 1)).all())          # and it says something
    tight = certified_radius(chain, x, label, kind=kind, most=20 * radius, box=BOX)
    assert bool((tight > 0).all())
    for i in range(3):
        held = least_margin(module, x[i:i + 1], label[i:i + 1], float(tight[i]), kind)
        assert float(held) > 0


def least_margin(module, x: Tensor, label: Tensor, radius: float, kind: str, draws: int = 400) -> Tensor:
    """The least margin met by random members of the ball within the box, and by steps against the gradient."""
    generator, least = torch.Generator().manual_seed(1), torch.full((len(x),), torch.inf)
    start = torch.zeros_like(x)
    for step in range(draws):
        p = torch.randn(x.shape, generator=generator) if step % 2 else start
        length = p.flatten(1).norm(dim=1).clamp_min(1e-9).reshape(-1, 1, 1, 1)
        p = p.sign() * radius if kind == "linf" else radius * p / length
        z = ((x + p).clamp(*BOX)).requires_grad_(True)
        scores = module(z)
        margin = scores.gather(1, label[:, None])[:, 0] - scores.scatter(1, label[:, None], -torch.inf).amax(1)
        start = start - torch.autograd.grad(margin.sum(), z)[0]
        least = torch.minimum(least, margin.detach())
    return least.double()


def test_single_precision_stays_within_its_error(images):
    module, chain, x = images
    for scale in (0.0, 0.1):
        region = around(x, torch.full((3,), scale), "linf", BOX)
        error = output_error(chain, region)
        z = region.low + torch.rand(x.shape, dtype=torch.float64) * (region.high - region.low)
        single = z.float()
        gap = (module(single).double() - chain(single)).abs()
        assert bool((gap <= error).all()) and bool((error < 1e-3).all())
    many = network((50, 400, 400, 5), 1)
    for seed in range(20):
        z = points(50, 8, seed)
        gap = (module_of(many)(z).detach().double() - chain_of(many)(z)).abs()
        error = output_error(chain_of(many), around(z, torch.zeros(8), "linf", BOX))
        assert bool((gap <= error).all()) and bool((error < 1e-2).all())


def test_the_error_knows_of_cancellation():
    """Terms of a thousand that sum to almost nothing: an error relative to the sum would be far too small."""
    generator = np.random.default_rng(0)
    half = (1000 * generator.normal(size=(4, 200))).astype(np.float32)
    layers = [(np.concatenate([half, -half], axis=1).astype(np.float64), np.zeros(4))]
    z = points(200, 8, 0)
    z = torch.cat([z, (z * (1 + 1e-4 * torch.rand(z.shape))).float()], dim=1)
    exact = chain_of(layers)(z)
    gap = (module_of(layers)(z).detach().double() - exact).abs()
    error = output_error(chain_of(layers), around(z, torch.zeros(8), "linf", (0.0, 2.0)))
    assert bool((gap <= error).all())
    assert bool((gap > 402 * 2.0 ** -24 * exact.abs()).any())           # the broken twin


def test_scaling_and_reshaping():
    chain = Chain(shape=(1, 2, 2), layers=[scaling(torch.tensor([[[[2.0]]]]), torch.tensor([[[[-1.0]]]])),
                                           reshaping((1, 2, 2), (4,)), dense(torch.eye(4)[:2])])
    x = torch.tensor([[[[0.5, 1.0], [0.0, 0.25]]]])
    assert chain(x).tolist() == [[0.0, 1.0]] and chain.linear
    bounds = lower(chain, torch.eye(2, dtype=torch.float64)[None], around(x, torch.tensor([0.25]), "linf", BOX))
    assert bounds.tolist() == [pytest.approx([-0.5, 0.5], abs=1e-5)]


def test_a_wrong_decision_has_no_radius():
    layers = network((3, 6, 3), 0)
    chain, x = chain_of(layers), points(3, 4, 0)
    label = (chain(x).argmax(1) + 1) % 3
    assert certified_radius(chain, x, label, kind="linf", most=torch.ones(4), box=BOX).tolist() == [0.0] * 4
