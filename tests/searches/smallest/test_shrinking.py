"""The search that shrinks its bound: linear classifiers in closed form, and every step again by a loop of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.records import Stop
from assay.searches.smallest.shrinking import shrinking

sys.path.insert(0, str(Path(__file__).parent))
import exact

BOX = (0.0, 1.0)
FAR = {"open": (-1e6, 1e6), "active": BOX}


def two_classes(n: int = 20, batch: int = 10, seed: int = 0):
    """Scores (0, w · x + b), inputs in [0, 1] of which a third are saturated, all heard as class 0."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=n), np.clip(rng.uniform(-0.5, 1.5, size=(batch, n)), 0, 1)
    b = -float((x @ w).max()) - 0.5
    tw = torch.from_numpy(w)

    def scores(v: Tensor) -> Tensor:
        one = (v @ tw + b)[:, None]
        return torch.cat((torch.zeros_like(one), one), 1)

    return scores, torch.from_numpy(x), w, b


def distances(x: Tensor, w: np.ndarray, b: float, box: str, norm: str = "linf") -> Tensor:
    low, high = FAR[box]
    return torch.tensor([exact.to_hyperplane(w, -(float(row @ w) + b), low - row, high - row, norm) for row in x.numpy()],
                        dtype=torch.float64)


def is_within_one_shrinking(search, box: str, first: float) -> None:
    """At least the distance, and at most 1/0.8 of it, from a first bound so many times as large; and the word is heard."""
    scores, x, w, b = two_classes()
    known = distances(x, w, b, box)
    assert bool(torch.isfinite(known).all())
    if box == "open":
        margin = torch.from_numpy(-(x.numpy() @ w + b))
        assert torch.allclose(known, margin / float(np.abs(w).sum()), rtol=1e-9)
    found = search(scores, x, torch.ones(len(x), dtype=torch.long), radius=first * known, box=FAR[box])
    assert bool(found.found.all()) and found.decision.tolist() == [1] * len(x)
    assert torch.equal(scores(x + found.perturbation).argmax(1), found.decision)
    assert torch.allclose(found.perturbation.abs().amax(1), found.size)
    ratio = found.size / known
    assert bool((ratio >= 1 - 1e-6).all()) and bool((ratio <= 1 / 0.8).all()), ratio.tolist()


@pytest.mark.parametrize("box", FAR)
@pytest.mark.parametrize("first", [1.3, 4.0, 60.0])
def test_the_size_is_within_one_shrinking_of_the_distance(box, first):
    is_within_one_shrinking(shrinking, box, first)


@pytest.mark.parametrize("broken", [
    lambda *a, **k: shrinking(*a, **k, every=10**6), lambda *a, **k: shrinking(*a, **k, steps=50),
    lambda *a, **k: shrinking(*a, **k, shrink=0.3), lambda *a, **k: shrinking(*a, **k | {"box": None}, norm="l2")],
    ids=["never shrinks", "too few steps", "shrinks too much", "another norm"])
def test_a_bound_that_does_not_shrink_as_said_is_caught(broken):
    with pytest.raises(AssertionError):
        is_within_one_shrinking(broken, "open", 60.0)


def stays_within(search, first: float) -> None:
    """Every input that is asked for lies in the box and within the first bound."""
    scores, x, w, b = two_classes()
    radius, asked = first * distances(x, w, b, "active"), []

    def watched(v: Tensor) -> Tensor:
        asked.append(v.detach().clone())
        return scores(v)

    found = search(watched, x, torch.ones(len(x), dtype=torch.long), radius=radius, box=BOX, steps=100)
    asked.append(x + found.perturbation)
    assert len(asked) > 50
    for v in asked:
        assert float(v.min()) >= -1e-12 and float(v.max()) <= 1 + 1e-12, "out of the box"
        if len(v) == len(x):
            assert bool(((v - x).abs().amax(1) <= radius * (1 + 1e-9)).all()), "beyond the first bound"


