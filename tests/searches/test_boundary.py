"""Distances along lines and within subspaces, and curvature, against closed forms: planes and spheres."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import stream
from assay.searches import boundary
from assay.searches.boundary import (
    curvature,
    radius_along,
    radius_within,
    random_radius,
    random_subspace,
    semi_random_radius,
)
from assay.searches.smallest.cascade import smallest_change

D, N = 500, 400


def plane(w: Tensor, offset: float):
    """Class 1 where ⟨w, x⟩ > offset."""
    def scores(x: Tensor) -> Tensor:
        lead = x.flatten(1) @ w[:, None] - offset
        return torch.cat((torch.zeros_like(lead), lead), 1)
    return scores


def sphere(radius: float, centre: float = 0.0):
    """Class 1 where ‖x − centre‖ > radius, for a decision region that is a ball; the score is no distance."""
    def scores(x: Tensor) -> Tensor:
        lead = ((x.flatten(1) - centre).square().sum(1) - radius**2) * 3
        return torch.stack((torch.zeros_like(lead), lead), 1)
    return scores


def streams(n: int, *words: object) -> list[torch.Generator]:
    return [stream(0, *words, i) for i in range(n)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def flat():
    """Points at several distances from one plane, all on the side of class 0: (scores, x, decision, r*, unit normal)."""
    w, x = normal(D), 0.1 * normal(N, D, seed=1)
    gap = 200.0 - x @ w
    assert bool((gap > 0).all())
    return plane(w, 200.0), x, torch.zeros(N, dtype=torch.long), gap / w.norm(), w / w.norm()


def median_ratio(draw, flat) -> float:
    scores, x, decision, worst, _ = flat
    seen = [draw(scores, x, decision, first=worst, generators=streams(N, k)) for k in range(30)]
    return float((torch.stack([r.size for r in seen]) / worst).median()) / math.sqrt(D)


def test_the_median_random_radius_of_a_plane_is_the_calibration(flat):
    assert median_ratio(random_radius, flat) == pytest.approx(1.483, rel=0.03)


def test_one_way_along_the_line_misses_the_calibration(flat):
    def one_way(scores, x, decision, *, first, generators):
        return radius_along(scores, x, decision, random_subspace(x, 1, generators)[:, 0], first=first)
    assert median_ratio(one_way, flat) > 3 * 1.483              # half of the rays never reach a plane


def test_every_random_radius_of_a_plane_is_exact(flat):
    scores, x, decision, worst, unit = flat
    v = random_subspace(x, 1, streams(N))[:, 0]
    found = random_radius(scores, x, decision, first=worst, generators=streams(N), doublings=20, halvings=20)
    torch.testing.assert_close(found.size, worst / (v @ unit).abs(), rtol=1e-5, atol=0.0)
    coarse = random_radius(scores, x, decision, first=worst, generators=streams(N), doublings=20, halvings=2)
    assert float((coarse.size / found.size).max()) > 1.05       # without bisection the ladder's rungs show
    assert bool((coarse.size >= found.size * (1 - 1e-9)).all()) and bool((coarse.forward < found.forward).all())


def test_a_ray_that_never_crosses_is_censored_and_a_wrong_input_is_at_zero(flat):
    scores, x, decision, worst, unit = flat
    ahead, behind = (radius_along(scores, x, decision, s * unit.expand_as(x), first=worst / 3, halvings=25).size
                     for s in (1, -1))
    torch.testing.assert_close(ahead, worst, rtol=1e-6, atol=0.0)
    assert bool(behind.isinf().all())
    already = radius_along(scores, x, decision + 1, unit.expand_as(x), first=worst)
    assert already.size.tolist() == [0.0] * N and already.forward.tolist() == [1] * N
    beyond = radius_along(scores, x, decision, unit.expand_as(x), first=worst / 100, doublings=4)
    assert bool(beyond.size.isinf().all())                      # 8 % of the way: not reached is not zero


def test_clipping_to_the_range_bounds_what_a_line_can_do():
    """x = 0.5 in [0, 1]: the sum of 4 entries can grow by 2 at most, however far the line goes."""
    x, decision, first = torch.full((1, 4), 0.5), torch.zeros(1, dtype=torch.long), torch.full((1,), 0.1)
    direction = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    for goal, box, expected in ((0.4, (0.0, 1.0), 0.4), (0.6, (0.0, 1.0), math.inf), (0.6, None, 0.6)):
        found = radius_along(plane(torch.ones(4), 2.0 + goal), x, decision, direction, first=first, box=box, halvings=20)
        assert float(found.size) == pytest.approx(expected, rel=1e-4)


def basis_law(draw, *, n: int = 3, m: int = 7, shape: tuple[int, ...] = (2, 5, 3)) -> None:
    """S Sᵀ = 1 within each, different between examples, spans without preferred axes."""
    x = torch.zeros(n, *shape)
    s = draw(x, m, streams(n))
    assert s.shape == (n, m, math.prod(shape)) and s.dtype == x.dtype
    torch.testing.assert_close(s @ s.transpose(1, 2), torch.eye(m).expand(n, m, m), rtol=0.0, atol=1e-5)
    assert not torch.allclose(s[0], s[1], atol=1e-2)
    many = draw(torch.zeros(400, *shape), m, streams(400))
    share = many.square().sum(1).mean(0)                        # E ‖P e_j‖² = m/d for every axis j
    assert float((share - m / math.prod(shape)).abs().max()) < 0.05
    torch.testing.assert_close(draw(x[1:2], m, streams(n)[1:2]), s[1:2])


def test_random_subspaces_are_orthonormal_and_uniform():
    basis_law(random_subspace)


@pytest.mark.parametrize("broken", [
    lambda x, m, g: random_subspace(x, m, g) * 1.01,
    lambda x, m, g: torch.stack([torch.randn(m, x[0].numel(), generator=h) for h in g]) / math.sqrt(x[0].numel()),
    lambda x, m, g: random_subspace(x, m, [torch.Generator().manual_seed(0) for _ in g]),
    lambda x, m, g: torch.eye(x[0].numel())[:m].expand(len(x), m, -1),
], ids=["too long", "not orthogonal", "one for all", "axes"])
def test_broken_subspaces_are_caught(broken):
    with pytest.raises(AssertionError):
        basis_law(broken)


@pytest.mark.parametrize("m", [1, 4, 60, D])
def test_within_a_subspace_the_distance_of_a_plane_is_exact(flat, m):
    scores, x, decision, worst, unit = (v[:20] if isinstance(v, Tensor) and len(v) == N else v for v in flat)
    basis = random_subspace(x, m, streams(20))
    exact = worst / (basis @ unit).norm(dim=1)
    found = semi_random_radius(scores, x, decision, m=m, generators=streams(20))
    torch.testing.assert_close(found.size, exact, rtol=1e-3, atol=0.0)
    assert bool((found.size >= exact * (1 - 1e-9)).all()) and bool((found.backward >= 1).all())


def test_the_nearest_of_many_planes_within_a_subspace():
    """A linear classifier of 12 classes: the exact distance within S is the least over the rivals."""
    w, x = normal(12, 40), normal(30, 40, seed=1)
    decision = (x @ w.T).argmax(1)
    basis = random_subspace(x, 5, streams(30))
    lead, slope = x @ w.T, w[None] - w[decision][:, None]
    gap = lead.gather(1, decision[:, None]) - lead
    exact = torch.where(gap > 0, gap / torch.einsum("nmd,nkd->nkm", basis, slope).norm(dim=2), torch.inf).amin(1)
    found = radius_within(lambda z: z @ w.T, x, decision, basis)
    torch.testing.assert_close(found.size, exact, rtol=2e-3, atol=0.0)


def test_gradients_that_leave_the_subspace_are_caught(flat, monkeypatch):
    """Without the projection the search finds r* itself, which no random subspace of few dimensions holds."""
    scores, x, decision, worst, unit = (v[:20] if isinstance(v, Tensor) and len(v) == N else v for v in flat)
    monkeypatch.setattr(boundary._Within, "_along", lambda self, index, gradient: gradient)
    found = semi_random_radius(scores, x, decision, m=4, generators=streams(20))
    exact = worst / (random_subspace(x, 4, streams(20)) @ unit).norm(dim=1)
    assert bool((found.size < 0.5 * exact).all())
    torch.testing.assert_close(found.size, worst, rtol=1e-3, atol=0.0)


def bent() -> tuple:
    """A small network with a curved boundary, points of one class."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((30, 24), (3, 30)))

    def scores(x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ first.T / 4) @ second.T
    x = normal(25, 4, 6, seed=3)
    return scores, x, scores(x).argmax(1)


