"""Decisions on sounds: labelled waveforms, and systems that return one score for each class."""

from __future__ import annotations

from assay.arrays import InputError
from assay.audits.recipe import Recipe
from assay.audits.text import established, split
from assay.datasets.bundled import SETS, names
from assay.datasets.measured import Dataset, Part
from assay.datasets.sounds import LabelledSounds, bundled_commands, bundled_voices, load_sounds
from assay.systems.shipped import NETWORKS

DATA, ESTABLISHED = "bundled:commands", ("commands-cepstra",)   # what is audited, and beside what, unless the user says
SHARD, KEEP = 25, 4         # samples per unit of work, witnesses kept of each

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited sounds; nothing is tuned at audit time, so none are set aside."""
    return limited(words, sounds(words)), None


def sounds(words: Recipe) -> LabelledSounds:
    """The sounds that the recipe names; `InputError` where a system that ships hears another rate."""
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
    return data


def limited(words: Recipe, data: LabelledSounds) -> Dataset:
    """The first so many of a bundled set; a folder was cut as it was read."""
    if words.limit is None or not words.data.startswith("bundled:"):
        return data
    return Part(data, tuple(range(min(words.limit, len(data.ids)))))
