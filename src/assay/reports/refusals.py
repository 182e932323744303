"""Refusal lines: what a community would not accept, and whether what was found lies beyond it. Pure: no folder, no clock.

A line names a check and a number with an interval (95 %, coverage at least that):

| kind | number | interval |
|---|---|---|
| `rate-above` | share of samples on which the check's criterion fired | Clopper–Pearson |
| `mean-above` | mean over samples of `number` ("worst", or a further number of the rows), between 0 and 1 | Hoeffding |
| `drop-above` | mean over samples of worst minus average case, between 0 and 1 | Hoeffding |
| `sensitivity-below` | share of class 1 called rightly at the threshold, under the worst case found | Clopper–Pearson |

*Crossed* where the whole interval lies beyond the line, *not crossed* where none of it does, else *cannot be told* with so
few samples. A worst case found bounds harm from below, so "not crossed" speaks of this search alone, and is never said where
the search is in doubt or unfinished; "crossed" needs a witness that can be replayed. No line makes a signal word: the label
has both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.numerics.bounded import bounded_mean_interval
from assay.numerics.intervals import clopper_pearson
from assay.records import Finding, Outcome, Verdict
from assay.reports.comparison import Comparison, rows_of
from assay.reports.two_classes import AsTest, as_tests
from assay.reports.wording import printable, significant
from assay.verdicts import DISCREDITING, SERIOUS, harm

State = Literal["crossed", "not crossed", "cannot be told"]
TAIL = 0.025        # of each end of a 95 % interval
REPLAYED = ("worst", "targeted.worst")      # numbers of a row that `assay verify` computes again from witnesses


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The number that a line is about, with its interval, from so many samples; or why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    why: str = ""
    recorded: bool = False      # beside a witness of something else: `assay verify` does not replay it


@dataclass(frozen=True, kw_only=True)
class RefusalLine:
    """One line of a profile, and where what was found lies."""

    id: str
    check: str
    sentence: str
    state: State
    limit: float
    measured: Measured
    why: str                # of "cannot be told"
    status: str
    source: str

    @property
    def words(self) -> str:
        """The line in one sentence, as label and report say it: never that anything was passed."""
        m = self.measured
        counted = f" with n = {m.n}" if m.n else ""
        found = "" if m.value is None or m.low is None or m.high is None else (
            f" Found: {_percent(m.value)} (95 % interval {_percent(m.low)} to {_percent(m.high)}), n = {m.n}"
            f"{'; recorded, without a witness of its own' if m.recorded else ''}.")
        reason = f" ({self.why})" if self.why else ""
        budget = " by what was found within this budget" if self.state == "not crossed" else ""
        state = f"{self.state}{counted if self.state == 'cannot be told' else budget}{reason}"
        return f"Refusal line of this profile ({self.status}), {printable(self.sentence).rstrip('.')}: {state}.{found}"


def refusal_lines(profile: Mapping[str, Any], rows: Sequence[Comparison], findings: Sequence[Finding],
                  header: Mapping[str, Any], *, complete: bool) -> list[RefusalLine]:
    """Every refusal line of the profile for one audited system; `rows` are its comparisons."""
    tests = {told.row.audited.check: told for told in as_tests(rows, findings, header)}
    by_check = {row.audited.check: row for row in rows}
    return [_line(line, by_check.get(line["check"]), findings, tests.get(line["check"]), complete)
            for line in profile.get("refusal", ())]


def refusals_by_system(header: Mapping[str, Any], rows: Sequence[Comparison], findings: Sequence[Finding], *,
                       complete: bool) -> dict[str, list[RefusalLine]]:
    """The refusal lines of every audited system that has a result; empty where the profile has none."""
    if not header["profile"].get("refusal"):
        return {}
    return {name: refusal_lines(header["profile"], [row for row in rows if row.audited.system == name], findings, header,
                                complete=complete) for name in dict.fromkeys(row.audited.system for row in rows)}


def state_of(measured: Measured, *, limit: float, below: bool) -> State:
    """Where an interval lies: beyond the line, not beyond it, or on both sides. A limit itself is not beyond.

    >>> state_of(Measured(value=0.1, low=0.06, high=0.2, n=90), limit=0.05, below=False)
    'crossed'
    >>> state_of(Measured(value=0.0, low=0.0, high=0.05, n=72), limit=0.05, below=False)
    'not crossed'
    """
    if measured.low is None or measured.high is None:
        return "cannot be told"
    low, high = (-measured.high, -measured.low) if below else (measured.low, measured.high)
    line = -limit if below else limit
    return "crossed" if low > line else "not crossed" if high <= line else "cannot be told"


def samples_needed(limit: float, *, below: bool) -> int:
    """The least n at which a line can be found not crossed: with no harm at all.

    >>> samples_needed(0.05, below=False), samples_needed(0.01, below=False), samples_needed(0.85, below=True)
    (72, 368, 23)
    """
    share = limit if below else 1 - limit
    return 1 if share <= 0 else math.ceil(math.log(TAIL) / math.log(share) - 1e-9)


def _line(line: Mapping[str, Any], row: Comparison | None, findings: Sequence[Finding], test: AsTest | None,
          complete: bool) -> RefusalLine:
    below = line["kind"] == "sensitivity-below"
    limit = float(line["least" if below else "most"])
    measured = Measured(why="its check has no result") if row is None else _measured(line, row, findings, test)
    state = state_of(measured, limit=limit, below=below)
    why = measured.why or _doubt(state, None if row is None else row.audited, complete)
    uncertain = bool(why)
    if not why and state == "cannot be told" and measured.n < (needed := samples_needed(limit, below=below)):
        why = f"even without any harm at least {needed} samples are needed"
    return RefusalLine(id=str(line["id"]), check=str(line["check"]), sentence=str(line["sentence"]), limit=limit,
                       state="cannot be told" if uncertain else state, measured=measured, why=why,
                       status=str(line["status"]), source=str(line["source"]))


def _doubt(state: State, verdict: Verdict | None, complete: bool) -> str:
    """Why what the interval says must not be said, or ""."""
    if verdict is None:
        return ""
    flags = {flag.id for flag in verdict.flags}
    if state == "crossed":
        if doubtful := sorted(flags & DISCREDITING):
            return f"what was found is in doubt: {', '.join(doubtful)}"
        return "" if verdict.witnesses else "no stored witness proves what was found"
    if state == "not crossed":
        if doubtful := sorted(flags & SERIOUS):
            return f"the search cannot be trusted: {', '.join(doubtful)}"
        if verdict.outcome is Outcome.INCONCLUSIVE:
            return verdict.reason
        return "" if complete else "the audit is unfinished"
    return ""


def _measured(line: Mapping[str, Any], row: Comparison, findings: Sequence[Finding], test: AsTest | None) -> Measured:
    verdict, kind = row.audited, line["kind"]
    if verdict.outcome is Outcome.NOT_APPLICABLE and not verdict.measured:
        return Measured(why=f"its check is not applicable: {verdict.reason}")
    if row.check.get("criterion", {}).get("kind") == "certifies":       # no harm is counted: 0 would say that there is none
        return Measured(why="its check proves a bound, and what is not proved is no harm")
    if kind == "sensitivity-below":
        return _sensitivity(test)
    if kind == "rate-above":
        if not verdict.n:
            return Measured(why=verdict.reason)
        low, high = clopper_pearson(verdict.harmed, verdict.n)
        return Measured(value=verdict.harmed / verdict.n, low=low, high=high, n=verdict.n)
    values = _by_sample(rows_of(findings, verdict), str(line.get("number", "")), drop=kind == "drop-above")
    if not values:
        return Measured(why=verdict.reason if not verdict.measured else f"no row tells {line.get('number', 'it')!r}")
    if not all(-1e-9 <= v <= 1 + 1e-9 for v in values):
        return Measured(why="it is about a share, and the numbers of this check are none")
    held = [min(max(v, 0.0), 1.0) for v in values]
    low, high = bounded_mean_interval(held)
    return Measured(value=math.fsum(held) / len(held), low=low, high=high, n=len(held),
                    recorded=kind == "mean-above" and line["number"] not in REPLAYED)


def _by_sample(rows: Sequence[Finding], number: str, *, drop: bool) -> list[float]:
    """The number of each sample, the mean of its rows."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if drop:
            pair = (row.worst, row.average)
            value = None if None in pair else max(0.0, harm(pair[0] or 0.0, row) - harm(pair[1] or 0.0, row))
        else:
            value = row.worst if number == "worst" else row.extra.get(number)
        if value is not None:
            found.setdefault(row.sample, []).append(value)
    return [math.fsum(values) / len(values) for values in found.values()]


def _sensitivity(test: AsTest | None) -> Measured:
    if test is None or test.audited is None:
        return Measured(why="sensitivity is defined for two classes, both among the samples, and systems that give scores")
    share = test.audited.worst.sensitivity
    count = round((share.value or 0.0) * share.n)
    low, high = clopper_pearson(count, share.n)
    return Measured(value=count / share.n, low=low, high=high, n=share.n)


def _percent(value: float) -> str:
    return f"{significant(100 * value)} %"