def test_no_subspace_holds_a_smaller_flip_than_all_dimensions():
    scores, x, decision = bent()
    worst = smallest_change(scores, x, decision, generators=streams(25)).size
    sizes = {m: semi_random_radius(scores, x, decision, m=m, generators=streams(25, m)).size for m in (2, 8, 24)}
    for size in sizes.values():
        assert bool((size >= worst * (1 - 2e-3)).all())
    same = sizes[24] / worst                                    # all dimensions: the same problem, searched as well
    assert float(same.median()) < 1.001 and float((same < 1.01).double().mean()) >= 0.9
    assert float((sizes[2] / worst).median()) > 2 * float((sizes[8] / worst).median()) / math.sqrt(4)


def test_results_do_not_depend_on_the_batch(monkeypatch):
    scores, x, decision = bent()
    first = torch.ones(25, dtype=torch.float64)
    searches = {
        "line": lambda i: random_radius(scores, x[i], decision[i], first=first[i], generators=streams(25)[i]),
        "subspace": lambda i: semi_random_radius(scores, x[i], decision[i], m=5, generators=streams(25)[i])}
    for search in searches.values():
        whole, alone = search(slice(None)), [search(slice(i, i + 1)) for i in range(25)]
        torch.testing.assert_close(torch.cat([r.size for r in alone]), whole.size, rtol=1e-9, atol=0.0)
        for count in ("forward", "backward"):
            assert torch.cat([getattr(r, count) for r in alone]).tolist() == getattr(whole, count).tolist()
    whole = searches["subspace"](slice(None))
    monkeypatch.setattr(boundary, "ENTRIES", 7 * 5 * 24)        # seven bases at once
    torch.testing.assert_close(searches["subspace"](slice(None)).size, whole.size, rtol=1e-9, atol=0.0)


