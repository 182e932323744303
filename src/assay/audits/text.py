"""Decisions on texts: labelled texts, and systems that return one score for each class."""

from __future__ import annotations

from typing import Any

from assay.arrays import InputError
from assay.audits.recipe import Recipe, loaded
from assay.datasets.bundled import SETS, names
from assay.datasets.measured import Dataset, Part
from assay.datasets.texts import LabelledTexts, bundled_claims, bundled_notes, load_texts
from assay.systems import catalogue

DATA, ESTABLISHED = "bundled:notes", ("notes-tfidf",)       # what is audited, and beside what, unless the user says
SHARD, KEEP = 50, 8         # samples per unit of work, witnesses kept of each


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited texts; nothing is tuned at audit time, so none are set aside."""
    if not words.data.startswith("bundled:"):
        return load_texts(words.data, text_key=words.key, label_key=words.labels, classes=words.classes, limit=words.limit,
                          licence=words.licence), None
    return bundled(words, "text"), None


def bundled(words: Recipe, task: str) -> Dataset:
    """The bundled set of the task that the recipe names, or its first samples."""
    if words.data not in names(task):
        raise InputError(f"data {words.data!r}: unknown bundled set; known: {', '.join(names(task))}")
    part = SETS[words.data.removeprefix("bundled:")][1]
    data: LabelledTexts = bundled_claims(part) if task == "codes" else bundled_notes(part)
    return data if words.limit is None else Part(data, tuple(range(min(words.limit, len(data.ids)))))


def split(data: Dataset) -> tuple[Dataset, Dataset | None]:
    """A data set in memory is audited whole."""
    return data, None


def established(words: Recipe, name: str, audited: Dataset,
                tuning: Dataset | None) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """The established classifier, with the weights it ships with; `InputError` where it scores other classes."""
    found = loaded(words, name, "established")
    if (scored := scores_of(found, audited)) != len(audited.record.classes):
        raise InputError(f"established {name!r} scores {scored} classes, and the audited data have "
                         f"{len(audited.record.classes)}; name another with --established module:factory, or leave it out "
                         "with --established none")
    return found, {}


def scores_of(found: catalogue.Loaded, audited: Dataset) -> int:
    """How many classes the system scores, asked of the first sample."""
    scores = found.system(audited.fetch((0,)).inputs)       # type: ignore[operator]  # a classifier, not a family
    return int(scores.shape[1])
