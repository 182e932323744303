"""Classification: labelled images, and classifiers that return one score for each class."""

from __future__ import annotations

from typing import Any

from assay.arrays import InputError
from assay.audits.recipe import Recipe, loaded
from assay.datasets.bundled import SETS, names
from assay.datasets.labelled import bundled_digits, load_labelled
from assay.datasets.measured import Dataset, Part
from assay.systems import catalogue

DATA, ESTABLISHED = "bundled:digits", ("hog-svm",)      # what is audited, and beside what, unless the user says
SHARD, KEEP = 50, 8         # samples per unit of work, witnesses kept of each


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited samples; nothing is chosen at audit time, so none are set aside."""
    if words.data.startswith("bundled:"):
        if words.data not in names("classification"):
            raise InputError(f"data {words.data!r}: unknown bundled set; known: {', '.join(names('classification'))}")
        data: Dataset = bundled_digits(SETS[words.data.removeprefix("bundled:")][1])
        if words.limit is not None:
            data = Part(data, tuple(range(min(words.limit, len(data.ids)))))
        return data, None
    return load_labelled(words.data, image_key=words.key, label_key=words.labels, classes=words.classes,
                         value_range=words.value_range, limit=words.limit, licence=words.licence), None


def split(data: Dataset) -> tuple[Dataset, Dataset | None]:
    """A data set in memory is audited whole."""
    return data, None


def established(words: Recipe, name: str, audited: Dataset,
                tuning: Dataset | None) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """The established classifier; its settings were chosen by its recipe, on other samples, and stand in its weights."""
    return loaded(words, name, "established"), {}
