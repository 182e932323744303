"""Decisions on coded claims: records of codes with what is documented, and systems that return one score for each class."""

from __future__ import annotations

from assay.arrays import InputError
from assay.audits import text
from assay.audits.recipe import Recipe
from assay.audits.text import KEEP, SHARD, established, split
from assay.datasets.measured import Dataset
from assay.datasets.texts import checked_claims, load_texts
from assay.perturbations.codes import load_codes, read_claim, unknown
from assay.perturbations.revisions import TITLES
from assay.perturbations.written import texts_of

DATA, ESTABLISHED = "bundled:claims", ("claims-logistic",)      # what is audited, and beside what, unless the user says

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited claims; a table of them has the record in one column, a code a line."""
    if words.data.startswith("bundled:"):
        return text.bundled(words, "codes"), None
    return checked_claims(load_texts(words.data, text_key=words.key, label_key=words.labels, classes=words.classes,
                                     limit=words.limit, licence=words.licence)), None


def check_table(check: str, name: str, data: Dataset) -> None:
    """`InputError` where a table of rewrites is of another revision than the records, or a code of theirs does not exist."""
    table, revision = load_codes(name), data.record.options["revision"]
    if table.revision != revision:
        raise InputError(f"check {check!r}: its table {name} is of {TITLES[table.revision]}, and the records are coded in "
                         f"{TITLES[revision]}; name another table in the profile, or leave it out")
    if not table.whole:
        return
    x = data.fetch(range(len(data.ids)))
    for sample, record in zip(x.ids, texts_of(x), strict=True):
        if bad := [code for code in read_claim(record).codes if code not in table.names]:
            raise InputError(f"sample {sample!r}: {bad[0]!r} is no code of {TITLES[revision]} "
                             f"{unknown(bad[0], table.names, table.whole)}")
