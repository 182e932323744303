"""Coil maps: normalised, close to the truth for a known object, and an exact multi-coil operator with them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

import laws
from assay.arrays import InputError
from assay.operators.fourier import MaskedFourier, fft2
from assay.operators.sensitivity import estimate_maps, simulate_maps


def disc(n: int = 64, radius: float = 0.7) -> torch.Tensor:
    """A smooth-edged disc, so that its low-resolution image has few ripples."""
    at = torch.linspace(-1, 1, n)
    distance = (at[:, None] ** 2 + at[None, :] ** 2).sqrt()
    return torch.sigmoid((radius - distance) * 30)


def measured(maps: torch.Tensor, image: torch.Tensor, *, centred: bool = True) -> torch.Tensor:
    return fft2(maps * image, centred=centred)


@pytest.mark.parametrize("coils", [1, 2, 8])
@pytest.mark.parametrize("shape", [(16, 16), (12, 20), (7, 9)])
def test_simulated_maps_are_normalised_and_smooth(coils, shape):
    maps = simulate_maps(coils, shape)
    assert maps.dtype == torch.complex64 and maps.shape == (coils, *shape)
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape), atol=1e-5, rtol=0)
    assert (maps[:, 1:] - maps[:, :-1]).abs().max() < 12 / shape[0]


def test_simulated_coils_look_from_different_sides():
    maps = simulate_maps(4, (32, 32)).abs()
    brightest = [divmod(int(m.argmax()), 32) for m in maps]
    assert [maps[c].argmax() == maps[:, r, col].argmax() or maps[c, r, col] == maps[:, r, col].max()
            for c, (r, col) in enumerate(brightest)] == [True] * 4
    assert brightest[0][1] == 31 and brightest[1][0] == 31 and brightest[2][1] == 0 and brightest[3][0] == 0


def relative_error(maps: torch.Tensor, true: torch.Tensor, inside: torch.Tensor) -> float:
    return float((maps - true)[:, inside].norm() / true[:, inside].norm())


def test_estimated_maps_follow_the_true_ones():
    true, image = simulate_maps(6, (64, 64)), disc()
    maps, inside = estimate_maps(measured(true, image), centre=24), image > 0.95
    assert relative_error(maps, true, inside) < 0.01
    assert relative_error(maps.roll(1, 0), true, inside) > 0.1          # coils in the wrong order
    assert relative_error(maps.conj(), true, inside) > 0.1              # conjugated


def test_a_wider_centre_estimates_better():
    true, image = simulate_maps(6, (64, 64)), disc()
    errors = [relative_error(estimate_maps(measured(true, image), centre=c), true, image > 0.95) for c in (8, 16, 32)]
    assert errors == sorted(errors, reverse=True)


def test_estimate_equals_an_independent_computation():
    k = measured(simulate_maps(3, (20, 16)), disc(20)[:, 2:18])
    row, column = np.zeros(20), np.zeros(16)
    row[10 - 4: 10 + 4] = column[8 - 4: 8 + 4] = scipy.signal.windows.hann(8, sym=False)
    low = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k.numpy() * np.outer(row, column), axes=(1, 2))), axes=(1, 2))
    root = np.sqrt((np.abs(low) ** 2).sum(0))
    expected = np.where(root > 0.05 * root.max(), low / root, 0).astype(np.complex64)
    np.testing.assert_allclose(estimate_maps(k, centre=8).numpy(), expected, atol=2e-5)


def test_estimate_sums_to_one_on_its_support_and_is_zero_elsewhere():
    total = estimate_maps(measured(simulate_maps(4, (64, 64)), disc(radius=0.4))).abs().square().sum(0)
    on = total > 0.5
    torch.testing.assert_close(total[on], torch.ones_like(total[on]), atol=1e-5, rtol=0)
    assert not total[~on].any() and bool(on[32, 32]) and not bool(on[0, 0])


def test_corner_layout_gives_the_shifted_maps():
    true, image = simulate_maps(3, (32, 32)), disc(32)
    centred = estimate_maps(measured(true, image), centre=12)
    corner_k = torch.fft.ifftshift(measured(true, image), dim=(-2, -1))
    corner = torch.fft.fftshift(estimate_maps(corner_k, centre=12, centred=False), dim=(-2, -1))
    torch.testing.assert_close(centred, corner, atol=1e-5, rtol=0)


def test_only_the_centre_is_used():
    k = measured(simulate_maps(3, (32, 32)), disc(32))
    other = k.clone()
    other[:, :8], other[:, 24:] = 7, 7j
    torch.testing.assert_close(estimate_maps(k, centre=12), estimate_maps(other, centre=12))


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_multi_coil_operator_obeys(law, centred):
    k = measured(simulate_maps(3, (8, 6)), torch.rand(8, 6, generator=laws.generator()) + 0.5, centred=centred)
    mask = torch.rand(8, 6, generator=laws.generator(1)) < 0.5
    law(MaskedFourier(mask, centred=centred, maps=estimate_maps(k, centre=4, centred=centred)))


def test_forgetting_the_conjugate_of_the_maps_is_caught():
    class Unconjugated(MaskedFourier):
        def adjoint(self, y):
            return MaskedFourier(self.mask, maps=self.maps.conj()).adjoint(y)

    with pytest.raises(AssertionError, match="adjoint"):
        laws.adjoint_is_exact(Unconjugated(torch.ones(6, 6, dtype=torch.bool), maps=simulate_maps(3, (6, 6))))


def test_full_sampling_with_normalised_maps_gives_the_image_back():
    operator = MaskedFourier(torch.ones(16, 16, dtype=torch.bool), maps=simulate_maps(5, (16, 16)))
    x = torch.randn(2, 16, 16, dtype=torch.complex64, generator=laws.generator())
    torch.testing.assert_close(operator.adjoint(operator.forward(x)), x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("k", "options", "words"), [
    (torch.zeros(8, 8, dtype=torch.complex64), {}, "two coils"),
    (torch.ones(1, 32, 32, dtype=torch.complex64), {}, "one coil needs no maps"),
    (torch.ones(2, 32, 32), {}, "complex"),
    (torch.ones(2, 16, 32, dtype=torch.complex64), {}, "centre=24 does not fit"),
    (torch.ones(2, 32, 32, dtype=torch.complex64), {"centre": 1}, "centre=1"),
    (torch.ones(2, 32, 32, dtype=torch.complex64), {"support": 1.0}, "support"),
    (torch.zeros(2, 32, 32, dtype=torch.complex64), {}, "all zero"),
    (torch.full((2, 32, 32), complex(float("nan"), 0)), {}, "NaN"),
])
def test_refuses(k, options, words):
    with pytest.raises(InputError, match=words):
        estimate_maps(k, **options)


@pytest.mark.parametrize("arguments", [(0, (4, 4)), (2, (0, 4)), (2, (4, 4), 1.0)])
def test_simulation_refuses(arguments):
    coils, shape, *distance = arguments
    with pytest.raises(InputError, match="expected one coil or more"):
        simulate_maps(coils, shape, **({"distance": distance[0]} if distance else {}))
