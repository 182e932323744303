"""Classification: labelled images, and classifiers that return one score for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.audits.fitted import fitted
from assay.audits.recipe import Recipe, loaded
from assay.datasets.bundled import SETS, names
from assay.datasets.formats_labelled import training_keys
from assay.datasets.labelled import LabelledImages, bundled_digits, load_labelled
from assay.datasets.measured import Dataset, Part
from assay.systems import catalogue
from assay.systems.fitting import METHODS

DATA, ESTABLISHED = "bundled:digits", ("hog-svm",)      # what is audited, and beside what, unless the user says
SHARD, KEEP = 50, 8         # samples per unit of work, witnesses kept of each


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited samples; what is fitted at audit time is fitted to data of their own, so none are set aside."""
    bundled = words.data.startswith("bundled:")
    data = _images(words.data, words, image_key=words.key, label_key=words.labels, limit=None if bundled else words.limit)
    if bundled and words.limit is not None:
        return Part(data, tuple(range(min(words.limit, len(data.ids))))), None
    return data, None


def _images(where: str, words: Recipe, *, image_key: str | None, label_key: str | None,
            limit: int | None = None) -> LabelledImages:
    if not where.startswith("bundled:"):
        return load_labelled(where, image_key=image_key, label_key=label_key, classes=words.classes,
                             value_range=words.value_range, limit=limit, licence=words.licence)
    if where not in names("classification"):
        raise InputError(f"data {where!r}: unknown bundled set; known: {', '.join(names('classification'))}")
    return bundled_digits(SETS[where.removeprefix("bundled:")][1])


def split(data: Dataset) -> tuple[Dataset, Dataset | None]:
    """A data set in memory is audited whole."""
    return data, None


def established(words: Recipe, name: str, audited: Dataset,
                tuning: Dataset | None) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """The established classifier: fitted to the data of `fit`, or with the weights it ships with or is given."""
    if words.fit and name in METHODS and name not in words.weights:
        return fitted(name, fitting_data(words), audited, where=str(words.fit), seed=words.seed)
    found = loaded(words, name, "established")
    if name in METHODS:
        _check_fits(found, audited)
    return found, {}


def fitting_data(words: Recipe) -> LabelledImages:
    """The labelled images of `fit`, read as the audited ones are.

    Of an .npz the arrays that `fit_key` and `fit_labels` name, else those of its training part if they have usual names,
    else those that the audited ones are read from.
    """
    where, keys = str(words.fit), (words.fit_key, words.fit_labels)
    if keys == (None, None) and where.lower().endswith(".npz") and Path(where).is_file():
        keys = training_keys(Path(where)) or (words.key, words.labels)
    return _images(where, words, image_key=keys[0], label_key=keys[1])


def _check_fits(found: catalogue.Loaded, audited: Dataset) -> None:
    """`InputError` unless the classifier takes the audited images and scores their classes."""
    name, classes = found.record.name, len(audited.record.classes)
    try:
        scores = found.system(audited.fetch((0,)).inputs)       # type: ignore[operator]  # a classifier, not a family
        reason = f"it scores {scores.shape[1]} classes, and they have {classes}" if scores.shape[1] != classes else ""
    except InputError as error:
        reason = str(error)
    if reason:
        raise InputError(f"established {name!r} does not fit the audited data: {reason}. Give labelled images to fit it to "
                         "with --fit DATA, or leave it out with --established none")
