"""Sounds added below what the recording itself hides from a listener: bounded by a psychoacoustic masking threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from assay.arrays import InputError, PerExample, per_example
from assay.numerics.hearing import LOUDEST, masking_threshold
from assay.numerics.short_time import analysed, inner_frames, safe_moduli, synthesised
from assay.perturbations import sounds
from assay.perturbations.protocol import Examples

WINDOW = 0.128              # seconds, rounded to a power of two of samples: 2048 at 16 kHz
_KNOWN: WeakTensorKeyDictionary = WeakTensorKeyDictionary()      # inputs -> their `Masking`: the same sounds are asked again


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Of each sound: the moduli of coefficients at its threshold in every frame, and those safe to add in inner frames."""

    bounds: Tensor
    safe: Tensor


@dataclass(frozen=True, kw_only=True)
class MaskedSound:
    """Sounds δ = A* z, each coefficient z(t, k) at most `level` dB above what the masking threshold of x allows.

    At 0 dB no short-time coefficient of δ lies above the threshold θ(t, k) of the recording: 20 log₁₀ |A δ| ≤ θ in every
    frame and bin, the recording's loudest coefficient played at 96 dB. z (batch, frames, bins) are complex; |z| ≤ v, v the
    moduli of which that is certain (`safe_moduli`), so the set is a product of discs, whose nearest and whose steepest
    member are formulas. What is heard is x + δ in steps of 16 bits and within full scale, an error that every file has.
    Sizes are 20 log₁₀ max |z| / v. Sources: Qin, Carlini, Goodfellow, Cottrell and Raffel, ICML 2019; Schönherr, Kohls,
    Zeiler, Holz and Kolossa, NDSS 2019.
    """

    level: float = 0.0

    def __post_init__(self) -> None:
        if not sounds.SILENT <= self.level <= sounds.LOUDEST:
            raise InputError(f"a level in dB is a number from {sounds.SILENT:g} to {sounds.LOUDEST:g}, got {self.level}")

    @property
    def unit(self) -> str:
        return "dB"

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(masking(x).safe).to(torch.complex128 if x.inputs.dtype == torch.float64 else torch.complex64)

    def apply(self, x: Examples, p: Tensor) -> Examples:
        heard = x.inputs + sounds.stored(synthesised(p, x.inputs.shape[1]))
        return x.changed(inputs=heard if x.box is None else heard.clamp(*x.box), truth=x.truth)

    def project(self, x: Examples, p: Tensor) -> Tensor:
        return p * (self._moduli(x) / p.abs().clamp_min(1e-38)).clamp_max(1)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        """The member of greatest Re⟨gradient, z⟩: every coefficient at its bound, in phase."""
        return torch.polar(self._moduli(x).expand_as(gradient).contiguous(), gradient.angle())

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.steepest(x, gradient)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """Noise shaped to the threshold: every coefficient at its bound (or at `size`), its phase uniform."""
        moduli = masking(x).safe
        phases = torch.stack([torch.rand(moduli.shape[1:], dtype=moduli.dtype, generator=g) for g in generators])
        louder = torch.full((len(x),), self.level, dtype=torch.float64) if size is None else size.double()
        return torch.polar(moduli * per_example(10 ** (louder / 20), moduli).to(moduli.dtype), 2 * math.pi * phases)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return sounds.decibels((p.abs() / masking(x).safe).flatten(1).amax(1))

    def resized(self, radius: float) -> Self:
        return replace(self, level=radius)

    def _moduli(self, x: Examples) -> Tensor:
        return masking(x).safe * 10 ** (self.level / 20)


def window_of(rate: int) -> int:
    """The power of two of samples nearest to 0.128 s.

    >>> window_of(16_000), window_of(8_000), window_of(44_100)
    (2048, 1024, 4096)
    """
    return int(2 ** round(math.log2(WINDOW * rate)))


def too_short(x: Examples) -> str:
    """Why sounds are too short for a masking threshold, or ""."""
    length, samples = window_of(x.rate), x.inputs.shape[1]
    return "" if samples >= length else (f"a masking threshold needs at least {length} samples ({length / x.rate:.3f} s), "
                                         f"and these sounds have {samples}")


def above_threshold(x: Examples, changed: Tensor) -> PerExample:
    """max over frames and bins of 20 log₁₀ |A (x′ − x)| − θ, in dB: how far what was added is above the threshold at most.

    Of what is in the file, rounding to 16 bits included, which may itself be above it in the silence of a soft recording.
    """
    bounds = masking(x).bounds
    spectra = analysed((changed - x.inputs).detach(), 2 * (bounds.shape[2] - 1))
    return sounds.decibels((spectra.abs() / bounds).flatten(1).amax(1))


def masking(x: Examples) -> Masking:
    """What each recording masks; `InputError` for what is no sound, silent throughout or too short."""
    if x.inputs not in _KNOWN:
        _KNOWN[x.inputs] = _masking(x)
    found: Masking = _KNOWN[x.inputs]
    return found


def _masking(x: Examples) -> Masking:
    if not x.decibels or x.inputs.ndim != 2:
        raise InputError(f"a masking threshold is that of sounds (batch, samples) with a rate, not of inputs of shape "
                         f"{tuple(x.inputs.shape)}")
    if reason := too_short(x):
        raise InputError(f"{reason}; give longer recordings")
    length, samples = window_of(x.rate), x.inputs.shape[1]
    inner = inner_frames(samples, length)
    hertz = torch.arange(length // 2 + 1, dtype=torch.float64) * x.rate / length
    bounds = []
    for sample, spectra in zip(x.ids, analysed(x.inputs.detach().double(), length), strict=True):
        loudest = float(spectra.abs().max())
        if loudest == 0:
            raise InputError(f"{sample}: silent throughout, and nothing is masked by silence; leave it out")
        bounds.append(loudest * 10 ** ((masking_threshold(spectra, hertz) - LOUDEST) / 20))
    return Masking(bounds=torch.stack(bounds).to(x.inputs.dtype),
                   safe=torch.stack([safe_moduli(each, inner) for each in bounds]).to(x.inputs.dtype))
