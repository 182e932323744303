"""Every operator obeys every law, and every law catches a broken twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import laws
from assay.arrays import InputError
from assay.operators.algebra import Adjoint, Composition, Identity, Matrix, RealImages, Scaled
from assay.operators.fourier import MaskedFourier, fft2, ifft2
from assay.operators.protocol import LinearOperator, dot_test
from assay.operators.sensitivity import simulate_maps
from assay.operators.subsampling import cartesian_lines, variable_density

G = laws.generator


def _mask(height: int = 6, width: int = 5) -> torch.Tensor:
    return torch.rand(height, width, generator=G(3)) < 0.5


def _matrix(m: int, n: int, dtype: torch.dtype = torch.complex64) -> Matrix:
    return Matrix(torch.randn(m, n, dtype=dtype, generator=G(m + n)))


OPERATORS: dict[str, LinearOperator] = {
    "real matrix": _matrix(3, 4, torch.float32),
    "complex matrix": _matrix(5, 3),
    "identity": Identity((3, 2)),
    "composition": Composition(_matrix(2, 4), _matrix(4, 3)),
    "real multiple": Scaled(_matrix(3, 4, torch.float32), -2.0),
    "complex multiple": Scaled(_matrix(3, 4), 1 - 2j),
    "adjoint": Adjoint(_matrix(3, 4)),
    "real images": RealImages(_matrix(3, 4)),
    "Fourier, real images": RealImages(MaskedFourier(_mask())),
    "Fourier, centred": MaskedFourier(_mask()),
    "Fourier, corner": MaskedFourier(_mask(5, 6), centred=False),
    "Fourier, one point": MaskedFourier(torch.eye(4)[:1].T.bool() & torch.eye(4)[:1].bool()),
    "Fourier, full": MaskedFourier(torch.ones(3, 5, dtype=torch.bool)),
    "Fourier, lines": MaskedFourier(cartesian_lines((8, 6), 0.5, generator=G())),
    "Fourier, density": MaskedFourier(variable_density((6, 7), 0.4, generator=G())),
    "Fourier, coils": MaskedFourier(_mask(), maps=simulate_maps(3, (6, 5))),
    "Fourier, coils, corner": MaskedFourier(_mask(), maps=simulate_maps(2, (6, 5)), centred=False),
}


class Broken:
    """A complex operator on C⁶ with one fault; the faults are the ways in which operators go wrong."""

    name, domain, range, dtype = "broken", (6,), (6,), torch.complex64

    def __init__(self, fault: str) -> None:
        self.fault, self.matrix = fault, torch.randn(6, 6, dtype=torch.complex64, generator=G(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fault == "no gradient":
            return x.detach() @ self.matrix.T
        if self.fault == "offset":
            return x @ self.matrix.T + 0.1
        if self.fault == "conjugates":
            return x.conj() @ self.matrix.T
        if self.fault == "normalises by batch":
            return (x @ self.matrix.T) / x.abs().max()
        if self.fault == "gradient cut":
            return x @ self.matrix.T - 0.5 * (x - x.detach()) @ self.matrix.T
        return x @ self.matrix.T

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        if self.fault == "transpose for adjoint":
            return y @ self.matrix
        if self.fault == "scaled adjoint":
            return 1.01 * (y @ self.matrix.conj())
        if self.fault == "one entry wrong":
            return y @ (self.matrix.conj() + torch.eye(6)[:1].T * torch.eye(6)[:1])
        if self.fault == "shape":
            return (y @ self.matrix.conj())[:, :5]
        return y @ self.matrix.conj()


CAUGHT = [
    ("transpose for adjoint", laws.adjoint_is_exact), ("scaled adjoint", laws.adjoint_is_exact),
    ("one entry wrong", laws.adjoint_is_exact), ("shape", laws.adjoint_is_exact),
    ("transpose for adjoint", laws.adjoint_is_conjugate_transpose),
    ("one entry wrong", laws.adjoint_is_conjugate_transpose), ("shape", laws.adjoint_is_conjugate_transpose),
    ("offset", laws.is_linear), ("conjugates", laws.is_linear), ("normalises by batch", laws.is_linear),
    ("no gradient", laws.gradient_is_adjoint), ("gradient cut", laws.gradient_is_adjoint),
    ("scaled adjoint", laws.gradient_is_adjoint), ("normalises by batch", laws.is_batch_invariant),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", OPERATORS)
def test_obeys(name, law):
    law(OPERATORS[name])


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_the_sound_twin_obeys(law):
    law(Broken("none"))


@pytest.mark.parametrize(("fault", "law"), CAUGHT, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_law_catches(fault, law):
    with pytest.raises(AssertionError, match=r"adjoint|transpose|linearity|gradient|batch"):
        law(Broken(fault))


@pytest.mark.parametrize("name", OPERATORS)
def test_dot_test_accepts(name):
    assert dot_test(OPERATORS[name], generator=G()) < 1e-5


@pytest.mark.parametrize("fault", ["transpose for adjoint", "scaled adjoint", "one entry wrong", "shape", "offset",
                                   "conjugates", "normalises by batch"])
def test_dot_test_refuses(fault):
    with pytest.raises(InputError, match=r"operator 'broken'"):
        dot_test(Broken(fault), generator=G())


def test_dense_fourier_is_the_transform_written_out():
    height, width = 4, 3
    mask = torch.ones(height, width, dtype=torch.bool)
    u, v, r, c = np.meshgrid(range(height), range(width), range(height), range(width), indexing="ij")
    phase = np.exp(-2j * np.pi * (u * r / height + v * c / width)) / np.sqrt(height * width)
    expected = torch.from_numpy(phase.reshape(12, 12)).to(torch.complex64)
    torch.testing.assert_close(laws.dense(MaskedFourier(mask, centred=False)), expected, atol=1e-6, rtol=0)


def test_centred_transform_has_both_origins_in_the_middle():
    height, width = 4, 5
    u, v, r, c = np.meshgrid(np.arange(height) - height // 2, np.arange(width) - width // 2,
                             np.arange(height) - height // 2, np.arange(width) - width // 2, indexing="ij")
    phase = np.exp(-2j * np.pi * (u * r / height + v * c / width)) / np.sqrt(height * width)
    operator = MaskedFourier(torch.ones(height, width, dtype=torch.bool))
    expected = torch.from_numpy(phase.reshape(20, 20)).to(torch.complex64)
    torch.testing.assert_close(laws.dense(operator), expected, atol=1e-6, rtol=0)


def test_inverse_transform_inverts():
    x = torch.randn(2, 5, 4, dtype=torch.complex128, generator=G())
    for centred in (True, False):
        torch.testing.assert_close(ifft2(fft2(x, centred=centred), centred=centred), x)


def test_norm_of_sampled_fourier_is_one():
    assert float(torch.linalg.matrix_norm(laws.dense(OPERATORS["Fourier, centred"]), 2)) == pytest.approx(1, abs=1e-5)


def test_norm_with_normalised_maps_is_at_most_one():
    norm = float(torch.linalg.matrix_norm(laws.dense(OPERATORS["Fourier, coils"]), 2))
    assert 0.5 < norm <= 1 + 1e-5


def test_embed_and_adjoint_of_what_was_measured():
    operator = OPERATORS["Fourier, centred"]
    x = torch.randn(1, 6, 5, dtype=torch.complex64, generator=G())
    grid = operator.embed(operator.forward(x))
    assert not grid[0][~operator.mask].any()
    torch.testing.assert_close(grid[0][operator.mask], fft2(x, centred=True)[0][operator.mask])


def test_replace_measured_is_the_nearest_consistent_image():
    operator = OPERATORS["Fourier, centred"]
    x, other = (torch.randn(1, 6, 5, dtype=torch.complex64, generator=G(i)) for i in (1, 2))
    y = operator.forward(other)
    nearest = operator.replace_measured(x, y)
    torch.testing.assert_close(operator.forward(nearest), y)
    matrix = laws.dense(operator)
    step = torch.linalg.pinv(matrix) @ (y[0] - matrix @ x.flatten())
    torch.testing.assert_close(nearest.flatten(), x.flatten() + step, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("call", [
    lambda: MaskedFourier(torch.zeros(3, 3, dtype=torch.bool)),
    lambda: MaskedFourier(torch.ones(3, 3)),
    lambda: MaskedFourier(torch.ones(3, dtype=torch.bool)),
    lambda: MaskedFourier(torch.ones(3, 3, dtype=torch.bool), maps=simulate_maps(2, (3, 4))),
    lambda: OPERATORS["Fourier, full"].forward(torch.zeros(1, 5, 3)),
    lambda: OPERATORS["Fourier, full"].embed(torch.zeros(1, 14)),
    lambda: OPERATORS["Fourier, coils"].replace_measured(torch.zeros(1, 6, 5), torch.zeros(1, 3, 4)),
    lambda: Composition(_matrix(2, 4), _matrix(3, 3)),
    lambda: MaskedFourier(torch.ones(2, 2, dtype=torch.bool)).forward(torch.zeros(1, 2, 2, dtype=torch.int64)),
])
def test_refuses(call):
    with pytest.raises(InputError):
        call()
