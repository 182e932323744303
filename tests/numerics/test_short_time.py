"""Short-time spectra against sums written out, the frame's identity and adjoint, and the bound on what leaks, by columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from assay.numerics.short_time import AROUND, analysed, inner_frames, leaked, safe_moduli, synthesised

LENGTH, SAMPLES = 16, 48
HOP, BINS, INNER = LENGTH // 4, LENGTH // 2 + 1, inner_frames(SAMPLES, LENGTH)
COUNTED = torch.tensor([1.0, *[2.0] * (BINS - 2), 1.0], dtype=torch.float64)        # a coefficient and its mirror image


def signal(batch: int = 2, samples: int = SAMPLES, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def coefficients(batch: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, INNER, BINS, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [48, 50, 17])
def test_coefficients_are_windowed_sums(samples):
    x = signal(samples=samples)
    found = analysed(x, LENGTH)
    for b in range(len(x)):
        for j in range(found.shape[1]):
            for k in range(BINS):
                total = 0j
                for s in range(LENGTH):
                    at = (j - 3) * HOP + s
                    if 0 <= at < samples:
                        hann = 0.5 - 0.5 * math.cos(2 * math.pi * s / LENGTH)
                        total += float(x[b, at]) * hann * np.exp(-2j * math.pi * k * s / LENGTH)
                assert abs(complex(found[b, j, k]) - total / math.sqrt(1.5 * LENGTH)) < 1e-12
    assert (found.shape[1] - 3) * HOP >= samples                        # the last window begins behind the last sample's


def test_synthesis_is_the_adjoint_and_undoes_the_analysis():
    x, z = signal(1), coefficients()
    inner = analysed(x, LENGTH)[:, AROUND: AROUND + INNER]
    left = float((COUNTED * (inner.conj() * z).real).sum())
    z = z.clone()
    assert left == pytest.approx(float((x * synthesised(z, SAMPLES)).sum()), rel=1e-12)
    middle = x.clone()
    middle[:, : 3 * HOP] = middle[:, -3 * HOP:] = 0                     # what windows inside the signal cover in full
    assert torch.allclose(synthesised(analysed(middle, LENGTH)[:, AROUND: AROUND + INNER], SAMPLES), middle, atol=1e-12)
    energy = (COUNTED * analysed(x, LENGTH).abs().square()).sum()
    assert float(energy) == pytest.approx(float(x.square().sum()), rel=1e-12)


def by_columns(moduli: torch.Tensor) -> torch.Tensor:
    """Σ over coefficients of the greatest modulus that each alone, of any phase, has elsewhere."""
    total = torch.zeros(INNER + 2 * AROUND, BINS, dtype=torch.float64)
    for t in range(INNER):
        for k in range(BINS):
            one = torch.zeros(1, INNER, BINS, dtype=torch.complex128)
            one[0, t, k] = moduli[t, k]
            seen = analysed(synthesised(one, SAMPLES), LENGTH)[0, : INNER + 2 * AROUND]
            turned = analysed(synthesised(1j * one, SAMPLES), LENGTH)[0, : INNER + 2 * AROUND]
            total += ((seen - 1j * turned) / 2).abs() + ((seen + 1j * turned) / 2).abs()
    return total


def test_what_leaks_is_bounded_by_the_sum_over_columns():
    moduli = torch.rand(INNER, BINS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(leaked(moduli), by_columns(moduli), atol=1e-12)


def bounds(seed: int) -> torch.Tensor:
    """Bounds over sixty decibels, with a frame that is silent beside its neighbours."""
    g = torch.Generator().manual_seed(seed)
    found = 10 ** (-3 * torch.rand(INNER + 2 * AROUND, BINS, dtype=torch.float64, generator=g))
    found[INNER // 2 + AROUND] *= 1e-3
    return found


def is_safe(moduli_of) -> None:
    """No signal of coefficients within the moduli breaks a bound, of random phases or of those that do most at one place."""
    for seed in range(3):
        limit = bounds(seed)
        v = moduli_of(limit)
        g = torch.Generator().manual_seed(seed)
        for _ in range(20):
            z = torch.polar(v, 2 * math.pi * torch.rand(v.shape, dtype=torch.float64, generator=g))[None]
            place = torch.zeros(1, INNER + 2 * AROUND, BINS, dtype=torch.complex128)
            place[0, int(torch.randint(INNER + 2 * AROUND, (1,), generator=g)),
                  int(torch.randint(BINS, (1,), generator=g))] = 1.0
            turn = z.clone().requires_grad_()
            seen = analysed(synthesised(turn, SAMPLES), LENGTH)[:, : INNER + 2 * AROUND]
            (most,) = torch.autograd.grad((seen * place).real.sum(), turn)
            for one in (z, torch.polar(v.expand_as(most).contiguous(), most.angle())):
                found = analysed(synthesised(one, SAMPLES), LENGTH)[0, : INNER + 2 * AROUND].abs()
                assert bool((found <= limit * (1 + 1e-9)).all()), f"{float((found / limit).max()):.3g} times the bound"


def test_safe_moduli_break_no_bound():
    is_safe(lambda limit: safe_moduli(limit, INNER))


@pytest.mark.parametrize("broken", [
    lambda limit: limit[AROUND: AROUND + INNER], lambda limit: 2.5 * safe_moduli(limit, INNER),
    lambda limit: limit[AROUND: AROUND + INNER] / 2.03], ids=["the bounds", "too large", "over the kernel's sum"])
def test_moduli_that_are_not_safe_are_caught(broken):
    with pytest.raises(AssertionError):
        is_safe(broken)


def test_safe_moduli_lose_little_where_bounds_are_flat():
    """1 / 2.02 of the bound, the sum of the kernel's moduli; more in frames with fewer neighbours."""
    v = safe_moduli(torch.ones(INNER + 2 * AROUND, BINS, dtype=torch.float64), INNER)
    assert float(v.min()) > 0.45
