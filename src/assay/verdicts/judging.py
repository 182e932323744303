"""Verdicts from findings: one check on one system, and every check of a profile on every system."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.numerics.intervals import mean_interval, wilson
from assay.numerics.pairs import sign_test
from assay.records import LENT, TURNED, Finding, Flag, Outcome, Role, Stop, Verdict
from assay.verdicts.criteria import DISCREDITING, SERIOUS, apart, harmed
from assay.verdicts.proofs import contradictions, proof, proved


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """One system's rows of one check at the level that is judged: its own search's, and those under others' changes."""

    own: list[Finding]
    judged: list[tuple[Finding, bool]]      # with whether the criterion fired
    carried: list[Finding]                  # under a change that was found for another system
    other: Mapping[tuple[str, str, float], Finding]     # of the system that the criterion compares with

    @property
    def wrong(self) -> set[str]:
        """Samples that were wrong without any change."""
        return {f.sample for f in self.own if apart(f)}

    @property
    def harmed(self) -> int:
        return len({f.sample for f, fired in self.judged if fired})

    @property
    def n(self) -> int:
        return len({f.sample for f, _ in self.judged})


def _rows(findings: Sequence[Finding], check: Mapping[str, Any], system: str, beside: str,
          doubts: Sequence[Flag]) -> _Rows:
    criterion, level = check["criterion"], check["criterion"].get("level")
    at = [f for f in findings if f.check == check["id"] and f.system == system
          and (level is None or f.level is None or abs(f.level - level) < 1e-12)]
    own, other = [f for f in at if f.origin == system], rows_by_pair(findings, check, beside, doubts)
    judged = [(f, fired) for f in own if (fired := harmed(f, criterion, other.get(pair_of(f)))) is not None]
    return _Rows(own=own, judged=judged, carried=[f for f in at if f.origin != system], other=other)


def judge(findings: Iterable[Finding], check: Mapping[str, Any], system: str, *, role: Role,
          blocked: Sequence[Flag] = (), expected: int | None = None, skipped: str = "", beside: str = "",
          doubts: Sequence[Flag] = ()) -> Verdict:
    """The verdict of one check on one system, from its own rows (transfer rows give the transfer mean).

    `beside` is the system that a criterion compares with, `doubts` serious flags raised about that one beforehand.
    `blocked` are serious flags raised about the system before the check (preflight); `expected` the number of samples
    planned: fewer judged ones make "none found" inconclusive.
    """
    criterion, findings = check["criterion"], list(findings)
    rows = _rows(findings, check, system, beside, doubts)
    own, n, proves = rows.own, rows.n, criterion["kind"] == "certifies"
    if proves:
        blocked = [*blocked, *contradictions(findings, own)]
    carried = check.get("search", {}).get("kind") == "transfer"
    flags = _unique([*blocked, *(g for f in own for g in f.flags), *_of_decisions(own, rows.judged, criterion),
                     *(unmoved(rows.judged) if carried else ())])
    certified = {f.sample for f, _ in rows.judged if proves and proved(f, criterion)}
    failure = max((f.extra["failure-probability"] for f in own if "failure-probability" in f.extra), default=None)
    outcome, reason = _concluded(rows, criterion, flags, len(certified), failure, skipped,
                                 None if expected is None else expected - len(rows.wrong))
    if not skipped:
        reason += _notes(rows, criterion, beside) + (_of_lenders(rows.judged) if carried else "")
    if criterion["kind"] == "invents" and outcome in (Outcome.UNSTABLE, Outcome.NONE_FOUND):
        reason += _chance_of_none(own)
    told = own if criterion["kind"] == "measures" else [f for f, _ in rows.judged] + [f for f in own if apart(f)]
    return Verdict(
        check=check["id"], system=system, role=role, outcome=outcome, reason=reason, criterion=criterion["sentence"],
        metric=check["metric"], better=own[0].better if own else "lower", level=criterion.get("level"),
        unit=own[0].unit if own else check.get("unit", ""), n=n, harmed=rows.harmed, certified=len(certified),
        failure=failure if proves else None, apart=len(rows.wrong), witnesses=sum(f.witness is not None for f in own),
        transfer=_mean(f.worst for f in rows.carried), flags=tuple(flags), **_numbers(told, criterion),
        **_rate(rows.harmed, n, proves=proves))