@pytest.mark.parametrize("first", [0.5, 1.3, 60.0])
def test_nothing_is_asked_beyond_the_first_bound_or_out_of_the_box(first):
    stays_within(shrinking, first)


def test_another_bound_and_no_box_are_caught():
    with pytest.raises(AssertionError, match="first bound"):
        stays_within(lambda *a, **k: shrinking(*a, **k | {"radius": 1.01 * k["radius"]}), 0.5)
    with pytest.raises(AssertionError, match="out of the box"):
        stays_within(lambda *a, **k: shrinking(*a, **k | {"box": None}), 1.3)


def test_a_bound_that_is_too_small_is_told_as_nothing_found():
    scores, x, w, b = two_classes()
    known = distances(x, w, b, "open")
    beyond = known > known.median()
    found = shrinking(scores, x, torch.ones(len(x), dtype=torch.long), radius=torch.where(beyond, 0.99, 1.01) * known)
    assert found.found.tolist() == (~beyond).tolist() and found.size.isinf().tolist() == beyond.tolist()
    assert {s for s, far in zip(found.stop, beyond.tolist(), strict=True) if far} == {Stop.BUDGET}
    assert not found.perturbation[beyond].any() and {n for n, far in zip(found.winner, beyond, strict=True) if far} == {""}
    assert bool((found.size[~beyond] <= 1.01 * known[~beyond] * (1 + 1e-9)).all())


def linear(classes: int = 4, n: int = 12, batch: int = 8, seed: int = 1):
    rng = np.random.default_rng(seed)
    W, b, x = rng.normal(size=(classes, n)), rng.normal(size=classes), rng.uniform(size=(batch, n))
    tW, tb = torch.from_numpy(W), torch.from_numpy(b)
    return (lambda v: v @ tW.T + tb), torch.from_numpy(x), W, b


def test_a_class_is_reached_or_left_as_asked():
    """Left: at least the distance to the nearest half space, and a tenth beyond one shrinking, for a far class may draw too.

    Reached: at least the distance to the class's own half space.
    """
    scores, x, W, b = linear()
    decision = scores(x).argmax(1)
    target = (decision + 1) % 4
    nearest = torch.tensor([exact.linear_classifier(W, b, row, FAR["open"], "linf") for row in x.numpy()]).double()
    gap = scores(x).gather(1, torch.stack((decision, target), 1)).numpy()
    rows = zip(x.numpy(), target.tolist(), decision.tolist(), gap, strict=True)
    own = torch.tensor([exact.to_hyperplane(W[t] - W[d], high - low, -1e6 - row, 1e6 - row, "linf")
                        for row, t, d, (high, low) in rows]).double()
    radius = torch.full((len(x),), 3.0)
    left = shrinking(scores, x, decision, radius=radius, towards=False)
    reached = shrinking(scores, x, target, radius=radius)
    assert bool(left.found.all() and reached.found.all())
    assert bool((scores(x + left.perturbation).argmax(1) != decision).all())
    assert torch.equal(scores(x + reached.perturbation).argmax(1), target) and torch.equal(reached.decision, target)
    assert bool((left.size >= nearest * (1 - 1e-6)).all()) and bool((left.size <= nearest / 0.8 * 1.1).all())
    assert bool((reached.size >= own * (1 - 1e-6)).all()) and bool((reached.size > left.size * 1.2).any())


@pytest.mark.parametrize("towards", [True, False])
def test_an_example_that_is_there_already_has_size_zero_and_is_not_searched(towards):
    scores, x, w, b = two_classes()
    asked = torch.ones(len(x), dtype=torch.long) if towards else torch.zeros(len(x), dtype=torch.long)
    there = [2, 5]
    asked[there] = 1 - asked[there]
    found = shrinking(scores, x, asked, radius=4 * distances(x, w, b, "open"), towards=towards, steps=40)
    assert found.size[there].tolist() == [0.0, 0.0] and not found.perturbation[there].any() and bool(found.found.all())
    assert found.forward[there].tolist() == [1, 1] and found.backward[there].tolist() == [0, 0]
    others = [i for i in range(len(x)) if i not in there]
    assert bool((found.size[others] > 0).all()) and set(found.forward[others].tolist()) == {42}
    assert set(found.backward[others].tolist()) == {40}


