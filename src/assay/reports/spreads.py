"""How far equivalent records lie apart: in the score, in the decision, and in money where a tariff was given.

From rows alone, each of one record. Told are distances; as which of its equivalents a record is worth most is in no row.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay.numerics.intervals import mean_interval, wilson
from assay.records import Finding, Stop, Verdict
from assay.reports.comparison import Comparison, Estimate, rows_of

SCORE, DECISIONS, MONEY = "spread.score", "spread.decisions", "spread.money"


@dataclass(frozen=True, kw_only=True)
class Apart:
    """The records of one check and one system: `whole` of n had every member of their set asked.

    `score` is the mean spread, `greatest` the greatest; `inconsistent` the share with two decisions; `money` the mean
    spread in the `currency`, `most` the greatest; None without a tariff.
    """

    check: str
    title: str
    system: str
    level: float | None
    unit: str
    n: int
    whole: int
    score: Estimate
    greatest: float
    inconsistent: Estimate
    money: Estimate | None = None
    most: float | None = None
    currency: str = ""


def spreads(rows: Sequence[Comparison], findings: Sequence[Finding]) -> list[Apart]:
    """The audited system's and the established method's, of each check that asked about the members of finite sets.

    Checks that ask about the same set in two ways are told once.
    """
    told: dict[str, Apart] = {}
    for row in rows:
        for verdict in filter(None, (row.audited, row.established)):
            if (found := _of(row, verdict, findings)) is not None:
                told.setdefault(repr((verdict.system, row.check.get("perturbation"), verdict.level)), found)
    return list(told.values())


def _of(row: Comparison, verdict: Verdict, findings: Sequence[Finding]) -> Apart | None:
    told = [f for f in rows_of(findings, verdict) if SCORE in f.extra]
    if not told:
        return None
    scores, money = [f.extra[SCORE] for f in told], [f.extra[MONEY] for f in told if MONEY in f.extra]
    several = sum(f.extra.get(DECISIONS, 1.0) > 1 for f in told)
    low, high = wilson(several, len(told))
    tariff = row.check.get("search", {}).get("tariff", {})
    return Apart(
        check=verdict.check, title=row.title, system=verdict.system, level=verdict.level, unit=verdict.unit, n=len(told),
        whole=sum(f.stop is Stop.EXHAUSTED for f in told), score=_mean(scores), greatest=max(scores),
        inconsistent=Estimate(value=several / len(told), low=low, high=high, n=len(told)),
        money=_mean(money) if money else None, most=max(money, default=None), currency=str(tariff.get("currency", "")))


def _mean(values: Sequence[float]) -> Estimate:
    low, high = mean_interval(values) if len(values) > 1 else (None, None)
    return Estimate(value=statistics.fmean(values), low=low, high=high, n=len(values))


def data(found: Apart) -> dict[str, Any]:
    """The same for `--format json`."""
    def told(estimate: Estimate | None) -> dict[str, Any] | None:
        return None if estimate is None else {
            "value": estimate.value, "ci95": None if estimate.low is None else [estimate.low, estimate.high]}

    return {"check": found.check, "system": found.system, "level": found.level, "unit": found.unit, "n": found.n,
            "every_member_asked": found.whole, "score": told(found.score), "greatest_score": found.greatest,
            "inconsistent": told(found.inconsistent), "money": told(found.money), "greatest_money": found.most,
            "currency": found.currency or None}
