"""Balls within a box: nearest, steepest and random members, and each law beside a set that breaks it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

import bounded_oracles as oracle
from assay.arrays import InputError
from assay.numerics.norms import norm
from assay.perturbations.balls import Ball, InputBall, Through
from assay.perturbations.protocol import ConvexSet, Examples, stream

NORMS = ("l2", "linf")
RADII = (0.1, 0.45, 3.0)            # small, such that corners are met, and larger than most boxes


def generators(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def direction(x: Examples, seed: int = 1) -> Tensor:
    return torch.randn(x.inputs.shape, dtype=x.inputs.dtype, generator=torch.Generator().manual_seed(seed))


def is_member(within: InputBall, x: Examples, p: Tensor, radius: float) -> None:
    low, high = within.ball.box
    assert bool((norm(p, within.ball.norm) <= radius * (1 + 1e-6)).all())
    changed = within.apply(x, p).inputs
    assert bool((changed >= low).all() and (changed <= high).all())
    assert p.dtype == x.inputs.dtype and p.shape == x.inputs.shape


def nearest(within: InputBall, kind: str, radius: float) -> None:
    x = oracle.examples(4, 2, 5)
    p = direction(x)
    z = within.project(x, p)
    is_member(within, x, z, radius)
    assert torch.allclose(within.project(x, z), z, atol=1e-12)
    most = oracle.linear_maxima(p - z, x.inputs, kind, radius)
    assert bool((most - ((p - z) * z).flatten(1).sum(1) <= 1e-8).all())


def steepest(within: InputBall, kind: str, radius: float) -> None:
    x = oracle.examples(4, 2, 5)
    g = direction(x)
    d = within.steepest(x, g)
    is_member(within, x, d, radius)
    assert torch.allclose((g * d).flatten(1).sum(1), oracle.linear_maxima(g, x.inputs, kind, radius), rtol=1e-8)


def sample_sizes(within: InputBall, kind: str, size: float) -> None:
    """The size asked for, or that of the farthest corner of the box, whichever is less."""
    x = oracle.examples(4, 2, 5)
    p = within.sample(x, generators(x), torch.full((4,), size, dtype=torch.float64))
    is_member(within, x, p, size)
    farthest = norm(torch.maximum(x.inputs, 1 - x.inputs), kind)
    assert torch.allclose(norm(p, kind), farthest.clamp_max(size), rtol=1e-12)
    assert torch.allclose(within.size(x, p), farthest.clamp_max(size), rtol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Clipped(InputBall):
    """A broken twin: what the whole ball says, clipped to the box afterwards."""

    def _clip(self, x: Examples, p: Tensor) -> Tensor:
        return torch.clamp(p, 0 - x.inputs, 1 - x.inputs)

    def _whole(self) -> InputBall:
        return InputBall(ball=replace(self.ball, box=None))

    def project(self, x, p):
        return self._clip(x, self._whole().project(x, p))

    def steepest(self, x, gradient):
        return self._clip(x, self._whole().steepest(x, gradient))

    def sample(self, x, generators, size=None):
        return self._clip(x, self._whole().sample(x, generators, size))


LAWS = {"nearest": nearest, "steepest": steepest, "sample": sample_sizes}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("radius", RADII)
def test_laws(law, kind, radius):
    LAWS[law](oracle.ball(kind, radius), kind, radius)


@pytest.mark.parametrize("law", LAWS)
def test_clipping_afterwards_is_caught(law):
    with pytest.raises(AssertionError):
        LAWS[law](Clipped(ball=oracle.ball("l2", 0.45).ball), "l2", 0.45)


@pytest.mark.parametrize("kind", NORMS)
def test_without_an_active_box_nothing_changes(kind):
    x = Examples(ids=("a", "b"), inputs=0.5 + 0.01 * torch.randn(2, 9, generator=torch.Generator().manual_seed(0)))
    whole, boxed = oracle.ball(kind, 0.1, None), oracle.ball(kind, 0.1)
    g = direction(x)
    for call in ("project", "steepest", "uphill"):
        assert torch.allclose(getattr(whole, call)(x, g), getattr(boxed, call)(x, g), atol=1e-6)
    assert torch.allclose(whole.sample(x, generators(x)), boxed.sample(x, generators(x)), atol=1e-6)


@pytest.mark.parametrize("kind", NORMS)
def test_random_members_use_both_sides_where_there_is_room(kind):
    """In the middle of the box signs are as drawn; at its edges the only side with room is taken."""
    x = Examples(ids=("a",), inputs=torch.cat((torch.full((1, 400), 0.5), torch.zeros(1, 400), torch.ones(1, 400)), 1))
    p = oracle.ball(kind, 0.05).sample(x, generators(x))[0]
    assert 140 < int((p[:400] > 0).sum()) < 260
    assert bool((p[400:800] >= 0).all() and (p[800:] <= 0).all())
    assert float(p[400:].abs().gt(0).float().mean()) > 0.99


@pytest.mark.parametrize("kind", NORMS)
def test_random_members_do_not_depend_on_the_batch(kind):
    x, within = oracle.examples(5, 3, 4), oracle.ball(kind, 0.4)
    together = within.sample(x, generators(x))
    for i, sample in enumerate(x.ids):
        alone = Examples(ids=(sample,), inputs=x.inputs[i: i + 1])
        assert torch.allclose(within.sample(alone, [stream(0, sample)])[0], together[i], atol=1e-14)
    assert not torch.allclose(within.sample(x, generators(x, 1)), together)


@pytest.mark.parametrize("box", [(0.0, 1.0), (-2.1179, 2.64), (-1e-3, 7e5), (0.1, 0.3)])
def test_changed_inputs_are_in_the_box_to_the_last_bit(box):
    low, high = box
    x = Examples(ids=("a",), inputs=(low + (high - low) * torch.rand(1, 20_000, generator=stream(3))).clamp(low, high))
    for kind in NORMS:
        within = oracle.ball(kind, 1e7, box)
        for p in (within.project(x, 1e9 * direction(x)), within.steepest(x, direction(x)), within.sample(x, generators(x))):
            changed = within.apply(x, p).inputs
            assert bool((changed >= low).all() and (changed <= high).all())


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("unit", [1e-6, 255.0])
def test_nothing_depends_on_the_unit(kind, unit):
    x, g = oracle.examples(3, 8), direction(oracle.examples(3, 8))
    scaled = Examples(ids=x.ids, inputs=unit * x.inputs)
    one = InputBall(ball=Ball(norm=kind, radius=0.3, box=(0.0, 1.0)))
    other = InputBall(ball=Ball(norm=kind, radius=0.3, box=(0.0, unit)))
    for call in ("project", "steepest", "uphill"):
        assert torch.allclose(unit * getattr(one, call)(x, g), getattr(other, call)(scaled, unit * g), rtol=1e-9)
    assert torch.allclose(unit * one.sample(x, generators(x)), other.sample(scaled, generators(x)), rtol=1e-9)


@pytest.mark.parametrize("kind", NORMS)
def test_uphill_sees_no_box_so_that_a_saturated_entry_can_come_back(kind):
    """x = 1 with the gradient outward: `steepest` is 0 there; a step uphill takes a perturbation back to the edge."""
    x = Examples(ids=("a",), inputs=torch.ones(1, 1))
    within, inward, gradient = oracle.ball(kind, 0.5), torch.tensor([[-0.3]]), torch.ones(1, 1)
    assert float(within.steepest(x, gradient)) == 0.0
    assert float(within.project(x, inward + within.steepest(x, gradient))) == pytest.approx(-0.3)
    assert float(within.project(x, inward + within.uphill(x, gradient))) == 0.0


def test_a_box_moves_with_the_image_seen_through_a_model():
    from assay.operators.algebra import Identity
    truth = oracle.saturated(2, 6, dtype=torch.float32)
    x = Examples(ids=("a", "b"), inputs=truth.clone(), truth=truth)
    within = Through(operator=Identity(domain=(6,)), ball=Ball(norm="linf", radius=0.5, relative=False, box=(0.0, 1.0)))
    changed = within.apply(x, within.sample(x, generators(x))).truth
    assert bool((changed >= 0).all() and (changed <= 1).all())


@pytest.mark.parametrize("call", ["project", "steepest", "uphill", "sample"])
def test_inputs_outside_the_box_are_refused_by_name(call):
    x = Examples(ids=("first", "second", "third"), inputs=torch.tensor([[0.5], [1.5], [-3.0]]))
    within = oracle.ball("l2", 0.1)
    with pytest.raises(InputError, match=r"example second has values from 1\.5 to 1\.5"):
        within.sample(x, generators(x)) if call == "sample" else getattr(within, call)(x, x.inputs)
    with pytest.raises(InputError, match="example 1 "):
        within.ball.room(x.inputs)


def test_values_that_are_no_numbers_are_outside():
    with pytest.raises(InputError, match="example 0"):
        oracle.ball("l2", 0.1).ball.project(torch.tensor([[float("nan")]]), torch.zeros(1, 1))


def test_complex_data_have_no_box():
    x = Examples(ids=("a",), inputs=torch.ones(1, 2, dtype=torch.complex64))
    with pytest.raises(InputError, match="complex"):
        oracle.ball("l2", 0.1).project(x, x.inputs)


@pytest.mark.parametrize("box", [(1.0, 0.0), (0.0, 0.0), (0.0, float("nan")), (0.0, float("inf")), (0.0, 1.0, 2.0)])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(InputError, match="box"):
        Ball(box=box)


def test_an_unknown_norm_within_a_box_is_refused():
    x = oracle.examples(1, 3)
    with pytest.raises(InputError, match="l1"):
        oracle.ball("l1", 0.1).project(x, x.inputs)


def test_resizing_keeps_the_box_and_the_set_is_convex():
    within = oracle.ball("linf", 0.1)
    assert within.resized(0.2).ball == Ball(norm="linf", radius=0.2, relative=False, box=(0.0, 1.0))
    assert isinstance(within, ConvexSet)
