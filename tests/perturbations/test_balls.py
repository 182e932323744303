"""Balls: nearest points, exact sizes, the forward model's view, streams; each law beside a set that breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.norms import norm
from assay.operators.fourier import MaskedFourier
from assay.perturbations import registry
from assay.perturbations.balls import Ball, InputBall, Through
from assay.perturbations.protocol import Examples, stream

NORMS = ("l2", "linf")
DTYPES = (torch.float64, torch.complex128)


def numbers(*shape: int, dtype: torch.dtype = torch.complex128, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Re⟨a_i, b_i⟩ per example, through the real components alone."""
    if a.is_complex():
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    return (a * b).flatten(1).sum(1)


def members(x: Tensor, kind: str, radius: Tensor, seed: int) -> Tensor:
    """Random points of the ball, made without it: on its boundary, inside it and in its corners."""
    z = numbers(*x.shape, dtype=x.dtype, seed=seed)
    moduli = z.abs().flatten(1)
    size = moduli.square().sum(1).sqrt() if kind == "l2" else moduli.amax(1)
    inside = z * (radius / size * torch.rand(len(x), generator=stream(seed), dtype=torch.float64) ** 0.2)[:, None]
    return inside if kind == "l2" or seed % 2 else z / z.abs() * radius[:, None]


def project_is_nearest(project, kind: str, dtype: torch.dtype, seed: int, scale: float) -> None:
    """P x is a member, P P x = P x, and Re⟨x − P x, z − P x⟩ ≤ 0 for members z: so P x is the nearest one."""
    radius = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    x = scale * numbers(3, 6, dtype=dtype, seed=seed)
    p = project(x, radius, kind)
    size = p.abs().square().sum(1).sqrt() if kind == "l2" else p.abs().amax(1)
    assert bool((size <= radius * (1 + 1e-12)).all())
    assert torch.allclose(project(p, radius, kind), p, atol=1e-12)
    for other in range(6):
        z = members(x, kind, radius, 7 * seed + other)
        assert float(dot(x - p, z - p).max()) <= 1e-10 * scale


def projected(x: Tensor, radius: Tensor, kind: str) -> Tensor:
    examples = Examples(ids=("a", "b", "c"), inputs=x)
    one = [InputBall(ball=Ball(norm=kind, radius=float(r), relative=False)) for r in radius]
    return torch.cat([ball.project(replace(examples, ids=("a",), inputs=x[i: i + 1]), x[i: i + 1])
                      for i, ball in enumerate(one)])


def rescaled(x: Tensor, radius: Tensor, kind: str) -> Tensor:
    """A broken twin: shortens the whole vector until it is a member, which for ℓ∞ is not the nearest one."""
    size = x.abs().square().sum(1).sqrt() if kind == "l2" else x.abs().amax(1)
    return x * (radius / size).clamp_max(1)[:, None]


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_projections_give_the_nearest_point(kind, dtype, seed, scale):
    project_is_nearest(projected, kind, dtype, seed, scale)


def test_rescaling_is_caught():
    project_is_nearest(rescaled, "l2", torch.float64, 0, 3.0)       # for ℓ2 rescaling is the projection
    with pytest.raises(AssertionError):
        project_is_nearest(rescaled, "linf", torch.float64, 0, 3.0)


def test_a_split_of_real_and_imaginary_part_is_caught():
    """A broken twin for complex ℓ∞: a box of both parts is not a disc."""
    def boxed(x: Tensor, radius: Tensor, kind: str) -> Tensor:
        r = radius[:, None]
        return torch.complex(x.real.clamp(-r, r), x.imag.clamp(-r, r)) if x.is_complex() else x.clamp(-r, r)

    project_is_nearest(boxed, "linf", torch.float64, 0, 3.0)
    with pytest.raises(AssertionError):
        project_is_nearest(boxed, "linf", torch.complex128, 0, 3.0)


