"""Total variation: optimality checked from outside, two methods one minimiser, gradients, the data-space bound."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.operators.algebra import Scaled
from assay.operators.finite_difference import FiniteDifference
from assay.operators.fourier import MaskedFourier
from assay.operators.sensitivity import simulate_maps
from assay.records import Stop
from assay.solvers.primal_dual import total_variation_primal_dual
from assay.solvers.total_variation import total_variation

WEIGHT = 0.02
TIGHT = {"iterations": 2000, "tolerance": 1e-8}


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _operator(size: int = 16, fraction: float = 0.5, centred: bool = True,
              maps: torch.Tensor | None = None) -> MaskedFourier:
    mask = torch.rand(size, size, generator=_generator(1)) < fraction
    mask[size // 2 if centred else 0, size // 2 if centred else 0] = True
    return MaskedFourier(mask, centred=centred, maps=maps, dtype=torch.complex128)


def _data(operator: MaskedFourier, batch: int = 3, noise: float = 0.03, seed: int = 2) -> torch.Tensor:
    """Blocks with phase, measured with noise."""
    size, g = operator.domain[0], _generator(seed)
    x = torch.zeros(batch, size, size, dtype=torch.complex128)
    for b in range(batch):
        x[b, size // 4: 3 * size // 4, 2 + b: size // 2 + b] = 1 + 0.5j * b
        x[b, size // 2:, size // 2:] += 0.4
    y = operator.forward(x)
    return y + noise * torch.randn(y.shape, dtype=y.dtype, generator=g)


def objective(x: torch.Tensor, y: torch.Tensor, operator: MaskedFourier, weight: float) -> torch.Tensor:
    """½‖A x − y‖² + λ‖∇x‖₂,₁ per example, straight from its definition."""
    misfit = (operator.forward(x) - y).abs().square().flatten(1).sum(1)
    d = torch.stack((x.roll(-1, 1) - x, x.roll(-1, 2) - x))
    return misfit / 2 + weight * d.abs().square().sum(0).sqrt().flatten(1).sum(1)


def dual_bound(x: torch.Tensor, y: torch.Tensor, operator: MaskedFourier, weight: float,
               steps: int = 3000) -> torch.Tensor:
    """A lower bound of the minimum for invertible A: D(p) = ½‖y‖² − ½‖A⁻ᴴ(Aᴴy − ∇ᴴp)‖² over |p| ≤ λ, by ascent.

    Written for full sampling, where A is unitary; weak duality holds for every feasible p, so no solver is trusted.
    """
    gradient, b = FiniteDifference(operator.domain), operator.adjoint(y)
    p = torch.zeros(len(y), 2, *operator.domain, dtype=y.dtype)
    for _ in range(steps):
        p = p + gradient.forward(b - gradient.adjoint(p)) / 8
        p = p / (p.abs().square().sum(1, keepdim=True).sqrt() / weight).clamp_min(1.0)
    remainder = (b - gradient.adjoint(p)).abs().square().flatten(1).sum(1)
    return (b.abs().square().flatten(1).sum(1) - remainder) / 2


def test_duality_gap_closes() -> None:
    operator = _operator(fraction=1.1)
    y = _data(operator)
    x = total_variation(y, operator, weight=WEIGHT, **TIGHT).x
    value, bound = objective(x, y, operator, WEIGHT), dual_bound(x, y, operator, WEIGHT)
    assert bool((value >= bound - 1e-9).all())
    assert float(((value - bound) / value).max()) < 1e-4


def test_gap_catches_an_unconverged_and_an_anisotropic_solution() -> None:
    operator = _operator(fraction=1.1)
    y = _data(operator)
    bound = dual_bound(y, y, operator, WEIGHT)
    early = total_variation(y, operator, weight=WEIGHT, iterations=2).x
    doubled = total_variation(y, operator, weight=2 * WEIGHT, **TIGHT).x        # a wrong factor in the weight
    for x in (early, doubled):
        value = objective(x, y, operator, WEIGHT)
        assert float(((value - bound) / value).max()) > 1e-3


@pytest.mark.parametrize("centred", [True, False])
def test_two_methods_one_minimiser(centred: bool) -> None:
    operator = _operator(centred=centred)
    y = _data(operator)
    admm = total_variation(y, operator, weight=WEIGHT, **TIGHT)
    primal_dual = total_variation_primal_dual(y, operator, weight=WEIGHT, iterations=2000, tolerance=1e-8)
    assert float((admm.x - primal_dual.x).norm() / admm.x.norm()) < 1e-4
    values = [objective(s.x, y, operator, WEIGHT) for s in (admm, primal_dual)]
    assert torch.allclose(*values, rtol=1e-5)


def test_minimiser_beats_its_neighbours() -> None:
    operator = _operator()
    y = _data(operator)
    x = total_variation(y, operator, weight=WEIGHT, **TIGHT).x
    least, g = objective(x, y, operator, WEIGHT), _generator(5)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(10):
            move = size * torch.randn(x.shape, dtype=x.dtype, generator=g)
            assert bool((objective(x + move, y, operator, WEIGHT) > least).all())


def test_many_coils_and_scaled_operators() -> None:
    maps = simulate_maps(3, (16, 16)).to(torch.complex128)
    operator = _operator(maps=maps)
    y = _data(operator)
    x = total_variation_primal_dual(y, operator, weight=WEIGHT, iterations=2000, tolerance=1e-8).x
    least, g = objective(x, y, operator, WEIGHT), _generator(6)
    for size in (1e-3, 1e-2):
        move = size * torch.randn(x.shape, dtype=x.dtype, generator=g)
        assert bool((objective(x + move, y, operator, WEIGHT) > least).all())
    one_coil = _operator()                      # min ½‖2Ax − 2y‖² + 4λ‖∇x‖ is the same problem as with A, y, λ
    y = _data(one_coil)
    scaled = total_variation_primal_dual(2 * y, Scaled(one_coil, 2.0), weight=4 * WEIGHT, iterations=6000,
                                         tolerance=1e-9).x
    assert float((scaled - total_variation(y, one_coil, weight=WEIGHT, **TIGHT).x).abs().max()) < 1e-3


@pytest.mark.parametrize("solver", [total_variation, total_variation_primal_dual])
def test_stop_reasons(solver: object) -> None:
    operator = _operator()
    y = _data(operator)
    settled = solver(y, operator, weight=WEIGHT, iterations=4000, tolerance=1e-4)  # type: ignore[operator]
    assert set(settled.stop) == {Stop.CONVERGED} and float(settled.residual.max()) <= 1e-4
    hurried = solver(y, operator, weight=WEIGHT, iterations=3, tolerance=1e-9)  # type: ignore[operator]
    assert set(hurried.stop) == {Stop.BUDGET} and hurried.iterations == 3
    y[1, 0] = torch.nan
    broken = solver(y, operator, weight=WEIGHT, iterations=20, tolerance=1e-9)  # type: ignore[operator]
    assert broken.stop[1] == Stop.NON_FINITE and bool(torch.isfinite(broken.x[0]).all())


def test_anisotropic_form_against_the_proximal_map_by_an_independent_solver() -> None:
    """Full sampling, real data: argmin ½‖x − b‖² + λ(‖∇₁x‖₁ + ‖∇₂x‖₁), by dual projected gradient on |p| ≤ λ."""
    operator = _operator(fraction=1.1)
    x0 = torch.zeros(1, 16, 16, dtype=torch.complex128)
    x0[0, 4:12, 5:11] = 1
    y = operator.forward(x0 + 0.05 * torch.randn(1, 16, 16, dtype=torch.float64, generator=_generator()))
    D, b = FiniteDifference(operator.domain, dtype=torch.complex128), operator.adjoint(y)
    p = torch.zeros(1, 2, 16, 16, dtype=torch.complex128)
    for _ in range(4000):
        p = p + D.forward(b - D.adjoint(p)) / 8
        p = p / (p.abs() / WEIGHT).clamp_min(1.0)
    expected = b - D.adjoint(p)
    found = total_variation(y, operator, weight=WEIGHT, isotropic=False, **TIGHT).x
    assert float((found - expected).norm() / expected.norm()) < 1e-4
    other = total_variation(y, operator, weight=WEIGHT, **TIGHT).x
    assert float((other - expected).norm() / expected.norm()) > 1e-3         # the isotropic form is told apart


@pytest.mark.parametrize("scale", [1.0, 1000.0, 1e-3])
def test_converged_means_near_the_minimiser_at_any_scale(scale: float) -> None:
    """x̂(c·y; c·λ) = c·x̂(y; λ), so what is called converged at one scale must be as near at another."""
    operator = _operator()
    y = _data(operator)
    exact = total_variation(y, operator, weight=WEIGHT, **TIGHT).x
    solution = total_variation(scale * y, operator, weight=scale * WEIGHT)
    error = (solution.x / scale - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    settled = torch.tensor([stop == Stop.CONVERGED for stop in solution.stop])
    assert bool(settled.any()) and float(error[settled].max()) < 0.01


@pytest.mark.parametrize("unit", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_primal_dual_converged_means_near_the_minimiser_in_any_unit(unit: float, scale: float) -> None:
    """min ½‖cAx − c·s·y‖² + c²s·λ‖∇x‖ has s·x̂ as its minimiser: the operator's unit c must not decide when to stop.

    A rule that looks at the step of x alone stops here after one to five iterations, a tenth off.
    """
    operator = _operator()
    y = _data(operator)
    exact = scale * total_variation(y, operator, weight=WEIGHT, **TIGHT).x
    solution = total_variation_primal_dual(unit * scale * y, Scaled(operator, unit), weight=unit**2 * scale * WEIGHT)
    error = (solution.x - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert set(solution.stop) == {Stop.CONVERGED} and float(error.max()) < 2e-3


@pytest.mark.parametrize("solver", [total_variation, total_variation_primal_dual])
def test_batch_of_one_and_of_eight_agree(solver: object) -> None:
    operator = _operator()
    y = torch.cat([_data(operator, 4), 5 * _data(operator, 4, noise=0.3, seed=3)])
    together = solver(y, operator, weight=WEIGHT, tolerance=1e-4).x  # type: ignore[operator]
    alone = torch.cat([solver(y[i:i + 1], operator, weight=WEIGHT, tolerance=1e-4).x  # type: ignore[operator]
                       for i in range(8)])
    assert float((together - alone).abs().max()) < 1e-10


def _gradient(solver: Any, y: torch.Tensor, operator: MaskedFourier, **settings: float) -> torch.Tensor:
    """The gradient of ‖x̂(y) − 1‖² at y."""
    y = y.clone().requires_grad_(True)
    x = solver(y, operator, weight=WEIGHT, **settings).x
    (gradient,) = torch.autograd.grad((x - 1).abs().square().sum(), y)
    return gradient


def _slope(y: torch.Tensor, v: torch.Tensor, operator: MaskedFourier) -> float:
    """Central difference of the same loss along v, between converged solutions."""
    losses = [(total_variation(y + s * v, operator, weight=WEIGHT, **TIGHT).x - 1).abs().square().sum()  # type: ignore[arg-type]
              for s in (1e-5, -1e-5)]
    return float(losses[0] - losses[1]) / 2e-5


@pytest.mark.parametrize("solver", [total_variation, total_variation_primal_dual])
def test_gradient_against_finite_differences(solver: object) -> None:
    operator = _operator()
    y = _data(operator)
    v = torch.randn(y.shape, dtype=y.dtype, generator=_generator(9))
    gradient = _gradient(solver, y, operator, adjoint_iterations=1000, iterations=6000, tolerance=1e-8)
    assert float((gradient.conj() * v).sum().real) == pytest.approx(_slope(y, v, operator), rel=1e-3)


@pytest.mark.parametrize("solver", [total_variation, total_variation_primal_dual])
def test_default_gradient_points_the_same_way_and_a_short_one_is_caught(solver: object) -> None:
    operator = _operator()
    y = _data(operator)
    exact = _gradient(solver, y, operator, adjoint_iterations=500, **TIGHT)

    def cosine(g: torch.Tensor) -> float:
        return float((g.conj() * exact).sum().real / (g.norm() * exact.norm()))

    usual = cosine(_gradient(solver, y, operator))
    assert usual > 0.95
    assert cosine(_gradient(solver, y, operator, adjoint_iterations=3)) < usual


@pytest.mark.parametrize("size", [1e-3, 1e-1, 1.0])
def test_data_space_gain_is_at_most_one(size: float) -> None:
    operator = _operator()
    y = _data(operator)
    other = y + size * torch.randn(y.shape, dtype=y.dtype, generator=_generator(7))
    images = [total_variation(v, operator, weight=WEIGHT, **TIGHT).x for v in (y, other)]  # type: ignore[arg-type]
    gain = operator.forward(images[0] - images[1]).flatten(1).norm(dim=1) / (y - other).flatten(1).norm(dim=1)
    assert float(gain.max()) <= 1 + 1e-3


def test_refuses_what_it_cannot_solve() -> None:
    operator = _operator(maps=simulate_maps(2, (16, 16)).to(torch.complex128))
    with pytest.raises(InputError, match="one coil"):
        total_variation(_data(operator), operator, weight=WEIGHT)


@pytest.mark.data
def test_published_case() -> None:
    folder = Path(os.environ.get("ASSAY_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "mri_recon_nets" / "a4_case.npz"
    if not path.exists():
        pytest.skip(f"real data missing: {path} (set ASSAY_DATA)")
    with np.load(path, allow_pickle=False) as case:
        truth, mask = torch.from_numpy(case["image"])[None], torch.from_numpy(case["mask"]) > 0
    operator = MaskedFourier(mask, centred=False)
    solution = total_variation(operator.forward(truth), operator, weight=2e-3, iterations=150)
    error = (solution.x.abs() - truth).square().mean()
    assert float(-10 * torch.log10(error)) == pytest.approx(36.95, abs=0.2)
    assert solution.stop == (Stop.CONVERGED,)


def test_a_real_operator_has_the_minimiser_of_its_complex_twin() -> None:
    """Inpainting of a real image: the complex problem with real data has a real minimiser, and it is the same one."""
    g = torch.Generator().manual_seed(3)
    seen = (torch.rand(12, 12, generator=g) < 0.6).float()
    image = torch.rand(2, 12, 12, generator=g)

    def solve(dtype: torch.dtype) -> torch.Tensor:
        class Inpaint:
            name, domain, range = "inpaint", (12, 12), (12, 12)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return seen * x

            adjoint = forward

        operator = Inpaint()
        operator.dtype = dtype  # type: ignore[attr-defined]
        return total_variation_primal_dual((seen * image).to(dtype), operator, weight=0.05, iterations=3000,  # type: ignore[arg-type]
                                           tolerance=1e-6).x

    real, twin = solve(torch.float32), solve(torch.complex64)
    assert not real.is_complex() and float(twin.imag.abs().max()) < 1e-6
    torch.testing.assert_close(real, twin.real, rtol=0, atol=1e-3)
