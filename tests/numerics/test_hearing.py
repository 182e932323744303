"""The masking threshold against critical bands as measured, formulas worked out by hand, and a loop written out in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from assay.numerics import hearing
from assay.numerics.hearing import bark, critical_bandwidth, in_quiet, levels, maskers, masking_threshold, spread

RATE, LENGTH = 16_000, 512
HERTZ = torch.arange(LENGTH // 2 + 1, dtype=torch.float64) * RATE / LENGTH
# Upper edges of the first 24 critical bands in hertz: Zwicker, "Subdivision of the audible frequency range into critical
# bands", J. Acoust. Soc. Am. 33 (1961).
EDGES = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400,
         7700, 9500, 12000, 15500)


def is_bark(scale) -> None:
    """Within a quarter of a band of the measured edges."""
    far = (scale(torch.tensor(EDGES, dtype=torch.float64)) - torch.arange(1, 25)).abs()
    assert float(far.max()) < 0.25, f"{float(far.max()):.2f} bark away"


def test_the_bark_scale_follows_the_measured_critical_bands():
    is_bark(bark)


@pytest.mark.parametrize("broken", [
    lambda f: 13 * (0.76 * f / 1000).atan(), lambda f: bark(f / 1.1), lambda f: bark(f) + 0.5,
    lambda f: 13 * (0.76 * f / 1000).atan() + 3.5 * (f / 7500).atan()], ids=["one term", "scaled", "moved", "not squared"])
def test_other_scales_are_caught(broken):
    with pytest.raises(AssertionError):
        is_bark(broken)


def is_bandwidth(width) -> None:
    """Within an eighth of the measured widths."""
    edges = torch.tensor((0.0, *EDGES), dtype=torch.float64)
    assert float((width((edges[1:] + edges[:-1]) / 2) / edges.diff() - 1).abs().max()) < 0.125


def test_critical_bands_are_as_wide_as_measured():
    is_bandwidth(critical_bandwidth)
    for broken in (lambda f: critical_bandwidth(f) / 1.2, lambda f: 25 + 75 * (1 + 1.4 * (f / 1000)) ** 0.69,
                   lambda f: torch.full_like(f, 100.0), lambda f: critical_bandwidth(f) - 25):
        with pytest.raises(AssertionError):
            is_bandwidth(broken)


def test_frames_taken_a_few_at_a_time_are_as_all_together():
    """The loudest coefficient is that of the whole recording, whichever frames are worked on together."""
    many = hearing.TERMS // (hearing.TONES * len(HERTZ)) + 5
    spectra = noise(frames=many)
    whole = masking_threshold(spectra, HERTZ)
    assert torch.equal(masking_threshold(spectra.flip(0), HERTZ), whole.flip(0))
    last = torch.from_numpy(by_loops(torch.cat((spectra[-3:], spectra[levels(spectra).amax(1).argmax()][None])).numpy(),
                                     HERTZ.numpy()))[:3]
    assert torch.allclose(whole[-3:], last, atol=1e-9)
    assert not torch.allclose(masking_threshold(spectra[-3:], HERTZ), last, atol=1e-9)      # each part by its own loudest


def test_the_threshold_in_quiet_at_one_kilohertz_and_its_shape():
    """3.64 − 6.5 e^(−3.174) + 0.001 by hand; lowest between 3 and 4 kHz, and flat below 20 Hz."""
    assert float(in_quiet(torch.tensor(1000.0))) == pytest.approx(3.64 - 6.5 * math.exp(-0.6 * 2.3**2) + 0.001, abs=1e-9)
    f = torch.linspace(100, 10_000, 991, dtype=torch.float64)
    assert 3000 < float(f[in_quiet(f).argmin()]) < 4000
    assert torch.equal(in_quiet(torch.tensor([0.0, 5.0, 20.0])), in_quiet(torch.tensor([20.0, 20.0, 20.0])))


# a pure tone

def tone(bin_number: int, level: float = 0.0) -> torch.Tensor:
    """The spectrum of a Hann window on a tone: the bin, and half as much on either side."""
    spectra = torch.zeros(1, len(HERTZ), dtype=torch.complex128)
    spectra[0, bin_number - 1: bin_number + 2] = 10 ** (level / 20) * torch.tensor([0.5, 1.0, 0.5])
    return spectra


def test_a_tone_masks_27_dB_less_per_bark_below_and_by_its_level_above():
    k = 64                                                                  # 2 kHz
    theta, z = masking_threshold(tone(k), HERTZ)[0], bark(HERTZ)
    level = 96 + 10 * math.log10(1.5)                                       # of the three bins together
    clear = theta > in_quiet(HERTZ) + 30                                    # where the threshold in quiet adds nothing
    below, above = clear & (z < z[k]), clear & (z > z[k])
    assert int(below.sum()) > 10 and int(above.sum()) > 100
    assert float(theta[k]) == pytest.approx(level - 6.025 - 0.275 * float(z[k]), abs=1e-2)
    for side, slope in ((below, 27.0), (above, -(27 - 0.37 * (level - 40)))):
        found = (theta[side] - theta[k]) / (z[side] - z[k])
        assert torch.allclose(found, torch.full_like(found, slope), atol=0.05), (slope, found)
    assert float(spread(torch.tensor(96.0), torch.tensor(-2.0))) == -54.0


def test_of_two_tones_within_half_a_bark_the_louder_masks_and_of_two_farther_apart_both():
    close, far = bark(HERTZ[68]) - bark(HERTZ[64]), bark(HERTZ[80]) - bark(HERTZ[64])
    assert close < 0.5 < far
    for other, count in ((68, 1), (80, 2)):
        found = torch.isfinite(maskers(levels(tone(64) + tone(other, -10.0)), HERTZ))[0]
        assert bool(found[64]) and int(found.sum()) == count


def test_in_silence_nothing_is_masked_but_what_nobody_hears():
    assert torch.allclose(masking_threshold(torch.zeros(2, len(HERTZ), dtype=torch.complex128), HERTZ),
                          in_quiet(HERTZ).expand(2, -1))


# written out

def by_loops(spectra: np.ndarray, hertz: np.ndarray, *, apart: float = 0.5, up: float = 0.37, delta: float = 6.025,
             together: bool = True) -> np.ndarray:
    """Masker by masker and frequency by frequency, from the formulas of the paper's appendix."""
    f = np.maximum(hertz, 20.0) / 1000
    quiet = 3.64 * f**-0.8 - 6.5 * np.exp(-0.6 * (f - 3.3) ** 2) + 1e-3 * f**4
    z = 13 * np.arctan(0.76 * hertz / 1000) + 3.5 * np.arctan((hertz / 7500) ** 2)
    power = np.abs(spectra) ** 2
    p = 96 + 10 * np.log10(np.maximum(power / power.max(), 1e-20))
    theta = np.zeros(p.shape)
    for t in range(len(p)):
        tones = {}
        for k in range(1, len(hertz) - 1):
            if p[t, k - 1] <= p[t, k] >= p[t, k + 1]:
                around = range(k - 1, k + 2) if together else (k,)
                level = 10 * math.log10(sum(10 ** (p[t, j] / 10) for j in around))
                if level > quiet[k]:
                    tones[k] = level
        masking = {k: v for k, v in tones.items() if all(v >= w for j, w in tones.items() if abs(z[j] - z[k]) < apart)}
        for k in range(len(hertz)):
            total = 10 ** (quiet[k] / 10)
            for i, level in masking.items():
                gap = z[k] - z[i]
                fall = 27 * gap if gap <= 0 else (-27 + up * max(level - 40, 0)) * gap
                total += 10 ** ((level - delta - 0.275 * z[i] + fall) / 10)
            theta[t, k] = 10 * math.log10(total)
    return theta


def noise(frames: int = 3, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    spectra = torch.randn(frames, len(HERTZ), dtype=torch.complex128, generator=g)
    return spectra * 10 ** (-2 * torch.rand(frames, 1, generator=g).double()) * (1 + HERTZ / 500) ** -1.5


def test_noise_masks_as_written_out():
    for seed in range(3):
        spectra = noise(seed=seed)
        expected = torch.from_numpy(by_loops(spectra.numpy(), HERTZ.numpy()))
        assert torch.allclose(masking_threshold(spectra, HERTZ), expected, atol=1e-9)


@pytest.mark.parametrize("changed", [{"apart": 0.25}, {"up": 0.3}, {"delta": 14.5}, {"together": False}],
                         ids=["closer tones", "other slope", "noise masker's offset", "bins alone"])
def test_another_model_gives_another_threshold(changed):
    spectra = noise()
    other = torch.from_numpy(by_loops(spectra.numpy(), HERTZ.numpy(), **changed))
    assert float((masking_threshold(spectra, HERTZ) - other).abs().max()) > 0.5
