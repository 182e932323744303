"""Every group of samples by itself, and the worst one by name: what an overall rate can hide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.numerics.intervals import clopper_pearson
from assay.records import Finding, Verdict
from assay.reports.comparison import Comparison, rows_of
from assay.verdicts import apart, harmed, pair_of, raised_before, rows_by_pair

LEVEL = 0.95            # of all groups of a check and system together


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group: `harmed` of `n` judged samples, `wrong` of `known` decided wrongly without any change."""

    name: str
    harmed: int
    n: int
    low: float
    high: float
    wrong: int
    known: int

    @property
    def rate(self) -> float:
        return self.harmed / self.n


@dataclass(frozen=True, kw_only=True)
class Subgroups:
    """The groups of one check and one system, the worst first: the greatest rate, of equal ones the surest.

    Intervals are Clopper and Pearson's at 1 − 0.05/G for G groups (Bonferroni), so that all hold together with 95 %.
    `apart` tells whether the worst group's interval lies above another's: else the differences may be chance.
    """

    check: str
    title: str
    system: str
    groups: tuple[Group, ...]

    @property
    def worst(self) -> Group:
        return self.groups[0]

    @property
    def apart(self) -> bool:
        return any(self.worst.low > other.high for other in self.groups[1:])


def subgroups(rows: Sequence[Comparison], findings: Sequence[Finding], groups: Mapping[str, str]) -> list[Subgroups]:
    """Of every judged check, the audited system's and the established method's; none of fewer than two groups."""
    if len(set(groups.values())) < 2:
        return []
    first = {row.audited.check: row.audited for row in reversed(rows)}      # beside whom an established method is judged
    return [found for row in rows for verdict, beside in ((row.audited, row.established),
                                                          (row.established, first[row.audited.check]))
            if verdict is not None and (found := _of(row, verdict, beside, findings, groups)) is not None]


def _of(row: Comparison, verdict: Verdict, beside: Verdict | None, findings: Sequence[Finding],
        groups: Mapping[str, str]) -> Subgroups | None:
    criterion = row.check.get("criterion", {})
    if criterion.get("kind") in (None, "certifies", "measures"):
        return None
    own = rows_of(findings, verdict)
    other = {} if beside is None else rows_by_pair(findings, row.check, beside.system,
                                                   raised_before(findings, beside.system))
    fired: dict[str, bool] = {}
    for f in own:
        if f.sample in groups and (told := harmed(f, criterion, other.get(pair_of(f)))) is not None:
            fired[f.sample] = fired.get(f.sample, False) or told
    decided = {f.sample: apart(f) for f in own if f.sample in groups and "already-wrong" in f.extra}
    names = sorted({groups[sample] for sample in fired})
    if len(names) < 2:
        return None
    level = 1 - (1 - LEVEL) / len(names)
    found = []
    for name in names:
        mine = [value for sample, value in fired.items() if groups[sample] == name]
        known = [wrong for sample, wrong in decided.items() if groups[sample] == name]
        low, high = clopper_pearson(sum(mine), len(mine), level=level)
        found.append(Group(name=name, harmed=sum(mine), n=len(mine), low=low, high=high, wrong=sum(known), known=len(known)))
    return Subgroups(check=verdict.check, title=row.title, system=verdict.system,
                     groups=tuple(sorted(found, key=lambda g: (-g.rate, -g.low, g.name))))


def data(found: Subgroups) -> dict[str, Any]:
    """The same for `--format json`."""
    return {"check": found.check, "system": found.system, "worst": found.worst.name, "told_apart": found.apart, "groups": [
        {"name": g.name, "harmed": g.harmed, "n": g.n, "ci95_of_all": [g.low, g.high], "wrong_unchanged": g.wrong,
         "decided": g.known} for g in found.groups]}
