"""From findings to verdicts: pure functions of records, so a threshold can change without a new search. No torch.

A criterion is data with a `kind`:
- "grows": the harm grew by at least `per_level` × level (or by `absolute`), and by at least `over_control` times what
  random changes of the same size did; with `over_control_gain`, the output moved by at least that many times what it
  moves under them. Of these two the second is a test: an error already there adds to a random change at right angles
  and to the worst one in line, so even a perfect isometry has a ratio of growths of 10 at a relative error of 0.1;
- "reaches": the worst value is at least `threshold`. `ceiling` names an extra metric that bounds the value: where even
  the bound is below the threshold, the row can say nothing and is not judged;
- "flips-within": a change of at most `within` flips the decision, and random changes must be at least `over_random`
  times as large to do so, or `louder` decibels above it;
- "worsens-with-more": at a level above `base`, the value is worse than at `base` by more than `tolerance` (a share);
- "worse-than-established": under its own worst change of the same size the value is worse than the established method's
  under its own, on the same sample and at the same level, by more than `margin` (in the metric's unit), and it also grew
  by more: not worse than what people trust already. Paired, and symmetrical: the established method is judged against the
  first audited system in the same way, so the two counts are the discordant pairs of a sign test. Where the other's own
  search carries a serious flag the pair says nothing and is not judged;
- "invents": of one structure, found on other samples, at least the share `threshold` is shown, at a contrast (`worst`) of
  at least `contrast`, and the p of no invention, one for all samples, is at most `alpha`;
- "certifies": nothing is harm. `worst` is a size within which the decision was proved to hold; for at least the share
  `share` of the rightly decided samples it must be at least `within`; or, with `at_most`, a gain proved to be the greatest;
- "measures": nothing is harm. The numbers are told, and the verdict is `not applicable`: a measurement, not a test.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.numerics.intervals import mean_interval, wilson
from assay.numerics.pairs import sign_test
from assay.records import Finding, Flag, Outcome, Role, Stop, Verdict

SERIOUS = frozenset({
    "batch-dependent", "certificate-contradicted", "chance-as-harmful", "changes-with-use", "constant-decision",
    "gradient-mismatch", "jumps", "mostly-wrong", "non-finite", "not-converged", "not-deterministic", "not-reached",
    "probabilities", "query-beats-gradient", "query-only", "raised", "still-rising", "training-mode", "worst-below-control",
    "zero-gradient",
})
UNPROVING = frozenset({
    "batch-dependent", "certificate-contradicted", "changes-with-use", "mostly-wrong", "non-finite", "not-deterministic",
    "raised", "training-mode",
})                              # those that also put a proof in doubt, which needs no gradient and no search
MEASURED = 1e-3                 # relative: what single precision may add to a gain
WITHIN = 1e-5                   # relative: a found size so much below a proved one is rounding
DISCREDITING = frozenset({"changes-with-use", "not-converged", "not-deterministic"})    # the witness may be an accident


def harm(value: float, finding: Finding) -> float:
    """The value with the sign that makes larger worse."""
    return value if finding.better == "lower" else -value


def apart(finding: Finding) -> bool:
    """Whether the row's decision was wrong without any change: counted apart, never as a success of the search."""
    return finding.extra.get("already-wrong", 0.0) > 0


def harmed(finding: Finding, criterion: Mapping[str, Any], beside: Finding | None = None) -> bool | None:
    """Whether the criterion fires on this row; None where there is nothing to judge: no numbers, or wrong already.

    `beside` is the other system's row of the same sample and level, for a criterion that compares the two.

    >>> row = Finding.empty(check="c", system="s", role="audited", sample="1", unit="", metric="m", better="lower")
    >>> harmed(row, {"kind": "reaches", "threshold": 0.5}) is None
    True
    """
    kind = criterion["kind"]
    if finding.worst is None or apart(finding) or kind == "measures":
        return None
    worst = harm(finding.worst, finding)
    if kind == "certifies":
        return False                        # what was not proved may still hold
    if kind == "reaches":
        bound = finding.extra.get(f"{criterion['ceiling']}.worst") if "ceiling" in criterion else None
        fired = bool(worst >= criterion["threshold"])
        return None if not fired and bound is not None and bound < criterion["threshold"] else fired
    if kind == "flips-within":
        chance = math.inf if finding.average is None else finding.average
        needed = (finding.worst + criterion["louder"] if "louder" in criterion
                  else criterion.get("over_random", 1.0) * finding.worst)
        return bool(finding.worst <= criterion["within"] and chance >= needed)
    if kind == "invents":
        sure = finding.extra.get("p", 1.0) <= criterion["alpha"]
        return bool(sure and worst >= criterion["contrast"] and finding.extra.get("amount", 0.0) >= criterion["threshold"])
    if kind == "worse-than-established":
        return _worse(finding, beside, float(criterion["margin"]))
    if finding.normal is None:
        return None
    growth = worst - harm(finding.normal, finding)
    if kind == "worsens-with-more":
        return (finding.level or 0.0) > criterion["base"] and growth > criterion["tolerance"] * abs(finding.normal)
    if kind != "grows":
        raise ValueError(f"criterion: unknown kind {kind!r}; known: certifies, flips-within, grows, invents, measures, "
                         "reaches, worse-than-established, worsens-with-more")
    needed = criterion["absolute"] if "absolute" in criterion else criterion["per_level"] * (finding.level or 0.0)
    by_chance = 0.0 if finding.average is None else max(0.0, harm(finding.average, finding)
                                                        - harm(finding.normal, finding))
    moved = "over_control_gain" not in criterion or finding.gain is None or finding.control_gain is None \
        or finding.gain >= criterion["over_control_gain"] * finding.control_gain
    return growth >= needed and growth >= criterion.get("over_control", 1.0) * by_chance and moved


