"""Targeted changes: the distance to the polyhedron where a class is the greatest, exactly; and along a line."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize, nnls
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import stream
from assay.records import Stop
from assay.searches.boundary import radius_along
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.nearest import Nearest

BOXES = {"open": None, "active": (0.0, 1.0)}
N, BATCH, SEEDS = 20, 15, 8


# exactly

def nearest_l2(A: np.ndarray, c: np.ndarray, low: np.ndarray | None, high: np.ndarray | None) -> np.ndarray | None:
    """argmin ‖r‖₂ over A r ≥ c and low ≤ r ≤ high: least distance programming (Lawson and Hanson 1974, chapter 23)."""
    n = A.shape[1]
    rows = A if low is None else np.vstack((A, np.eye(n), -np.eye(n)))
    bounds = c if low is None else np.concatenate((c, low, -high))
    E, f = np.vstack((rows.T, bounds[None])), np.append(np.zeros(n), 1.0)
    u, left = nnls(E, f)
    if left < 1e-9:
        return None                                                             # no point satisfies them all
    rest = E @ u - f
    return -rest[:-1] / rest[-1]


def nearest_linf(A: np.ndarray, c: np.ndarray, low: np.ndarray | None, high: np.ndarray | None) -> np.ndarray | None:
    """argmin ‖r‖_∞ as a linear program in (r, t), |r_i| ≤ t."""
    n = A.shape[1]
    eye, one = np.eye(n), np.ones((n, 1))
    rows = np.vstack([np.hstack([eye, -one]), np.hstack([-eye, -one]), np.hstack([-A, np.zeros((len(A), 1))])])
    sides = [(None, None)] * n if low is None else list(zip(low, high, strict=True))
    solved = linprog(np.append(np.zeros(n), 1), A_ub=rows, b_ub=np.concatenate([np.zeros(2 * n), -c]),
                     bounds=[*sides, (0, None)])
    return solved.x[:-1] if solved.success else None


NEAREST = {"l2": nearest_l2, "linf": nearest_linf}


@functools.cache
def problem(classes: int, seed: int):
    """A linear classifier, inputs in [0, 1] of which a third are saturated, and for each another class than its own."""
    rng = np.random.default_rng(seed)
    W, b = rng.normal(size=(classes, N)), 0.5 * rng.normal(size=classes)
    x = np.clip(rng.uniform(-0.5, 1.5, size=(BATCH, N)), 0, 1)
    goal = ((x @ W.T + b).argmax(1) + 1 + rng.integers(0, classes - 1, size=BATCH)) % classes
    return W, b, x, goal


def scorer(W: np.ndarray, b: np.ndarray):
    tW, tb = torch.from_numpy(W), torch.from_numpy(b)
    return lambda v: v @ tW.T + tb


@functools.cache
def distances(classes: int, seed: int, norm: str, box: str) -> np.ndarray:
    """Of each input, infinite where the box holds no such point."""
    W, b, x, goal = problem(classes, seed)
    found = []
    for row, t in zip(x, goal, strict=True):
        others = [k for k in range(classes) if k != t]
        scores = W @ row + b
        sides = (None, None) if BOXES[box] is None else (BOXES[box][0] - row, BOXES[box][1] - row)
        r = NEAREST[norm](W[t] - W[others], scores[others] - scores[t], *sides)
        found.append(math.inf if r is None else float(np.abs(r).max() if norm == "linf" else np.linalg.norm(r)))
    return np.array(found)


def test_the_exact_distance_is_that_of_another_solver():
    """Sequential quadratic programming, where the box does not hold the point and where it does."""
    W, b, x, goal = problem(5, 0)
    for box in BOXES:
        for row, t, known in list(zip(x, goal, distances(5, 0, "l2", box), strict=True))[:6]:
            others = [k for k in range(5) if k != t]
            A, c = W[t] - W[others], (W @ row + b)[others] - (W @ row + b)[t]
            sides = None if BOXES[box] is None else [(-v, 1 - v) for v in row]
            solved = minimize(lambda r: r @ r / 2, np.zeros(N), jac=lambda r: r, bounds=sides, method="SLSQP",
                              constraints={"type": "ineq", "fun": lambda r, A=A, c=c: A @ r - c, "jac": lambda r, A=A: A},
                              options={"maxiter": 500, "ftol": 1e-12})
            assert solved.success and np.linalg.norm(solved.x) == pytest.approx(known, rel=1e-4)


# the cascade

def streams(x: Tensor) -> list[torch.Generator]:
    return [stream("towards", i) for i in range(len(x))]


def cascade(scores, x: Tensor, goal: Tensor, **options):
    return smallest_change(scores, x, goal, towards=True, generators=streams(x), **options)


def two_alone(scores, x: Tensor, goal: Tensor, **options):
    """A broken twin: the class must beat the one it is taken for now, and no other."""
    now = scores(x).argmax(1)

    def beside(v: Tensor) -> Tensor:
        which = (v[:, None] - x[None]).flatten(2).norm(dim=2).argmin(1)
        return scores(v).gather(1, torch.stack((now[which], goal[which]), 1))

    return cascade(beside, x, torch.ones_like(goal), **options)


def ratios(search, norm: str, box: str, classes: int, seeds: int, **options) -> np.ndarray:
    """What is found as a share of the distance; it is heard as the class, lies in the box and is found where one exists."""
    found = []
    for seed in range(seeds):
        W, b, x, goal = problem(classes, seed)
        known, scores = distances(classes, seed, norm, box), scorer(W, b)
        r = search(scores, torch.from_numpy(x), torch.from_numpy(goal), norm=norm, box=BOXES[box], **options)
        there = np.isfinite(known)
        assert r.found.tolist() == there.tolist()
        changed = torch.from_numpy(x) + r.perturbation
        heard = scores(changed).argmax(1).numpy()
        assert (heard == goal)[there].all(), "another class"
        assert (r.decision.numpy() == heard)[there].all()
        assert box == "open" or (float(changed.min()) >= -1e-12 and float(changed.max()) <= 1 + 1e-12)
        order = torch.inf if norm == "linf" else 2
        sizes = torch.linalg.vector_norm(r.perturbation, order, dim=1)
        assert torch.allclose(sizes[there], r.size[there])
        found += (r.size.numpy()[there] / known[there]).tolist()
    assert len(found) >= 0.9 * seeds * BATCH
    return np.array(found)


# Of 120 problems 95 in a hundred lie within the first, all within the second: measured with the defaults, then rounded up.
# With several classes ahead at once the last per cent is not found: ℓ∞ with ten classes, two thirds are within 2 %.
MEASURED = {("l2", 3): (1.01, 1.02), ("l2", 5): (1.02, 1.02), ("l2", 10): (1.03, 1.07),
            ("linf", 3): (1.03, 1.04), ("linf", 5): (1.05, 1.18), ("linf", 10): (1.07, 1.19)}


def is_near_exact(search, norm: str, box: str, classes: int, seeds: int = SEEDS, **options) -> None:
    most, worst = MEASURED[norm, classes]
    found = ratios(search, norm, box, classes, seeds, **options)
    assert found.min() >= 1 - 1e-6, "below what is possible"
    assert np.median(found) <= 1.02 and np.mean(found <= most) >= 0.95 and found.max() <= worst, sorted(found)[-8:]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(("norm", "classes"), MEASURED)
def test_a_targeted_change_is_never_below_the_distance_and_close_to_it(norm, classes, box):
    is_near_exact(cascade, norm, box, classes)


@pytest.mark.parametrize("norm", NEAREST)
def test_searches_that_ask_something_else_are_caught(norm):
    def untargeted(scores, x: Tensor, goal: Tensor, **options):
        return smallest_change(scores, x, scores(x).argmax(1), generators=streams(x), **options)

    for broken in (two_alone, untargeted):
        with pytest.raises(AssertionError, match="another class"):
            is_near_exact(broken, norm, "open", 5, 2)
    with pytest.raises(AssertionError):
        is_near_exact(lambda s, x, g, **k: cascade(s, x, g, **k | {"box": None}), norm, "active", 5, 2)
    with pytest.raises(AssertionError):
        is_near_exact(cascade, norm, "open", 5, 2, refine_steps=0, check_steps=0, restarts=0, polish_rounds=0, fresh_steps=0)


@pytest.mark.parametrize("norm", NEAREST)
@pytest.mark.parametrize("box", BOXES)
def test_towards_the_other_of_two_classes_is_to_leave_the_one(norm, box):
    """As exact as leaving it, and equal to it to rounding."""
    for seed in range(3):
        W, b, x, goal = problem(2, seed)
        scores, tx, to = scorer(W, b), torch.from_numpy(x), torch.from_numpy(goal)
        reached = cascade(scores, tx, to, norm=norm, box=BOXES[box])
        left = smallest_change(scores, tx, 1 - to, norm=norm, box=BOXES[box],
                               generators=streams(tx))
        known = distances(2, seed, norm, box)
        there = np.isfinite(known)
        assert reached.found.tolist() == left.found.tolist() == there.tolist()
        assert torch.allclose(reached.perturbation, left.perturbation, rtol=0, atol=1e-9)
        ratio = reached.size.numpy()[there] / known[there]
        assert ratio.min() >= 1 - 1e-6 and ratio.max() <= 1.001
        assert torch.equal(reached.decision[there], to[there])


def test_an_example_that_is_heard_so_already_and_one_that_never_is():
    scores = scorer(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.array([0.0, 0.0, -0.5]))
    x = torch.tensor([[0.2, 0.9], [0.9, 0.1], [0.2, 0.9]], dtype=torch.float64)
    found = cascade(scores, x, torch.tensor([1, 1, 2]), box=(0.0, 1.0))       # s₂ = −0.5 is never the greatest in the box
    assert found.found.tolist() == [True, True, False] and float(found.size[0]) == 0 and int(found.forward[0]) == 1
    assert float(found.size[1]) == pytest.approx(0.8 / math.sqrt(2), rel=1e-3) and math.isinf(float(found.size[2]))
    assert found.stop[2] in (Stop.BUDGET, Stop.STALLED) and found.decision.tolist()[:2] == [1, 1]


# the margin

def margins(towards: bool, logits: Tensor, decision: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    state = Nearest(lambda v: v, logits, decision, kind="l2", towards=towards)
    every = torch.arange(len(logits))
    margin, _, gradient = state.uphill(every, torch.zeros_like(logits))
    hard, slope = state.nearest_rival(every, torch.zeros_like(logits))
    assert torch.equal(margin, hard) and state.rivals.shape[1] == (1 if towards else logits.shape[1] - 1)
    return hard, slope, gradient


def has_the_other_sign(pair) -> None:
    """Of scores that are the inputs: s_t − max s_k by hand, slope 1 at t and −1 at the greatest other; softened −softmax."""
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    goal = torch.tensor([0, 1, 2, 3, 0, 1])
    margin, slope, soft = pair(logits, goal)
    for i, (row, t) in enumerate(zip(logits.tolist(), goal.tolist(), strict=True)):
        others = [k for k in range(4) if k != t]
        top = max(others, key=row.__getitem__)
        assert float(margin[i]) == pytest.approx(row[t] - row[top], abs=1e-12)
        assert slope[i].tolist() == [1.0 if k == t else -1.0 if k == top else 0.0 for k in range(4)]
        unit = max(abs(v - row[t]) for v in row) / 20
        whole = sum(math.exp(row[k] / unit) for k in others)
        expected = [1.0 if k == t else -math.exp(row[k] / unit) / whole for k in range(4)]
        assert soft[i].tolist() == pytest.approx(expected, abs=1e-9)


def test_the_margin_towards_a_class_and_its_slopes():
    has_the_other_sign(lambda logits, goal: margins(True, logits, goal))
    with pytest.raises(AssertionError):
        has_the_other_sign(lambda logits, goal: margins(False, logits, goal))


# along a line

def interval(W: np.ndarray, b: np.ndarray, row: np.ndarray, v: np.ndarray, t: int) -> tuple[float, float]:
    """Where class t is the greatest on the ray row + length · v: the last falls behind there, the first overtakes here."""
    start, slope = W @ row + b, W @ v
    low, high = 0.0, math.inf
    for k in range(len(b)):
        gap, gain = start[k] - start[t], slope[t] - slope[k]
        if k != t and gain > 0:
            low = max(low, gap / gain)
        elif k != t:
            high = min(high, gap / gain if gain < 0 else (math.inf if gap <= 0 else -1.0))
    return low, high


def reaches_along(search, classes: int = 4) -> None:
    """Of the rungs 2^k/16 the first that lies between; from there down to the beginning, to 2⁻⁸ of the rungs' distance."""
    seen = {True: 0, False: 0}
    for seed in range(6):
        W, b, x, goal = problem(classes, seed)
        v = np.random.default_rng(100 + seed).normal(size=x.shape)
        v[::2] = (W[goal] - W[(x @ W.T + b).argmax(1)])[::2] / 5              # half of them on the way to the class
        found = search(scorer(W, b), torch.from_numpy(x), torch.from_numpy(goal), torch.from_numpy(v),
                       first=torch.full((BATCH,), 1 / 16)).size
        for i in range(BATCH):
            low, high = interval(W, b, x[i], v[i], int(goal[i]))
            rungs = [2.0**k / 16 for k in range(12)]
            inside = [rung for rung in rungs if low < rung < high]
            seen[bool(inside)] += 1
            if not inside:
                assert math.isinf(float(found[i])), (i, low, high, float(found[i]))
                continue
            below = inside[0] / 2 if inside[0] > rungs[0] else 0.0
            assert low < float(found[i]) <= low + (inside[0] - below) * 2.0**-8 * (1 + 1e-9), (i, low, float(found[i]))
    assert min(seen.values()) > 15


