"""How a sound is heard: loudspeaker, room and microphone as random rooms, for expectation over transformations.

The room is the statistical one of Polack (doctoral thesis, Le Mans 1988): the direct sound, then Gaussian noise that decays
by 60 dB in the reverberation time. Searching under random rooms: Yakura and Sakuma, "Robust audio adversarial example for a
physical attack", IJCAI 2019 (arXiv 1810.11793), who draw recorded impulse responses; Athalye et al. (ICML 2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import Examples
from assay.perturbations.sounds import AddedSound, playable

Waves = Float[Tensor, "batch samples"]
COLUMNS = ("gain", "delay", "reverberation", "direct", "noise", "seed")
FIRST = 0.002               # seconds from the direct sound to the first of the room's answer
LONGEST = 2.0               # seconds of reverberation that are computed at most
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rooms:
    """One room per row, everything needed to hear it again: `table` (rooms, 6) as in `COLUMNS`, doubles.

    gain in dB; delay and reverberation time in seconds; direct sound above the room's answer in dB of energy; noise in dB of
    energy beside the sound; seed starts the room's answer and the noise. `band` is what loudspeaker and microphone let
    through, in hertz, and `longest` the seconds by which the longest room lengthens a sound: both are the sampler's, the
    same for all rooms, so that what is heard in one does not hang on the others.
    """

    table: Tensor
    band: Interval
    longest: float

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> Tensor:
        return self.table[:, COLUMNS.index(name)]


@dataclass(frozen=True, kw_only=True)
class RoomSampler:
    """Independent uniform draws from the intervals; see `Rooms` for their units. `delay` is the greatest, in seconds."""

    gain: Interval = (-6.0, 6.0)
    delay: float = 0.02
    reverberation: Interval = (0.1, 0.4)
    direct: Interval = (3.0, 12.0)
    noise: Interval = (-40.0, -25.0)
    band: Interval = (80.0, 7000.0)

    def __post_init__(self) -> None:
        for name in ("gain", "reverberation", "direct", "noise", "band"):
            pair = tuple(getattr(self, name))
            if len(pair) != 2 or not pair[0] <= pair[1]:
                raise InputError(f"{name}: need (least, greatest), got {pair}")
            object.__setattr__(self, name, pair)                # profiles write lists
        if not 0 <= self.delay <= LONGEST or not 0 < self.reverberation[0] <= self.reverberation[1] <= LONGEST:
            raise InputError(f"need delay in [0, {LONGEST:g}] and reverberation in (0, {LONGEST:g}] seconds, got "
                             f"{self.delay} and {self.reverberation}")
        if not 0 <= self.band[0] < self.band[1]:
            raise InputError(f"band: need 0 ≤ low < high in hertz, got {self.band}")

    def draw(self, waves: Waves, generators: Sequence[torch.Generator], count: int = 1) -> Rooms:
        """`count` rooms for each wave, those of the first first; a wave's rooms depend on its generator alone."""
        if len(generators) != len(waves):
            raise InputError(f"generators: need one for each of {len(waves)} sounds, got {len(generators)}")
        share = torch.cat([torch.rand(count, len(COLUMNS), dtype=torch.float64, generator=g) for g in generators])
        table = torch.stack([
            _within(self.gain, share[:, 0]), self.delay * share[:, 1], _within(self.reverberation, share[:, 2]),
            _within(self.direct, share[:, 3]), _within(self.noise, share[:, 4]), (share[:, 5] * 2**31).floor()], dim=1)
        return Rooms(table=table, band=self.band, longest=self.longest)

    @property
    def longest(self) -> float:
        """Seconds by which the longest room that can be drawn lengthens a sound."""
        return self.reverberation[1] + self.delay


def grid(near: RoomSampler, reverberations: Sequence[float], noises: Sequence[float],
         ) -> Mapping[tuple[float, float], RoomSampler]:
    """For held-out evaluation: the sampler `near` at every reverberation time (seconds) and noise (dB).

    >>> [(room.reverberation, room.noise) for room in grid(RoomSampler(), [0.2], [-30.0, -20.0]).values()]
    [((0.2, 0.2), (-30.0, -30.0)), ((0.2, 0.2), (-20.0, -20.0))]
    """
    return {(r, n): replace(near, reverberation=(float(r), float(r)), noise=(float(n), float(n)))
            for r in reverberations for n in noises}


