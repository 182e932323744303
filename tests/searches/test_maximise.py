"""Every search that maximises, against closed forms; and each test against a search that is broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from assay.arrays import InputError
from assay.perturbations.balls import InputBall
from assay.perturbations.protocol import stream
from assay.records import Stop
from assay.searches.gradient_ascent import gradient_ascent
from assay.searches.penalised_ascent import penalised_ascent, penalised_search
from assay.searches.power_iteration import lanczos, linearised, power_iteration
from assay.searches.random_search import random_search, random_walk
from assay.searches.result import Best, Score

ASCENTS = {
    "momentum": lambda f, s, **k: gradient_ascent(f, s, steps=40, restarts=2, **k),
    "adam": lambda f, s, **k: gradient_ascent(f, s, steps=120, restarts=3, optimiser="adam", **k),
}


def linear_value(search, norm: str, dtype: torch.dtype) -> tuple[float, float]:
    w = torch.randn(12, dtype=dtype, generator=torch.Generator().manual_seed(3))
    x, ball = oracles.unit_ball(12, norm=norm, radius=0.7, dtype=dtype)

    def objective(p: Tensor) -> Tensor:
        product = (p * w.conj()).sum(1)
        return product.real if product.is_complex() else product

    return float(search(objective, ball, x=x, generators=oracles.streams()).value), 0.7 * oracles.dual_norm(w, norm)


@pytest.mark.parametrize("name", ASCENTS)
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_worst_value_of_a_linear_objective_is_the_dual_norm(name, norm, dtype):
    found, exact = linear_value(ASCENTS[name], norm, dtype)
    assert found == pytest.approx(exact, rel=1e-3)
    assert found <= exact * (1 + 1e-9)


def linear_system_gain(search, seed: int) -> tuple[float, float]:
    generator = torch.Generator().manual_seed(seed)
    M = torch.randn(15, 10, dtype=torch.complex128, generator=generator)
    x, ball = oracles.unit_ball(10, radius=0.3, dtype=torch.complex128)
    found = search(lambda p: torch.linalg.vector_norm(p @ M.T, dim=1), ball, x=x, generators=oracles.streams(seed=seed))
    return float(found.value) / 0.3, float(torch.linalg.matrix_norm(M, 2))


@pytest.mark.parametrize("name", ASCENTS)
@pytest.mark.parametrize("seed", range(20))
def test_worst_gain_of_a_linear_system_is_its_top_singular_value(name, seed):
    found, exact = linear_system_gain(ASCENTS[name], seed)
    assert exact * 0.99 <= found <= exact * (1 + 1e-9)


def tiny_relu(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 4)), rng.normal(size=6), rng.normal(size=6)


def relu_value(search, seed: int) -> tuple[float, float]:
    W, b, v = tiny_relu(seed)
    x, ball = oracles.unit_ball(4, norm="linf", radius=0.5)
    tW, tb, tv = (torch.from_numpy(a) for a in (W, b, v))
    found = search(lambda p: torch.relu(p @ tW.T + tb) @ tv, ball, x=x, generators=oracles.streams(seed=seed))
    return float(found.value), oracles.relu_network_maximum(W, b, v, 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_tiny_relu_network_reaches_the_exact_maximum(seed):
    found, exact = relu_value(lambda f, s, **k: gradient_ascent(f, s, steps=40, restarts=12, **k), seed)
    assert found == pytest.approx(exact, rel=2e-2)
    assert found <= exact + 1e-9


def blind(objective, within, *, x, generators):
    """A broken search: it follows the gradient of something else."""
    return gradient_ascent(lambda p: objective(p) * 0 + p.real.flatten(1)[:, 0], within, x=x, generators=generators,
                           steps=40)


def timid(objective, within, *, x, generators):
    """A broken search: its steps never leave the neighbourhood of the start."""
    return random_search(objective, within, x=x, generators=generators, draws=2)


@pytest.mark.parametrize("broken", [blind, timid])
def test_the_closed_forms_catch_a_broken_search(broken):
    found, exact = linear_system_gain(broken, 0)
    reached = float(broken_value(broken)) if broken is blind else found
    assert not exact * 0.99 <= reached <= exact * (1 + 1e-9)


def broken_value(search) -> float:
    M = torch.randn(15, 10, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    x, ball = oracles.unit_ball(10, radius=1.0, dtype=torch.complex128)
    found = search(lambda p: torch.linalg.vector_norm(p @ M.T, dim=1), ball, x=x, generators=oracles.streams())
    return float(torch.linalg.vector_norm(found.parameters @ M.T, dim=1))


def test_results_do_not_depend_on_the_batch():
    M = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x, ball = oracles.unit_ball(6, batch=3)

    def objective(p: Tensor) -> Tensor:
        return torch.linalg.vector_norm(torch.tanh(p @ M.T), dim=1)

    together = gradient_ascent(objective, ball, x=x, generators=oracles.streams(3), steps=15)
    for i in range(3):
        alone_x, _ = oracles.unit_ball(6)
        alone = gradient_ascent(objective, ball, x=alone_x, generators=[oracles.streams(3)[i]], steps=15)
        assert torch.allclose(alone.parameters[0], together.parameters[i], atol=1e-12)


def test_a_flat_objective_is_said_to_be_flat():
    x, ball = oracles.unit_ball(3)
    found = gradient_ascent(lambda p: (p * 0).sum(1) + 1, ball, x=x, generators=oracles.streams(), steps=3)
    assert found.stop == (Stop.ZERO_GRADIENT,)


def watched(*runs: list[float]) -> tuple[Stop, float]:
    best = Best(torch.zeros(1, 1))
    for run in runs:
        best.begin()
        for value in run:
            best.see(torch.tensor([[value]]), torch.tensor([value]))
    found = best.result()
    return found.stop[0], float(found.parameters)


@pytest.mark.parametrize(("runs", "stop"), [
    ([[1, 2, 3, 4, 5]], Stop.BUDGET),                                   # still growing
    ([[1, 4, 5, 5, 5, 5]], Stop.CONVERGED),
    ([[1, 2, 3, 4, 5], [1, 1, 1, 1, 1]], Stop.BUDGET),                  # a second run that is no better says nothing
    ([[1, 1, 1, 1, 1], [1, 2, 3, 4, 5]], Stop.BUDGET),
    ([[1, 2, 3, 4, 5], [6, 6, 6, 6, 6]], Stop.CONVERGED),
    ([[1, 1, 1, 1, 1], [6, 6]], Stop.BUDGET),                           # the better run is too short to tell
    ([[6, 6, 6, 6, 6], [1, 2]], Stop.CONVERGED),
])
def test_a_search_has_converged_when_the_run_that_found_the_best_has(runs, stop):
    assert watched(*runs) == (stop, max(max(run) for run in runs))


def test_the_worst_is_kept_by_the_harm_not_by_what_is_climbed():
    """Climbing p₀ passes the place where the harm 1 − |p₀ − ½| is greatest, and ends at 1 with half the harm."""
    x, ball = oracles.unit_ball(2)

    def objective(p: Tensor) -> Score:
        return Score(1 - (p[:, 0] - 0.5).abs(), p[:, 0])

    found = gradient_ascent(objective, ball, x=x, generators=oracles.streams(), steps=30)
    assert float(found.value) == float(objective(found.parameters).harm) > 0.6
    assert float(found.parameters[0, 0]) < 0.99


def test_a_non_finite_objective_is_said_to_be_so_and_keeps_what_was_finite():
    x, ball = oracles.unit_ball(3)
    calls = []

    def objective(p: Tensor) -> Tensor:
        calls.append(1)
        return p.sum(1) if len(calls) < 3 else p.sum(1) * float("nan")

    found = gradient_ascent(objective, ball, x=x, generators=oracles.streams(), steps=5)
    assert found.stop == (Stop.NON_FINITE,)
    assert bool(torch.isfinite(found.value).all())


def test_steps_must_be_positive():
    x, ball = oracles.unit_ball(3)
    with pytest.raises(InputError, match="steps"):
        gradient_ascent(lambda p: p.sum(1), ball, x=x, generators=oracles.streams(), steps=0)


def test_random_walk_needs_no_gradient_and_approaches_the_dual_norm():
    w = torch.tensor([3.0, 4.0], dtype=torch.float64)
    x, ball = oracles.unit_ball(2)

    def objective(p: Tensor) -> Tensor:
        with torch.no_grad():
            return p @ w

    found = random_walk(objective, ball, x=x, generators=oracles.streams(), draws=200)
    assert 4.95 <= float(found.value) <= 5.0 + 1e-9
    assert found.backward == 0


def test_random_search_stays_at_the_asked_size():
    x, ball = oracles.unit_ball(5)
    found = random_search(lambda p: p[:, 0], ball, x=x, generators=oracles.streams(), draws=4, size=torch.tensor([0.25]))
    assert float(ball.size(x, found.parameters)) == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(20))
def test_power_iteration_finds_the_top_singular_value(seed):
    M = torch.randn(9, 7, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    start = torch.randn(1, 7, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed + 100))
    found = power_iteration(lambda v: v @ M.T, lambda u: u @ M.conj(), start, iterations=60)
    exact = float(torch.linalg.matrix_norm(M, 2))
    assert exact * 0.99 <= float(found.value) <= exact * (1 + 1e-9)


def test_power_iteration_with_a_wrong_adjoint_is_caught():
    M = torch.triu(torch.ones(6, 6, dtype=torch.float64)) ** 2
    M[0, 5] = 20.0
    start = torch.ones(1, 6, dtype=torch.float64)
    wrong = power_iteration(lambda v: v @ M.T, lambda u: u @ M.T, start, iterations=60)
    exact = float(torch.linalg.matrix_norm(M, 2))
    assert float(wrong.value) < exact * 0.99 or float(wrong.residual) > 1e-2


def test_linearised_is_the_jacobian_and_its_adjoint():
    def system(y: Tensor) -> Tensor:
        return torch.stack((y[:, 0] ** 2, y[:, 0] * y[:, 1]), 1)

    at = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    apply, adjoint = linearised(system, at)
    J = torch.tensor([[4.0, 0.0], [3.0, 2.0]], dtype=torch.float64)
    v = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    assert torch.allclose(apply(v), v @ J.T)
    assert torch.allclose(adjoint(v), v @ J)


def test_differences_stand_in_for_a_gradient_that_cannot_be_differentiated_whatever_the_shapes():
    """Inputs (2, 6), outputs (2, 3, 2), from a function that autograd differentiates once only: J v = M v."""
    M = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(context, y):
            return (y @ M.T).unflatten(1, (3, 2))

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, gradient):
            return gradient.flatten(1) @ M

    y, v = torch.ones(2, 6, dtype=torch.float64), torch.tensor([[1.0] * 6, [5.0] * 6], dtype=torch.float64)
    apply, adjoint = linearised(Once.apply, y)
    assert torch.allclose(apply(v), (v @ M.T).unflatten(1, (3, 2)))
    assert torch.allclose(adjoint(v.unflatten(1, (3, 2))), v @ M)
    start = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = power_iteration(apply, adjoint, start, iterations=200)
    assert torch.allclose(found.value, torch.linalg.svdvals(M)[0].expand(2), rtol=1e-3)


def test_penalised_ascent_follows_the_published_recursion():
    """v ← μv + η∇Q, r ← r + v on Q(r) = ½‖Mr − c‖² − λ/2‖r‖², written out by hand in numpy."""
    rng = np.random.default_rng(0)
    M, c = rng.normal(size=(4, 3)), rng.normal(size=4)
    r, v, seen = np.full(3, 0.1), np.zeros(3), {}
    for k in range(1, 8):
        v = 0.9 * v + 0.01 * (M.T @ (M @ r - c) - 0.5 * r)
        r = r + v
        seen[k] = r.copy()
    tM, tc = torch.from_numpy(M), torch.from_numpy(c)
    run = penalised_ascent(lambda p: 0.5 * (p @ tM.T - tc).square().sum(1), torch.full((1, 3), 0.1, dtype=torch.float64),
                           penalty=0.5, rate=0.01, momentum=0.9, stops=[3, 7])
    for stopped in run:
        np.testing.assert_allclose(stopped.parameters[0].numpy(), seen[stopped.iterations], rtol=1e-12)


def test_penalised_search_stays_in_the_ball_and_keeps_its_worst_early_stop():
    """On ‖r‖·σ every iterate grows along the top singular vector: the worst member is the ball's own, σ_max ε."""
    M = torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64))
    x, ball = oracles.unit_ball(3)
    found = penalised_search(lambda p: (p @ M.T).norm(dim=1), ball, x=x, generators=[stream(0)] * len(x), steps=60,
                             penalty=0.1, rate=0.01)
    assert torch.allclose(found.value, torch.full_like(found.value, 3.0), rtol=1e-3)
    assert bool((ball.size(x, found.parameters) <= 1 + 1e-6).all()) and found.backward == 60
    heavy = penalised_search(lambda p: (p @ M.T).norm(dim=1), ball, x=x, generators=[stream(0)] * len(x), steps=60,
                             penalty=100.0, rate=0.01)           # λ above σ²: the published form cannot grow
    assert float(heavy.value.max()) < 0.1


