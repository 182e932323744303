"""Decisions on sounds: labelled waveforms, and systems that return one score for each class."""

from __future__ import annotations

from typing import Any

from assay.arrays import InputError
from assay.audits import text
from assay.audits.recipe import Recipe
from assay.audits.text import split
from assay.datasets.bundled import SETS, names
from assay.datasets.measured import Dataset, Part
from assay.datasets.sounds import LabelledSounds, bundled_commands, bundled_voices, load_sounds
from assay.systems import catalogue
from assay.systems.shipped import NETWORKS

DATA, ESTABLISHED = "bundled:commands", ("commands-cepstra",)   # what is audited, and beside what, unless the user says
SHARD, KEEP = 25, 4         # samples per unit of work, witnesses kept of each

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited sounds; nothing is tuned at audit time, so none are set aside."""
    data: LabelledSounds
    if words.data.startswith("bundled:"):
        known = [*names("sound"), *names("verification")]
        if words.data not in known:
            raise InputError(f"data {words.data!r}: unknown bundled set; known: {', '.join(known)}")
        part = SETS[words.data.removeprefix("bundled:")][1]
        data = bundled_voices(part) if words.data.startswith("bundled:voices") else bundled_commands(part)
    else:
        data = load_sounds(words.data, classes=words.classes, size=words.size, limit=words.limit, licence=words.licence)
    for name in (*words.systems, *words.established):
        if (rate := NETWORKS[name].rate if name in NETWORKS else 0) not in (0, data.rate):
            raise InputError(f"system {name!r} hears {rate} samples a second, and the data have {data.rate}; bring them to "
                             f"its rate (ffmpeg -i IN -ar {rate} OUT)")
    if words.data.startswith("bundled:") and words.limit is not None:
        return Part(data, tuple(range(min(words.limit, len(data.ids))))), None
    return data, None


def established(words: Recipe, name: str, audited: Dataset,
                tuning: Dataset | None) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """The established classifier, with the weights it ships with; `InputError` where it scores other classes."""
    return text.established(words, name, audited, tuning)
