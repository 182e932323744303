"""The wavelet transform against PyWavelets, level by level; orthogonality; a broken twin."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch

from assay.arrays import InputError
from assay.operators.protocol import dot_test
from assay.operators.wavelet import Wavelet

FAMILIES = ("haar", "db2", "db4")


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))


def _bands(x: np.ndarray, family: str) -> dict[str, np.ndarray]:
    """One level of PyWavelets on the image moved by 1 − f/2 pixels, which puts its filter phase on even samples."""
    move = 1 - pywt.Wavelet(family).dec_len // 2
    moved = np.roll(x, (move, move), (0, 1))
    low, (vertical, horizontal, both) = pywt.dwt2(moved, family, mode="periodization")
    return {"low": low, "rows": vertical, "columns": horizontal, "both": both}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shape", "levels"), [((16, 32), 1), ((16, 32), 3), ((8, 8), 3)])
def test_agrees_with_pywavelets(family: str, shape: tuple[int, int], levels: int) -> None:
    x = _image(1, *shape)
    coefficients = Wavelet(shape, family=family, levels=levels).forward(x)[0].numpy()
    approximation = x[0].numpy()
    for _ in range(levels):
        expected = _bands(approximation, family)
        h, w = approximation.shape[0] // 2, approximation.shape[1] // 2
        got = {"rows": coefficients[h:2 * h, :w], "columns": coefficients[:h, w:2 * w],
               "both": coefficients[h:2 * h, w:2 * w]}
        for name, band in got.items():          # a detail band's sign is a convention
            assert min(abs(band - expected[name]).max(), abs(band + expected[name]).max()) < 1e-10, name
        approximation = expected["low"]
    assert np.allclose(coefficients[:h, :w], approximation, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shape", "levels"), [((8, 16), 3), ((4, 4), 2), ((12, 20), 2)])
def test_orthogonal(family: str, shape: tuple[int, int], levels: int) -> None:
    W, x = Wavelet(shape, family=family, levels=levels, dtype=torch.complex128), _image(2, *shape)
    assert torch.allclose(W.adjoint(W.forward(x)), x, atol=1e-10)
    assert torch.allclose(W.forward(W.adjoint(x)), x, atol=1e-10)
    assert dot_test(W, generator=torch.Generator().manual_seed(0), tolerance=1e-12) < 1e-12


def test_differentiable() -> None:
    W, x = Wavelet((4, 4), family="db2", levels=1), _image(1, 4, 4).requires_grad_(True)
    c = _image(1, 4, 4)
    (gradient,) = torch.autograd.grad((c.conj() * W.forward(x)).sum().real, x)
    assert torch.allclose(gradient, W.adjoint(c), atol=1e-10)


def test_other_family_is_caught() -> None:
    x = _image(1, 8, 8)
    wrong = Wavelet((8, 8), family="haar", levels=1).forward(x)[0].numpy()
    assert abs(wrong[:4, :4] - _bands(x[0].numpy(), "db2")["low"]).max() > 0.1


def test_indivisible_shape() -> None:
    with pytest.raises(InputError, match="divisible by 8"):
        Wavelet((12, 16), levels=3)
