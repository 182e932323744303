"""Decisions on coded claims: records of codes with what is documented, and systems that return one score for each class."""

from __future__ import annotations

from assay.audits import text
from assay.audits.recipe import Recipe
from assay.audits.text import KEEP, SHARD, established, split
from assay.datasets.measured import Dataset
from assay.datasets.texts import checked_claims, load_texts

DATA, ESTABLISHED = "bundled:claims", ("claims-logistic",)      # what is audited, and beside what, unless the user says

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited claims; a table of them has the record in one column, a code a line."""
    if words.data.startswith("bundled:"):
        return text.bundled(words, "codes"), None
    return checked_claims(load_texts(words.data, text_key=words.key, label_key=words.labels, classes=words.classes,
                                     limit=words.limit, licence=words.licence)), None
