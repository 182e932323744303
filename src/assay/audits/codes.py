"""Decisions on coded claims: records of codes with what is documented, and systems that return one score for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.audits import text
from assay.audits.recipe import Recipe
from assay.audits.text import KEEP, SHARD, split
from assay.datasets.measured import Dataset
from assay.datasets.texts import checked_claims, load_texts
from assay.perturbations.codes import load_codes, read_claim, unknown
from assay.perturbations.revisions import FORMS, TITLES, dotted
from assay.perturbations.written import texts_of
from assay.systems.catalogue import Loaded
from assay.systems.code_classifiers import OfCodes

DATA, ESTABLISHED = "bundled:claims", ("claims-logistic",)      # what is audited, and beside what, unless the user says
KNOWN = 0.5         # share of the records' codes that a shipped classifier must know to be one that others stand beside

__all__ = ["DATA", "ESTABLISHED", "KEEP", "SHARD", "datasets", "established", "split"]


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited claims; a table of them has the record in one column, a code a line."""
    if words.data.startswith("bundled:"):
        return text.bundled(words, "codes"), None
    return checked_claims(load_texts(words.data, text_key=words.key, label_key=words.labels, classes=words.classes,
                                     limit=words.limit, licence=words.licence)), None


def established(words: Recipe, name: str, audited: Dataset, tuning: Dataset | None) -> tuple[Loaded, dict[str, Any]]:
    """The established classifier; `InputError` where it scores other classes, or does not know the codes of the records.

    One that knows no code decides all recodings alike, and beside it every system would look unstable.
    """
    found, choice = text.established(words, name, audited, tuning)
    module = getattr(found.system, "module", None)
    if isinstance(module, OfCodes):
        codes = [code for _, record in _records(audited) for code in read_claim(record).codes]
        known = sum(code in module.index for code in codes) / len(codes)
        if known < KNOWN:
            raise InputError(f"established {name!r} knows {known:.0%} of the codes in these records, so it is none to "
                             "compare with; name another with --established, or leave it out with --established none")
    return found, choice


def check_table(check: str, name: str, data: Dataset) -> None:
    """`InputError` where a table of rewrites is of another revision than the records, or a code of theirs does not exist."""
    table, revision = load_codes(name), data.record.options["revision"]
    if table.revision != revision:
        raise InputError(f"check {check!r}: its table {name} is of {TITLES[table.revision]}, and the records are coded in "
                         f"{TITLES[revision]}; name another table in the profile, or leave it out")
    if not table.whole:
        return
    for sample, record in _records(data):
        if bad := [code for code in read_claim(record).codes if code not in table.names]:
            raise InputError(f"sample {sample!r}: {bad[0]!r} is no code of {TITLES[revision]} "
                             f"{unknown(bad[0], table.names, table.whole)}")


def priced(path: str, amounts: Mapping[str, float], data: Dataset, profile: Mapping[str, Any]) -> dict[str, float]:
    """What each code is worth, with its dot; `InputError` naming file, line and code where a tariff is not of these records.

    Refused are codes of another revision or of none, a code twice (with its dot and without), and a tariff that prices no
    code that a record has or a rewrite of a check could give it: it would say of every record that it is worth nothing.
    """
    revision, found = data.record.options["revision"], dict[str, float]()
    for said, amount in amounts.items():
        code = said if "." in said else dotted(said.strip().upper(), revision)
        where = f"{path}{_line_of(path, said)}: codes: {said!r}"
        if not FORMS[revision].fullmatch(code):
            raise InputError(f"{where} is written like no code of {TITLES[revision]}, in which the records are coded; write "
                             "it with its dot and its zeros, or remove it")
        if code in found:
            raise InputError(f"{where} is {code}, which stands above already; keep one")
        found[code] = amount
    tables = {str(check["perturbation"].get("table", revision)) for check in profile["checks"]
              if check.get("perturbation", {}).get("kind") == "codes"}
    known = {code for _, record in _records(data) for code in read_claim(record).codes}
    reachable = {code for name in tables for rule in load_codes(name).rewrites for code in rule.after}
    if not known & found.keys() and not reachable & found.keys():
        raise InputError(f"{path}: codes: none of the {len(found)} codes, such as {next(iter(found))!r}, is in a record or "
                         f"in a rewrite of one; the records have {', '.join(sorted(known)[:3])}, …: price those, or "
                         "leave out codes and paid")
    return found


def _line_of(path: str, key: str) -> str:
    """Where a key stands in the file, as ", line 7", or "" where it is written in other letters."""
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return next((f", line {n}" for n, line in enumerate(lines, start=1)
                 if line.partition("=")[0].strip().strip("\"'") == key), "")


def _records(data: Dataset) -> list[tuple[str, str]]:
    """Every sample by name, as text."""
    x = data.fetch(range(len(data.ids)))
    return list(zip(x.ids, texts_of(x), strict=True))