def _rate(count: int, n: int, *, proves: bool) -> dict[str, Any]:
    """The share that was harmed, with its interval; of proofs there is none."""
    if proves or not n:
        return {"rate": None, "rate_low": None, "rate_high": None}
    low, high = wilson(count, n)
    return {"rate": count / n, "rate_low": low, "rate_high": high}


def _numbers(told: Sequence[Finding], criterion: Mapping[str, Any]) -> dict[str, Any]:
    """Means of the rows that are told, with the interval of the worst, and the median gain."""
    worst, gains = by_sample(told, "worst"), [f.gain for f in told if f.gain is not None]
    low, high = mean_interval(worst) if len(worst) > 1 else (None, None)
    return {"normal": _mean(f.normal for f in told), "average": _by_chance(told, criterion), "worst": _mean(worst),
            "measured": len(worst), "worst_low": low, "worst_high": high,
            "gain": statistics.median(gains) if gains else None}


def _concluded(rows: _Rows, criterion: Mapping[str, Any], flags: list[Flag], certified: int, failure: float | None,
               skipped: str, wanted: int | None) -> tuple[Outcome, str]:
    """Outcome and reason: of a proof, of a measurement, of a search."""
    if criterion["kind"] == "certifies" and rows.n and not skipped:
        return proof(rows.n, certified, wanted, flags, criterion, failure)
    if criterion["kind"] == "measures" and not skipped:
        return _measurement(rows.n, rows.harmed, wanted, flags, rows.own, skipped)
    if criterion["kind"] == "invents" and not skipped and rows.n and (few := _too_few(rows.own, criterion)):
        return Outcome.INCONCLUSIVE, few
    return _outcome(rows.n, rows.harmed, wanted, flags, rows.own, skipped)


def _pairs(own: Sequence[Finding]) -> int | None:
    """From how many pairs the p of no invention is; None where no row says."""
    return next((int(f.extra["pairs"]) for f in own if "pairs" in f.extra), None)


def _chance_of_none(own: Sequence[Finding]) -> str:
    p, pairs = max((f.extra["p"] for f in own if "p" in f.extra), default=None), _pairs(own)
    return "" if p is None or pairs is None else f"; p = {p:.2g} of no invention, from {pairs} pairs"


def _too_few(own: Sequence[Finding], criterion: Mapping[str, Any]) -> str:
    """Why "none found" would say nothing: no p of so few pairs can be as small as is asked for. "" where it can."""
    pairs = _pairs(own)
    if pairs is None or 2.0**-pairs <= criterion["alpha"]:
        return ""
    return f"{pairs} pairs cannot give a p of at most {criterion['alpha']:g}"


def _notes(rows: _Rows, criterion: Mapping[str, Any], beside: str) -> str:
    """What stands beside the reason: rows counted apart, pairs with the other system, samples without a place to change."""
    wrong = len(rows.wrong)
    notes = f"; {wrong} more were wrong without any change and are counted apart" if wrong else ""
    if criterion["kind"] == "worse-than-established":
        notes += _paired(rows.own, rows.other, criterion, beside)
    fixed = sum(f.extra.get("places", 1.0) == 0 for f, _ in rows.judged)
    return notes + (f"; {fixed} have no place where they may be changed" if fixed else "")


def raised_before(findings: Iterable[Finding], system: str) -> list[Flag]:
    """Serious flags that preflight raised about the system: they put in doubt whatever any check says of it."""
    return [flag for f in findings if f.check == "preflight" and f.system == system for flag in f.flags
            if flag.id in SERIOUS]


def pair_of(row: Finding) -> tuple[str, str, float]:
    """What two systems' rows of one check share where they are of the same sample at the same level."""
    return row.sample, "" if row.origin_sample == row.sample else row.origin_sample, row.level or 0.0


def rows_by_pair(findings: Sequence[Finding], check: Mapping[str, Any], system: str,
                 doubts: Sequence[Flag]) -> dict[tuple[str, str, float], Finding]:
    """The system's rows under its own search, by sample and level, with what was raised about the system beforehand."""
    return {pair_of(f): dataclasses.replace(f, flags=(*f.flags, *doubts)) if doubts else f
            for f in findings if f.check == check["id"] and f.system == system == f.origin}


