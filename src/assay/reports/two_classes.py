"""A classifier of two classes as a test for class 1: AUROC, sensitivity and specificity without change, by chance, at worst.

Computed from rows alone. Class 1 is the positive one, since nobody says which class a test is for; its name is told
wherever a number is. All samples of a check are the population, those decided wrongly without any change as well, and an
answer that is no number counts as wrong (`numerics.binary.missing_as_wrong`). The threshold is chosen on the unchanged
samples themselves, which flatters the system; it then stays where it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.numerics import binary
from assay.numerics.intervals import wilson
from assay.records import Finding, Verdict
from assay.reports.comparison import Comparison, Estimate, rows_of, same_level

POSITIVE = 1            # the number of the class that the test is for


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the test is worth in one condition: the area under its curve, and the shares called rightly at the threshold."""

    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What it takes to bring the false alarms back to what they were: another threshold, and the sensitivity that it leaves.

    At least this much: a search that stops once a decision is wrong leaves scores just beyond the old threshold.
    """

    threshold: float
    sensitivity: Estimate       # without any change


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One system as a test: the threshold (log odds of class 1) and its conditions; `missing` answers were no numbers.

    `restored` is None where the specificity under the worst case found is not below the unchanged one.
    """

    threshold: float
    restored: Restored | None
    unchanged: Condition
    random: Condition | None        # changes of the same size as the worst; None where none was drawn
    worst: Condition
    missing: int


@dataclass(frozen=True, kw_only=True)
class AsTest:
    """One check of an audited system as a test, beside the established method. No performance: of one class only."""

    row: Comparison
    level: float | None
    samples: frozenset[str]
    positives: int
    negatives: int
    audited: Performance | None
    established: Performance | None

    @property
    def prevalence(self) -> float:
        return binary.prevalence(self._labels)

    @property
    def majority_accuracy(self) -> float:
        return binary.majority_accuracy(self._labels)

    @property
    def _labels(self) -> list[int]:
        return [1] * self.positives + [0] * self.negatives


def as_tests(rows: Sequence[Comparison], findings: Sequence[Finding], header: Mapping[str, Any]) -> list[AsTest]:
    """Every check whose rows carry scores, in the order of `rows`; none where the data are not of two classes."""
    if len(header["data"].get("classes", ())) != 2:
        return []
    labels = {f.sample: int(f.extra["label"]) for f in findings if f.extra.get("label") in (0.0, 1.0)}
    return [found for row in rows if (found := _as_test(row, findings, labels)) is not None]


def told_with(tests: Sequence[AsTest], row: Comparison | None, headline: str) -> AsTest | None:
    """The test of the check that a label speaks of, else that of the profile's headline check, else the first."""
    told = row.audited.check if row else headline
    return next((t for check in (told, headline) for t in tests if t.row.audited.check == check), next(iter(tests), None))


def populations(tests: Sequence[AsTest]) -> list[list[AsTest]]:
    """The tests of one system on the same samples together: there they have one threshold and one set of base rates."""
    groups: dict[tuple[str, frozenset[str]], list[AsTest]] = {}
    for told in tests:
        groups.setdefault((told.row.audited.system, told.samples), []).append(told)
    return list(groups.values())


def _as_test(row: Comparison, findings: Sequence[Finding], labels: Mapping[str, int]) -> AsTest | None:
    own = _judged_rows(findings, row.audited, labels)
    if not any("score.normal" in f.extra for f in own):
        return None
    truth = [labels[f.sample] for f in own]
    theirs = _judged_rows(findings, row.established, labels) if row.established else []
    return AsTest(row=row, level=own[0].level, samples=frozenset(f.sample for f in own), positives=sum(truth),
                  negatives=len(truth) - sum(truth), audited=_performance(own, labels),
                  established=_performance(theirs, labels))


def _judged_rows(findings: Sequence[Finding], verdict: Verdict, labels: Mapping[str, int]) -> list[Finding]:
    """One row for each labelled sample under its own change: at the judged level, or the greatest where none is judged."""
    own = [f for f in rows_of(findings, verdict) if f.sample in labels and f.origin_sample == f.sample]
    level = max((f.level for f in own if f.level is not None), default=None)
    return [f for f in own if same_level(f.level, level)]


def _performance(rows: Sequence[Finding], labels: Mapping[str, int]) -> Performance | None:
    truth = [labels[f.sample] for f in rows]
    if len(set(truth)) < 2 or not any("score.normal" in f.extra for f in rows):
        return None
    unchanged, worst = _scores(rows, truth, "score.normal"), _scores(rows, truth, "score.worst")
    drawn = [_scores(rows, truth, f"score.random.{k}") for k in range(1, 1 + max(f.controls for f in rows))]
    threshold = binary.sensitivity_at_specificity(unchanged, truth, specificity=binary.SPECIFICITY).threshold
    return Performance(
        threshold=threshold, restored=_restored(unchanged, worst, truth, threshold),
        unchanged=_condition([unchanged], truth, threshold),
        worst=_condition([worst], truth, threshold), random=_condition(drawn, truth, threshold) if drawn else None,
        missing=sum(not {"score.normal", "score.worst"} <= set(f.extra) for f in rows))


def _restored(unchanged: Sequence[float], worst: Sequence[float], truth: Sequence[int],
              threshold: float) -> Restored | None:
    """The least threshold at which the worst case raises no more false alarms than there were at the old one."""
    before = binary.specificity_at_threshold(unchanged, truth, threshold=threshold)
    if binary.specificity_at_threshold(worst, truth, threshold=threshold) >= before:
        return None
    needed = binary.threshold_at_specificity(worst, truth, specificity=before)
    share = binary.sensitivity_at_threshold(unchanged, truth, threshold=needed)
    positives = sum(truth)
    low, high = wilson(share * positives, positives)
    return Restored(threshold=needed, sensitivity=Estimate(value=share, low=low, high=high, n=positives))


def _scores(rows: Sequence[Finding], truth: Sequence[int], name: str) -> list[float]:
    found: list[float] = binary.missing_as_wrong([f.extra.get(name, math.nan) for f in rows], truth).tolist()
    return found


def _condition(draws: Sequence[Sequence[float]], truth: Sequence[int], threshold: float) -> Condition:
    """Means over the draws; an interval is as wide as if each sample had been drawn once."""
    positives, negatives = sum(truth), len(truth) - sum(truth)
    area = statistics.fmean(binary.auroc(scores, truth) for scores in draws)
    low, high = binary.auroc_interval(area, positives=positives, negatives=negatives)
    return Condition(
        auroc=Estimate(value=area, low=low, high=high, n=len(truth)),
        sensitivity=_share([binary.sensitivity_at_threshold(s, truth, threshold=threshold) for s in draws], positives),
        specificity=_share([binary.specificity_at_threshold(s, truth, threshold=threshold) for s in draws], negatives))


def _share(shares: Sequence[float], n: int) -> Estimate:
    share = statistics.fmean(shares)
    low, high = wilson(share * n, n)
    return Estimate(value=share, low=low, high=high, n=n)