def test_scores_without_a_slope_or_that_are_not_finite_stop_with_the_reason():
    scores, x, _, _ = two_classes(batch=4)

    def spoiled(v: Tensor) -> Tensor:
        """The second example has no slope, the third no number, the fourth none where it has moved."""
        z = scores(v)
        near = [(v - row).abs().amax(1, keepdim=True) < 2.0 for row in x]
        z = torch.where(near[1], torch.tensor([[1.0, 0.0]]).double() + 0 * z, z)
        z = torch.where(near[2], torch.nan, z)
        return torch.where(near[3] & ((v - x[3]).abs().amax(1, keepdim=True) > 1e-3), torch.inf, z)

    x = x + 10 * torch.arange(4)[:, None]                   # far apart, so that each is told by where it is
    scores_at = scores
    scores = lambda v: scores_at(v - 10 * ((v.mean(1, keepdim=True) + 1) / 10).floor().detach())  # noqa: E731
    found = shrinking(spoiled, x, torch.ones(4, dtype=torch.long), radius=torch.full((4,), 1.5), steps=200)
    assert found.stop[1:] == (Stop.ZERO_GRADIENT, Stop.NON_FINITE, Stop.NON_FINITE)
    assert found.found.tolist() == [True, False, False, False] and found.size.isinf().tolist() == [False, True, True, True]
    alone = shrinking(scores, x[:1], torch.ones(1, dtype=torch.long), radius=torch.full((1,), 1.5), steps=200)
    assert torch.equal(alone.perturbation[0], found.perturbation[0]) and found.forward.tolist() == [202, 2, 1, 3]


@pytest.mark.parametrize(("options", "words"), [
    ({"steps": 0}, "need steps and every ≥ 1"), ({"every": 0}, "every ≥ 1"), ({"rate": 0.0}, "rate > 0"),
    ({"rate": -1.0}, "rate > 0"), ({"rate": float("nan")}, "rate > 0"), ({"shrink": 0.0}, "0 < shrink < 1"),
    ({"shrink": 1.0}, "0 < shrink < 1"), ({"shrink": float("nan")}, "0 < shrink < 1"),
    ({"radius": torch.ones(1)}, "a positive bound for each of the 2 examples"),
    ({"radius": torch.ones(2, 1)}, "positive bound"),
    ({"radius": torch.tensor([1.0, 0.0])}, "positive bound"), ({"radius": torch.tensor([1.0, -1.0])}, "positive bound"),
    ({"radius": torch.tensor([1.0, torch.nan])}, "positive bound"), ({"norm": "l1"}, "unknown norm 'l1'"),
    ({"box": (0.0, 0.4)}, "x leaves the box")])
def test_bad_arguments_are_refused(options, words):
    x, one = torch.full((2, 3), 0.5), torch.ones(2, dtype=torch.long)
    with pytest.raises(InputError, match=words):
        shrinking(lambda v: v[:, :2], x, one, **{"radius": torch.ones(2)} | options)


# every step again

CENTRE, WEIGHT, ROOM = np.array([0.9, -0.3, 0.4]), np.array([1.0, 3.0, 2.0]), 0.35


def caught(x: np.ndarray) -> float:
    """The margin of a class that is heard in a bowl around a centre; beyond 0.4 it does not see the third coordinate."""
    away = x - CENTRE
    away[2] = min(away[2], 0.0)
    return ROOM - float(np.sum(WEIGHT * away**2)) + 0.1 * float(np.sin(3 * x[:2]).sum())


def slope(x: np.ndarray) -> np.ndarray:
    away = x - CENTRE
    away[2] = min(away[2], 0.0)
    return -2 * WEIGHT * away + 0.3 * np.cos(3 * x) * np.array([1, 1, 0])