def test_sizes_follow_the_unit_of_the_inputs():
    scores, x, decision = bent()
    first = torch.ones(25, dtype=torch.float64)
    plain = [random_radius(scores, x, decision, first=first, generators=streams(25)).size,
             semi_random_radius(scores, x, decision, m=5, generators=streams(25)).size]
    scaled = [random_radius(lambda z: scores(z / 1e4), 1e4 * x, decision, first=1e4 * first, generators=streams(25)).size,
              semi_random_radius(lambda z: scores(z / 1e4), 1e4 * x, decision, m=5, generators=streams(25)).size]
    for one, two in zip(plain, scaled, strict=True):
        torch.testing.assert_close(two, 1e4 * one, rtol=1e-6, atol=0.0)


def test_the_callers_tensors_and_seeds_are_left_alone():
    scores, x, decision = bent()
    before, state = x.clone(), torch.get_rng_state()
    semi_random_radius(scores, x, decision, m=3, generators=streams(25))
    random_radius(scores, x, decision, first=torch.ones(25), generators=streams(25))
    assert torch.equal(x, before) and not x.requires_grad and torch.equal(torch.get_rng_state(), state)


def curvatures(bend, radius: float, *, inside: bool = True) -> Tensor:
    """Along random directions, at random points of the sphere, for the decision inside or outside."""
    points = normal(40, 3, 4, seed=5)
    points = radius * points / points.flatten(1).norm(dim=1)[:, None, None]
    decision, rival = (torch.full((40,), int(inside ^ own)) for own in (True, False))
    return bend(sphere(radius), points, decision, rival, normal(40, 3, 4, seed=6),
                step=torch.full((40,), 0.1 * radius, dtype=torch.float64))


def spherical(bend) -> None:
    for radius in (0.01, 1.0, 70.0):
        torch.testing.assert_close(curvatures(bend, radius), torch.full((40,), 1 / radius).double(), rtol=0.01, atol=0.0)
        torch.testing.assert_close(curvatures(bend, radius, inside=False), torch.full((40,), -1 / radius).double(),
                                   rtol=0.01, atol=0.0)


def test_the_curvature_of_a_sphere_is_one_over_its_radius():
    spherical(curvature)


def _without_norm(scores, points, decision, rival, direction, *, step):
    slope = torch.autograd.grad(scores(p := points.clone().requires_grad_())[:, 1].sum(), p)[0].flatten(1).norm(dim=1)
    return curvature(scores, points, decision, rival, direction, step=step) * slope


@pytest.mark.parametrize("broken", [
    _without_norm,
    lambda s, p, d, r, v, *, step: curvature(s, p, d, r, v, step=step).abs(),
    lambda s, p, d, r, v, *, step: curvature(s, p, d, r, p + 0 * v, step=step),         # along the normal: nothing is left
    lambda s, p, d, r, v, *, step: curvature(s, 1.2 * p, d, r, v, step=step),           # not on the boundary
], ids=["not normalised", "no sign", "normal direction", "off the boundary"])
def test_broken_curvatures_are_caught(broken):
    with pytest.raises(AssertionError):
        spherical(broken)


def test_a_plane_is_flat_and_a_saddle_bends_both_ways(flat):
    scores, x, decision, worst, unit = (v[:20] if isinstance(v, Tensor) and len(v) == N else v for v in flat)
    edge = x + worst[:, None] * unit
    assert float(curvature(scores, edge, decision, decision + 1, normal(20, D, seed=8), step=worst).abs().max()) < 1e-9

    def saddle(z: Tensor) -> Tensor:                             # boundary z₃ = z₁² − 2 z₂² at the origin
        return torch.stack((0 * z[:, 0], z[:, 2] - z[:, 0] ** 2 + 2 * z[:, 1] ** 2), 1)
    axes = torch.eye(3, dtype=torch.float64)[:2]
    seen = curvature(saddle, torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, 0]), torch.tensor([1, 1]),
                     axes + torch.tensor([0.0, 0.0, 5.0]), step=torch.full((2,), 0.01))
    assert seen.tolist() == pytest.approx([-2.0, 4.0])


@pytest.mark.parametrize(("call", "words"), [
    (lambda s, x, d: random_radius(s, x, d, first=torch.zeros(N), generators=streams(N)), "first"),
    (lambda s, x, d: random_radius(s, x, d, first=torch.full((N,), math.inf), generators=streams(N)), "first"),
    (lambda s, x, d: random_radius(s, x, d, first=torch.ones(N), generators=streams(3)), "generator"),
    (lambda s, x, d: semi_random_radius(s, x, d, m=D + 1, generators=streams(N)), "500 entries"),
    (lambda s, x, d: semi_random_radius(s, x, d, m=0, generators=streams(N)), "dimensions"),
])
def test_bad_arguments(flat, call, words):
    with pytest.raises(InputError, match=words):
        call(*flat[:3])
