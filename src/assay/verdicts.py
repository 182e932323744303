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
- "certifies": nothing is harm. `worst` is a size within which the decision was proved to hold; for at least the share
  `share` of the rightly decided samples it must be at least `within`; or, with `at_most`, a gain proved to be the greatest;
- "measures": nothing is harm. The numbers are told, and the verdict is `not applicable`: a measurement, not a test.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.numerics.intervals import mean_interval, wilson
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


def harmed(finding: Finding, criterion: Mapping[str, Any]) -> bool | None:
    """Whether the criterion fires on this row; None where there is nothing to judge: no numbers, or wrong already.

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
    if finding.normal is None:
        return None
    growth = worst - harm(finding.normal, finding)
    if kind == "worsens-with-more":
        return (finding.level or 0.0) > criterion["base"] and growth > criterion["tolerance"] * abs(finding.normal)
    if kind != "grows":
        raise ValueError(f"criterion: unknown kind {kind!r}; known: certifies, flips-within, grows, measures, reaches, "
                         "worsens-with-more")
    needed = criterion["absolute"] if "absolute" in criterion else criterion["per_level"] * (finding.level or 0.0)
    by_chance = 0.0 if finding.average is None else max(0.0, harm(finding.average, finding)
                                                        - harm(finding.normal, finding))
    moved = "over_control_gain" not in criterion or finding.gain is None or finding.control_gain is None \
        or finding.gain >= criterion["over_control_gain"] * finding.control_gain
    return growth >= needed and growth >= criterion.get("over_control", 1.0) * by_chance and moved


def judge(findings: Iterable[Finding], check: Mapping[str, Any], system: str, *, role: Role,
          blocked: Sequence[Flag] = (), expected: int | None = None, skipped: str = "") -> Verdict:
    """The verdict of one check on one system, from its own rows (transfer rows give the transfer mean).

    `blocked` are serious flags raised about the system before the check (preflight); `expected` the number of samples
    planned: fewer judged ones make "none found" inconclusive.
    """
    criterion = check["criterion"]
    mine = [f for f in findings if f.check == check["id"] and f.system == system]
    level = criterion.get("level")
    at = [f for f in mine if level is None or f.level is None or abs(f.level - level) < 1e-12]
    own = [f for f in at if f.origin == system]
    judged = [(f, fired) for f in own if (fired := harmed(f, criterion)) is not None]
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
    if proves and not skipped and n:
        outcome, reason = _proof(n, len(certified), wanted, flags, criterion, failure)
    else:
        outcome, reason = (_measurement if measured and not skipped else _outcome)(n, count, wanted, flags, own, skipped)
    if wrong and not skipped:
        reason += f"; {len(wrong)} more were wrong without any change and are counted apart"
    if (fixed := sum(f.extra.get("places", 1.0) == 0 for f, _ in judged)) and not skipped:
        reason += f"; {fixed} have no place where they may be changed"
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
    preflight = [f for f in findings if f.check == "preflight"]
    verdicts = []
    for check in profile["checks"]:
        if check["id"] == "preflight":
            continue
        for name in order:
            blocked = [g for f in preflight if f.system == name for g in f.flags if g.id in SERIOUS]
            verdicts.append(judge(findings, check, name, role=roles[name], blocked=blocked,
                                  expected=(planned or {}).get((check["id"], name)),
                                  skipped=reasons.get((check["id"], name), "")))
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
