"""Nearest points: each obeys the variational inequality for the whole set, and the test fails on what only looks so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import bounded_oracles as oracle
from assay.arrays import InputError
from assay.numerics.projections import (
    project_l1,
    project_l2_box,
    project_linf_box,
    project_simplex,
    steepest_in_box,
    stretched,
)

RADII = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
BOXED = {"l2": project_l2_box, "linf": project_linf_box}
many = settings(max_examples=30, deadline=None)
seeds, scales = st.integers(0, 10**6), st.sampled_from([0.02, 1.0, 30.0])


def points(seed: int, scale: float = 1.0, n: int = 7) -> Tensor:
    return scale * torch.randn(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def box_around_zero(seed: int, n: int = 7) -> tuple[Tensor, Tensor]:
    x = oracle.saturated(3, n, seed=seed)
    return -x, 1 - x


def simplex_law(project, seed: int, scale: float) -> None:
    """A member; and ⟨x − p, z − p⟩ ≤ 0 at every corner total · e_i, hence at every z."""
    x = points(seed, scale)
    p = project(x, RADII)
    assert bool((p >= 0).all()) and torch.allclose(p.sum(1), RADII, rtol=1e-12)
    slack = (RADII[:, None] * (x - p)) - ((x - p) * p).sum(1, keepdim=True)
    assert float(slack.max()) <= 1e-10 * max(1, scale)


def l1_law(project, seed: int, scale: float, *, dtype: torch.dtype = torch.float64) -> None:
    """A member; and max_z ⟨x − p, z⟩ = radius · max |x − p| ≤ ⟨x − p, p⟩."""
    x = points(seed, scale).to(dtype)
    if dtype.is_complex:
        x = x + 1j * points(seed + 1, scale)
    p = project(x, RADII)
    assert bool((p.abs().sum(1) <= RADII * (1 + 1e-12)).all())
    gap = x - p
    slack = RADII * gap.abs().amax(1) - (gap.conj() * p).sum(1).real
    assert float(slack.max()) <= 1e-10 * max(1, scale)


def box_law(project, norm: str, seed: int, scale: float) -> None:
    """A member, the projection of itself; and max_z ⟨x − p, z⟩ over ball ∩ box, by its dual, is ⟨x − p, p⟩."""
    x, (low, high) = points(seed, scale), box_around_zero(seed)
    p = project(x, RADII, low, high)
    size = p.square().sum(1).sqrt() if norm == "l2" else p.abs().amax(1)
    assert bool((size <= RADII * (1 + 1e-12)).all() and (p >= low).all() and (p <= high).all())
    assert torch.allclose(project(p, RADII, low, high), p, atol=1e-12)
    for i in range(3):
        gap = (x - p)[i].numpy()
        most = oracle.support(gap, norm, float(RADII[i]), low[i].numpy(), high[i].numpy())
        assert most - float(gap @ p[i].numpy()) <= 1e-8 * max(1, scale)


@many
@given(seed=seeds, scale=scales)
def test_simplex(seed, scale):
    simplex_law(project_simplex, seed, scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@many
@given(seed=seeds, scale=scales)
def test_l1_ball(dtype, seed, scale):
    l1_law(project_l1, seed, scale, dtype=dtype)


@pytest.mark.parametrize("norm", BOXED)
@many
@given(seed=seeds, scale=scales)
def test_ball_within_a_box(norm, seed, scale):
    box_law(BOXED[norm], norm, seed, scale)


def test_clipping_and_dividing_is_not_the_projection_onto_the_simplex():
    with pytest.raises(AssertionError):
        simplex_law(lambda x, r: x.clamp_min(0) * (r / x.clamp_min(0).sum(1))[:, None], 0, 1.0)


def test_rescaling_is_not_the_projection_onto_the_l1_ball():
    with pytest.raises(AssertionError):
        l1_law(lambda x, r: x * (r / x.abs().sum(1)).clamp_max(1)[:, None], 0, 1.0)


def shrunk_then_clipped(x: Tensor, radius: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """What is often done in place of the projection: a member, but not the nearest."""
    return (x * (radius / x.norm(dim=1)).clamp_max(1)[:, None]).clamp(low, high)


def test_shrinking_then_clipping_is_not_the_projection_onto_ball_and_box():
    with pytest.raises(AssertionError):
        box_law(shrunk_then_clipped, "l2", 0, 1.0)


def test_clipping_alone_leaves_the_ball():
    with pytest.raises(AssertionError):
        box_law(lambda x, r, low, high: x.clamp(low, high), "linf", 0, 30.0)


@pytest.mark.parametrize("norm", BOXED)
@pytest.mark.parametrize("seed", range(10))
def test_steepest_member_attains_the_support_function(norm, seed):
    g, (low, high) = points(seed), box_around_zero(seed)
    d = steepest_in_box(g, RADII, low, high, norm)
    most = torch.tensor([oracle.support(g[i].numpy(), norm, float(RADII[i]), low[i].numpy(), high[i].numpy())
                         for i in range(3)], dtype=torch.float64)
    assert torch.allclose((g * d).sum(1), most, rtol=1e-9)
    blunt = shrunk_then_clipped(g * 1e9, RADII, low, high)          # a broken twin, which no longer has the full size
    if norm == "l2":
        assert float(((g * blunt).sum(1) / most).min()) < 0.999


def test_corner_of_the_box_where_the_ball_contains_it():
    low, high = box_around_zero(3)
    g, large = points(4), torch.full((3,), 50.0, dtype=torch.float64)
    corner = torch.where(g > 0, high, low)
    assert torch.equal(steepest_in_box(g, large, low, high, "l2"), corner)
    assert torch.equal(project_l2_box(g * 1e6, large, low, high), corner)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_stretching_has_the_size_asked_for_in_any_unit(dtype, unit):
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(5, 2000, dtype=dtype, generator=generator)
    cap = unit * oracle.saturated(5, 2000, seed=1, dtype=dtype)
    radius = unit * torch.tensor([0.0, 1e-3, 1.0, 20.0, 1e4], dtype=dtype)
    m = stretched(a, cap, radius)
    assert bool((m <= cap).all())
    size = (m.double() / unit).norm(dim=1)
    assert torch.allclose(size[:4], radius[:4].double() / unit, rtol=1e-5 if dtype == torch.float32 else 1e-12)
    assert torch.equal(m[4], cap[4])


@pytest.mark.parametrize("caps", ["geometric", "equal"])
def test_newton_ends_on_caps_made_to_be_met_one_after_another(caps):
    n = 200
    a = torch.ones(1, n, dtype=torch.float64)
    cap = 0.5 * a if caps == "equal" else 0.9 ** torch.arange(n, dtype=torch.float64)[None]
    radius = 0.999999 * cap.norm(dim=1)
    m = stretched(a, cap, radius)
    assert torch.allclose(m.norm(dim=1), radius, rtol=1e-12)
    s = m.max()                                                     # min(s, cap) with one s for all entries
    assert torch.allclose(m, torch.minimum(s, cap))


def test_a_zero_direction_gives_zero():
    low, high = box_around_zero(0)
    zero = torch.zeros_like(low)
    for norm in BOXED:
        assert torch.equal(steepest_in_box(zero, RADII, low, high, norm), zero)
    assert torch.equal(project_l1(zero, RADII), zero)


def test_single_precision_far_from_zero():
    """Σ z is given, so a common shift of x changes nothing; naive sums of 10⁴ entries near 10⁴ would."""
    x = torch.rand(1, 10_000, generator=torch.Generator().manual_seed(2))
    here = project_simplex(x, torch.ones(1))
    there = project_simplex(x + 4096, torch.ones(1))
    assert float(here.sum()) == pytest.approx(1, abs=1e-4)
    assert torch.allclose(here, there, atol=2e-3) and float(there.sum()) == pytest.approx(1, abs=1e-3)


def test_a_complex_simplex_is_refused():
    with pytest.raises(InputError, match="moduli"):
        project_simplex(torch.ones(1, 2, dtype=torch.complex64), torch.ones(1))


def test_the_oracle_bounds_every_member():
    rng = np.random.default_rng(0)
    g, low, high = rng.normal(size=6), -rng.random(6), rng.random(6)
    z = rng.uniform(low, high, size=(4000, 6))
    z = z[np.linalg.norm(z, axis=1) <= 0.8]
    assert 0.8 * oracle.support(g, "l2", 0.8, low, high) < (z @ g).max() <= oracle.support(g, "l2", 0.8, low, high)