def _worse(finding: Finding, beside: Finding | None, margin: float) -> bool | None:
    """Whether the row is worse than the other system's by more than the margin, and grew by more than that one's.

    A search of the other that was too weak would make this one look worse, one that did not converge look better: with such
    a flag the pair says nothing where it would say that.
    """
    if beside is None or beside.worst is None or finding.worst is None:
        return None
    worst, other = harm(finding.worst, finding), harm(beside.worst, beside)
    fired = worst - other > margin
    if finding.normal is not None and beside.normal is not None:    # a metric may say nothing about an unchanged input
        fired &= worst - harm(finding.normal, finding) > other - harm(beside.normal, beside)
    doubts = {flag.id for flag in beside.flags} & (SERIOUS if fired else DISCREDITING)
    return None if doubts else fired


def judge(findings: Iterable[Finding], check: Mapping[str, Any], system: str, *, role: Role,
          blocked: Sequence[Flag] = (), expected: int | None = None, skipped: str = "", beside: str = "",
          doubts: Sequence[Flag] = ()) -> Verdict:
    """The verdict of one check on one system, from its own rows (transfer rows give the transfer mean).

    `beside` is the system that a criterion compares with, `doubts` serious flags raised about that one beforehand.
    `blocked` are serious flags raised about the system before the check (preflight); `expected` the number of samples
    planned: fewer judged ones make "none found" inconclusive.
    """
    criterion, findings = check["criterion"], list(findings)
    mine = [f for f in findings if f.check == check["id"] and f.system == system]
    level = criterion.get("level")
    at = [f for f in mine if level is None or f.level is None or abs(f.level - level) < 1e-12]
    own = [f for f in at if f.origin == system]
    other = rows_by_pair(findings, check, beside, doubts)
    judged = [(f, fired) for f in own if (fired := harmed(f, criterion, other.get(pair_of(f)))) is not None]
    samples = {f.sample for f, _ in judged}
    fired_on = {f.sample for f, fired in judged if fired}
    n, count = len(samples), len(fired_on)
    wrong = {f.sample for f in own if apart(f)}
    measured, proves = criterion["kind"] == "measures", criterion["kind"] == "certifies"
    if proves:
        blocked = [*blocked, *contradictions(findings, own)]
    told = own if measured else [f for f, _ in judged] + [f for f in own if apart(f)]
    flags = _unique([*blocked, *(g for f in own for g in f.flags), *_of_decisions(own, judged, criterion)])
    wanted = None if expected is None else expected - len(wrong)
    certified = {f.sample for f, _ in judged if proves and proved(f, criterion)}
    failure = max((f.extra["failure-probability"] for f in own if "failure-probability" in f.extra), default=None)
    if proves and n and not skipped:
        outcome, reason = _proof(n, len(certified), wanted, flags, criterion, failure)
    else:
        outcome, reason = (_measurement if measured and not skipped else _outcome)(n, count, wanted, flags, own, skipped)
    if not skipped:
        reason += _notes(own, judged, wrong, other, criterion, beside)
    worst = by_sample(told, "worst")
    low, high = wilson(count, n) if n and not proves else (None, None)
    worst_low, worst_high = mean_interval(worst) if len(worst) > 1 else (None, None)
    gains = [f.gain for f in told if f.gain is not None]
    return Verdict(
        check=check["id"], system=system, role=role, outcome=outcome, reason=reason, criterion=criterion["sentence"],
        metric=check["metric"], better=own[0].better if own else "lower", level=level,
        unit=own[0].unit if own else check.get("unit", ""), n=n, harmed=count, rate=count / n if n and not proves else None,
        rate_low=low, rate_high=high, normal=_mean(f.normal for f in told),
        average=_by_chance(told, criterion), worst=_mean(worst), measured=len(worst), worst_low=worst_low,
        worst_high=worst_high, transfer=_mean(f.worst for f in at if f.origin != system),
        gain=statistics.median(gains) if gains else None, certified=len(certified), failure=failure if proves else None,
        apart=len(wrong), witnesses=sum(f.witness is not None for f in own),
        flags=tuple(flags))