def _paired(own: Sequence[Finding], other: Mapping[tuple[str, str, float], Finding], criterion: Mapping[str, Any],
            beside: str) -> str:
    """Discordant pairs among the samples, with the exact sign test: worse here, worse there."""
    if not other:
        return "; no other system was judged on the same samples"
    here = {f.sample for f in own if harmed(f, criterion, other.get(pair_of(f)))}
    there = {f.sample for f in own if (g := other.get(pair_of(f))) is not None and harmed(g, criterion, f)}
    b, c = len(here - there), len(there - here)
    return f"; worse than {beside} on {b}, and {beside} worse on {c} (exact sign test: p = {sign_test(b, c):.2g})"


def by_sample(rows: Iterable[Finding], field: str) -> list[float]:
    """A number of each sample that has it, the mean of its rows: the rows of one sample are not independent.

    >>> from dataclasses import replace
    >>> row = Finding.empty(check="c", system="s", role="audited", sample="1", unit="", metric="m", better="lower")
    >>> by_sample([replace(row, worst=1.0), replace(row, worst=3.0), replace(row, sample="2")], "worst")
    [2.0]
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        value = getattr(row, field)
        if value is not None:
            found.setdefault(row.sample, []).append(value)
    return [statistics.fmean(values) for values in found.values()]


def _of_decisions(own: Sequence[Finding], judged: Sequence[tuple[Finding, bool]],
                  criterion: Mapping[str, Any]) -> list[Flag]:
    """What only all rows of a classifier together show: most decisions are wrong unchanged, or turned wrong by chance.

    A criterion that compares with chance does not fire where chance does as much; that is no sign of stability.
    """
    told = {f.sample: apart(f) for f in own if "already-wrong" in f.extra}
    found = []
    if 2 * sum(told.values()) > len(told):
        found.append(Flag(id="mostly-wrong", detail=f"{sum(told.values())} of {len(told)} samples"))
    if any(fired for _, fired in judged):
        return found
    alone = {**criterion, "over_control": 0.0, "over_random": 0.0,
             **({"louder": -math.inf} if "louder" in criterion else {})}
    by_chance = {f.sample for f, _ in judged if f.sample in told and harmed(f, alone)}
    return found + [Flag(id="chance-as-harmful", detail=f"{len(by_chance)} of {len(told)} samples")] * bool(by_chance)


def lenders_turned(judged: Sequence[tuple[Finding, bool]]) -> dict[str, int]:
    """On how many judged samples each second system's own right decision was turned by the change made for it, by name."""
    found: dict[str, set[str]] = {}
    for row, _ in judged:
        for name, value in row.extra.items():
            if name.startswith(LENT) and name.endswith(TURNED):
                found.setdefault(name.removeprefix(LENT).removesuffix(TURNED), set()).update({row.sample} if value else ())
    return {name: len(samples) for name, samples in sorted(found.items())}


def unmoved(judged: Sequence[tuple[Finding, bool]]) -> list[Flag]:
    """`surrogate-unmoved` where nothing was found and no second system was turned on most of the samples."""
    n, turned = len({row.sample for row, _ in judged}), lenders_turned(judged)
    if not n or any(fired for _, fired in judged) or any(2 * count > n for count in turned.values()):
        return []
    return [Flag(id="surrogate-unmoved", detail=", ".join(f"{name}: {count} of {n}" for name, count in turned.items()))]


def _of_lenders(judged: Sequence[tuple[Finding, bool]]) -> str:
    """What the changes did to the systems they were made for."""
    n, turned = len({row.sample for row, _ in judged}), lenders_turned(judged)
    return "".join(f"; made for {name}, the changes turned it on {count} of {n}" for name, count in turned.items())


