"""Sounds below the masking threshold: members measured anew, nearest and steepest ones, decibels; each law can fail."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.metrics import sound
from assay.metrics.protocol import Response
from assay.numerics.hearing import masking_threshold
from assay.numerics.short_time import analysed, synthesised
from assay.perturbations import registry
from assay.perturbations.masking import MaskedSound, above_threshold, masking, window_of
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.searches.auto_pgd import auto_pgd
from assay.searches.gradient_ascent import gradient_ascent

RATE, SAMPLES = 2000, 1200
LENGTH = window_of(RATE)
LEVELS = (-20.0, 0.0, 6.0)
# Edges of the first critical bands in hertz: Zwicker, J. Acoust. Soc. Am. 33 (1961).
EDGES = (0, 100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400,
         7700, 9500, 12000, 15500)


def sounds(batch: int = 3, dtype: torch.dtype = torch.float64) -> Examples:
    """Tones that begin in the middle, of different loudness, over soft noise, in steps of 16 bits."""
    time = torch.arange(SAMPLES, dtype=torch.float64) / RATE
    waves = []
    for i in range(batch):
        tone = 0.4 / (i + 1) * (2 * math.pi * (150 + 120 * i) * time).sin() * (time > 0.25)
        waves.append(tone + 1e-3 * torch.randn(SAMPLES, dtype=torch.float64, generator=stream(i)))
    inputs = ((torch.stack(waves) * 2**15).round() / 2**15).to(dtype)
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=inputs, truth=torch.arange(batch) % 2,
                    box=(-1.0, 1 - 2.0**-15), rate=RATE)


def generators(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def direction(x: Examples, seed: int = 1) -> Tensor:
    return torch.randn(masking(x).safe.shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def measured(x: Examples, added: Tensor, share: float = 1.0) -> list[float]:
    """By how many dB what was added is above the bound at most: transform, threshold and its share in a band anew.

    `share` 1 for the noise of a critical band together (the width of each in kHz: 0.025 + 0.075 (1 + 1.4 f²)^0.69), 0 for
    each coefficient by itself.
    """
    found = []
    hertz = torch.arange(LENGTH // 2 + 1, dtype=torch.float64) * RATE / LENGTH
    for wave, change in zip(x.inputs.double(), added.double(), strict=True):
        spectra = analysed(wave[None], LENGTH)[0]
        theta = masking_threshold(spectra, hertz)
        theta = theta - share * 10 * ((0.025 + 0.075 * (1 + 1.4e-6 * hertz**2) ** 0.69) * 1000 * LENGTH / RATE).log10()
        level = 96 + 20 * (analysed(change[None], LENGTH)[0].abs().clamp_min(1e-30) / spectra.abs().max()).log10()
        found.append(float((level - theta).max()))
    return found


def keeps_below(within: MaskedSound, share: float = 1.0) -> None:
    x = sounds()
    for p in (within.project(x, 100 * direction(x)), within.steepest(x, direction(x, 2)), within.sample(x, generators(x))):
        assert max(measured(x, synthesised(p, SAMPLES), share)) <= within.level + 1e-6
        assert bool((within.size(x, p) <= within.level + 1e-9).all())


@pytest.mark.parametrize("level", LEVELS)
def test_no_member_is_above_the_threshold_by_more_than_the_level(level):
    within = registry.build({"kind": "masked-sound"}, level, sounds())
    assert isinstance(within, ConvexSet) and within == MaskedSound(level=level) and within.unit == "dB"
    keeps_below(within)


def test_as_published_the_threshold_bounds_each_coefficient():
    within = registry.build({"kind": "masked-sound", "bound": "coefficient"}, 0.0, sounds())
    assert within == MaskedSound(level=0.0, bound="coefficient")
    keeps_below(within, share=0.0)
    with pytest.raises(AssertionError):
        keeps_below(within)                                             # more than a band together may have
    with pytest.raises(InputError, match="each \"band\" or each"):
        registry.build({"kind": "masked-sound", "bound": "bark"}, 0.0, sounds())


def loudest_band(rate: int, level: float, bound: str) -> float:
    """By how many dB what the set lets into a measured critical band together is above its greatest threshold, at most."""
    wave = torch.randn(1, window_of(rate), dtype=torch.float64, generator=stream(rate)) / 8
    x = Examples(ids=("a",), inputs=wave, truth=torch.zeros(1, dtype=torch.int64), box=(-1.0, 1.0), rate=rate)
    power = (10 ** (level / 20) * masking(x, bound).bounds[0]) ** 2
    hertz = torch.arange(power.shape[1], dtype=torch.float64) * rate / window_of(rate)
    spectra = analysed(wave, window_of(rate))[0]
    theta = (10 ** ((masking_threshold(spectra, hertz) - 96) / 20) * spectra.abs().max()) ** 2
    inside = [(hertz >= low) & (hertz < high) for low, high in itertools.pairwise(EDGES) if high <= rate / 2]
    return max(float((10 * (power[:, band].sum(1) / theta[:, band].amax(1)).log10()).max()) for band in inside)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_the_noise_of_every_measured_critical_band_together_is_below_its_threshold(rate):
    """At every rate and frequency, to the 0.3 dB to which the formula of Zwicker and Terhardt is the measured bands."""
    assert loudest_band(rate, 0.0, "band") < 0.35
    assert loudest_band(rate, 0.0, "coefficient") > 16


def test_20_dB_below_the_threshold_of_each_coefficient_is_enough_for_a_band_up_to_4_kHz_alone():
    """A band has 90 coefficients of 7.8 Hz at 4 kHz and 220 at 8 kHz: no one level of coefficients serves every rate."""
    assert loudest_band(8_000, -20.0, "coefficient") < 0 < loudest_band(16_000, -20.0, "coefficient")
    assert loudest_band(16_000, -24.0, "coefficient") < 0


class Louder(MaskedSound):
    """Coefficients as large as the threshold itself: what leaks into the silence before a tone is above it."""

    def _moduli(self, x: Examples) -> Tensor:
        return masking(x).bounds[:, 3: -3][:, : masking(x).safe.shape[1]]


def test_coefficients_at_the_threshold_itself_are_caught():
    with pytest.raises(AssertionError):
        keeps_below(Louder(level=0.0))


def is_nearest(within: MaskedSound) -> None:
    """A member, itself for members, and Re⟨p − Pp, q − Pp⟩ ≤ 0 for every member q."""
    x = sounds()
    for seed in range(3):
        p = 3 * direction(x, seed) * masking(x).safe
        q = within.project(x, p)
        assert bool((within.size(x, q) <= within.level + 1e-9).all())
        assert torch.allclose(within.project(x, q), q, atol=0, rtol=1e-12)
        for other in (within.sample(x, generators(x, seed)), within.zero(x), within.steepest(x, p - q)):
            assert float(((p - q).conj() * (other - q)).real.sum()) <= 1e-9


class Rescaled(MaskedSound):
    """The whole sound made softer until the loudest coefficient fits."""

    def project(self, x: Examples, p: Tensor) -> Tensor:
        over = (p.abs() / self._moduli(x)).flatten(1).amax(1).clamp_min(1)
        return p / over[:, None, None]


def test_the_projection_is_the_nearest_member():
    for level in LEVELS:
        is_nearest(MaskedSound(level=level))
    with pytest.raises(AssertionError):
        is_nearest(Rescaled(level=0.0))


def test_random_members_have_the_size_asked_and_hang_on_their_own_generator():
    x, within = sounds(), MaskedSound(level=0.0)
    size = torch.tensor([-30.0, -3.0, 2.0], dtype=torch.float64)
    p = within.sample(x, generators(x), size)
    assert torch.allclose(within.size(x, p), size, atol=1e-9)
    assert torch.allclose((p.abs() / masking(x).safe).log10() * 20, size[:, None, None].expand_as(p.abs()), atol=1e-9)
    assert torch.allclose(within.sample(x.only(1), generators(x)[1:2], size[1:2])[0], p[1])
    assert torch.allclose(masking(x.only(1)).safe[0], masking(x).safe[1])


def test_sizes_are_decibels():
    x, within = sounds(), MaskedSound()
    p = within.sample(x, generators(x))
    assert torch.allclose(within.size(x, p / 10), within.size(x, p) - 20)
    assert within.size(x, within.zero(x)).tolist() == [-200.0] * 3
    assert within.resized(-6.0) == MaskedSound(level=-6.0)


def test_what_is_heard_is_in_steps_of_16_bits_within_full_scale_and_differentiable():
    x = sounds()
    x = replace(x, inputs=x.inputs.clone())
    x.inputs[0, 700] = x.box[1]                                         # a recording that touches full scale
    within = MaskedSound(level=6.0)
    p = within.sample(x, generators(x)).requires_grad_()
    heard = within.apply(x, p)
    assert torch.equal(heard.inputs * 2**15, (heard.inputs * 2**15).round()) and torch.equal(heard.truth, x.truth)
    assert bool(((heard.inputs >= x.box[0]) & (heard.inputs <= x.box[1])).all())
    (gradient,) = torch.autograd.grad(heard.inputs.square().sum(), p)
    assert gradient.dtype == torch.complex128 and bool(gradient.abs().any())
    apart = (heard.inputs - x.inputs - synthesised(p, SAMPLES)).abs()
    assert float(apart[1:].detach().max()) <= 0.5 * 2.0**-15 + 1e-12


class Mirrored(MaskedSound):
    """Steps with the phase of the conjugate."""

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.steepest(x, gradient.conj())


def test_a_linear_detector_is_driven_to_its_maximum():
    """max ⟨a, A*z⟩ over |z| ≤ r v is r Σ c v |A a|, c = 2 for coefficients that have a mirror image, all in phase."""
    x, level = sounds(), -6.0
    a = torch.randn(x.inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    inner = analysed(a, LENGTH)[:, 3: 3 + masking(x).safe.shape[1]]
    counted = torch.full((LENGTH // 2 + 1,), 2.0, dtype=torch.float64)
    counted[[0, -1]] = 1.0
    most = 10 ** (level / 20) * (counted * masking(x).safe * inner.abs()).sum((1, 2))
    within = MaskedSound(level=level)

    def reached(found) -> bool:
        return torch.allclose(found.value, most, rtol=1e-4)

    def detector(p: Tensor) -> Tensor:
        return (a * synthesised(p, SAMPLES)).sum(1)

    assert reached(gradient_ascent(detector, within, x=x, generators=generators(x), steps=20))
    assert reached(auto_pgd(detector, within, x=x, generators=generators(x), steps=40))
    assert not reached(gradient_ascent(detector, Mirrored(level=level), x=x, generators=generators(x), steps=20))
    assert float(detector(within.sample(x, generators(x))).max()) < 0.2 * float(most.max())


def test_the_metric_tells_how_far_what_is_stored_lies_above_the_threshold():
    x, within = sounds(), MaskedSound(level=-20.0)
    p = within.sample(x, generators(x))
    heard = within.apply(x, p)
    told = sound.ABOVE_THRESHOLD.compute(Response(output=x.inputs, changed=heard, normal=x.inputs, original=x))
    assert torch.allclose(told, torch.tensor(measured(x, heard.inputs - x.inputs), dtype=torch.float64), atol=1e-6)
    assert bool((told > torch.tensor(measured(x, synthesised(p, SAMPLES)))).all())        # rounding is above it in silence
    assert above_threshold(x, x.inputs).tolist() == [-200.0] * 3


def test_what_has_no_masking_threshold_is_refused():
    x = sounds()
    short = replace(x, inputs=x.inputs[:, : LENGTH - 1].clone())
    silent = replace(x, inputs=x.inputs * torch.tensor([[1.0], [0.0], [1.0]]))
    picture = replace(x, inputs=torch.zeros(3, 8, 8), rate=0)
    for given, word in ((short, "longer recordings"), (silent, "s1: silent"), (picture, "rate")):
        with pytest.raises(InputError, match=word):
            MaskedSound().zero(given)
    assert "at least" in registry.unfit({"kind": "masked-sound"}, short)        # so that the check is not applicable
    assert registry.unfit({"kind": "masked-sound"}, x) == ""
    with pytest.raises(InputError, match="a level in dB"):
        MaskedSound(level=1e6)
