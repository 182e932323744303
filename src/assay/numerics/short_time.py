"""Short-time spectra as a tight frame, and how large coefficients may be for what they make to stay below a bound.

A is the discrete Fourier transform of Hann windows, each a quarter of a window after the last, over a signal with silence
before and after it. Scaled as here A*A = 1, in the inner product that counts a coefficient and its mirror image; A*
overlaps and adds (Griffin and Lim, IEEE Trans. Acoust. Speech Signal Process. 32 (1984)).
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor

OVERLAP = 4                 # windows over each sample
SCALE = math.sqrt(1.5)      # the root of the sum of squares of four Hann windows a quarter apart
AROUND = OVERLAP - 1        # windows before and after one that share samples with it
TOGETHER = 256              # frames whose spectra are held at once, so that memory is that of what is returned
NEAR = 3                    # bins on either side within which a bound that is broken lowers coefficients

Waves = Float[Tensor, "batch samples"]
Spectra = Complex[Tensor, "batch frames bins"]


def analysed(waves: Waves, length: int) -> Spectra:
    """A x: the coefficients (batch, frames, length/2 + 1) of every window of `length` samples that touches the signal.

    The window of frame j begins at sample (j − 3) length/4.

    >>> analysed(torch.ones(1, 16), 8).shape
    torch.Size([1, 11, 5])
    """
    hop = length // OVERLAP
    frames = -(-waves.shape[1] // hop) + AROUND
    padded = F.pad(waves, (length - hop, (frames - 1) * hop + hop - waves.shape[1]))
    parts = padded.unfold(1, length, hop).split(TOGETHER, dim=1)
    return torch.cat([torch.fft.rfft(part * _window(length, waves.dtype), norm="ortho") for part in parts], 1) / SCALE


def inner_frames(samples: int, length: int) -> int:
    """How many windows lie wholly inside a signal.

    >>> inner_frames(16, 8), inner_frames(7, 8)
    (5, 0)
    """
    return max(0, (samples - length) // (length // OVERLAP) + 1)


def synthesised(spectra: Spectra, samples: int) -> Waves:
    """A* of coefficients of the windows inside a signal of so many samples: overlapped and added, no window cut.

    >>> z = analysed(torch.tensor([[0.0] * 8 + [1.0] + [0.0] * 15]), 8)[:, 3: -3]
    >>> synthesised(z, 24)[0, 6:11].abs().round(decimals=5).tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
    """
    length = 2 * (spectra.shape[2] - 1)
    hop, count = length // OVERLAP, spectra.shape[1]
    parts = torch.fft.irfft(spectra, length, norm="ortho") * _window(length, spectra.real.dtype) / SCALE
    shifted = [F.pad(part, (0, 0, k, AROUND - k)) for k, part in enumerate(parts.unflatten(2, (OVERLAP, hop)).unbind(2))]
    whole = torch.stack(shifted).sum(0).flatten(1)
    return F.pad(whole, (0, samples - (count + AROUND) * hop))


def leaked(moduli: Float[Tensor, "frames bins"]) -> Float[Tensor, "wider bins"]:
    """The greatest modulus that A A* of coefficients of these moduli can have, three frames more on either side.

    |A A* z|(t, k) ≤ Σ |K(t − t′, k − k′)| |z(t′, k′)|, K(m, n) = Σ_s h(s) h(s − m hop) e^(−2πi ns/length) / (1.5 length),
    the sum over both halves of the spectrum.
    """
    frames, length = len(moduli), 2 * (moduli.shape[1] - 1)
    kernel = _kernel(length)
    out = torch.zeros(frames + 2 * AROUND, moduli.shape[1], dtype=torch.float64)
    for first in range(0, frames, TOGETHER):
        part = moduli[first: first + TOGETHER].double()
        spectrum = torch.fft.fft(torch.cat((part, part[:, 1:-1].flip(1)), 1))
        for m in range(2 * AROUND + 1):
            out[first + m: first + m + len(part)] += torch.fft.ifft(spectrum * kernel[m]).real[:, : moduli.shape[1]]
    return out.clamp_min(0)


def safe_moduli(bounds: Float[Tensor, "frames bins"], inner: int) -> Float[Tensor, "inner bins"]:
    """Moduli v such that every signal A* z with |z| ≤ v has |A A* z| ≤ bounds in every frame.

    v is the least bound of the frames that share samples, each over the share that reaches it; lowered once near every bound
    that `leaked` breaks, and then everywhere until none is broken. A sufficient condition, so the largest v is larger.
    """
    share = _kernel_sums(2 * (bounds.shape[1] - 1))
    around = bounds.double()[: inner + 2 * AROUND]
    v = around[:inner] / share[0]
    for m in range(1, 2 * AROUND + 1):
        v = torch.minimum(v, around[m: m + inner] / share[m])
    keep = (around / leaked(v)).clamp_max(1)
    windows = (2 * AROUND + 1, 2 * NEAR + 1)
    v = v * -F.max_pool2d(F.pad(-keep[None, None], (NEAR, NEAR), value=-1.0), windows, stride=1)[0, 0]
    return v / (leaked(v) / around).max().clamp_min(1)


def _window(length: int, dtype: torch.dtype) -> Tensor:
    return torch.hann_window(length, dtype=dtype)


@functools.lru_cache(maxsize=4)
def _moduli_of_kernel(length: int) -> Tensor:
    """|K(m, n)| for m from −3 to 3 and all n."""
    h, hop = _window(length, torch.float64), length // OVERLAP
    products = [F.pad(h, (m * hop, 0))[:length] * h if m >= 0 else F.pad(h, (0, -m * hop))[-m * hop:] * h
                for m in range(-AROUND, AROUND + 1)]
    return torch.fft.fft(torch.stack(products)).abs() / (SCALE ** 2 * length)


@functools.lru_cache(maxsize=4)
def _kernel(length: int) -> Tensor:
    return torch.fft.fft(_moduli_of_kernel(length))


def _kernel_sums(length: int) -> list[float]:
    """By how much a frame so many windows away is reached, the own frame 1."""
    sums = _moduli_of_kernel(length).sum(1)
    shares: list[float] = (sums / sums[AROUND]).tolist()
    return shares
