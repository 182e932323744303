"""Points of hyperplanes and balls within boxes, against sorting-free oracles and the conditions of optimality."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from assay.arrays import InputError
from assay.numerics.boxes import distance_to_hyperplane, nearest_on_hyperplane, project_onto_ball_in_box
from assay.numerics.norms import norm
from assay.numerics.projections import project


def boxes(batch: int = 40, n: int = 12):
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(batch, n, dtype=torch.float64, generator=generator)
    low = -torch.rand(batch, n, dtype=torch.float64, generator=generator)
    high = torch.rand(batch, n, dtype=torch.float64, generator=generator)
    low[:, :4] = 0.0                                                             # saturated from below
    most = torch.where(w > 0, w * high, w * low).sum(1)
    return w, low, high, most, generator


def optimal(r, w, low, high, kind: str) -> bool:
    """ℓ2: ⟨r, z − r⟩ ≥ 0 for the z of hyperplane ∩ box (its least by a linear program); ℓ∞: the least t of one."""
    for i in range(len(w)):
        n, c = w.shape[1], float(w[i] @ r[i])
        limits = list(zip(low[i].tolist(), high[i].tolist(), strict=True))
        if kind == "l2":
            least = linprog(r[i].numpy(), A_eq=w[i].numpy()[None], b_eq=[c], bounds=limits).fun
            if least < float(r[i] @ r[i]) - 1e-7:
                return False
            continue
        eye, one = np.eye(n), np.ones((n, 1))
        least = linprog(np.append(np.zeros(n), 1), A_ub=np.vstack([np.hstack([eye, -one]), np.hstack([-eye, -one])]),
                        b_ub=np.zeros(2 * n), A_eq=np.append(w[i].numpy(), 0)[None], b_eq=[c],
                        bounds=[*limits, (0, None)]).fun
        if least < float(r[i].abs().max()) - 1e-7:
            return False
    return True


@pytest.mark.parametrize("kind", ["l2", "linf"])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_nearest_point_of_a_hyperplane_in_a_box_is_feasible_and_optimal(kind, side):
    w, low, high, most, _ = boxes()
    c = 0.7 * side * (most if side > 0 else torch.where(w > 0, -w * low, -w * high).sum(1))
    r, reachable = nearest_on_hyperplane(w, c, low, high, kind=kind)
    assert bool(reachable.all()) and torch.allclose((w * r).sum(1), c)
    assert bool(((r >= low) & (r <= high)).all()) and optimal(r, w, low, high, kind)


def test_a_clipped_and_rescaled_point_is_caught():
    w, low, high, most, _ = boxes()
    r = torch.minimum(torch.maximum(w * (0.7 * most / w.square().sum(1))[:, None], low), high)
    assert not torch.allclose((w * r).sum(1), 0.7 * most)                        # clipping leaves the hyperplane
    other, _ = nearest_on_hyperplane(w, 0.7 * most, low, high, kind="linf")
    assert not optimal(other, w, low, high, "l2")


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_out_of_reach_is_said_and_scale_does_not_matter(kind):
    w, low, high, most, _ = boxes()
    r, reachable = nearest_on_hyperplane(w, 1.01 * most, low, high, kind=kind)
    assert not bool(reachable.any()) and torch.allclose((w * r).sum(1), most)
    inside, _ = nearest_on_hyperplane(w, 0.5 * most, low, high, kind=kind)
    tiny, _ = nearest_on_hyperplane(1e-200 * w, 0.5e-200 * most, low, high, kind=kind)
    assert torch.allclose(inside, tiny)
    free, _ = nearest_on_hyperplane(w, most, kind=kind)
    exact = most / (norm(w) if kind == "l2" else w.abs().sum(1))
    assert torch.allclose(norm(free, kind), exact)
    assert torch.allclose(distance_to_hyperplane(w, most, kind=kind), norm(free, kind))
    assert not torch.allclose(most / norm(w, kind), norm(free, "linf"))          # ℓ∞ needs the dual norm, ‖w‖₁
    assert torch.allclose(distance_to_hyperplane(1e-100 * w, -1e-100 * most, kind=kind), exact)
    assert torch.isinf(distance_to_hyperplane(0 * w, most, kind=kind)).all()
    nothing, reachable = nearest_on_hyperplane(0 * w, most, low, high, kind=kind)
    assert not bool(reachable.any()) and not bool(nothing.any())


def variational(z, y, radius, low, high, kind: str, generator) -> bool:
    """⟨y − z, m − z⟩ ≤ 0 for many members m of the set."""
    for _ in range(200):
        m = project(torch.randn(z.shape, dtype=z.dtype, generator=generator), radius, kind)
        m = torch.minimum(torch.maximum(m, low), high)                           # clipping shortens: still a member
        if bool((((y - z) * (m - z)).sum(1) > 1e-9).any()):
            return False
    return True


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_projection_onto_a_ball_in_a_box_satisfies_the_variational_inequality(kind):
    _, low, high, _, generator = boxes()
    y = 2 * torch.randn(low.shape, dtype=torch.float64, generator=generator)
    radius = torch.full((len(y),), 0.8, dtype=torch.float64)
    z = project_onto_ball_in_box(y, radius, low, high, kind=kind)
    assert bool(((z >= low) & (z <= high)).all()) and float(norm(z, kind).max()) <= 0.8 + 1e-9
    assert torch.allclose(project_onto_ball_in_box(z, radius, low, high, kind=kind), z)
    assert variational(z, y, radius, low, high, kind, generator)
    if kind == "l2":                                                             # one after the other is not nearest
        naive = torch.minimum(torch.maximum(project(y, radius, kind), low), high)
        assert not variational(naive, y, radius, low, high, kind, generator)


def test_a_box_without_the_origin_is_refused():
    with pytest.raises(InputError, match="origin"):
        nearest_on_hyperplane(torch.ones(1, 2), torch.ones(1), torch.full((1, 2), 0.1), torch.ones(1, 2))
