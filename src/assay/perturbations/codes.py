"""Claims that code the same findings otherwise: rewrites of diagnosis codes, each supported by what is documented.

A record is a text: a line for each code, with or without its name, then a line "Documented:" with the findings, separated
by commas. Codes are those of one revision of one classification: the one whose table of names is used.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import ClassVar

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.protocol import Examples
from assay.perturbations.written import GRADES, Written, table_bytes, table_rows, texts_of

LINE = re.compile(r"^\s*([EV]?\d{2,3}(?:\.\d{1,2})?)(?:\s+\S.*)?$")
DOCUMENTED = "documented:"
COLUMNS = ("codes", "instead", "documented", "grade", "source")


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """The codes `before` may be replaced by `after` where all `needs` are documented."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    needs: frozenset[str]
    grade: str


@dataclass(frozen=True, kw_only=True, eq=False)
class CodeTable:
    """Which codes may stand for which, in both directions, and the standard name of each code."""

    name: str
    digest: str
    rewrites: tuple[Rewrite, ...]
    names: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A record taken apart: its codes in order, the findings documented, and what is documented in its own words."""

    codes: tuple[str, ...]
    findings: frozenset[str]
    documented: str


@functools.lru_cache(maxsize=100_000)
def read_claim(text: str) -> Claim:
    """The record that a text is; `InputError` naming the line that is neither a code nor "Documented: …".

    >>> read_claim("277.7 Dysmetabolic syndrome X\\nDocumented: hypertension, obesity").codes
    ('277.7',)
    """
    codes, documented = [], ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().lower().startswith(DOCUMENTED):
            documented = line.strip()[len(DOCUMENTED):].strip().rstrip(".")
        elif match := LINE.match(line):
            codes.append(match.group(1))
        elif line.strip():
            raise InputError(f"record {text[:30]!r}…, line {number}: {line.strip()[:40]!r} is neither an ICD-9 code nor "
                             "\"Documented: …\"")
    findings = frozenset(part.strip().lower() for part in documented.split(",") if part.strip())
    return Claim(codes=tuple(codes), findings=findings, documented=documented)


def write_claim(claim: Claim, names: dict[str, str]) -> str:
    """The record as text, each code with its standard name."""
    lines = [f"{code} {names[code]}" if code in names else code for code in claim.codes]
    return "\n".join([*lines, f"Documented: {claim.documented}"] if claim.documented else lines)


@functools.cache
def load_codes(name: str) -> CodeTable:
    """The table of rewrites that ships with Assay ("icd9"), or a user's own, by the path of its .csv.

    The columns are codes, instead (both with blanks between codes), documented (findings, with semicolons), grade, source.
    """
    tables = resources.files(__package__).joinpath("tables")
    names_of = _names(tables.joinpath("icd9.csv").read_bytes())
    if name.lower().endswith(".csv"):
        return codes_from(table_bytes(name, "rewrites"), name, names_of)
    if name != "icd9":
        raise InputError(f"table {name!r}: known is icd9, or give the path of a .csv of rewrites")
    return codes_from(tables.joinpath("icd9_rewrites.csv").read_bytes(), name, names_of)


def codes_from(content: bytes, name: str, names: dict[str, str]) -> CodeTable:
    """The table that these bytes of a .csv file are; each row holds in both directions."""
    found = []
    for place, row in table_rows(content, name, COLUMNS):
        before, after = (_codes(row[column], column, place, names) for column in COLUMNS[:2])
        needs = frozenset(part.strip().lower() for part in (row["documented"] or "").split(";") if part.strip())
        if not needs:
            raise InputError(f"{place}: no finding; a rewrite that nothing documents is none of the same claim")
        if set(before) == set(after):
            raise InputError(f"{place}: the codes are rewritten by themselves; remove the row")
        found += [Rewrite(before=a, after=b, needs=needs, grade=row["grade"]) for a, b in ((before, after), (after, before))]
    return CodeTable(name=name, digest=hashlib.sha256(content).hexdigest(), rewrites=tuple(found), names=names)


def _codes(value: str | None, column: str, place: str, names: dict[str, str]) -> tuple[str, ...]:
    codes = tuple((value or "").split())
    if not codes:
        raise InputError(f"{place}: {column} is empty")
    if unknown := [code for code in codes if code not in names]:
        raise InputError(f"{place}: {column} {unknown[0]!r} is no code of this revision that the table of names knows")
    return codes


def _names(content: bytes) -> dict[str, str]:
    return {row["code"]: row["name"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))}


@dataclass(frozen=True, kw_only=True)
class CodeRewrites(Written):
    """The records that at most `most` supported rewrites make of x, one after the other, each rule at most once.

    A place is a rule that could apply, and has one alternative: that it does. Chosen rules are applied in the table's order,
    as often round as one still applies; one that never applies does nothing. Left out are the codes that a rule would
    rewrite.
    """

    told_as: ClassVar[str] = "rules"
    table: CodeTable
    grades: tuple[str, ...] = GRADES

    @property
    def unit(self) -> str:
        return "codes rewritten"

    def rules(self, claim: Claim) -> tuple[Rewrite, ...]:
        """The rules that some sequence of rewrites could apply, in the table's order, however many are allowed."""
        return _rules(claim, self.table, tuple(self.grades))

    def counts(self, text: str) -> list[int]:
        return [1] * len(self.rules(read_claim(text)))

    def changed(self, text: str, chosen: Sequence[int]) -> str:
        claim = read_claim(text)
        rules = self.rules(claim)
        left_out = [rule for rule, choice in zip(rules, chosen, strict=True) if choice < 0]
        taken = [rule for rule, choice in zip(rules, chosen, strict=True) if choice > 0]
        codes = _without(claim.codes, left_out) if left_out else _applied(claim.codes, taken)
        return write_claim(replace(claim, codes=codes), self.table.names)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """`size` (or `most`) rewrites at random, each among those that apply to what the ones before it made."""
        p = self.zero(x)
        for i, (text, generator) in enumerate(zip(texts_of(x), generators, strict=True)):
            claim = read_claim(text)
            rules, codes = self.rules(claim), claim.codes
            for _ in range(self.most if size is None else round(float(size[i]))):
                ready = [j for j, rule in enumerate(rules) if not p[i, j] and set(rule.before) <= set(codes)
                         and _applied(claim.codes, [r for k, r in enumerate(rules) if p[i, k] or k == j]) != codes]
                if not ready:
                    break
                p[i, ready[int(torch.randint(len(ready), (), generator=generator))]] = 1
                codes = _applied(claim.codes, [r for k, r in enumerate(rules) if p[i, k]])
        return p