def test_the_radius_towards_a_class_is_where_the_last_other_falls_behind():
    reaches_along(lambda *a, **k: radius_along(*a, **k, towards=True))


@pytest.mark.parametrize("broken", [
    lambda s, x, goal, v, **k: radius_along(s, x, goal, v, **k),
    lambda s, x, goal, v, **k: radius_along(s, x, s(x).argmax(1), v, **k),
    lambda s, x, goal, v, **k: radius_along(s, x, goal, v, **k | {"halvings": 4}, towards=True),
    lambda s, x, goal, v, **k: radius_along(lambda z: s(z)[:, :3], x, goal.clamp_max(2), v, **k, towards=True)],
    ids=["leaves it", "leaves its own", "too few halvings", "one class unseen"])
def test_radii_of_another_question_are_caught(broken):
    with pytest.raises(AssertionError):
        reaches_along(broken)


def test_along_a_line_within_a_box_and_from_inside():
    """s = (0, x − 0.6): reached at 0.6; out of a box that ends at 0.5 never; at once where it is heard so already."""
    scores = lambda v: torch.cat((0 * v, v - 0.6), 1)  # noqa: E731
    one = torch.ones(1, 1, dtype=torch.float64)
    options = {"first": torch.full((1,), 0.1), "halvings": 30, "towards": True}

    def at(x: float, **more) -> float:
        return float(radius_along(scores, x * one, torch.tensor([1]), one, **options | more).size)

    assert at(0.0) == pytest.approx(0.6, abs=1e-8) and at(0.2, box=(0.0, 1.0)) == pytest.approx(0.4, abs=1e-8)
    assert math.isinf(at(0.0, box=(0.0, 0.5))) and at(0.7) == 0.0
    with pytest.raises(InputError, match="first must be a positive finite length"):
        at(0.0, first=torch.zeros(1))
