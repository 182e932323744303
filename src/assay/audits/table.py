"""Decisions on rows of a table: labelled rows, what may change in them, and systems that return one score for each class."""

from __future__ import annotations

from assay.arrays import InputError
from assay.audits.recipe import Recipe
from assay.audits.text import established, split
from assay.datasets.bundled import SETS, names
from assay.datasets.measured import Dataset, Part
from assay.datasets.tables import bundled_applications, load_rows

DATA, ESTABLISHED = "bundled:applications", ("applications-logistic",)      # which know the fields of no other table
SHARD, KEEP = 50, 8         # samples per unit of work, witnesses kept of each

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited rows; nothing is tuned at audit time, so none are set aside."""
    if words.data.startswith("bundled:"):
        return _bundled(words), None
    if not words.fields:
        raise InputError(f"{words.data}: which columns a system sees, and what may change in them, is not said; give "
                         "--fields FILE.toml")
    return load_rows(words.data, fields=words.fields, label_key=words.labels, classes=words.classes, limit=words.limit,
                     licence=words.licence), None


def _bundled(words: Recipe) -> Dataset:
    """The bundled rows that the recipe names, or the first of them, with the fields that belong to them."""
    if words.data not in names("table"):
        raise InputError(f"data {words.data!r}: unknown bundled set; known: {', '.join(names('table'))}")
    if words.fields:
        raise InputError(f"--fields {words.fields}: {words.data} has its own fields; leave it out, or give a .csv of rows")
    data = bundled_applications(SETS[words.data.removeprefix("bundled:")][1])
    return data if words.limit is None else Part(data, tuple(range(min(words.limit, len(data.ids)))))