def test_ball_types_agree_with_what_searches_need():
    from assay.perturbations.protocol import ConvexSet
    assert isinstance(InputBall(ball=oracles.unit_ball(2)[1].ball), ConvexSet)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (60, 60)])
def test_lanczos_reaches_the_top_singular_value_where_power_iteration_has_not(shape, dtype):
    """Gaussian matrices have no gap at the top; two examples with different matrices do not mix."""
    M = torch.randn(2, *shape, dtype=dtype, generator=torch.Generator().manual_seed(5))

    def apply(v: Tensor) -> Tensor:
        return (M @ v[..., None])[..., 0]

    def adjoint(u: Tensor) -> Tensor:
        return (M.mH @ u[..., None])[..., 0]

    start = torch.randn(2, shape[1], dtype=dtype, generator=torch.Generator().manual_seed(6))
    exact = torch.linalg.svdvals(M)[:, 0]
    found = lanczos(apply, adjoint, start, iterations=30)
    assert torch.allclose(found.value, exact, rtol=1e-3) and bool((found.value <= exact * (1 + 1e-9)).all())
    assert torch.allclose(found.vector.norm(dim=1), torch.ones(2, dtype=torch.float64))
    slow = power_iteration(apply, adjoint, start, iterations=30)
    assert bool((slow.value <= found.value * (1 + 1e-9)).all()) and float((slow.value / exact).min()) < 0.9999


