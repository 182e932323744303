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
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.texts import encode
from assay.perturbations.phrases import GRADES
from assay.perturbations.protocol import Examples
from assay.perturbations.substitutions import texts_of

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
        try:
            return codes_from(Path(name).read_bytes(), name, names_of)
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror}); give the path of a .csv of rewrites") from None
    if name != "icd9":
        raise InputError(f"table {name!r}: known is icd9, or give the path of a .csv of rewrites")
    return codes_from(tables.joinpath("icd9_rewrites.csv").read_bytes(), name, names_of)


def codes_from(content: bytes, name: str, names: dict[str, str]) -> CodeTable:
    """The table that these bytes of a .csv file are; each row holds in both directions."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name}: not a UTF-8 .csv file ({error})") from None
    if not rows:
        raise InputError(f"{name}: no rows; the columns are {', '.join(COLUMNS)}")
    if missing := [column for column in COLUMNS if column not in rows[0]]:
        raise InputError(f"{name}: column {missing[0]!r} is missing; the columns are {', '.join(COLUMNS)}")
    found = []
    for line, row in enumerate(rows, start=2):
        before, after = (_codes(row[column], column, f"{name}, line {line}", names) for column in COLUMNS[:2])
        if row["grade"] not in GRADES:
            raise InputError(f"{name}, line {line}: grade {row['grade']!r}; known are {', '.join(GRADES)}")
        needs = frozenset(part.strip().lower() for part in (row["documented"] or "").split(";") if part.strip())
        if not needs:
            raise InputError(f"{name}, line {line}: no finding; a rewrite that nothing documents is none of the same claim")
        if set(before) == set(after):
            raise InputError(f"{name}, line {line}: the codes are rewritten by themselves; remove the row")
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
class CodeRewrites:
    """The records that at most `most` supported rewrites make of x, one after the other, each rule at most once.

    Parameters p (batch, rules) are 0 or 1 for each rule that could apply; chosen rules are applied in the table's order, as
    often round as one still applies. A chosen rule that never applies does nothing.
    """

    table: CodeTable
    most: int
    grades: tuple[str, ...] = GRADES

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(f"the number of rewrites must be at least 0, got {self.most}")

    @property
    def unit(self) -> str:
        return "codes rewritten"

    def rules(self, claim: Claim) -> tuple[Rewrite, ...]:
        """The rules that some sequence of rewrites could apply, in the table's order, however many are allowed."""
        supported = [r for r in self.table.rewrites if r.grade in self.grades and r.needs <= claim.findings]
        reached, before = set(claim.codes), -1
        while len(reached) > before:
            before = len(reached)
            reached |= {code for r in supported if set(r.before) <= reached for code in r.after}
        return tuple(r for r in supported if set(r.before) <= reached)

    def choices(self, x: Examples) -> Tensor:
        """1 for each rule of each record, (batch, rules); 0 where a record has fewer."""
        counts = [len(self.rules(read_claim(text))) for text in texts_of(x)]
        width = max(counts, default=0) or 1
        return torch.tensor([[1] * n + [0] * (width - n) for n in counts])

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(self.choices(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        changed = []
        for text, row in zip(texts_of(x), p.tolist(), strict=True):
            if not any(row):
                changed.append(text)
                continue
            claim = read_claim(text)
            rules = self.rules(claim)
            if any(row[len(rules):]):
                raise InputError(f"the record {text[:30]!r}… has other rules than the change was made for: is the table "
                                 f"{self.table.name!r} the same?")
            left_out = [rule for rule, choice in zip(rules, row, strict=False) if choice < 0]
            chosen = [rule for rule, choice in zip(rules, row, strict=False) if choice > 0]
            codes = _without(claim.codes, left_out) if left_out else _applied(claim.codes, chosen)
            changed.append(write_claim(Claim(codes=codes, findings=claim.findings, documented=claim.documented),
                                       self.table.names))
        return x.changed(inputs=torch.from_numpy(encode(changed)), truth=x.truth)

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

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return (p != 0).sum(1).double()

    def of_one(self, x: Examples, p: Tensor) -> Tensor:
        """The member (1, …) of a record alone that was found with others, which may have more rules: zeros are cut off."""
        width = self.choices(x).shape[1]
        if bool(p[:, width:].any()):
            raise InputError(f"the record {texts_of(x)[0][:30]!r}… has {width} rules, and the change more")
        return p[:, :width]


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
