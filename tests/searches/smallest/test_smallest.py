"""Every search for the smallest flip against closed forms; and each test against a search that is broken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits
from assay.perturbations.protocol import stream
from assay.records import Stop
from assay.searches.smallest import gradients, nearest
from assay.searches.smallest.bounded_check import bounded_check
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.ddn import ddn
from assay.searches.smallest.deepfool import deepfool
from assay.searches.smallest.fmn import fmn
from assay.searches.smallest.gradients import class_gradients
from assay.searches.smallest.superdeepfool import superdeepfool
from assay.systems import catalogue

sys.path.insert(0, str(Path(__file__).parent))
import exact

BOXES = {"open": (-100.0, 100.0), "active": (0.0, 1.0)}


def streams(n: int) -> list[torch.Generator]:
    return [stream("smallest", i) for i in range(n)]


def cascade(scores, x, decision, **options):
    return smallest_change(scores, x, decision, generators=streams(len(x)), **options)


SEARCHES = {
    "deepfool": deepfool, "superdeepfool": superdeepfool, "fmn": fmn, "cascade": cascade,
    "ddn": lambda scores, x, decision, norm="l2", **options: ddn(scores, x, decision, **options),
    "bounded check": lambda scores, x, decision, norm="l2", **options: bounded_check(
        scores, x, decision, norm=norm, radius=torch.full((len(x),), 5.0), generators=streams(len(x)), **options),
}


def linear(classes: int = 5, n: int = 20, batch: int = 12, seed: int = 0):
    """A linear classifier, and inputs in [0, 1] of which a third are saturated."""
    rng = np.random.default_rng(seed)
    W, b = rng.normal(size=(classes, n)), 0.5 * rng.normal(size=classes)
    x = np.clip(rng.uniform(-0.5, 1.5, size=(batch, n)), 0, 1)
    tW, tb = torch.from_numpy(W), torch.from_numpy(b)

    def scores(v: Tensor) -> Tensor:
        return v @ tW.T + tb

    return scores, torch.from_numpy(x), W, b


def ratios(search, norm: str, around: str, *, classes: int = 5, **options) -> Tensor:
    scores, x, W, b = linear(classes)
    found = search(scores, x, scores(x).argmax(1), norm=norm, **options)
    best = torch.tensor([exact.linear_classifier(W, b, row, BOXES[around], norm) for row in x.numpy()])
    assert bool(found.found.all())
    return found.size / best


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("classes", [2, 5])
def test_deepfool_overshoots_the_distance_to_a_linear_boundary_by_two_percent_in_one_step(norm, classes):
    scores, x, _, _ = linear(classes)
    ratio = ratios(deepfool, norm, "open", classes=classes)
    assert torch.allclose(ratio, torch.full_like(ratio, 1.02), rtol=1e-6)
    assert deepfool(scores, x, scores(x).argmax(1), norm=norm).backward.tolist() == [classes - 1] * len(x)


def within(ratio: Tensor, most: float) -> bool:
    return bool((ratio <= most).all()) and bool((ratio >= 1 - 1e-6).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("box", BOXES)
def test_cascade_is_exact_on_linear_classifiers_with_and_without_an_active_box(norm, classes, box):
    assert within(ratios(cascade, norm, box, classes=classes, box=BOXES[box]), 1.001)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_test_of_the_active_box_catches_a_search_that_ignores_it(norm):
    assert not within(ratios(cascade, norm, "active", box=None), 1.001)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_search_stays_in_the_box_and_what_it_reports_flips(name, norm):
    scores, x, _, _ = linear()
    decision = scores(x).argmax(1)
    kind = "l2" if name == "ddn" else norm
    found = SEARCHES[name](scores, x, decision, norm=norm, box=(0.0, 1.0))
    changed = x + found.perturbation
    assert float(changed.min()) >= -1e-12 and float(changed.max()) <= 1 + 1e-12
    assert bool(found.found.all()) and torch.equal(scores(changed).argmax(1), found.decision)
    assert bool((found.decision != decision).all())
    order = 2 if kind == "l2" else torch.inf
    assert torch.allclose(torch.linalg.vector_norm(found.perturbation, order, dim=1), found.size)


@pytest.mark.parametrize("name", SEARCHES)
def test_an_example_does_not_see_its_batch(name):
    generator = torch.Generator().manual_seed(1)
    A, B = (torch.randn(*s, dtype=torch.float64, generator=generator) for s in ((16, 20), (4, 16)))
    _, x, _, _ = linear(batch=6)

    def scores(v: Tensor) -> Tensor:
        hidden = torch.relu((v[:, None] * A).sum(2))          # row by row: matrix products round by batch size
        return (hidden[:, None] * B).sum(2)

    decision = scores(x).argmax(1)
    decision[1] = (decision[1] + 1) % 4                                         # one example already away
    whole = SEARCHES[name](scores, x, decision, norm="linf", box=(0.0, 1.0))
    for i in range(len(x)):
        if name in ("cascade", "bounded check"):
            options = {"norm": "linf", "box": (0.0, 1.0), "generators": streams(len(x))[i: i + 1]}
            one = (smallest_change(scores, x[i: i + 1], decision[i: i + 1], **options) if name == "cascade" else
                   bounded_check(scores, x[i: i + 1], decision[i: i + 1], radius=torch.full((1,), 5.0), **options))
        else:
            one = SEARCHES[name](scores, x[i: i + 1], decision[i: i + 1], norm="linf", box=(0.0, 1.0))
        assert torch.allclose(one.perturbation[0], whole.perturbation[i], atol=1e-7)
        assert (int(one.forward), int(one.backward)) == (int(whole.forward[i]), int(whole.backward[i]))
        assert one.stop[0] == whole.stop[i] and one.winner[0] == whole.winner[i]
    assert float(whole.size[1]) == 0 and bool(whole.found[1]) and (int(whole.forward[1]), int(whole.backward[1])) == (1, 0)


def test_relabelled_classes_give_the_same_perturbation():
    scores, x, _, _ = linear()
    order = torch.tensor([3, 0, 4, 2, 1])
    decision = scores(x).argmax(1)
    renamed = order.argsort()[decision]
    for search in (deepfool, superdeepfool, cascade):
        a = search(scores, x, decision, norm="l2", box=(0.0, 1.0))
        b = search(lambda v: scores(v)[:, order], x, renamed, norm="l2", box=(0.0, 1.0))
        assert torch.allclose(a.perturbation, b.perturbation, atol=1e-9)


def test_binary_deepfool_is_the_newton_step():
    """f(x) = x² − 1 at x = −3: Newton steps towards −1 with f' = 2x, evaluated at 1.02 times the sum of the steps."""
    x = torch.tensor([[-3.0]], dtype=torch.float64)
    found = deepfool(lambda v: torch.cat((v.square() - 1, 0 * v), 1), x, torch.tensor([0]))
    r, point = 0.0, -3.0
    while point ** 2 - 1 > 0:
        r -= (point ** 2 - 1) / (2 * point)
        point = -3 + 1.02 * r
    assert float(found.perturbation) == pytest.approx(1.02 * r)


