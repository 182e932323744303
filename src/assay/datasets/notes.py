"""Synthetic clinical notes with a known risk: whatever words a note is written in, what it says decides its class.

A note is drawn as a list of facts, its class computed from the facts by a published points score, and each fact then put
into words: mostly the usual ones, sometimes an alternative (in 1 of 50 mentions of the notes to train on, as in a house
with its own style; in 1 of 10 of the audited ones). So two notes with the same facts have the same class for
certain, which no collection of real notes can promise. They are no patients: what is measured on them is whether a
classifier holds on to words or to what is said.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

HIGH = 4            # points from which the risk is high: moderate and high of the published three groups
FACTS: dict[str, tuple[int, float, tuple[str, ...]]] = {       # points, share of notes, wordings
    "alcohol": (3, 0.28, ("alcohol abuse", "alcohol dependence", "alcohol misuse", "alcohol use disorder")),
    "drugs": (4, 0.16, ("drug abuse", "drug dependence", "drug misuse", "drug use disorder")),
    "bipolar": (2, 0.10, ("bipolar disorder", "manic depression")),
    "depression": (1, 0.30, ("depression", "depressive disorder")),
}
FAMILY: tuple[int, float, tuple[str, ...]] = (3, 0.15, ("alcohol abuse", "alcohol dependence", "alcohol misuse"))
COMPLAINTS: dict[str, tuple[float, float, tuple[str, ...]]] = {    # share where the risk is low, where it is high, wordings
    "back": (0.25, 0.60, ("back pain", "lumbago")), "neck": (0.15, 0.10, ("neck pain", "cervicalgia")),
    "joint": (0.20, 0.10, ("joint pain", "arthralgia")), "muscle": (0.12, 0.10, ("muscle pain", "myalgia")),
    "head": (0.28, 0.10, ("headache", "cephalgia")),
}
BESIDES: dict[str, tuple[float, tuple[str, ...]]] = {
    "pressure": (0.35, ("high blood pressure", "hypertension")), "stones": (0.10, ("kidney stones", "nephrolithiasis")),
    "heart": (0.10, ("heart attack", "myocardial infarction")), "sleep": (0.25, ("trouble sleeping", "insomnia")),
    "reflux": (0.15, ("heartburn", "pyrosis")), "stroke": (0.07, ("stroke", "cerebrovascular accident")),
}
DENIED = ("fever", "shortness of breath", "chest pain", "alcohol abuse", "drug abuse", "painful urination")
PARTS = {"train": (1, 2000, 0.98), "tuning": (2, 400, 0.98), "audited": (3, 200, 0.9),
         "held-out": (4, 500, 0.9)}                          # seed, notes, share in usual words
ENDINGS = ("Asks for pain medication.", "Works in an office.", "Lives alone.", "Referred for review.",
           "No change since the last visit.", "Physical therapy was tried.")
CLASSES = ("low risk", "high risk")
SLIDE = "45-year-old man with chronic back pain. Past history: alcohol abuse, depression. Asks for pain medication."


@dataclass(frozen=True, kw_only=True)
class Note:
    """A note, its class (0 low, 1 high) and the points behind it."""

    id: str
    text: str
    label: int
    points: int


def notes(part: str) -> tuple[Note, ...]:
    """The notes of a part, drawn from its seed: the same on every machine. The first audited one is the talk's.

    The class is "high" from 4 points of the Opioid Risk Tool (Webster and Webster, Pain Medicine 6, 2005; the points for
    men): history of alcohol 3, of illegal drugs 4, in the family 3, age 16 to 45 1, depression 1, bipolar disorder 2.

    >>> [note.label for note in notes("audited")[:2]], len(notes("audited"))
    ([1, 0], 200)
    """
    seed, count, usual = PARTS[part]
    drawn = random.Random(seed)
    found = [_note(f"note-{i:04d}", drawn, usual) for i in range(count)]
    if part == "audited":
        found[0] = Note(id="note-of-the-talk", text=SLIDE, label=1, points=5)
    return tuple(found)


def _note(name: str, drawn: random.Random, usual: float) -> Note:
    age, woman = drawn.randint(18, 84), drawn.random() < 0.5
    points = int(16 <= age <= 45)
    history = []
    for worth, share, wordings in FACTS.values():
        if drawn.random() < share:
            points += worth
            history.append(_worded(wordings, drawn, usual))
    family = ""
    if drawn.random() < FAMILY[1]:
        points += FAMILY[0]
        family = f"{drawn.choice(('Father', 'Mother', 'Brother'))} with {_worded(FAMILY[2], drawn, usual)}."
    high = points >= HIGH
    history += [_worded(wordings, drawn, usual) for share, wordings in BESIDES.values() if drawn.random() < share]
    drawn.shuffle(history)
    weights = [at_high if high else at_low for at_low, at_high, _ in COMPLAINTS.values()]
    complaint = drawn.choices([wordings for _, _, wordings in COMPLAINTS.values()], weights)[0]
    opening = drawn.choice(("{who} with {what} for {n} months.", "{who}, {what} since {n} weeks.",
                            "{who} seen for chronic {what}.", "{who} presents with {what}."))
    who = f"{age}-year-old {'woman' if woman else 'man'}"
    sentences = [opening.format(who=who, what=_worded(complaint, drawn, usual), n=drawn.randint(2, 24))]
    if history:
        sentences.append(f"{drawn.choice(('Past history', 'History of', 'Known'))}: {', '.join(history)}.")
    if family:
        sentences.append(family)
    if drawn.random() < 0.5:
        sentences.append(f"Denies {' and '.join(drawn.sample(_not_said(DENIED, history), 2))}.")
    sentences.append(drawn.choice(ENDINGS))
    return Note(id=name, text=" ".join(sentences), label=int(high), points=points)


def _worded(wordings: Sequence[str], drawn: random.Random, usual: float) -> str:
    return wordings[0] if len(wordings) == 1 or drawn.random() < usual else drawn.choice(wordings[1:])


def _not_said(phrases: Sequence[str], history: Sequence[str]) -> list[str]:
    """What a note may deny without contradicting itself."""
    said = " ".join(history)
    return [phrase for phrase in phrases if phrase.split()[0] not in said]
