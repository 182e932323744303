"""Two audits of the same samples under the same questions: is the new system worse than the old one?

For each check: the samples harmed in one audit and not in the other (exact McNemar test, Newcombe's interval of the
difference of shares), and where the judged number is no yes or no, its paired differences (their mean by sign flips and by
random weights, the larger p; bootstrap interval). The same is asked of inputs without change, since what is wrong already
cannot be harmed. Holm over all tests. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assay.numerics.holm import holm
from assay.numerics.means import mean_differs
from assay.numerics.paired import mcnemar, paired_bootstrap, paired_difference_interval
from assay.records import Finding, Outcome, Verdict, to_data
from assay.reports.comparison import rows_of
from assay.verdicts import SERIOUS, apart, harm, harmed, pair_of, raised_before, rows_by_pair

ALPHA = 0.05
DRAWS = 2000
UNCHANGED = "without change"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two audits: its findings and verdicts, both by the same profile, and its audited system.

    `beside` is the established method that a criterion may compare with, by name and by digest; empty where there is none.
    """

    system: str
    findings: Sequence[Finding]
    verdicts: Sequence[Verdict]
    beside: tuple[str, str] = ("", "")


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """One test. `difference` is new − old, and positive is worse; shares of samples, or the metric's own unit."""

    check: str
    asked: str                      # "harmed", "worst case", "wrong" or "error" (the last two without change)
    n: int                          # samples that both audits judged
    old: float
    new: float
    difference: float
    low: float                      # 95 % interval of the difference, of this test alone
    high: float
    p: float
    adjusted: float = 1.0           # by Holm, over all tests
    conclusion: str = ""            # "worse", "better", "no difference shown", or what puts "better" in doubt
    newly: tuple[str, ...] = ()     # samples harmed (or wrong) in the new audit alone
    no_longer: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OldAndNew:
    """All tests, and the checks that could not be compared, with the reason."""

    tests: tuple[PairedTest, ...]
    not_compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def worse(self) -> bool:
        return any(test.conclusion == "worse" for test in self.tests)

    def data(self) -> dict[str, Any]:
        """What `--format json` prints of the tests."""
        return {"worse": self.worse, "alpha": ALPHA, "tests": to_data(self.tests), "not_compared": dict(self.not_compared)}


def refusals(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Why two audits, by their headers, cannot be compared whatever is said: other data, another task."""
    found = []
    if old["data"]["digest"] != new["data"]["digest"]:
        mine, theirs = set(old["data"]["samples"]), set(new["data"]["samples"])
        shared = (f"{len(mine & theirs)} sample ids are in both, {len(mine - theirs)} in OLD alone, {len(theirs - mine)} in "
                  "NEW alone")
        found.append(f"the data differ (sha256 {old['data']['digest'][:16]}… and {new['data']['digest'][:16]}…; {shared}); "
                     "audit both systems on the same samples")
    tasks = [str(h["profile"].get("task", "reconstruction")) for h in (old, new)]
    if tasks[0] != tasks[1]:
        found.append(f"the tasks differ: {tasks[0]} and {tasks[1]}")
    return found


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two profiles, one entry for each key, each check's by its id."""
    found = [f"{key}: {old.get(key)!r} and {new.get(key)!r}" for key in sorted({*old, *new} - {"checks", "digest"})
             if old.get(key) != new.get(key)]
    before, after = ({str(c["id"]): c for c in p["checks"]} for p in (old, new))
    found += [f"check {name} is in {'OLD' if name in before else 'NEW'} alone"
              for name in sorted(before.keys() ^ after.keys())]
    for name in (n for n in after if n in before):
        mine, theirs = before[name], after[name]
        found += [f"{name}.{key}: {mine.get(key)!r} and {theirs.get(key)!r}" for key in sorted({*mine, *theirs})
                  if mine.get(key) != theirs.get(key)]
    return found


def compared(old: Side, new: Side, profile: Mapping[str, Any], *, seed: int = 0) -> OldAndNew:
    """Every check of the profile that both audits could judge; equal audits and seeds give equal results."""
    tests: list[PairedTest] = []
    reasons: dict[str, str] = {}
    headline = str(profile["headline"])
    for check in sorted(profile["checks"], key=lambda c: str(c["id"]) != headline):
        pair = [_verdict(side, str(check["id"])) for side in (old, new)]
        if check["method"] == "preflight":
            continue
        if reason := _hindrance(check, pair) or _other_measure(check, old, new):
            reasons[str(check["id"])] = reason
            continue
        rows = [rows_of(side.findings, v) for side, v in zip((old, new), pair, strict=True) if v is not None]
        if not any(t.check == UNCHANGED for t in tests):
            tests += _unchanged(rows[0], rows[1], seed)
        found = _of_check(check, rows, (_beside(old, check), _beside(new, check)), seed)
        tests += found
        if not found:
            reasons[str(check["id"])] = "no sample was judged in both audits"
    doubts = {v.check: sorted({f.id for f in v.flags} & SERIOUS) for v in new.verdicts if v.system == new.system}
    return OldAndNew(tests=_concluded(tests, doubts), not_compared=reasons)


def _verdict(side: Side, check: str) -> Verdict | None:
    return next((v for v in side.verdicts if v.check == check and v.system == side.system), None)


def _hindrance(check: Mapping[str, Any], pair: Sequence[Verdict | None]) -> str:
    """Why a check cannot be compared: a search that cannot be trusted finds little, which is no improvement."""
    if check["criterion"]["kind"] == "measures":
        return "a measurement, not a test"
    if check["criterion"]["kind"] == "certifies":
        return "a proof, not a search: what was not proved is no harm"
    for name, verdict in zip(("OLD", "NEW"), pair, strict=True):
        if verdict is None:
            return f"it has no verdict in {name}"
        if verdict.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE):
            return f"{verdict.outcome.value} in {name}: {verdict.reason}"
    return ""