def clipped_deepfool(scores, x, decision, steps: int = 50) -> Tensor:
    """The box-ignorant step followed by clipping, as peers do it: whether each example flips."""
    r = torch.zeros_like(x)
    for _ in range(steps):
        _, w = class_gradients(scores, x + r, decision, 1 - decision[:, None])
        logits = scores(x + r)
        f = (logits.gather(1, decision[:, None]) - logits.gather(1, 1 - decision[:, None])).clamp_min(0)
        r = (x + r + f * w[:, 0] / w[:, 0].square().sum(1, keepdim=True)).clamp(0, 1) - x
    return scores(x + r).argmax(1) != decision


def test_saturated_pixels_stall_the_step_that_ignores_the_box_and_not_the_cascade():
    """Most of w points out of the box at saturated pixels: each clipped step closes a share of the gap, and never all."""
    w = torch.cat((torch.full((60,), -1.0), torch.full((4,), 1.0)))              # only the last four can help
    x = torch.cat((torch.zeros(60), torch.full((4,), 0.4))).expand(3, -1).contiguous()

    def scores(v: Tensor) -> Tensor:
        z = (v @ w)[:, None] - 2.0                                               # −0.4 at x; flips at four times +0.1
        return torch.cat((torch.zeros_like(z), z), 1)

    decision = torch.zeros(3, dtype=torch.long)
    assert not bool(clipped_deepfool(scores, x, decision).any())
    for norm, size in (("l2", 0.2), ("linf", 0.1)):
        found = cascade(scores, x, decision, norm=norm, box=(0.0, 1.0))
        assert bool(found.found.all()) and torch.allclose(found.size, torch.full((3,), size).double(), rtol=1e-3)
    assert bool(deepfool(scores, x, decision, box=(0.0, 1.0)).found.all())


