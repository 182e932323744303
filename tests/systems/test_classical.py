"""The established methods as systems: what they declare, how they bind, how a weight is chosen."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from assay.arrays import InputError
from assay.operators.algebra import Scaled
from assay.operators.fourier import MaskedFourier
from assay.operators.sensitivity import simulate_maps
from assay.records import Access, Stop
from assay.solvers.result import Iterative
from assay.systems.classical import Tikhonov, TotalVariation, WaveletL1, ZeroFilled, choose_weight
from assay.systems.protocol import System, SystemFamily

FAMILIES = [TotalVariation(), WaveletL1(levels=2), WaveletL1(levels=2, family="haar", form="constrained", weight=0.05),
            Tikhonov(), ZeroFilled()]


def _operator(coils: int = 0) -> MaskedFourier:
    mask = torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[8, 8] = True
    return MaskedFourier(mask, maps=simulate_maps(coils, (16, 16)) if coils else None)


def _truths(n: int = 2) -> torch.Tensor:
    x = torch.zeros(n, 16, 16, dtype=torch.complex64)
    for b in range(n):
        x[b, 4:12, 3 + b: 9 + b] = 1
    return x


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f.name}-{getattr(f, 'form', '')}")
def test_family_binds_to_a_differentiable_system(family: SystemFamily) -> None:
    assert isinstance(family, SystemFamily)
    assert family.access is Access.GRADIENT and family.kind == "classical"
    assert json.loads(json.dumps(dict(family.settings))) == dict(family.settings)
    operator = _operator()
    system = family.bind(operator)
    assert isinstance(system, System) and isinstance(system, Iterative)
    y = operator.forward(_truths()).requires_grad_(True)
    image = system(y)
    assert image.shape == (2, 16, 16) and image.dtype == torch.complex64
    (gradient,) = torch.autograd.grad(image.abs().square().sum(), y)
    assert bool(torch.isfinite(gradient).all()) and float(gradient.norm()) > 0
    solution = system.solve(y)
    assert torch.equal(solution.x, image.detach()) and not solution.x.requires_grad
    assert len(solution.stop) == 2 and Stop.NON_FINITE not in solution.stop


@pytest.mark.parametrize("family", [TotalVariation(iterations=50), WaveletL1(levels=2), Tikhonov(), ZeroFilled()],
                         ids=lambda f: f.name)
def test_many_coils(family: SystemFamily) -> None:
    operator = _operator(coils=3)
    image = family.bind(operator)(operator.forward(_truths()))
    assert image.shape == (2, 16, 16) and bool(torch.isfinite(torch.view_as_real(image)).all())


def test_constrained_form_refuses_many_coils() -> None:
    with pytest.raises(InputError, match="orthonormal rows"):
        WaveletL1(form="constrained", levels=2).bind(_operator(coils=2))


def test_total_variation_beats_zero_filled_on_blocks() -> None:
    operator, truth = _operator(), _truths()
    y = operator.forward(truth)
    errors = [float((family.bind(operator)(y) - truth).norm()) for family in (TotalVariation(), ZeroFilled())]
    assert errors[0] < 0.2 * errors[1]


def test_choose_weight_takes_the_least_error_and_keeps_the_table() -> None:
    operator, truths = _operator(), _truths()
    y = operator.forward(truths)
    best, table = choose_weight(lambda w: Tikhonov(weight=w), (10.0, 0.1, 1e-3), operator, truths, y)
    assert best < 1e-3 and {"10", "0.1", "0.001"} < set(table)          # without noise, less is better: it goes on
    for weight in (10.0, 0.1, 1e-3):
        error = (operator.adjoint(y) / (1 + weight) - truths).flatten(1).norm(dim=1) / truths.flatten(1).norm(dim=1)
        assert table[f"{weight:g}"] == pytest.approx(float(error.mean()), rel=1e-4)
    noisy = y + 0.5 * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    assert choose_weight(lambda w: Tikhonov(weight=w), (10.0, 0.3, 1e-6), operator, truths, noisy)[0] != 1e-6


@pytest.mark.parametrize(("unit", "scale"), [(1.0, 1e-4), (1.0, 1e3), (10.0, 1.0), (0.1, 30.0)])
@pytest.mark.parametrize("method", [TotalVariation(iterations=4000), WaveletL1(levels=2, iterations=4000),
                                    WaveletL1(levels=2, form="constrained"), Tikhonov()])
def test_a_weight_in_its_unit_gives_the_same_image_in_any_unit_of_data_and_image(method, unit, scale) -> None:
    """x̂(cA, csy; w·unit) = s·x̂(A, y; w·unit)."""
    plain, truth = _operator(), _truths()
    relative = getattr(method, "form", "") == "constrained"         # needs orthonormal rows, and its η has no unit
    operator = plain if unit == 1 or relative else Scaled(plain, unit)
    images = []
    for A, y in ((plain, plain.forward(truth)), (operator, scale * operator.forward(truth))):
        weight = 0.01 * method.weight_unit(A, y)
        images.append(replace(method, weight=weight).bind(A)(y))
    assert float((images[1] / scale - images[0]).norm() / images[0].norm()) < 3e-3
    if not relative:
        careless = replace(method, weight=0.01).bind(operator)(scale * operator.forward(truth)) / scale
        assert (isinstance(method, Tikhonov) and unit == 1) or float((careless - images[0]).norm() / images[0].norm()) > 3e-3