@functools.lru_cache(maxsize=100_000)
def _rules(claim: Claim, table: CodeTable, grades: tuple[str, ...]) -> tuple[Rewrite, ...]:
    supported = [r for r in table.rewrites if r.grade in grades and r.needs <= claim.findings]
    reached, before = set(claim.codes), -1
    while len(reached) > before:
        before = len(reached)
        reached |= {code for r in supported if set(r.before) <= reached for code in r.after}
    return tuple(r for r in supported if set(r.before) <= reached)


def _applied(codes: tuple[str, ...], chosen: Sequence[Rewrite]) -> tuple[str, ...]:
    """The codes after the chosen rules, each once, as often round as one still applies."""
    waiting, moved = list(chosen), True
    while moved:
        moved = False
        for rule in list(waiting):
            if set(rule.before) <= set(codes):
                at = min(codes.index(code) for code in rule.before)
                kept = [code for code in codes if code not in rule.before]
                place = sum(code not in rule.before for code in codes[:at])
                kept[place:place] = [code for code in rule.after if code not in kept]
                codes = tuple(kept)
                waiting.remove(rule)
                moved = True
    return codes


def _without(codes: tuple[str, ...], rules: Sequence[Rewrite]) -> tuple[str, ...]:
    """The codes without those that the rules would rewrite: no claim of the set, but what a search ranks rules by."""
    gone = {code for rule in rules for code in rule.before}
    return tuple(code for code in codes if code not in gone)
