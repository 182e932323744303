"""What a listening network is given of a waveform: mel energies and cepstra, all differentiable.

Davis and Mermelstein, IEEE Trans. Acoust. Speech Signal Process. 28 (1980); the mel scale and the triangles of area 1 are
those of Slaney's Auditory Toolbox (1998), as librosa computes them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

LINEAR, PER_MEL = 1000.0, 200.0 / 3         # hertz below which the scale is linear, and how many of them a mel is there
LOG_STEP = math.log(6.4) / 27               # of the logarithm above


def mel(hertz: Tensor) -> Tensor:
    """Slaney's mel scale: f/(200/3) below 1000 Hz, 15 + 27 log(f/1000)/log 6.4 above.

    >>> mel(torch.tensor([200.0, 1000.0, 6400.0])).round(decimals=4).tolist()
    [3.0, 15.0, 42.0]
    """
    return torch.where(hertz < LINEAR, hertz / PER_MEL, LINEAR / PER_MEL + (hertz.clamp_min(1) / LINEAR).log() / LOG_STEP)


def hertz(mels: Tensor) -> Tensor:
    """The inverse of `mel`."""
    first = LINEAR / PER_MEL
    return torch.where(mels < first, mels * PER_MEL, LINEAR * (LOG_STEP * (mels - first)).exp())


def mel_filters(*, rate: int, length: int, count: int, low: float, high: float) -> Float[Tensor, "filters frequencies"]:
    """Triangles between `count` + 2 places evenly apart on the mel scale, from `low` to `high` hertz, each of area 1.

    Frequencies are those of a discrete Fourier transform of so many samples at the `rate`.

    >>> mel_filters(rate=8, length=8, count=1, low=0.0, high=4.0)[0].tolist()
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    ends = mel(torch.tensor([low, high], dtype=torch.float64))
    corners = hertz(torch.linspace(float(ends[0]), float(ends[1]), count + 2, dtype=torch.float64))
    frequencies = torch.arange(length // 2 + 1, dtype=torch.float64) * rate / length
    slopes = (frequencies[None] - corners[:, None]) / (corners[1:] - corners[:-1])[[*range(count + 1), count]][:, None]
    rising = slopes[:-2]
    falling = 1 - slopes[1:-1]
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return (triangles * (2 / (corners[2:] - corners[:-2]))[:, None]).float()


def cosines(count: int, of: int) -> Float[Tensor, "count of"]:
    """The first rows of the orthonormal discrete cosine transform (type II).

    >>> torch.allclose(cosines(4, 4) @ cosines(4, 4).T, torch.eye(4), atol=1e-6)
    True
    """
    k, n = torch.arange(count, dtype=torch.float64)[:, None], torch.arange(of, dtype=torch.float64)[None]
    rows = (math.pi * k * (2 * n + 1) / (2 * of)).cos() * math.sqrt(2 / of)
    rows[0] = 1 / math.sqrt(of)
    return rows.float()


class MelCepstrum(nn.Module):
    """C log(M |STFT(x)|² + floor): (batch, samples) -> (batch, frames, coefficients), one frame every `hop` samples.

    Hann windows of `length` samples about every hop's sample, the ends reflected; M (`mels`, …) are the mel filters and C
    the first `coefficients` rows of the cosine transform. With `floor` 0 a power of 0 gives 0, as in Honk's features.
    """

    window: Tensor
    filters: Tensor
    transform: Tensor

    def __init__(self, *, rate: int = 16_000, length: int = 480, hop: int = 160, mels: int = 40, low: float = 20.0,
                 high: float = 4000.0, coefficients: int = 40, floor: float = 0.0) -> None:
        super().__init__()
        self.length, self.hop, self.floor = length, hop, floor
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        self.register_buffer("filters", mel_filters(rate=rate, length=length, count=mels, low=low, high=high),
                             persistent=False)
        self.register_buffer("transform", cosines(coefficients, mels), persistent=False)

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames coefficients"]:
        transformed = torch.stft(waves, self.length, self.hop, window=self.window, return_complex=True)
        power = torch.view_as_real(transformed).square().sum(-1)
        energies = self.filters @ power
        if self.floor:
            logs = (energies + self.floor).log()
        else:
            heard = energies > 0
            logs = torch.where(heard, torch.where(heard, energies, 1.0).log(), 0.0)
        return logs.transpose(1, 2) @ self.transform.T
