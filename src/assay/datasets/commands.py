"""Synthetic spoken commands: ten words of one second, made by a formant synthesiser, the same on every machine.

A source (a glottal pulse train, noise) passes resonators whose frequencies glide between the targets of the word's sounds:
Klatt, "Software for a cascade/parallel formant synthesizer", J. Acoust. Soc. Am. 67 (1980); vowels after Peterson and
Barney, J. Acoust. Soc. Am. 24 (1952), consonants after Klatt. Pitch, length of the vocal tract, tempo, loudness, place in
the second and background noise are drawn for each clip. They are no recordings of people: what is measured on them is a
classifier's stability, not how well it would understand anyone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

RATE = 16_000                   # samples a second
FRAME = 80                      # samples between two settings of the resonators: 5 ms
FRAMES = RATE // FRAME
WORDS: dict[str, tuple[str, ...]] = {        # sounds of each word, as they stand in `SOUNDS`
    "yes": ("y", "eh", "s"), "no": ("n", "oh", "uh"), "up": ("ah", "p-", "p"), "down": ("d-", "d", "ae", "uh", "n"),
    "left": ("l", "eh", "f", "t-", "t"), "right": ("r", "aa", "ih", "t-", "t"), "on": ("aa", "n"), "off": ("ao", "f"),
    "stop": ("s", "t-", "t", "aa", "p-", "p"), "go": ("g-", "g", "oh", "uh")}
CLASSES = tuple(WORDS)
PARTS = {"train": (1, 1500), "tuning": (2, 250), "audited": (3, 100), "held-out": (4, 300)}       # seed, clips
GLIDE = 0.05                    # seconds from the target of one sound to the next
BANDWIDTHS = (60.0, 90.0, 150.0, 250.0)             # of the four formants, hertz
FOURTH = 3500.0                 # the fourth formant of the reference tract, hertz
GRID = 2.0 ** 24                # coefficients are rounded to this, so that another machine's cosine changes nothing


@dataclass(frozen=True)
class Sound:
    """Targets of a sound: formants in hertz, voicing and frication from 0 to 1, place and width of the noise, seconds."""

    formants: tuple[float, float, float]
    voiced: float
    noise: float
    place: float
    width: float
    seconds: float


SOUNDS: dict[str, Sound] = {
    "ih": Sound((390, 1990, 2550), 1.0, 0.0, 4000, 1000, 0.12), "eh": Sound((530, 1840, 2480), 1.0, 0.0, 4000, 1000, 0.17),
    "ah": Sound((640, 1190, 2390), 1.0, 0.0, 4000, 1000, 0.16), "aa": Sound((730, 1090, 2440), 1.0, 0.0, 4000, 1000, 0.18),
    "ao": Sound((570, 840, 2410), 1.0, 0.0, 4000, 1000, 0.18), "uh": Sound((380, 920, 2240), 0.8, 0.0, 4000, 1000, 0.14),
    "oh": Sound((520, 980, 2350), 1.0, 0.0, 4000, 1000, 0.17), "ae": Sound((700, 1400, 2430), 1.0, 0.0, 4000, 1000, 0.16),
    "y": Sound((260, 2070, 3020), 0.7, 0.0, 4000, 1000, 0.07), "l": Sound((310, 1050, 2880), 0.7, 0.0, 4000, 1000, 0.08),
    "r": Sound((330, 1060, 1380), 0.8, 0.0, 4000, 1000, 0.11), "n": Sound((250, 1340, 2470), 0.45, 0.0, 4000, 1000, 0.10),
    "s": Sound((320, 1390, 2530), 0.0, 0.5, 5200, 1400, 0.14), "f": Sound((340, 1100, 2080), 0.0, 0.22, 6000, 3500, 0.12),
    "t-": Sound((400, 1600, 2600), 0.0, 0.0, 3800, 1500, 0.05), "t": Sound((400, 1600, 2600), 0.0, 0.45, 3800, 1500, 0.03),
    "p-": Sound((400, 1100, 2150), 0.0, 0.0, 1000, 1200, 0.06), "p": Sound((400, 1100, 2150), 0.0, 0.2, 1000, 1200, 0.03),
    "d-": Sound((200, 1600, 2600), 0.15, 0.0, 3500, 1500, 0.05), "d": Sound((200, 1600, 2600), 0.5, 0.35, 3500, 1500, 0.02),
    "g-": Sound((200, 1990, 2850), 0.15, 0.0, 2000, 700, 0.05), "g": Sound((200, 1990, 2850), 0.5, 0.35, 2000, 700, 0.025),
}


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One second of sound, int16 (16000,), the number of its word and what was drawn for it."""

    id: str
    samples: NDArray[np.int16] = field(repr=False)
    label: int


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """What was drawn for one clip: factor of all formants, pitch at start and end in hertz, factor of all durations,
    when the word starts in seconds, greatest value and standard deviation of the noise in shares of full scale; `own` are
    further factors of the first three formants, one each, by which voices of equal length differ."""

    tract: float
    pitch: tuple[float, float]
    tempo: float
    start: float
    peak: float
    noise: float
    own: tuple[float, float, float] = (1.0, 1.0, 1.0)


