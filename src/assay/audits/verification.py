"""Verification of a speaker: labelled waveforms of two classes, somebody else and the enrolled person."""

from __future__ import annotations

from assay.audits import sound
from assay.audits.recipe import Recipe
from assay.audits.sound import KEEP, SHARD, established, split
from assay.datasets.measured import Dataset
from assay.datasets.sounds import as_verification

DATA, ESTABLISHED = "bundled:voices", ("voices-cepstra",)       # what is audited, and beside what, unless the user says

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited sounds; a folder has two sub-folders, first those of others and then those of the person."""
    return sound.limited(words, as_verification(sound.sounds(words))), None