def examples(batch: int = 3, *, seed: int = 0) -> Examples:
    """Measured images with noise in the measurements, single precision as in an audit."""
    mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(seed)) < 0.5
    operator = MaskedFourier(mask=mask)
    truth = numbers(batch, 8, 8, dtype=torch.complex64, seed=seed)
    y = operator.forward(truth)
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), truth=truth, operator=operator,
                    inputs=y + 0.1 * numbers(*y.shape, dtype=torch.complex64, seed=seed + 1))


def sets(x: Examples, kind: str, radius: float = 0.02, *, relative: bool = True) -> dict[str, InputBall | Through]:
    ball = Ball(norm=kind, radius=radius, relative=relative)
    return {"inputs": InputBall(ball=ball), "through": Through(operator=x.operator, ball=ball)}


def generators(x: Examples) -> list[torch.Generator]:
    return [stream(0, sample) for sample in x.ids]


def sizes_are_exact(within, x: Examples, kind: str, size: Tensor | None, expected: Tensor) -> None:
    """‖p‖ of a random member, measured here, is `expected` times the norm of what it surrounds."""
    p = within.sample(x, generators(x), size)
    around = x.truth if isinstance(within, Through) else x.inputs
    moduli, scale = p.abs().flatten(1).double(), around.abs().flatten(1).double()
    measured = (moduli.square().sum(1) / scale.square().sum(1)).sqrt() if kind == "l2" else moduli.amax(1) / scale.amax(1)
    assert torch.allclose(measured, expected.double(), rtol=1e-5)
    assert torch.allclose(within.size(x, p).double(), expected.double(), rtol=1e-5)
    assert p.shape == within.zero(x).shape and p.dtype == within.zero(x).dtype


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("which", ["inputs", "through"])
def test_sizes_of_random_members_are_exact(kind, which):
    x = examples()
    within = sets(x, kind)[which]
    sizes_are_exact(within, x, kind, None, torch.full((3,), 0.02))
    sizes_are_exact(within, x, kind, torch.tensor([0.001, 0.01, 0.3]), torch.tensor([0.001, 0.01, 0.3]))


def test_a_sample_without_exact_size_is_caught():
    class Loose(InputBall):
        def sample(self, x, generators, size=None):
            return super().sample(x, generators, size) * 0.99

    x = examples()
    with pytest.raises(AssertionError):
        sizes_are_exact(Loose(ball=Ball()), x, "l2", None, torch.full((3,), 0.02))


@pytest.mark.parametrize("kind", NORMS)
def test_absolute_sizes_are_not_relative(kind):
    x = examples()
    p = sets(x, kind, 0.5, relative=False)["inputs"].sample(x, generators(x))
    assert torch.allclose(norm(p, kind), torch.full((3,), 0.5))


@pytest.mark.parametrize("kind", NORMS)
def test_every_entry_of_a_random_maximum_norm_member_has_the_full_modulus(kind):
    x = examples()
    p = sets(x, kind)["inputs"].sample(x, generators(x)).abs().flatten(1)
    assert bool((p.amin(1) > 0.999 * p.amax(1)).all()) == (kind == "linf")


def changes_are_seen_through_the_model(within, x: Examples) -> None:
    """inputs′ = A(x + p) + the noise that was there, truth′ = x + p."""
    p = within.sample(x, generators(x))
    changed = within.apply(x, p)
    noise = x.inputs - x.operator.forward(x.truth)
    assert torch.allclose(changed.inputs, x.operator.forward(x.truth + p) + noise, atol=1e-5)
    assert float(noise.abs().max()) > 0.01
    assert torch.equal(changed.truth, x.truth + p)
    assert changed.ids == x.ids and changed.operator is x.operator


def test_a_change_of_the_image_keeps_the_noise_and_moves_the_truth():
    x = examples()
    changes_are_seen_through_the_model(sets(x, "l2")["through"], x)