def test_lanczos_settles_in_an_invariant_subspace_and_on_zero():
    M = torch.diag(torch.tensor([3.0, 1.0, 1.0]))
    found = lanczos(lambda v: v @ M, lambda u: u @ M, torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]), iterations=8)
    assert torch.allclose(found.value, torch.tensor([3.0, 1.0]), rtol=1e-4)       # the second start never meets the first
    zero = lanczos(lambda v: 0 * v, lambda u: 0 * u, torch.ones(1, 3), iterations=3)
    assert float(zero.value) == 0.0


def test_lanczos_of_a_map_that_is_linear_over_the_reals_only():
    """J(iv) ≠ iJ(v), as for every network on complex data: the top singular value of the 2n × 2n real matrix."""
    generator = torch.Generator().manual_seed(3)
    J = torch.randn(40, 40, generator=generator, dtype=torch.float64)
    top = float(torch.linalg.svdvals(J)[0])

    def apply(v):
        return torch.view_as_complex((torch.view_as_real(v).flatten(1) @ J.T).reshape(*v.shape, 2))

    def adjoint(u):
        return torch.view_as_complex((torch.view_as_real(u).flatten(1) @ J).reshape(*u.shape, 2))

    start = torch.randn(1, 20, dtype=torch.complex128, generator=generator)
    found = lanczos(apply, adjoint, start, iterations=40)
    assert float(found.value) == pytest.approx(top, rel=1e-3)
    assert float(found.residual) < 1e-2
