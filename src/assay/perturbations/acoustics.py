"""Ordinary conditions of a recording at five severities: noise, a room, a telephone, loudness, speed, losses.

The kinds are those that recordings meet in use; the severities are ours, from hardly heard to hard to follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.graded import SEVERITIES, Graded
from assay.perturbations.protocol import Examples
from assay.perturbations.rooms import Rooms, listen

MAINS, HARMONICS, PACKET = 50.0, (1, 2, 3, 5, 7), 0.02      # hertz and multiples of the hum, seconds of a lost packet

# wave (samples,) double, setting, generator, samples a second -> wave
Condition = Callable[[Tensor, Any, torch.Generator, int], Tensor]


def noise(wave: Tensor, ratio: float, generator: torch.Generator, rate: int) -> Tensor:
    """White noise `ratio` dB below the sound's energy."""
    n = torch.randn(wave.shape, dtype=wave.dtype, generator=generator)
    return wave + n * (_loudness(wave) * 10 ** (-ratio / 20))


def hum(wave: Tensor, ratio: float, generator: torch.Generator, rate: int) -> Tensor:
    """A mains hum of 50 Hz and four overtones, `ratio` dB below the sound's energy, at random phases."""
    phases = 2 * math.pi * torch.rand(len(HARMONICS), dtype=wave.dtype, generator=generator)
    time = torch.arange(len(wave), dtype=wave.dtype) / rate
    tones = torch.stack([(2 * math.pi * MAINS * k * time + phase).sin() / k
                         for k, phase in zip(HARMONICS, phases, strict=True) if MAINS * k < rate / 2]).sum(0)
    return wave + tones * (_loudness(wave) / _loudness(tones) * 10 ** (-ratio / 20))


def room(wave: Tensor, setting: tuple[float, float], generator: torch.Generator, rate: int) -> Tensor:
    """A room: reverberation time in seconds, and by how many dB the direct sound is above the room's answer."""
    reverberation, direct = setting
    seed = float(torch.randint(2**31, (1,), generator=generator))
    table = torch.tensor([[0.0, 0.0, reverberation, direct, -200.0, seed]], dtype=torch.float64)
    rooms = Rooms(table=table, band=(0.0, 1e9), longest=reverberation)
    return listen(wave[None], rooms, rate=rate, box=(-math.inf, math.inf))[0]


def telephone(wave: Tensor, band: tuple[float, float], generator: torch.Generator, rate: int) -> Tensor:
    """Only frequencies in the band, hertz, are let through."""
    spectrum = torch.fft.rfft(wave)
    frequencies = torch.fft.rfftfreq(len(wave), 1 / rate, dtype=torch.float64)
    kept = (frequencies >= band[0]) & (frequencies <= band[1])
    return torch.fft.irfft(spectrum * kept, len(wave))


def overdriven(wave: Tensor, share: float, generator: torch.Generator, rate: int) -> Tensor:
    """Cut at `share` of the loudest point, as by an amplifier turned up too far."""
    top = float(wave.abs().max())
    return wave.clamp(-share * top, share * top)


def softer(wave: Tensor, ratio: float, generator: torch.Generator, rate: int) -> Tensor:
    """`ratio` dB softer, in the same steps of 16 bits."""
    return wave * 10 ** (-ratio / 20)


def coarse(wave: Tensor, bits: int, generator: torch.Generator, rate: int) -> Tensor:
    """Stored with fewer bits."""
    steps = 2.0 ** (bits - 1)
    return (wave * steps).round() / steps


def later(wave: Tensor, seconds: float, generator: torch.Generator, rate: int) -> Tensor:
    """Begins later: moved towards the end, silence before it."""
    moved = min(round(seconds * rate), len(wave))
    return torch.cat((wave.new_zeros(moved), wave[: len(wave) - moved]))


def speed(wave: Tensor, factor: float, generator: torch.Generator, rate: int) -> Tensor:
    """Played faster (above 1) or slower about its middle: pitch and tempo change together; silence beyond its ends."""
    middle = (len(wave) - 1) / 2
    place = middle + factor * (torch.arange(len(wave), dtype=wave.dtype) - middle)
    below = place.floor()
    share = place - below
    padded = torch.cat((wave.new_zeros(1), wave, wave.new_zeros(2)))
    index = (below + 1).clamp(0, len(wave) + 1).long()
    inside = (place > -1) & (place < len(wave))
    return torch.where(inside, (1 - share) * padded[index] + share * padded[index + 1], 0.0)


def lost(wave: Tensor, share: float, generator: torch.Generator, rate: int) -> Tensor:
    """Packets of 20 ms lost, each with probability `share`: silence in their place."""
    length = max(1, round(PACKET * rate))
    gone = torch.rand(-(-len(wave) // length), generator=generator) < share
    return torch.where(gone.repeat_interleave(length)[: len(wave)], 0.0, wave)


CONDITIONS: dict[str, tuple[Condition, tuple[Any, ...]]] = {
    "white noise": (noise, (40.0, 30.0, 20.0, 10.0, 5.0)),
    "hum": (hum, (30.0, 20.0, 10.0, 5.0, 0.0)),
    "room": (room, ((0.2, 9.0), (0.3, 6.0), (0.5, 3.0), (0.8, 0.0), (1.2, -3.0))),
    "telephone": (telephone, ((100.0, 6000.0), (200.0, 4500.0), (300.0, 3400.0), (400.0, 2600.0), (500.0, 2000.0))),
    "overdriven": (overdriven, (0.7, 0.5, 0.3, 0.2, 0.1)),
    "softer": (softer, (6.0, 12.0, 20.0, 30.0, 40.0)),
    "coarse": (coarse, (10, 8, 7, 6, 5)),
    "later": (later, (0.02, 0.05, 0.1, 0.15, 0.2)),
    "faster": (speed, (1.05, 1.1, 1.15, 1.2, 1.3)),
    "slower": (speed, (0.95, 0.9, 0.85, 0.8, 0.7)),
    "lost packets": (lost, (0.02, 0.05, 0.1, 0.15, 0.25)),
}
NAMES = tuple(CONDITIONS)


@dataclass(frozen=True, kw_only=True)
class Acoustics(Graded):
    """The conditions of `CONDITIONS` on sounds with a rate: p (batch, 2) = (index into `NAMES`, severity).

    What comes out is cut to full scale and in steps of 16 bits, as a file would hold it.
    """

    names: ClassVar[tuple[str, ...]] = NAMES

    kinds: tuple[str, ...] = NAMES

    def apply(self, x: Examples, p: Tensor) -> Examples:
        if not x.decibels or x.inputs.ndim != 2:
            raise InputError(f"conditions of a recording are asked of sounds (batch, samples) with a rate, not of inputs of "
                             f"shape {tuple(x.inputs.shape)}")
        return super().apply(x, p)

    def one(self, x: Examples, i: int, kind: str, severity: int, generator: torch.Generator) -> Tensor:
        condition, settings = CONDITIONS[kind]
        assert len(settings) == SEVERITIES
        heard = condition(x.inputs[i].detach().double(), settings[severity - 1], generator, x.rate)
        low, high = x.box or (-1.0, 1.0)
        return ((heard * 2**15).round() / 2**15).clamp(low, high).to(x.inputs.dtype)


def _loudness(wave: Tensor) -> float:
    return float(wave.square().mean().sqrt())