def bowl(v: Tensor) -> Tensor:
    away = v - torch.from_numpy(CENTRE)
    away = torch.cat((away[:, :2], away[:, 2:].clamp_max(0)), 1)
    one = ROOM - (torch.from_numpy(WEIGHT) * away.square()).sum(1) + 0.1 * torch.sin(3 * v[:, :2]).sum(1)
    return torch.stack((torch.zeros_like(one), one), 1)


def by_hand(x: np.ndarray, first: float, norm: str, box, *, steps: int = 120, rate: float = 0.05, shrink: float = 0.8,
            every: int = 10, corrected: bool = True, sign: bool = True, least: bool = True, second: float = 0.999):
    """Adam (Kingma and Ba, Algorithm 1) on the sign of the slope, and the bound: all that is asked, the least that works."""
    def size(p: np.ndarray) -> float:
        return float(np.abs(p).max() if norm == "linf" else np.sqrt(np.sum(p * p)))

    p, mean, square, bound = np.zeros(3), np.zeros(3), np.zeros(3), first
    asked, smallest = [], np.inf
    for t in range(1, steps + 2):
        works = caught(x + p) > 0
        asked.append(p)
        if works:
            smallest = min(smallest, size(p))
        if t > steps:
            break
        if t % every == 0 and works:
            bound = shrink * (min(bound, size(p)) if least else bound)
        g = np.sign(slope(x + p)) if sign else slope(x + p)
        mean, square = 0.9 * mean + 0.1 * g, second * square + (1 - second) * g * g
        m, v = (mean / (1 - 0.9**t), square / (1 - second**t)) if corrected else (mean, square)
        p = p + rate * first * m / (np.sqrt(v) + 1e-8)
        if norm == "linf":
            p = np.clip(p, -bound, bound)
            p = p if box is None else np.clip(x + p, *box) - x
        elif size(p) > bound:
            p = p * bound / size(p)
    return np.stack(asked), smallest


def is_the_loop(norm: str, box, **broken) -> None:
    x = np.array([[0.0, 0.0, 0.0], [-0.2, 0.5, -0.9], [0.7, 0.9, 0.8], [-0.9, 0.1, 0.2]])
    radius = np.array([2.0, 1.6, 1.2, 1.8])
    asked = []

    def watched(v: Tensor) -> Tensor:
        asked.append(v.detach().numpy() - x)
        return bowl(v)

    found = shrinking(watched, torch.from_numpy(x), torch.ones(4, dtype=torch.long), radius=torch.from_numpy(radius),
                      norm=norm, box=box, steps=120)
    assert bool(found.found.all()) and len(asked) == 122 and not asked[0].any()
    order = torch.inf if norm == "linf" else 2
    assert torch.allclose(torch.linalg.vector_norm(found.perturbation, order, dim=1), found.size, rtol=1e-12)
    for i in range(4):
        path, size = by_hand(x[i], float(radius[i]), norm, box, **broken)
        theirs = np.stack([p[i] for p in asked[1:]])
        assert np.abs(theirs - path).max() < 1e-9 and abs(float(found.size[i]) - size) < 1e-9, i
        assert np.abs(path - found.perturbation[i].numpy()).max(1).min() < 1e-9
    assert found.forward.tolist() == [122] * 4 and found.backward.tolist() == [120] * 4


@pytest.mark.parametrize(("norm", "box"), [("linf", None), ("linf", (-1.0, 0.95)), ("l2", None)])
def test_the_whole_run_by_a_loop(norm, box):
    is_the_loop(norm, box)


@pytest.mark.parametrize("broken", [{"corrected": False}, {"sign": False}, {"least": False}, {"second": 0.99}, {"every": 9},
                                    {"shrink": 0.81}, {"rate": 0.051}])
def test_another_step_is_caught(broken):
    with pytest.raises(AssertionError):
        is_the_loop("linf", None, **broken)