def _outcome(n: int, count: int, expected: int | None, flags: list[Flag], own: list[Finding],
             skipped: str) -> tuple[Outcome, str]:
    if skipped:
        return Outcome.NOT_APPLICABLE, skipped
    serious = sorted({f.id for f in flags if f.id in SERIOUS})
    if count:
        doubtful = sorted(set(serious) & DISCREDITING)
        if doubtful:
            return Outcome.INCONCLUSIVE, f"harm was seen on {count} of {n}, but is in doubt: {', '.join(doubtful)}"
        return Outcome.UNSTABLE, f"{count} of {n} samples met the criterion"
    if not n:
        notes = sorted({f.notes for f in own if f.notes})
        if not notes and any(f.worst is not None for f in own):
            notes = ["what was asked shows too plainly in the data for this threshold"]
        return Outcome.INCONCLUSIVE, f"no sample could be judged: {notes[0]}" if notes else "no sample was judged"
    if serious:
        return Outcome.INCONCLUSIVE, f"nothing was found, but the search cannot be trusted: {', '.join(serious)}"
    if expected is not None and n < expected:
        return Outcome.INCONCLUSIVE, f"{n} of {expected} planned samples were judged"
    if own and all(f.stop is Stop.EXHAUSTED for f in own if f.worst is not None):
        return Outcome.NONE_FOUND, f"none of {n} samples met the criterion, and every member of the set was tried"
    return Outcome.NONE_FOUND, f"none of {n} samples met the criterion within this budget"


def _measurement(n: int, count: int, expected: int | None, flags: list[Flag], own: list[Finding],
                 skipped: str) -> tuple[Outcome, str]:
    """As `_outcome` where nothing is judged: how many samples were measured, and what puts their numbers in doubt."""
    known = {f.sample for f in own if f.worst is not None}
    if not known:
        return _outcome(n, count, expected, flags, own, skipped)
    planned = f" of {expected}" if expected is not None and expected > len(known) else ""
    doubts = ", ".join(sorted({f.id for f in flags if f.id in SERIOUS}))
    return Outcome.NOT_APPLICABLE, (f"a measurement, not a test: {len(known)}{planned} samples were measured"
                                    + (f", which is in doubt for some: {doubts}" if doubts else ""))


def judge_all(findings: Sequence[Finding], profile: Mapping[str, Any], *, systems: Mapping[str, Role] | None = None,
              skipped: Sequence[Mapping[str, str]] = (), planned: Mapping[tuple[str, str], int] | None = None,
              ) -> list[Verdict]:
    """Every check of the profile on every system, audited systems first. Preflight rows only lend their flags."""
    roles = dict(systems) if systems is not None else {f.system: f.role for f in findings}
    reasons = {(s["check"], s["system"]): s["reason"] for s in skipped}
    order = sorted(roles, key=lambda name: (roles[name] != "audited", list(roles).index(name)))
    first = {role: next((name for name in order if roles[name] == role), "") for role in ("audited", "established")}
    verdicts = []
    blocked = {name: raised_before(findings, name) for name in order}
    for check in profile["checks"]:
        if check["id"] == "preflight":
            continue
        for name in order:
            beside = first["established" if roles[name] == "audited" else "audited"]
            verdicts.append(judge(findings, check, name, role=roles[name], blocked=blocked[name],
                                  expected=(planned or {}).get((check["id"], name)),
                                  skipped=reasons.get((check["id"], name), ""), beside=beside,
                                  doubts=blocked.get(beside, ())))
    return verdicts


def _by_chance(rows: Sequence[Finding], criterion: Mapping[str, Any]) -> float | None:
    """The mean of what random changes did; of how far they must go the median, where a missing number is beyond all others.

    None where the median itself is beyond: for half of the rows no random change within the range does it.
    """
    if criterion["kind"] != "flips-within":
        return _mean(f.average for f in rows)
    reach = [math.inf if f.average is None else f.average for f in rows if f.worst is not None]
    middle = statistics.median(reach) if reach else math.inf
    return middle if math.isfinite(middle) else None


def _unique(flags: Sequence[Flag]) -> list[Flag]:
    """One flag per id, with how often it was raised."""
    counted: dict[str, list[Flag]] = {}
    for flag in flags:
        counted.setdefault(flag.id, []).append(flag)
    return [Flag(id=name, detail=f"{len(group)}×" + (f", {group[0].detail}" if group[0].detail else ""))
            for name, group in sorted(counted.items())]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None