def _other_measure(check: Mapping[str, Any], old: Side, new: Side) -> str:
    """Why two answers to "worse than the established method?" are not about the same one, or ""."""
    if check["criterion"]["kind"] != "worse-than-established" or old.beside == new.beside:
        return ""
    if old.beside[0] != new.beside[0]:
        return f"each is judged beside another established method: {old.beside[0]} in OLD, {new.beside[0]} in NEW"
    return f"each is judged beside another {old.beside[0]}: the digests differ"


def _beside(side: Side, check: Mapping[str, Any]) -> Mapping[tuple[str, str, float], Finding]:
    """The established method's own rows of the check, for a criterion that compares with them."""
    name = side.beside[0]
    return rows_by_pair(side.findings, check, name, raised_before(side.findings, name)) if name else {}


def _of_check(check: Mapping[str, Any], sides: Sequence[Sequence[Finding]],
              beside: Sequence[Mapping[tuple[str, str, float], Finding]], seed: int) -> list[PairedTest]:
    name = str(check["id"])
    yes = [_any_of((f.sample, harmed(f, check["criterion"], other.get(pair_of(f)))) for f in rows)
           for rows, other in zip(sides, beside, strict=True)]
    found = _shares(name, "harmed", yes[0], yes[1])
    worst = [_mean_of((f.sample, None if apart(f) or f.worst is None else harm(f.worst, f)) for f in rows)
             for rows in sides]
    if {*worst[0].values(), *worst[1].values()} <= {0.0, 1.0}:
        return found                                    # the same question again
    return found + _means(name, "worst case", worst[0], worst[1], seed)


def _unchanged(old: Sequence[Finding], new: Sequence[Finding], seed: int) -> list[PairedTest]:
    """Inputs without change: wrong decisions where that is recorded, else the metric's own numbers."""
    wrong = [_any_of((f.sample, apart(f) if "already-wrong" in f.extra else None) for f in rows) for rows in (old, new)]
    if wrong[0] and wrong[1]:
        return _shares(UNCHANGED, "wrong", wrong[0], wrong[1])
    normal = [_mean_of((f.sample, None if f.normal is None else harm(f.normal, f)) for f in rows) for rows in (old, new)]
    return _means(UNCHANGED, "error", normal[0], normal[1], seed)


def _any_of(pairs: Any) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for sample, value in pairs:
        if value is not None:
            found[sample] = found.get(sample, False) or bool(value)
    return found


def _mean_of(pairs: Any) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for sample, value in pairs:
        if value is not None:
            found.setdefault(sample, []).append(value)
    return {sample: float(np.mean(values)) for sample, values in found.items()}


def _shares(check: str, asked: str, old: Mapping[str, bool], new: Mapping[str, bool]) -> list[PairedTest]:
    both = [s for s in old if s in new]
    if not both:
        return []
    newly = tuple(s for s in both if new[s] and not old[s])
    no_longer = tuple(s for s in both if old[s] and not new[s])
    stayed, n = sum(old[s] and new[s] for s in both), len(both)
    low, high = paired_difference_interval(stayed, len(newly), len(no_longer), n - stayed - len(newly) - len(no_longer))
    return [PairedTest(check=check, asked=asked, n=n, old=(stayed + len(no_longer)) / n, new=(stayed + len(newly)) / n,
                       difference=(len(newly) - len(no_longer)) / n, low=low, high=high,
                       p=mcnemar(len(newly), len(no_longer)), newly=newly, no_longer=no_longer)]


def _means(check: str, asked: str, old: Mapping[str, float], new: Mapping[str, float], seed: int) -> list[PairedTest]:
    """Values carry the sign that makes larger worse; `old` and `new` are told in that sign too."""
    both = [s for s in old if s in new]
    if not both:
        return []
    a, b = np.array([new[s] for s in both]), np.array([old[s] for s in both])
    low, high = paired_bootstrap(a, b, lambda x, y: float(np.mean(x - y)), DRAWS, seed)
    return [PairedTest(check=check, asked=asked, n=len(both), old=float(b.mean()), new=float(a.mean()),
                       difference=float(np.mean(a - b)), low=low, high=high, p=mean_differs((a - b).tolist(), seed=seed))]


def _concluded(tests: Sequence[PairedTest], doubts: Mapping[str, Sequence[str]]) -> tuple[PairedTest, ...]:
    """Adjusted p values and what they say. That less was found is no improvement where the new search is in doubt."""
    adjusted = holm([test.p for test in tests])
    found = []
    for test, p in zip(tests, adjusted, strict=True):
        conclusion = "no difference shown" if p > ALPHA else "worse" if test.difference > 0 else "better"
        if conclusion == "better" and doubts.get(test.check):
            conclusion = f"less was found, but the new search is in doubt: {', '.join(doubts[test.check])}"
        found.append(replace(test, adjusted=p, conclusion=conclusion))
    return tuple(found)
