"""Synthetic voices: is it the enrolled person who speaks, or somebody else?

A person is a length of the vocal tract, a pitch, and a factor of each formant, drawn once; a clip is one of the ten words of
`assay.datasets.commands` by that person, at another tempo, loudness and pitch each time. They are no recordings of people:
what is measured on them is how stable a verification is, not how well it would know anyone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from assay.datasets.commands import CLASSES as WORDS
from assay.datasets.commands import Clip, Speaker, spoken

CLASSES = ("somebody else", "the enrolled person")
PEOPLE, EACH = 240, 8                       # to train on, and clips of each
ENROLLED, STRANGERS = 1001, 2000            # seed of the enrolled person, from which on strangers are numbered
PARTS = {"enrolment": (11, 20, 0), "tuning": (12, 100, 200), "audited": (13, 60, 60)}     # seed, clips of one, of others


@dataclass(frozen=True, kw_only=True)
class Person:
    """What stays the same in a voice: factor of all formants, pitch in hertz, a factor of each of the first three."""

    tract: float
    pitch: float
    own: tuple[float, float, float]


def person(seed: int) -> Person:
    """The person of that number.

    >>> person(1) == person(1), person(1) == person(2)
    (True, False)
    """
    drawn = random.Random(seed)
    tract = drawn.uniform(0.86, 1.18)
    pitch = (80 + 120 * (tract - 0.86) / 0.32) * drawn.uniform(0.85, 1.3)
    return Person(tract=tract, pitch=pitch, own=tuple(drawn.uniform(0.92, 1.08) for _ in range(3)))  # type: ignore[arg-type]


def voices(part: str) -> tuple[Clip, ...]:
    """The clips of a part: the enrolled person's (class 1), and those of strangers (class 0), each of whom speaks once.

    >>> clips = voices("enrolment")
    >>> len(clips), {clip.label for clip in clips}
    (20, {1})
    """
    seed, own, others = PARTS[part]
    drawn = random.Random(seed)
    people = [(1, person(ENROLLED))] * own + [(0, person(STRANGERS + 1000 * seed + i)) for i in range(others)]
    drawn.shuffle(people)
    return _clips(people, drawn, seed)


def training_voices() -> tuple[Clip, ...]:
    """Eight clips of each of 240 other people; the label is the number of the person."""
    drawn = random.Random(10)
    return _clips([(i, person(i)) for i in range(PEOPLE) for _ in range(EACH)], drawn, 10)


def _clips(people: list[tuple[int, Person]], drawn: random.Random, seed: int) -> tuple[Clip, ...]:
    words = [drawn.choice(WORDS) for _ in people]
    waves = spoken(words, [_speaking(who, drawn) for _, who in people], np.random.RandomState(seed))
    return tuple(Clip(id=f"clip-{i:04d}-{word}", samples=wave, label=label)
                 for i, ((label, _), word, wave) in enumerate(zip(people, words, waves, strict=True)))


def _speaking(who: Person, drawn: random.Random) -> Speaker:
    """The person in the mood of one clip."""
    pitch = who.pitch * drawn.uniform(0.94, 1.06)
    return Speaker(tract=who.tract, pitch=(pitch, pitch * drawn.uniform(0.75, 1.0)), tempo=drawn.uniform(0.85, 1.2),
                   start=drawn.uniform(0.05, 0.25), peak=drawn.uniform(0.2, 0.9), noise=drawn.uniform(0.0005, 0.004),
                   own=who.own)