def commands(part: str) -> tuple[Clip, ...]:
    """The clips of a part, drawn from its seed; every word as often.

    >>> len(commands("tuning")), commands("tuning")[0].samples.shape
    (250, (16000,))
    """
    seed, count = PARTS[part]
    drawn = random.Random(seed)
    labels = [i % len(CLASSES) for i in range(count)]
    drawn.shuffle(labels)
    speakers = [_speaker(drawn) for _ in labels]
    waves = spoken([CLASSES[label] for label in labels], speakers, np.random.RandomState(seed))
    return tuple(Clip(id=f"{CLASSES[label]}-{i:04d}", samples=wave, label=label)
                 for i, (label, wave) in enumerate(zip(labels, waves, strict=True)))


def _speaker(drawn: random.Random) -> Speaker:
    tract = drawn.uniform(0.88, 1.16)
    pitch = (85 + 120 * (tract - 0.88) / 0.28) * drawn.uniform(0.9, 1.25)
    tempo = drawn.uniform(0.8, 1.3)
    return Speaker(tract=tract, pitch=(pitch, pitch * drawn.uniform(0.7, 1.0)), tempo=tempo,
                   start=drawn.uniform(0.05, 0.25), peak=drawn.uniform(0.15, 0.9), noise=drawn.uniform(0.0005, 0.006))


def spoken(words: Sequence[str], speakers: Sequence[Speaker], chance: np.random.RandomState) -> NDArray[np.int16]:
    """The words by the speakers, int16 (words, 16000).

    Only sums, products and square roots of doubles touch a sample, one operation at a time, so that the numbers do not
    depend on the machine.
    """
    tracks = np.stack([_tracks(word, speaker) for word, speaker in zip(words, speakers, strict=True)], axis=2)
    pitch = np.stack([np.linspace(*speaker.pitch, FRAMES) for speaker in speakers], axis=1)
    voice = _voice(np.repeat(pitch, FRAME, axis=0)) * np.repeat(tracks[4], FRAME, axis=0)
    hiss = (2 * chance.random_sample(voice.shape) - 1) * np.repeat(tracks[5], FRAME, axis=0)
    mixed = _resonated(voice, hiss, tracks)
    peaks = np.array([speaker.peak for speaker in speakers]) / np.abs(mixed).max(axis=0)
    background = (2 * chance.random_sample(voice.shape) - 1) * math.sqrt(3) * np.array([s.noise for s in speakers])
    return np.round(32767 * np.clip(mixed * peaks + background, -1, 1)).astype(np.int16).T


def _tracks(word: str, speaker: Speaker) -> Reals:
    """(8, frames): four formants, voicing, frication, place and width of the noise."""
    sounds = [SOUNDS[name] for name in WORDS[word]]
    ends = speaker.start + np.cumsum([speaker.tempo * sound.seconds for sound in sounds])
    begins = np.concatenate(([speaker.start], ends[:-1]))
    times = (np.arange(FRAMES) + 0.5) * FRAME / RATE
    found = []
    for k in range(3):
        found.append(_glided(times, begins, ends, [speaker.own[k] * speaker.tract * s.formants[k] for s in sounds], GLIDE))
    found.append(np.full(FRAMES, FOURTH * speaker.tract))
    for name, glide in (("voiced", 0.03), ("noise", 0.012)):
        values = [0.0, *(float(getattr(s, name)) for s in sounds), 0.0]
        found.append(_glided(times, np.concatenate(([0.0], begins, ends[-1:])), np.concatenate((begins[:1], ends, [2.0])),
                             values, glide))
    found.append(_glided(times, begins, ends, [s.place for s in sounds], 0.01))
    found.append(_glided(times, begins, ends, [s.width for s in sounds], 0.01))
    return np.stack(found)


def _glided(times: Reals, begins: Reals, ends: Reals, targets: Sequence[float], glide: float) -> Reals:
    """The targets, each held between its begin and end, with straight lines of `glide` seconds from one to the next."""
    half = np.minimum(glide, ends - begins) / 2
    knots = np.stack((begins + half, ends - half), axis=1).ravel()
    return np.interp(times, np.maximum.accumulate(knots), np.repeat(targets, 2))


def _voice(pitch: Reals) -> Reals:
    """The glottal flow's derivative at every sample: 2u − 3u² while the glottis is open, six tenths of a period."""
    phase = np.cumsum(pitch / RATE, axis=0)
    u = (phase - np.floor(phase)) / 0.6
    return np.where(u < 1, 2 * u - 3 * u * u, 0.0)


def _resonated(voice: Reals, hiss: Reals, tracks: Reals) -> Reals:
    """Voice through four resonators one after another, noise through one beside them: y_t = A x + B y_{t−1} + C y_{t−2}.

    C = −exp(−2πbT), B = 2 exp(−πbT) cos(2πfT), A = 1 − B − C of frequency f and width b: Klatt (1980), equation 2. Each of
    the four is given what the one before made a sample earlier.
    """
    widths = np.stack([np.full_like(tracks[0], width) for width in BANDWIDTHS] + [tracks[7]])
    places = np.concatenate((tracks[:4], tracks[6:7]))
    c = -np.round(np.exp(-2 * math.pi * widths / RATE) * GRID) / GRID
    b = np.round(2 * np.exp(-math.pi * widths / RATE) * np.cos(2 * math.pi * places / RATE) * GRID) / GRID
    a = 1 - b - c
    out = np.empty_like(voice)
    before = np.zeros((5, voice.shape[1]))
    last = np.zeros_like(before)
    given = np.zeros_like(before)
    for t in range(len(voice)):
        frame = t // FRAME
        given[0], given[1:4], given[4] = voice[t], last[:3], hiss[t]
        last, before = a[:, frame] * given + b[:, frame] * last + c[:, frame] * before, last
        out[t] = last[3] + last[4]
    return out
