"""Sounds added below what the recording itself hides from a listener: bounded by a psychoacoustic masking threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from assay.arrays import InputError, PerExample, per_example
from assay.numerics.hearing import LOUDEST, critical_bandwidth, masking_threshold
from assay.numerics.short_time import analysed, inner_frames, safe_moduli, synthesised
from assay.perturbations import sounds
from assay.perturbations.protocol import Examples

WINDOW = 0.128              # seconds, rounded to a power of two of samples: 2048 at 16 kHz
_KNOWN: WeakTensorKeyDictionary = WeakTensorKeyDictionary()      # inputs -> their `Masking`s: asked again and again
Bound = Literal["band", "coefficient"]


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Of each sound: the moduli of coefficients at its threshold in every frame, and those safe to add in inner frames."""

    bounds: Tensor
    safe: Tensor


@dataclass(frozen=True, kw_only=True)
class MaskedSound:
    """Sounds δ = A* z, each coefficient z(t, k) at most `level` dB above what the masking threshold of x allows.

    At 0 dB what is added in any critical band lies below the threshold θ(t, k) of the recording together: 20 log₁₀ |A δ| ≤
    θ − 10 log₁₀ n(k) in every frame and bin, n(k) the coefficients in a critical band about k, the recording's loudest
    coefficient played at 96 dB. A threshold is that of the noise of a critical band (Johnston, IEEE J. Sel. Areas Commun. 6
    (1988), divides by n too); with `bound` "coefficient" it bounds each by itself, n = 1, as Qin et al. do. z (batch,
    frames, bins) are complex; |z| ≤ v, v the moduli of which that is certain (`safe_moduli`), so the set is a product of
    discs, whose nearest and whose steepest member are formulas. What is heard is x + δ in steps of 16 bits and within full
    scale, an error that every file has.
    Sizes are 20 log₁₀ max |z| / v. Sources: Qin, Carlini, Goodfellow, Cottrell and Raffel, ICML 2019; Schönherr, Kohls,
    Zeiler, Holz and Kolossa, NDSS 2019.
    """

    level: float = 0.0
    bound: Bound = "band"

    def __post_init__(self) -> None:
        if not sounds.SILENT <= self.level <= sounds.LOUDEST:
            raise InputError(f"a level in dB is a number from {sounds.SILENT:g} to {sounds.LOUDEST:g}, got {self.level}")
        if self.bound not in ("band", "coefficient"):
            raise InputError(f"a masking threshold bounds each \"band\" or each \"coefficient\", got {self.bound!r}")

    @property
    def unit(self) -> str:
        return "dB"

    def zero(self, x: Examples) -> Tensor:
        safe = self.masking(x).safe
        return torch.zeros_like(safe).to(torch.complex128 if x.inputs.dtype == torch.float64 else torch.complex64)

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
        moduli = self.masking(x).safe
        phases = torch.stack([torch.rand(moduli.shape[1:], dtype=moduli.dtype, generator=g) for g in generators])
        louder = torch.full((len(x),), self.level, dtype=torch.float64) if size is None else size.double()
        return torch.polar(moduli * per_example(10 ** (louder / 20), moduli).to(moduli.dtype), 2 * math.pi * phases)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return sounds.decibels((p.abs() / self.masking(x).safe).flatten(1).amax(1))

    def resized(self, radius: float) -> Self:
        return replace(self, level=radius)

    def _moduli(self, x: Examples) -> Tensor:
        return self.masking(x).safe * 10 ** (self.level / 20)

    def masking(self, x: Examples) -> Masking:
        """What each recording masks."""
        return masking(x, self.bound)


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
    """max over frames and bins of 20 log₁₀ |A (x′ − x)| − θ + 10 log₁₀ n, in dB: how far what was added is above the bound.

    Of what is in the file, rounding to 16 bits included, which may itself be above it in the silence of a soft recording.
    """
    bounds = masking(x).bounds
    spectra = analysed((changed - x.inputs).detach(), 2 * (bounds.shape[2] - 1))
    return sounds.decibels((spectra.abs() / bounds).flatten(1).amax(1))


def masking(x: Examples, bound: Bound = "band") -> Masking:
    """What each recording masks; `InputError` for what is no sound, silent throughout or too short."""
    known: dict[str, Masking] = _KNOWN.setdefault(x.inputs, {})
    if bound not in known:
        known[bound] = _masking(x, bound)
    return known[bound]


def in_a_band(hertz: Tensor) -> Tensor:
    """n(k): how many of these equally spaced frequencies a critical band about each of them holds, at least 1.

    >>> in_a_band(torch.tensor([0.0, 10.0, 20.0])).round(decimals=1).tolist()
    [10.0, 10.0, 10.0]
    """
    return (critical_bandwidth(hertz) / (hertz[1] - hertz[0])).clamp_min(1)


def _masking(x: Examples, bound: Bound) -> Masking:
    if not x.decibels or x.inputs.ndim != 2:
        raise InputError(f"a masking threshold is that of sounds (batch, samples) with a rate, not of inputs of shape "
                         f"{tuple(x.inputs.shape)}")
    if reason := too_short(x):
        raise InputError(f"{reason}; give longer recordings")
    length, samples = window_of(x.rate), x.inputs.shape[1]
    inner = inner_frames(samples, length)
    hertz = torch.arange(length // 2 + 1, dtype=torch.float64) * x.rate / length
    share = in_a_band(hertz).rsqrt() if bound == "band" else torch.ones(())
    bounds, safe = [], []
    for i, sample in enumerate(x.ids):
        spectra = analysed(x.inputs[i: i + 1].detach().double(), length)[0]
        loudest = float(spectra.abs().max())
        if loudest == 0:
            raise InputError(f"{sample}: silent throughout, and nothing is masked by silence; leave it out")
        each = loudest * 10 ** ((masking_threshold(spectra, hertz) - LOUDEST) / 20) * share
        bounds.append(each.to(x.inputs.dtype))
        safe.append(safe_moduli(each, inner).to(x.inputs.dtype))
    return Masking(bounds=torch.stack(bounds), safe=torch.stack(safe))
