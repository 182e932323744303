"""Searches for one shared perturbation against closed forms of linear classifiers; and each test against a broken twin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import bounded_oracles
from assay.arrays import InputError
from assay.numerics.norms import norm as norm_of
from assay.perturbations.protocol import stream
from assay.records import Stop
from assay.searches.universal import batched as batched_module
from assay.searches.universal.batched import batched, best_of
from assay.searches.universal.fit import FitSet, Universal, onto
from assay.searches.universal.published import published

BOX = (0.0, 1.0)
SEARCHES = {"batched": batched, "published": published}


def linear(W: Tensor, b: Tensor | float = 0.0):
    return lambda x: x.flatten(1) @ W.T + b


def two_classes(seed: int, n: int = 25, d: int = 12, lean: float = 0.0):
    """Scores (0, ⟨w, x⟩ − b) and inputs; `lean` moves them all towards one class."""
    g = torch.Generator().manual_seed(seed)
    w, x = torch.randn(d, generator=g).double(), torch.randn(n, d, generator=g).double()
    return w, x + lean * w / w.norm(), linear(torch.stack((0 * w, w)))


def changed(scores, x: Tensor, v: Tensor, box=None) -> float:
    """The definition, written again."""
    moved = x + v if box is None else (x + v).clamp(*box)
    return float((scores(moved).argmax(1) != scores(x).argmax(1)).double().mean())


def best_linear(w: Tensor, x: Tensor, scores, norm: str, radius: float, box=None) -> float:
    """Every input's score moves by the same ⟨w, v⟩, so the best v is one of ±argmax ⟨w, v⟩ (without a box)."""
    v = radius * (w.sign() if norm == "linf" else w / w.norm())
    return max(changed(scores, x, v, box), changed(scores, x, -v, box))


@pytest.mark.parametrize("norm, radius", [("linf", 0.1), ("l2", 0.5)])
@pytest.mark.parametrize("lean", [0.0, 0.7, -1.0])
@pytest.mark.parametrize("seed", range(2))
def test_two_linear_classes_the_batched_search_reaches_the_best_rate(norm, radius, lean, seed):
    w, x, scores = two_classes(seed, lean=lean)
    found = batched(scores, x, norm=norm, radius=radius, generator=stream(seed))
    assert found.rate == best_linear(w, x, scores, norm, radius) > 0
    assert found.rate == changed(scores, x, found.perturbation) == found.rates[-1]


def test_the_best_rate_catches_a_search_that_follows_no_gradient():
    w, x, scores = two_classes(0)
    random = [torch.randn(x[0].shape, generator=stream(1, k)).double() for k in range(80)]
    found = best_of(scores, x, random, norm="l2", radius=0.5, generator=stream(0))
    assert found.rate < best_linear(w, x, scores, "l2", 0.5)
    assert found.stop is Stop.EXHAUSTED and found.backward == 0


@pytest.mark.parametrize("norm, radius", [("linf", 0.2), ("l2", 0.8)])
@pytest.mark.parametrize("name", SEARCHES)
def test_published_and_batched_stay_within_the_best_and_one_near_class_is_wholly_changed(name, norm, radius):
    w, x, scores = two_classes(4)
    assert SEARCHES[name](scores, x, norm=norm, radius=radius, generator=stream(0)).rate \
        <= best_linear(w, x, scores, norm, radius)
    depth = radius * w.norm() * torch.linspace(0.1, 0.3, len(x)).double()
    near = x - (x @ w + depth)[:, None] * w / w.norm() ** 2                       # all of class 0, near the plane
    assert best_linear(w, near, scores, norm, radius) == 1.0
    found = SEARCHES[name](scores, near, norm=norm, radius=radius, generator=stream(0))
    assert found.rate >= 0.8 and found.stop is Stop.CONVERGED


def test_the_published_search_moves_along_the_normal_only():
    w, x, scores = two_classes(5)
    found = published(scores, x, norm="l2", radius=0.5, generator=stream(0), passes=2)
    v = found.perturbation
    assert float((v @ w).abs() / (v.norm() * w.norm())) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(3))
