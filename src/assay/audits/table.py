"""Decisions on rows of a table: labelled rows, what may change in them, and systems that return one score for each class."""

from __future__ import annotations

from assay.arrays import InputError
from assay.audits.recipe import Recipe
from assay.audits.text import established, split
from assay.datasets.measured import Dataset
from assay.datasets.tables import load_rows

DATA: str = ""                          # no table ships with Assay
ESTABLISHED: tuple[str, ...] = ()       # nor a system for one: an established method is named by the user
SHARD, KEEP = 50, 8         # samples per unit of work, witnesses kept of each

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited rows; nothing is tuned at audit time, so none are set aside."""
    if not words.data:
        raise InputError("no table is given, and none ships with Assay; give a .csv or .tsv of rows")
    if not words.fields:
        raise InputError(f"{words.data}: which columns a system sees, and what may change in them, is not said; give "
                         "--fields FILE.toml")
    return load_rows(words.data, fields=words.fields, label_key=words.labels, classes=words.classes, limit=words.limit,
                     licence=words.licence), None