@pytest.mark.parametrize("fault", ["noise", "truth"])
def test_a_change_that_loses_the_noise_or_keeps_the_truth_is_caught(fault):
    class Broken(Through):
        def apply(self, x, p):
            if fault == "noise":
                return x.changed(inputs=self.operator.forward(x.truth + p), truth=x.truth + p)
            return x.changed(inputs=x.inputs + self.operator.forward(p), truth=x.truth)

    x = examples()
    with pytest.raises(AssertionError):
        changes_are_seen_through_the_model(Broken(operator=x.operator, ball=Ball()), x)


def test_a_change_of_the_data_leaves_the_truth():
    x = examples()
    p = numbers(*x.inputs.shape, dtype=torch.complex64, seed=5)
    changed = InputBall(ball=Ball()).apply(x, p)
    assert torch.equal(changed.inputs, x.inputs + p) and changed.truth is x.truth


def members_do_not_depend_on_the_batch(within, x: Examples) -> None:
    together = within.sample(x, generators(x))
    for i, sample in enumerate(x.ids):
        alone = replace(x, ids=(sample,), inputs=x.inputs[i: i + 1], truth=x.truth[i: i + 1])
        assert torch.equal(within.sample(alone, [stream(0, sample)])[0], together[i])


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("which", ["inputs", "through"])
def test_random_members_do_not_depend_on_the_batch(kind, which):
    x = examples()
    members_do_not_depend_on_the_batch(sets(x, kind)[which], x)


def test_one_stream_for_the_whole_batch_is_caught():
    class Shared(InputBall):
        def sample(self, x, generators, size=None):
            return torch.randn(x.inputs.shape, dtype=x.inputs.dtype, generator=generators[0])

    x = examples()
    with pytest.raises(AssertionError):
        members_do_not_depend_on_the_batch(Shared(ball=Ball()), x)


def test_streams_are_told_apart_by_every_word():
    words = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "control"), (0, "a", 0.02), ("0a",)]
    assert len({float(torch.rand((), generator=stream(*w))) for w in words}) == len(words)


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("which", ["inputs", "through"])
def test_a_steepest_step_has_the_size_of_the_set_and_the_greatest_product(kind, which):
    x = examples()
    within = sets(x, kind)[which]
    gradient = numbers(*within.zero(x).shape, dtype=torch.complex64, seed=9)
    step = within.steepest(x, gradient)
    assert torch.allclose(within.size(x, step), torch.full((3,), 0.02), rtol=1e-5)
    for seed in range(5):
        other = within.sample(x, [stream(seed, s) for s in x.ids])
        assert bool((dot(gradient, step) >= dot(gradient, other)).all())


def test_resizing_changes_the_radius_alone():
    x = examples()
    for within in sets(x, "linf").values():
        larger = within.resized(0.3)
        assert larger.ball.radius == 0.3 and larger.unit == within.unit == "relative ℓ∞"


@pytest.mark.parametrize("radius", [-0.1, float("nan")])
def test_a_negative_radius_is_refused(radius):
    with pytest.raises(InputError, match="radius"):
        Ball(radius=radius)


def test_an_image_change_without_a_true_image_is_refused():
    x = examples()
    with pytest.raises(InputError, match="true image"):
        sets(x, "l2")["through"].zero(replace(x, truth=None))


@pytest.mark.parametrize(("spec", "words"), [
    ({"kind": "rays"}, "unknown perturbation kind 'rays'"), ({}, "unknown perturbation kind None"),
    ({"kind": "details", "colour": "red"}, "colour"),
])
def test_words_that_name_no_set_are_refused(spec, words):
    with pytest.raises(InputError, match=words):
        registry.build(spec, 0.1, examples())


def test_an_unknown_norm_is_refused():
    x = examples()
    within = registry.build({"kind": "inputs", "norm": "l1"}, 0.1, x)
    with pytest.raises(InputError, match="l1"):
        within.project(x, x.inputs)