def test_within_a_box_it_is_at_least_as_good_as_the_sign_of_the_weights(seed):
    w, _, scores = two_classes(seed)
    x = bounded_oracles.saturated(60, 12, seed=seed)
    scores = linear(torch.stack((0 * w, w)), torch.stack((0 * w[0], -(x @ w).median())))
    found = batched(scores, x, radius=0.15, box=BOX, generator=stream(0))
    assert found.rate == changed(scores, x, found.perturbation, BOX) >= best_linear(w, x, scores, "linf", 0.15, BOX) > 0


@pytest.mark.parametrize("seed", range(3))
def test_three_classes_in_the_plane_match_a_scan_of_the_disc(seed):
    g = torch.Generator().manual_seed(seed)
    W, x = torch.randn(3, 2, generator=g).double(), torch.randn(50, 2, generator=g).double()
    angles, radii = torch.arange(0, 6.2832, 0.05).double(), torch.linspace(0.1, 1, 4).double()
    disc = (radii[:, None, None] * torch.stack((angles.cos(), angles.sin()), 1)).flatten(0, 1) * 0.7
    scan = max(changed(linear(W), x, v) for v in disc)
    found = batched(linear(W), x, norm="l2", radius=0.7, generator=stream(seed))
    assert scan - 0.02 <= found.rate
    assert best_of(linear(W), x, list(disc), norm="l2", radius=0.7, generator=stream(seed)).rate == scan


@pytest.mark.parametrize("name", SEARCHES)
def test_a_radius_of_nought_changes_nothing(name):
    _, x, scores = two_classes(1)
    found = SEARCHES[name](scores, x, radius=0.0, generator=stream(0))
    assert found.rate == 0.0 and not found.perturbation.any()


def within(found: Universal, norm: str, radius: float) -> bool:
    return bool(norm_of(found.perturbation[None], norm) <= radius * (1 + 1e-6))


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", SEARCHES)
def test_the_perturbation_is_in_the_ball_and_projecting_twice_is_projecting_once(name, norm):
    _, x, scores = two_classes(2)
    found = SEARCHES[name](scores, x, norm=norm, radius=0.3, generator=stream(0))
    assert within(found, norm, 0.3) and found.perturbation.dtype == x.dtype
    once = onto(3 * x[:5], norm, 0.3)
    assert torch.allclose(onto(once, norm, 0.3), once, rtol=1e-15)
    inside = 0.3 * x[:5] / norm_of(x[:5], norm)[:, None] * 0.9
    assert torch.equal(onto(inside, norm, 0.3), inside)


def test_the_ball_catches_a_search_that_does_not_project(monkeypatch):
    _, x, scores = two_classes(2)
    monkeypatch.setattr(batched_module, "onto", lambda patterns, norm, radius: patterns)
    assert not within(batched(scores, x, norm="l2", radius=0.3, generator=stream(0)), "l2", 0.3)


def four_classes():
    g = torch.Generator().manual_seed(9)
    W = torch.randn(4, 12, generator=g).double()
    return torch.randn(20, 12, generator=g).double(), linear(W)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_order_of_the_inputs_does_not_matter_and_the_seed_is_obeyed(name):
    x, scores = four_classes()
    search = SEARCHES[name]
    one = search(scores, x, norm="l2", radius=0.4, generator=stream(3), passes=3)
    other = search(scores, x[torch.randperm(20, generator=stream(8))], norm="l2", radius=0.4, generator=stream(3), passes=3)
    assert torch.equal(one.perturbation, other.perturbation) and one.rates == other.rates
    fresh = search(scores, x, norm="l2", radius=0.4, generator=stream(4), passes=3)
    assert not torch.equal(one.perturbation, fresh.perturbation)


class Unsorted(FitSet):
    """A broken twin: the inputs stay in the order given."""

    def __init__(self, scores, x, generator, *, box, chunk):
        super().__init__(scores, x, generator, box=box, chunk=chunk)
        self.x, self.decision = x, scores(x).argmax(1)


def test_the_order_catches_a_search_that_depends_on_it(monkeypatch):
    x, scores = four_classes()
    monkeypatch.setattr(batched_module, "FitSet", Unsorted)
    found = [batched(scores, some, norm="l2", radius=0.4, generator=stream(3)) for some in (x, x.flip(0))]
    assert not torch.equal(found[0].perturbation, found[1].perturbation)