def _notes(own: Sequence[Finding], judged: Sequence[tuple[Finding, bool]], wrong: set[str],
           other: Mapping[tuple[str, str, float], Finding], criterion: Mapping[str, Any], beside: str) -> str:
    """What stands beside the reason: rows counted apart, pairs with the other system, samples without a place to change."""
    notes = f"; {len(wrong)} more were wrong without any change and are counted apart" if wrong else ""
    if criterion["kind"] == "worse-than-established":
        notes += _paired(own, other, criterion, beside)
    fixed = sum(f.extra.get("places", 1.0) == 0 for f, _ in judged)
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


def _proof(n: int, certified: int, expected: int | None, flags: list[Flag], criterion: Mapping[str, Any],
           failure: float | None) -> tuple[Outcome, str]:
    """Certified where enough was proved; what was not is no sign of harm, so that too little is no verdict at all."""
    doubts = sorted({f.id for f in flags if f.id in UNPROVING})
    if doubts:
        return Outcome.INCONCLUSIVE, f"a bound was proved for {certified} of {n}, but is in doubt: {', '.join(doubts)}"
    if expected is not None and n < expected:
        return Outcome.INCONCLUSIVE, f"{n} of {expected} planned samples were judged"
    surely = "" if failure is None else f", all together with a probability of at least {1 - failure:.4g}"
    asked = criterion["at_most"] if "at_most" in criterion else criterion["within"]
    said = f"a bound of {asked:g} was proved for {certified} of {n} samples{surely}"
    if certified >= criterion.get("share", 1.0) * n - 1e-9:
        return Outcome.CERTIFIED, said
    return Outcome.NOT_APPLICABLE, f"{said}, too few for a verdict; of the others nothing is known"


def proved(row: Finding, criterion: Mapping[str, Any]) -> bool:
    """Whether what was proved of the row is what the criterion asks for."""
    if row.worst is None:
        return False
    return row.worst <= criterion["at_most"] if "at_most" in criterion else row.worst >= criterion["within"]


def contradictions(findings: Iterable[Finding], proofs: Sequence[Finding]) -> list[Flag]:
    """A flag where a sample was flipped by a change within the size that was proved harmless: proof or search is wrong."""
    if not proofs:
        return []
    if proofs[0].metric == "gain-bound":
        return _greater_gains(findings, proofs)
    found = flips_found(findings, system=proofs[0].system, unit=proofs[0].unit)
    broken = [(f, found[f.sample]) for f in proofs if f.worst is not None
              and found.get(f.sample, math.inf) < f.worst * (1 - WITHIN)]
    return [Flag(id="certificate-contradicted", detail=f"{len(broken)} samples, {f.sample} first: proved to {f.worst:.4g}, "
                                                       f"flipped by {size:.4g}") for f, size in broken[:1]]


def _greater_gains(findings: Iterable[Finding], proofs: Sequence[Finding]) -> list[Flag]:
    """A flag where a change was magnified more than was proved possible; gains are measured in single precision."""
    bound = min((f.worst for f in proofs if f.worst is not None), default=math.inf)
    gain = max((f.gain for f in findings if f.system == proofs[0].system and f.gain is not None), default=0.0)
    return [Flag(id="certificate-contradicted", detail=f"a gain of {gain:.4g} was found, at most {bound:.4g} proved")] \
        if gain > bound * (1 + MEASURED) else []


def flips_found(findings: Iterable[Finding], *, system: str, unit: str) -> dict[str, float]:
    """The smallest change in the unit, by sample, that was found to turn a right decision of the system wrong, by any check.

    Whoever's search made it; sizes in another unit are of another set.
    """
    found: dict[str, float] = {}
    for f in findings:
        if f.system != system or f.unit != unit or f.worst is None or apart(f) or f.sample.startswith("class:"):
            continue
        size = f.worst if f.metric.startswith("flip-distance") else None
        if f.metric == "error-rate" and f.worst >= 1 and f.normal == 0:
            size = f.size
        if size is not None:
            found[f.sample] = min(size, found.get(f.sample, math.inf))
    return found


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