def test_nothing_found_is_censored_with_the_reason():
    x = torch.full((2, 3), 0.5)
    decision = torch.zeros(2, dtype=torch.long)
    flat = cascade(lambda v: torch.cat((1 + 0 * v[:, :1], 0 * v[:, :1]), 1), x, decision, box=(0.0, 1.0))
    assert not bool(flat.found.any()) and torch.isinf(flat.size).all() and set(flat.stop) == {Stop.ZERO_GRADIENT}
    hard = torch.cat((torch.ones(2, 1), torch.zeros(2, 1)), 1)
    assert set(cascade(lambda v: hard[: len(v)], x, decision).stop) == {Stop.ZERO_GRADIENT}
    far = cascade(lambda v: torch.cat((0 * v[:, :1], v.sum(1, keepdim=True) - 9), 1), x, decision, box=(0.0, 1.0))
    assert not bool(far.found.any()) and set(far.stop) <= {Stop.BUDGET, Stop.STALLED}


def test_scores_that_are_not_finite_touch_only_their_example():
    scores, x, _, _ = linear()
    decision = scores(x).argmax(1)

    def broken(v: Tensor) -> Tensor:
        z = scores(v)
        return torch.where((v == x[3]).all(1, keepdim=True), torch.nan, z)

    found = cascade(broken, x, decision, norm="l2", box=(0.0, 1.0))
    assert found.stop[3] == Stop.NON_FINITE and not bool(found.found[3]) and int(found.found.sum()) == len(x) - 1


def test_bad_input_is_refused_with_the_remedy():
    x, zero = torch.full((2, 3), 0.5), torch.zeros(2, dtype=torch.long)
    two = lambda v: torch.cat((v[:, :1], v[:, 1:2]), 1)  # noqa: E731
    for call, message in ((lambda: deepfool(lambda v: v[:, :1], x, zero), "one column"),
                          (lambda: deepfool(two, x, zero + 2), "from 0 to 1"),
                          (lambda: deepfool(two, x.to(torch.uint8), zero), "float"),
                          (lambda: deepfool(two, x, zero, box=(0.0, 0.4)), "leaves the box"),
                          (lambda: deepfool(two, x, zero, norm="l1"), "unknown norm"),
                          (lambda: deepfool(two, x, zero.float()), "integer"),
                          (lambda: smallest_change(two, x, zero, generators=[]), "one generator")):
        with pytest.raises(InputError, match=message):
            call()


