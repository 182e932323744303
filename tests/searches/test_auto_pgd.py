"""APGD against closed forms within and without a box, a second implementation, and searches that are broken."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

import bounded_oracles as oracle
import oracles
from assay.arrays import InputError
from assay.perturbations.balls import InputBall
from assay.perturbations.protocol import Examples, stream
from assay.records import Stop
from assay.searches.auto_pgd import auto_pgd, checkpoints
from assay.searches.random_search import random_search
from assay.searches.result import Score

BOXES = {"box": oracle.BOX, "whole": None}


def streams(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def weights(x: Examples, seed: int = 5) -> Tensor:
    return torch.randn(x.inputs.shape, dtype=x.inputs.dtype, generator=torch.Generator().manual_seed(seed))


class Blind:
    """A broken twin of a boxed ball: steps along its steepest member, which is 0 where a saturated entry should return."""

    def __init__(self, within: InputBall) -> None:
        self.unit, self.zero, self.apply, self.size = within.unit, within.zero, within.apply, within.size
        self.sample, self.project, self.resized = within.sample, within.project, within.resized
        self.steepest = self.uphill = within.steepest


def linear(norm: str, radius: float, box: tuple[float, float] | None, *, wrap=lambda s: s, steps: int = 100) -> Tensor:
    """The share of the exact maximum of ⟨w, p⟩ that is found; never more than all of it, and by a member."""
    x, within = oracle.examples(6, 2, 4), oracle.ball(norm, radius, box)
    w = weights(x)
    found = auto_pgd(lambda p: (w * p).flatten(1).sum(1), wrap(within), x=x, generators=streams(x), steps=steps)
    exact = oracle.linear_maxima(w, x.inputs, norm, radius, box)
    assert torch.allclose(found.value, (w * found.parameters).flatten(1).sum(1))
    assert bool((within.size(x, found.parameters) <= radius * (1 + 1e-9)).all() and (found.value <= exact + 1e-7).all())
    if box is not None:
        changed = within.apply(x, found.parameters).inputs
        assert bool((changed >= 0).all() and (changed <= 1).all())
    return found.value / exact


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("radius", [0.1, 0.6, 1.5, 5.0])
def test_linear_classifier(norm, radius, box):
    assert float(linear(norm, radius, BOXES[box]).min()) >= 1 / 1.001


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.1), ("linf", 0.6), ("l2", 5.0)])
def test_steps_that_see_the_box_are_caught(norm, radius):
    assert float(linear(norm, radius, oracle.BOX, wrap=Blind).min()) < 0.99


def test_a_linear_objective_needs_few_steps():
    assert float(linear("linf", 0.3, oracle.BOX, steps=5).min()) >= 1 - 1e-9
    assert float(linear("l2", 0.6, oracle.BOX, steps=20).min()) >= 1 / 1.001


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("seed", range(6))
def test_gain_of_a_linear_system_is_its_top_singular_value(seed, dtype):
    M = torch.randn(12, 8, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    x, ball = oracles.unit_ball(8, radius=0.3, dtype=dtype)
    found = auto_pgd(lambda p: torch.linalg.vector_norm(p @ M.T, dim=1), ball, x=x, generators=oracles.streams(seed=seed))
    exact = float(torch.linalg.matrix_norm(M, 2))
    assert exact * 0.999 <= float(found.value) / 0.3 <= exact * (1 + 1e-9)


def relu_reached(search, batch: int = 40) -> float:
    """The share of small networks v·relu(W(x + p) + b) whose exact maximum over ‖p‖_∞ ≤ 0.4 and the box is reached.

    Reached: 1/1.02 of the rise above the value at x. Not all can be: some maxima are needles in a plateau of dead units.
    """
    rng = np.random.default_rng(0)
    W, b, v = rng.normal(size=(batch, 6, 4)), rng.normal(size=(batch, 6)), rng.normal(size=(batch, 6))
    x = oracle.examples(batch, 4)
    tW, tb, tv = (torch.from_numpy(a) for a in (W, b, v))

    def objective(p: Tensor) -> Tensor:
        return (torch.relu(torch.einsum("bij,bj->bi", tW, x.inputs + p) + tb) * tv).sum(1)

    edges = [(W[i], W[i] @ a + b[i], v[i], np.maximum(-0.4, -a), np.minimum(0.4, 1 - a))
             for i, a in enumerate(x.inputs.numpy())]
    exact = torch.tensor([oracle.relu_network_maximum(*edge) for edge in edges], dtype=torch.float64)
    found = search(objective, oracle.ball("linf", 0.4), x=x, generators=streams(x))
    assert bool((found.value <= exact + 1e-7).all())
    clean = objective(torch.zeros_like(x.inputs))
    return float(((found.value - clean) * 1.02 >= exact - clean - 1e-9).double().mean())


def test_tiny_relu_networks_within_a_box_reach_the_exact_maximum():
    assert relu_reached(lambda f, s, **k: auto_pgd(f, s, steps=50, restarts=16, **k)) >= 0.9


@pytest.mark.parametrize("broken", ["random", "one coordinate"])
def test_a_search_that_does_not_reach_them_is_caught(broken):
    def search(f, s, **given):
        if broken == "random":
            return random_search(f, s, draws=4, **given)
        return auto_pgd(lambda p: Score(f(p), p[:, 0]), s, steps=50, restarts=16, **given)

    assert relu_reached(search) < 0.8


def published(f, gradient, start: np.ndarray, radius: float, steps: int, rho: float = 0.75) -> list[float]:
    """Algorithm 1 of Croce and Hein (2020) on ‖p‖_∞ ≤ radius, for one example, written out from the paper."""
    def project(p):
        return np.clip(p, -radius, radius)

    eta, x, values = 2 * radius, start, [f(start)]
    following = project(x + eta * np.sign(gradient(x)))
    values.append(f(following))
    last, x = x, following
    top, at = max((values[0], start), (values[1], following), key=lambda pair: pair[0])
    current, before = values[1], top
    rises, since, halved = int(values[1] > values[0]), 1, True
    for k in range(1, steps):
        if k in checkpoints(steps):
            halved = rises < rho * since or (not halved and top <= before)
            if halved:
                eta, x, current = eta / 2, at, top
            rises, since, before = 0, 0, top
        z = project(x + eta * np.sign(gradient(x)))
        following = project(x + 0.75 * (z - x) + 0.25 * (x - last))
        last, x = x, following
        values.append(f(x))
        rises, since = rises + int(values[-1] > current), since + 1
        current = values[-1]
        if current > top:
            top, at = current, x
    return values


def curved(seed: int):
    rng = np.random.default_rng(seed)
    A, c = rng.normal(size=(6, 4)), rng.normal(size=6)
    return A, c, (lambda p: float(np.sin(3 * (A @ p) + c).sum())), (lambda p: 3 * A.T @ np.cos(3 * (A @ p) + c))


@pytest.mark.parametrize("seed", range(6))
def test_iterates_are_those_of_the_published_algorithm(seed):
    A, c, f, gradient = curved(seed)
    x, within = oracles.unit_ball(4, norm="linf", radius=0.8)
    seen, start = [], torch.from_numpy(np.random.default_rng(seed + 50).uniform(-0.8, 0.8, (1, 4)))
    tA, tc = torch.from_numpy(A), torch.from_numpy(c)

    def objective(p: Tensor) -> Tensor:
        value = torch.sin(3 * (p @ tA.T) + tc).sum(1)
        seen.append(float(value.detach()))
        return value

    auto_pgd(objective, within, x=x, generators=oracles.streams(), steps=60, restarts=0, starts=[start])
    expected = published(f, gradient, start[0].numpy(), 0.8, 60)
    np.testing.assert_allclose(seen, expected, rtol=1e-9)
    assert len(seen) == 61


def test_a_twin_that_does_not_halve_for_oscillation_is_told_apart():
    pairs = []
    for seed in range(6):
        _, _, f, gradient = curved(seed)
        start = np.random.default_rng(seed + 50).uniform(-0.8, 0.8, 4)
        pairs.append([published(f, gradient, start, 0.8, 60, rho=rho) for rho in (0.75, 0.0)])
    assert sum(not np.allclose(*pair) for pair in pairs) >= 4


def test_checkpoints_are_the_published_ones():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1)[-1] == 1


def rough(x: Examples, seed: int = 2):
    M = torch.randn(9, x.inputs[0].numel(), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return lambda p: torch.sin(6 * ((x.inputs + p).flatten(1) @ M.T)).sum(1)


def test_more_restarts_are_never_better_for_the_system():
    x, within = oracle.examples(5, 6), oracle.ball("linf", 0.5)
    values = [auto_pgd(rough(x), within, x=x, generators=streams(x), steps=12, restarts=k).value for k in (1, 2, 4, 8)]
    for fewer, more in pairwise(values):
        assert bool((more >= fewer).all())
    assert float((values[-1] - values[0]).max()) > 0.1


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_results_do_not_depend_on_the_batch(norm):
    x, within = oracle.examples(4, 6), oracle.ball(norm, 0.5)

    def run(ids: tuple[str, ...]) -> Tensor:
        part = Examples(ids=ids, inputs=x.inputs[[x.ids.index(i) for i in ids]])
        return auto_pgd(rough(part), within, x=part, generators=streams(part), steps=25, restarts=2,
                        done=lambda harm: harm > 5.0).parameters

    together, turned = run(x.ids), run(x.ids[::-1])
    assert torch.allclose(together, turned.flip(0), atol=1e-9)
    assert torch.allclose(together, torch.cat([run((i,)) for i in x.ids]), atol=1e-9)


def test_finished_examples_are_frozen_and_the_search_stops_when_all_are():
    """Example 0 is done at once, 1 after some steps, 2 never; what the objective sees of a finished one never moves."""
    x, within = oracles.unit_ball(3, norm="linf", radius=0.9, batch=3)
    limit, seen = torch.tensor([-10.0, 2.0, 100.0]), []

    def objective(p: Tensor) -> Tensor:
        seen.append(p.detach().clone())
        return p.sum(1)

    found = auto_pgd(objective, within, x=x, generators=oracles.streams(3), steps=10, done=lambda harm: harm > limit)
    assert all(torch.equal(p[0], seen[0][0]) for p in seen)
    assert float(found.value[0]) == float(seen[0][0].sum()) and float(found.value[2]) == pytest.approx(2.7)
    assert found.stop[0] == found.stop[1] == Stop.CONVERGED and found.forward == 11
    quick = auto_pgd(objective, within, x=x, generators=oracles.streams(3), steps=10, restarts=5,
                     done=lambda harm: harm > torch.tensor(-10.0))
    assert quick.forward == 1 and quick.backward == 1


def test_the_worst_is_kept_by_the_harm_not_by_what_is_climbed():
    x, within = oracles.unit_ball(2)
    found = auto_pgd(lambda p: Score(1 - (p[:, 0] - 0.5).abs(), p[:, 0]), within, x=x, generators=oracles.streams())
    assert float(found.value) == pytest.approx(1 - abs(float(found.parameters[0, 0]) - 0.5))
    assert float(found.value) > 0.6 and float(found.parameters[0, 0]) < 0.99


def test_warm_starts_come_first_and_are_projected():
    x, within, seen = oracle.examples(1, 3), oracle.ball("linf", 0.2), []

    def objective(p: Tensor) -> Tensor:
        seen.append(p.detach().clone())
        return p.sum(1)

    auto_pgd(objective, within, x=x, generators=streams(x), steps=1, starts=[torch.full((1, 3), 7.0, dtype=torch.float64)])
    assert torch.equal(seen[0], (1 - x.inputs).clamp_max(0.2)) and len(seen) == 4


def test_flat_and_broken_objectives_are_said_to_be_so():
    x, within = oracle.examples(2, 3), oracle.ball("l2", 0.2)
    flat = auto_pgd(lambda p: (p * 0).sum(1) + 1, within, x=x, generators=streams(x), steps=3)
    assert flat.stop == (Stop.ZERO_GRADIENT,) * 2
    broken = auto_pgd(lambda p: p.sum(1) * torch.tensor([1.0, float("nan")]), within, x=x, generators=streams(x), steps=3)
    assert broken.stop[1] == Stop.NON_FINITE and broken.stop[0] != Stop.NON_FINITE


def test_nothing_of_the_caller_is_changed():
    x, within = oracle.examples(2, 3), oracle.ball("l2", 0.2)
    inputs, start, state = x.inputs.clone(), torch.zeros(2, 3, dtype=torch.float64), torch.get_rng_state()
    w = weights(x).requires_grad_(True)
    auto_pgd(lambda p: (w * p).sum(1), within, x=x, generators=streams(x), steps=5, starts=[start])
    assert torch.equal(x.inputs, inputs) and not start.any() and torch.equal(torch.get_rng_state(), state)
    assert w.grad is None and not x.inputs.requires_grad and not start.requires_grad


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"restarts": 0}, {"restarts": -1}, {"rho": 1.5}])
def test_empty_budgets_are_refused(wrong):
    x = oracle.examples(1, 3)
    with pytest.raises(InputError):
        auto_pgd(lambda p: p.sum(1), oracle.ball("l2", 0.2), x=x, generators=streams(x), **wrong)
