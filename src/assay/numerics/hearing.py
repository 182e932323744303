"""What a sound hides from a listener: the threshold of hearing in quiet, raised by the tones of the sound itself.

The psychoacoustic model of Lin and Abdulla, "Audio watermark", 2015, a simplified model 1 of MPEG-1 (ISO/IEC 11172-3,
annex D), as Qin, Carlini, Goodfellow, Cottrell and Raffel use it: "Imperceptible, robust, and targeted adversarial examples
for automatic speech recognition", ICML 2019 (arXiv 1903.10346), appendix. Levels are decibels, the loudest coefficient of a
recording 96.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LOUDEST = 96.0              # dB that the loudest coefficient of a recording is taken to be played at
LOWEST = 20.0               # hertz: below, the threshold in quiet is that of 20 Hz
APART = 0.5                 # bark within which only the loudest tone masks
SMALLEST = 1e-20            # of a power, so that silence has a level
TERMS, TONES = 2 ** 21, 64  # numbers summed at once, 16 MiB; maskers of a frame, of which half a bark holds one


def bark(hertz: Tensor) -> Tensor:
    """13 arctan(0.76 f) + 3.5 arctan((f/7.5)²), f in kHz: Zwicker and Terhardt, J. Acoust. Soc. Am. 68 (1980).

    >>> [round(z, 2) for z in bark(torch.tensor([100.0, 1000.0, 4000.0])).tolist()]
    [0.99, 8.51, 17.26]
    """
    f = hertz.double() / 1000
    return 13 * (0.76 * f).atan() + 3.5 * (f / 7.5).square().atan()


def critical_bandwidth(hertz: Tensor) -> Tensor:
    """25 + 75 (1 + 1.4 f²)^0.69 Hz, f in kHz: Zwicker and Terhardt, J. Acoust. Soc. Am. 68 (1980).

    What is heard in one such band is heard together.

    >>> [round(w) for w in critical_bandwidth(torch.tensor([0.0, 1000.0, 8000.0])).tolist()]
    [100, 162, 1706]
    """
    return 25 + 75 * (1 + 1.4 * (hertz.double() / 1000).square()) ** 0.69


def in_quiet(hertz: Tensor) -> Tensor:
    """The softest audible tone: 3.64 f^−0.8 − 6.5 exp(−0.6 (f − 3.3)²) + 0.001 f⁴ dB, f in kHz.

    Terhardt, Hear. Res. 1 (1979); below 20 Hz that of 20 Hz.

    >>> [round(level, 2) for level in in_quiet(torch.tensor([1000.0, 3300.0])).tolist()]
    [3.37, -4.98]
    """
    f = hertz.double().clamp_min(LOWEST) / 1000
    return 3.64 * f ** -0.8 - 6.5 * (-0.6 * (f - 3.3).square()).exp() + 1e-3 * f ** 4


def spread(level: Tensor, apart: Tensor) -> Tensor:
    """By how many dB a tone of this level masks less at a place so many bark above it (below: negative).

    27 dB for each bark below, 27 − 0.37 max(level − 40, 0) above: loud tones mask upwards.

    >>> spread(torch.tensor([40.0, 60.0, 60.0]), torch.tensor([1.0, -1.0, 5.0])).round().tolist()
    [-27.0, -27.0, -98.0]
    """
    return torch.where(apart <= 0, 27 * apart, (-27 + 0.37 * (level - 40).clamp_min(0)) * apart)


def levels(spectra: Float[Tensor, "frames bins"]) -> Float[Tensor, "frames bins"]:
    """20 log₁₀ |X| of one recording's coefficients, moved so that its loudest has 96 dB; all −200 where it is silent."""
    power = spectra.abs().double().square()
    loudest = power.max()
    if float(loudest) == 0:
        return torch.full(power.shape, -200.0, dtype=torch.float64)
    return LOUDEST + 10 * (power / loudest).clamp_min(SMALLEST).log10()


def maskers(level: Float[Tensor, "frames bins"], hertz: Tensor) -> Float[Tensor, "frames bins"]:
    """The levels of the tones that mask, and −∞ elsewhere.

    A tone is a local maximum of the spectrum; its level is that of its power and its two neighbours' together. It masks
    where that is above the threshold in quiet, and no tone within half a bark is louder.
    """
    power = 10 ** (level / 10)
    found = torch.full_like(level, -torch.inf)
    inner = level[:, 1:-1]
    peak = (level[:, :-2] <= inner) & (inner >= level[:, 2:])
    together = 10 * (power[:, :-2] + power[:, 1:-1] + power[:, 2:]).log10()
    found[:, 1:-1] = torch.where(peak & (together > in_quiet(hertz)[1:-1]), together, -torch.inf)
    return torch.where(found >= _greatest_around(found, bark(hertz)), found, -torch.inf)


def masking_threshold(spectra: Float[Tensor, "frames bins"], hertz: Tensor) -> Float[Tensor, "frames bins"]:
    """The level below which a listener hears nothing beside the recording, per frame and frequency.

    θ(k) = 10 log₁₀ (10^(quiet(k)/10) + Σ_i 10^((P_i − 6.025 − 0.275 z_i + spread(P_i, z_k − z_i))/10)), the sum over the
    maskers i, of level P_i, at z_i bark. `spectra` (frames, bins) are the coefficients of one recording at the frequencies
    `hertz`; the result is in dB, `LOUDEST` that of its loudest coefficient. Frames are taken a few at a time.
    """
    level = levels(spectra)
    at_once = max(1, TERMS // (TONES * len(hertz)))
    return torch.cat([_masked(part, hertz) for part in level.split(at_once)])


def _masked(level: Float[Tensor, "frames bins"], hertz: Tensor) -> Float[Tensor, "frames bins"]:
    """θ of frames whose levels are known."""
    z = bark(hertz)
    found = maskers(level, hertz)
    most = int(torch.isfinite(found).sum(1).max())
    quiet = 10 ** (in_quiet(hertz) / 10)
    if most == 0:
        return (10 * quiet.log10()).expand(found.shape)
    tones, place = found.topk(most, dim=1)
    own = z[place]
    masked = (tones - 6.025 - 0.275 * own)[:, :, None] + spread(tones[:, :, None], z[None, None] - own[:, :, None])
    return 10 * (quiet + (10 ** (masked.nan_to_num(nan=-torch.inf) / 10)).sum(1)).log10()


def _greatest_around(values: Tensor, z: Tensor) -> Tensor:
    """The greatest of each row within `APART` bark of every place, from the greatest of runs of 1, 2, 4, … places."""
    low = torch.searchsorted(z, z - APART, right=True)
    count = torch.searchsorted(z, z + APART) - low
    runs = [values]
    while 2 ** len(runs) <= int(count.max()):
        half = 2 ** (len(runs) - 1)
        last = runs[-1]
        runs.append(torch.maximum(last, torch.cat((last[:, half:], torch.full_like(last[:, :half], -torch.inf)), 1)))
    step = count.double().log2().floor().long()
    table = torch.stack(runs)
    first = table[step, :, low]                      # (bins, frames)
    second = table[step, :, low + count - 2 ** step]
    return torch.maximum(first, second).T