@pytest.mark.parametrize("name", SEARCHES)
def test_no_scale_of_data_or_scores_matters(name):
    x, scores = four_classes()
    plain = SEARCHES[name](scores, x, norm="l2", radius=0.4, generator=stream(0), passes=3)
    large = SEARCHES[name](lambda z: 1024 * scores(z / 256), 256 * x, norm="l2", radius=0.4 * 256, generator=stream(0),
                           passes=3)
    assert torch.allclose(large.perturbation, 256 * plain.perturbation, rtol=1e-9) and large.rates == plain.rates


@pytest.mark.parametrize("name", SEARCHES)
def test_evaluations_are_counted_and_nothing_of_the_caller_is_changed(name):
    x, scores = four_classes()
    seen, kept, state = [], x.clone(), torch.get_rng_state()
    weight = torch.eye(12).double().requires_grad_(True)

    def counted(z: Tensor) -> Tensor:
        seen.append(len(z))
        return scores(z @ weight)

    found = SEARCHES[name](counted, x, norm="l2", radius=0.4, generator=stream(0), passes=3)
    assert found.forward == sum(seen) and found.backward > 0
    assert torch.equal(x, kept) and not x.requires_grad and weight.requires_grad and weight.grad is None
    assert torch.equal(state, torch.get_rng_state()) and not found.perturbation.requires_grad
    assert len(found.rates) <= 3


def test_starts_are_tried_first_so_what_is_known_is_never_lost():
    w, x, scores = two_classes(6)
    known = 0.5 * w / w.norm()
    best = max(changed(scores, x, known), changed(scores, x, -known))
    found = batched(scores, x, norm="l2", radius=0.5, generator=stream(0), passes=1, restarts=0, starts=[known])
    assert found.rate >= best


def test_published_accepts_a_step_only_below_the_iteration_limit_and_stops_at_its_rate():
    _, x, scores = two_classes(7)
    words = {"norm": "l2", "radius": 0.5, "generator": stream(0), "passes": 1}
    assert not published(scores, x, steps=2, **words).perturbation.any()          # a plane takes one iteration, not < 1
    assert published(scores, x, steps=3, **words).perturbation.any()
    early = published(scores, x, delta=0.999, **{**words, "generator": stream(0), "passes": 3})
    assert len(early.rates) == 1 and early.stop is Stop.CONVERGED
    late = published(scores, x, delta=0.0, **{**words, "generator": stream(0), "passes": 3})
    assert len(late.rates) == 3 and late.stop is Stop.BUDGET


@pytest.mark.parametrize("name", SEARCHES)
def test_it_says_when_gradients_vanish_or_scores_are_not_finite(name):
    x, scores = four_classes()
    flat = SEARCHES[name](lambda z: scores(z.detach()), x, radius=0.1, passes=2, generator=stream(0))
    assert flat.stop is Stop.ZERO_GRADIENT
    holes = SEARCHES[name](lambda z: torch.where(z[:, :1] > 1, torch.nan, scores(z)), x, radius=0.1, passes=2,
                           generator=stream(0))
    assert holes.stop is Stop.NON_FINITE and bool(torch.isfinite(holes.perturbation).all())


@pytest.mark.parametrize("wrong, words", [
    ({"norm": "l1"}, "unknown norm"), ({"radius": -1.0}, "radius"), ({"passes": 0}, "passes"),
    ({"box": (0.0, 0.5)}, "leaves the box"), ({"radius": float("inf")}, "finite")])
@pytest.mark.parametrize("name", SEARCHES)
def test_bad_arguments_are_refused_by_name(name, wrong, words):
    _, x, scores = two_classes(0)
    with pytest.raises(InputError, match=words):
        SEARCHES[name](scores, x, generator=stream(0), **{"radius": 0.1, **wrong})


def test_bad_inputs_are_refused_by_name():
    _, x, scores = two_classes(0)
    with pytest.raises(InputError, match="float32"):
        batched(scores, x.long(), radius=0.1, generator=stream(0))
    with pytest.raises(InputError, match="2 classes"):
        batched(lambda z: z[:, :1], x, radius=0.1, generator=stream(0))
    with pytest.raises(InputError, match="delta"):
        published(scores, x, radius=0.1, delta=1.0, generator=stream(0))
    with pytest.raises(InputError, match="restarts"):
        batched(scores, x, radius=0.1, restarts=0, generator=stream(0))