def test_gradients_fall_back_where_the_backward_cannot_be_batched():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(context, v):
            return 2 * v

        @staticmethod
        def backward(context, gradient):
            return torch.from_numpy(2 * gradient.numpy())                        # no vmap through numpy

    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    decision, rivals = torch.tensor([0, 2]), torch.tensor([[1, 2, 3], [0, 1, 3]])
    x = torch.ones(2, 3)
    _, loop = class_gradients(lambda v: Doubled.apply(v) @ w.T, x, decision, rivals)
    _, batched = class_gradients(lambda v: 2 * v @ w.T, x, decision, rivals)
    assert torch.allclose(loop, batched) and torch.allclose(loop, 2 * (w[rivals] - w[decision][:, None]))


def test_classes_share_a_backward_only_while_their_gradients_are_small(monkeypatch):
    """On a CPU: one backward for all of few small inputs, one for each class where the inputs alone fill the bound."""
    w = torch.randn(9, 64, generator=torch.Generator().manual_seed(0))
    x, asked = torch.ones(5, 64), []
    decision, rivals = torch.zeros(5, dtype=torch.long), torch.arange(1, 9).expand(5, 8)
    monkeypatch.setattr(gradients.torch.autograd, "grad",
                        lambda *a, grad=torch.autograd.grad, **k: asked.append(k["is_grads_batched"]) or grad(*a, **k))
    found = []
    for entries in (5 * 64 * 8, 5 * 64 * 3, 1):
        monkeypatch.setattr(gradients, "ENTRIES", entries)
        found.append(class_gradients(lambda v: v @ w.T, x, decision, rivals)[1])
    assert asked == [True] * 1 + [True] * 3 + [False] * 8
    for gradient in found:
        assert torch.allclose(gradient, (w[rivals] - w[0]), atol=1e-6)


def test_callers_tensors_and_global_randomness_are_left_alone():
    scores, x, _, _ = linear()
    before, state = x.clone(), torch.random.get_rng_state()
    x.requires_grad_(True)
    found = cascade(scores, x, scores(x).argmax(1), norm="l2", box=(0.0, 1.0))
    assert torch.equal(x.detach(), before) and x.requires_grad and x.grad is None
    assert torch.equal(torch.random.get_rng_state(), state) and not found.perturbation.requires_grad


def flips_lost_in_double_precision(name: str, norm: str) -> int:
    data = bundled_digits("audited").fetch(range(25, 45))
    network = catalogue.load("lenet", role="audited").system.module
    found = SEARCHES[name](network, data.inputs, data.truth, norm=norm, box=(0.0, 1.0))
    changed = (data.inputs + found.perturbation).double()
    with torch.no_grad():
        still = network.double()(changed).argmax(1) == data.truth
    return int((found.found & still).sum())


@pytest.mark.parametrize(("name", "norm"), [("deepfool", "l2"), ("deepfool", "linf"), ("fmn", "linf"), ("cascade", "linf")])
def test_a_flip_in_single_precision_is_one_in_double_precision(name, norm):
    assert flips_lost_in_double_precision(name, norm) == 0


@pytest.mark.parametrize(("units", "rounding", "taken"), [(2, 8, False), (32, 8, True), (2, 0, True)])
def test_a_margin_within_rounding_is_no_flip_and_would_be_one_without_the_allowance(monkeypatch, units, rounding, taken):
    monkeypatch.setattr(nearest, "ROUNDING", rounding)
    state = nearest.Nearest(lambda v: torch.cat((0 * v, v - 1), 1), torch.zeros(1, 1), torch.tensor([0]), kind="l2")
    state.look(torch.tensor([0]), torch.tensor([[1 + units * torch.finfo(torch.float32).eps]]))
    assert bool(state.found[0]) is taken


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_in_a_box_that_holds_most_entries_neither_stalls_nor_leaves_it(norm):
    scores, x, _, _ = linear(batch=60)
    x = x.round()                                               # every entry at a side of the box
    found = deepfool(scores, x, scores(x).argmax(1), norm=norm, box=(0.0, 1.0))
    changed = x + found.perturbation
    assert bool(found.found.all()) and float(changed.min()) >= 0 and float(changed.max()) <= 1
