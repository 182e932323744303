"""The projection onto the kernel: nearest point, idempotent, symmetric, against the singular value decomposition."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError
from assay.operators.adopt import adopt_operator
from assay.operators.algebra import Composition, Matrix, RealImages, Scaled
from assay.operators.finite_difference import FiniteDifference
from assay.operators.fourier import MaskedFourier
from assay.operators.protocol import LinearOperator, random_element
from assay.operators.sensitivity import simulate_maps
from assay.operators.wavelet import Wavelet
from assay.solvers.kernel import kernel_part, kernel_share, unseen
from assay.solvers.linear import tikhonov
from assay.solvers.result import Solution
from laws import dense, generator

EXACT = torch.complex128


def _mask(side: int = 8) -> torch.Tensor:
    return torch.rand(side, side, generator=generator(1)) < 0.4


class Views:
    """Sums along rows and columns: a coarse Radon transform made elsewhere, as deepinv's are adopted."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack((x.sum(2), x.sum(3)), 2)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return y[:, :, 0, None, :] + y[:, :, 1, :, None]


OPERATORS: dict[str, LinearOperator] = {
    "wide matrix": Matrix(torch.randn(4, 7, dtype=torch.float64, generator=generator())),
    "tall matrix": Matrix(torch.randn(9, 5, dtype=EXACT, generator=generator())),
    "rank one": Matrix(torch.ones(3, 4, dtype=torch.float64)),
    "masked Fourier": MaskedFourier(_mask(), dtype=EXACT),
    "masked Fourier, real images": RealImages(MaskedFourier(_mask(), dtype=EXACT)),
    "two coils, few lines": MaskedFourier(_mask() & (torch.arange(8) < 2)[:, None], dtype=EXACT,
                                          maps=simulate_maps(2, (8, 8)).to(EXACT)),
    "finite difference": FiniteDifference((4, 5), boundary="neumann", dtype=torch.float64),
    "wavelets, five of sixteen": Composition(Matrix(torch.eye(5, 16, dtype=torch.float64)), Matrix(
        dense(Wavelet(domain=(4, 4), family="haar", levels=2, dtype=torch.float64)))),
    "adopted": adopt_operator(Views(), (1, 5, 5)),
}


def laws(operator: LinearOperator, project, tolerance: float = 1e-4) -> None:
    """P is what the singular value decomposition says; P x is nearest to x in ker A; P P = P; ⟨P x, z⟩ = ⟨x, P z⟩."""
    x, z = (random_element(operator.domain, dtype=operator.dtype, generator=generator(s), batch=3) for s in (2, 3))
    scale, px, pz = float(x.norm()), project(x), project(z)
    assert float(operator.forward(px).norm()) <= tolerance * float(operator.forward(x).norm()), "kernel"
    assert float((project(px) - px).norm()) <= tolerance * scale, "idempotent"
    variation = ((x - px).conj() * (pz - px)).sum().real            # ⟨x − Px, z′ − Px⟩ ≤ 0 for every z′ in the kernel
    assert float(variation.abs()) <= tolerance * scale**2, "nearest"
    assert abs(complex((px.conj() * z).sum() - (x.conj() * pz).sum())) <= tolerance * scale**2, "symmetric"
    matrix = dense(operator)
    _, values, right = torch.linalg.svd(matrix)
    rank = int((values > 1e-6 * values[0]).sum())
    null = right[rank:]
    exact = (x.flatten(1) @ null.T @ null.conj()).reshape(x.shape) if len(null) else torch.zeros_like(x)
    assert float((px - exact).norm()) <= tolerance * scale, "decomposition"


@pytest.mark.parametrize("name", OPERATORS)
def test_the_projection_obeys_its_laws(name: str) -> None:
    laws(OPERATORS[name], lambda x: unseen(x, OPERATORS[name]).x)


@pytest.mark.parametrize(("twin", "law"), [
    (lambda x, a: unseen(x, a).x * 0.9, "idempotent"),
    (lambda x, a: x - a.adjoint(a.forward(x)), "kernel"),                       # right for orthonormal rows alone
    (lambda x, a: x - tikhonov(a.forward(x), a, weight=1.0).x, "kernel"),
    (lambda x, a: torch.zeros_like(x), "decomposition"),
    (lambda x, a: x - a.forward(x) @ torch.linalg.inv(a.matrix[:, :4]).T @ torch.eye(4, 7).to(x), "nearest"),   # oblique
])
def test_what_is_no_projection_is_found_out(twin, law: str) -> None:
    operator = OPERATORS["wide matrix"]
    with pytest.raises(AssertionError, match=law):
        laws(operator, lambda x: twin(x, operator))


def test_the_share_of_the_kernel_is_its_dimension() -> None:
    g = generator()
    square = Matrix(torch.eye(40, dtype=torch.float64)[:30])
    assert kernel_share(square, generator=g) == pytest.approx(0.25, abs=0.1)
    assert kernel_share(Matrix(torch.eye(6, dtype=torch.float64)), generator=g) < 1e-9
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:5] = True                                                             # of k and −k one at least
    assert kernel_share(MaskedFourier(mask, dtype=EXACT), generator=g) == pytest.approx(3 / 8, abs=0.12)
    assert kernel_share(RealImages(MaskedFourier(mask, dtype=EXACT)), generator=g) < 1e-6


def test_a_fourier_mask_takes_one_step_and_the_unit_of_the_data_does_not_matter() -> None:
    operator = OPERATORS["masked Fourier, real images"]
    x = random_element(operator.domain, dtype=operator.dtype, generator=generator(2), batch=2)
    found = unseen(x, operator)
    assert isinstance(found, Solution) and found.iterations <= 3
    assert torch.allclose(unseen(x, Scaled(operator, 1e-4)).x, found.x, atol=1e-9)


def test_a_kernel_that_was_not_found_is_no_number() -> None:
    operator, x = OPERATORS["tall matrix"], torch.randn(3, 5, dtype=EXACT, generator=generator())
    assert torch.equal(kernel_part(x, operator), unseen(x, operator).x)
    with pytest.raises(InputError, match=r"'matrix' was not found: after 2 steps .* of 3 of 3 images"):
        kernel_part(x, operator, iterations=2)
    flat = OPERATORS["masked Fourier"]
    assert torch.equal(kernel_part(torch.zeros(1, 8, 8, dtype=EXACT), flat), torch.zeros(1, 8, 8, dtype=EXACT))