def listen(waves: Waves, rooms: Rooms, *, rate: int, box: tuple[float, float] = (-1.0, 1.0)) -> Waves:
    """Each sound as its room lets it be heard: clip(g · B(h ∗ x)(t − τ) + n), cut to the length of the sound.

    h = δ + the room's answer, whose energy is that of the direct sound less `direct` dB; B keeps the band; n is white,
    ‖n‖ = 10^(noise/20) ‖g x‖ in the mean. A fraction of a sample is kept in the delay τ. Differentiable in the sounds.
    """
    if len(rooms) != len(waves):
        raise InputError(f"rooms: need one for each of {len(waves)} sounds, got {len(rooms)}")
    samples = waves.shape[1]
    longest = math.ceil(rooms.longest * rate) + 2
    length = _fast(samples + longest)
    answers, noise = _drawn(rooms, samples, longest, rate)
    frequencies = torch.fft.rfftfreq(length, 1 / rate, dtype=torch.float64)
    turned = -2 * math.pi * frequencies[None] * rooms.column("delay")[:, None]
    factor = 10 ** (rooms.column("gain") / 20)[:, None] * _band(frequencies, rooms.band)[None]
    transfer = torch.polar(factor.expand_as(turned).contiguous(), turned) * torch.fft.rfft(answers, length)
    heard = torch.fft.irfft(torch.fft.rfft(waves, length) * transfer.to(torch.complex64 if waves.dtype == torch.float32
                                                                        else torch.complex128), length)[:, :samples]
    loud = (waves.detach().double().square().mean(1).sqrt() * 10 ** ((rooms.column("noise") + rooms.column("gain")) / 20))
    return (heard + (loud[:, None] * noise).to(waves.dtype)).clamp(*box)


def _drawn(rooms: Rooms, samples: int, longest: int, rate: int) -> tuple[Tensor, Tensor]:
    """Impulse responses (rooms, longest) and noise of unit power (rooms, samples), each from the room's own seed."""
    times = torch.arange(longest, dtype=torch.float64) / rate
    answers, noise = [], []
    for seed, decay, direct in zip(rooms.column("seed").long().tolist(), rooms.column("reverberation").tolist(),
                                   rooms.column("direct").tolist(), strict=True):
        generator = torch.Generator().manual_seed(seed)
        tail = torch.zeros(longest, dtype=torch.float64)
        own = min(longest, math.floor(decay * rate) + 1)
        tail[:own] = torch.randn(own, dtype=torch.float64, generator=generator) * 10 ** (-3 * times[:own] / decay)
        tail = torch.where((times >= FIRST) & (times <= decay), tail, 0.0)
        tail = tail * 10 ** (-direct / 20) / tail.norm().clamp_min(1e-30)
        tail[0] = 1.0
        answers.append(tail)
        noise.append(torch.randn(samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 2**31)))
    return torch.stack(answers), torch.stack(noise)


def _band(frequencies: Tensor, band: Interval) -> Tensor:
    """The modulus of Butterworth filters of second order at both ends, without their phase.

    >>> [round(share, 9) for share in _band(torch.tensor([0.0, 100.0]), (100.0, 1e9)).tolist()]
    [0.0, 0.707106781]
    """
    low, high = band
    f = frequencies.double()
    passed = 1 / (1 + (f / high) ** 4).sqrt()
    return passed if low == 0 else passed * ((f / low) ** 4 / (1 + (f / low) ** 4)).sqrt()


def _fast(n: int) -> int:
    """The least length of at least n with no prime factor above 5: what transforms are fast for."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _within(interval: Interval, share: Tensor) -> Tensor:
    return interval[0] + (interval[1] - interval[0]) * share


@dataclass(frozen=True, kw_only=True)
class PlayedSound(AddedSound):
    """Added sounds that are played with the sound they are added to, and heard in rooms."""

    def seen(self, x: Examples, p: Tensor, rooms: Rooms) -> Waves:
        """The sounds with what was added, heard in k rooms each, one sound after another: (batch · k, samples)."""
        count = len(rooms) // len(x)
        played = (x.inputs + playable(p)).repeat_interleave(count, dim=0)
        return listen(played, rooms, rate=x.rate, box=self.ball.box or (-1.0, 1.0))
