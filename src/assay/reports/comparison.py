"""What stands beside what: each check of the audited system next to the same check of the established method."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from assay.numerics.intervals import mean_interval
from assay.records import Finding, Outcome, Stop, Verdict
from assay.reports.wording import METRICS

# An established method whose search was cut off by its budget after less than this share of the evaluations the
# audited system got was not searched equally hard.
EQUAL_EFFORT = 0.9


class Folder(Protocol):
    """What a report reads of one audit; `assay.store.AuditFolder` is one."""

    @property
    def path(self) -> Path: ...
    @property
    def header(self) -> Mapping[str, Any]: ...
    @property
    def manifest_digest(self) -> str: ...
    @property
    def done(self) -> tuple[int, int]: ...
    @property
    def skipped(self) -> Sequence[Mapping[str, str]]: ...
    def findings(self) -> Iterable[Finding]: ...
    def exhibits(self) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]: ...


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over samples with its 95 % interval; `None` where nothing was measured."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One check of one audited system, and the established method under the same check (None if there is none)."""

    check: Mapping[str, Any]
    audited: Verdict
    established: Verdict | None

    @property
    def title(self) -> str:
        return str(self.check.get("title") or self.check["id"])

    @property
    def metric(self) -> str:
        return metric_name(self.check, self.audited.metric)

    @property
    def unit(self) -> str:
        """Unit of the metric's numbers."""
        return metric_unit(self.check, self.audited.metric)


def metric_name(check: Mapping[str, Any], metric: str) -> str:
    """The judged number in words: as the profile says, else as the metric is known."""
    return str(check.get("metric_name") or METRICS.get(metric, (metric, ""))[0])


def metric_unit(check: Mapping[str, Any], metric: str) -> str:
    """The unit of the judged number: as the profile says, else as the metric is known."""
    return str(check["metric_unit"] if "metric_unit" in check else METRICS.get(metric, ("", ""))[1])


def asked(profile: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The profile's checks that end in a verdict; preflight only lends its flags to the others."""
    return [check for check in profile["checks"] if check.get("method") != "preflight"]


def is_complete(folder: Folder) -> bool:
    """Whether every planned unit of work was finished."""
    finished, planned = folder.done
    return planned > 0 and finished >= planned


def compare(verdicts: Sequence[Verdict], profile: Mapping[str, Any], *, system: str | None = None) -> list[Comparison]:
    """Every audited verdict beside the established method's, in the profile's order.

    With several established methods the first in the order of the verdicts stands beside; with `system`, only that
    audited system's rows are returned. Checks that the profile does not name come last under their own id.
    """
    checks = {str(check["id"]): check for check in profile["checks"]}
    position = {identity: i for i, identity in enumerate(checks)}
    established: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.role == "established":
            established.setdefault(verdict.check, verdict)
    rows = [Comparison(check=checks.get(v.check, {"id": v.check, "unit": v.unit}), audited=v,
                       established=established.get(v.check))
            for v in verdicts if v.role == "audited" and system in (None, v.system)]
    return sorted(rows, key=lambda row: position.get(row.audited.check, len(position)))


def rows_of(findings: Iterable[Finding], verdict: Verdict) -> list[Finding]:
    """The findings a verdict rests on: its system under its own search, at its level (every level if it has none)."""
    return [f for f in findings if f.check == verdict.check and f.system == verdict.system and f.origin == f.system
            and at_level(f, verdict.level)]


def at_level(finding: Finding, level: float | None) -> bool:
    """Whether a verdict at this level speaks of the finding."""
    return level is None or finding.level is None or same_level(finding.level, level)


def same_level(a: float | None, b: float | None) -> bool:
    """Equal up to the six digits under which levels are stored."""
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-12)


def mean_estimate(values: Iterable[float | None]) -> Estimate:
    """Mean over samples with the same 95 % interval as a verdict's; one sample has no interval.

    >>> e = mean_estimate([2.0, 2.0, None]); e.value, e.low, e.n
    (2.0, 2.0, 2)
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return Estimate(value=None, low=None, high=None, n=0)
    low, high = mean_interval(known) if len(known) > 1 else (None, None)
    return Estimate(value=statistics.fmean(known), low=low, high=high, n=len(known))


def worst_estimate(verdict: Verdict) -> Estimate:
    """The worst case found, with the interval the verdict carries."""
    low, high = (verdict.worst_low, verdict.worst_high) if verdict.measured > 1 else (None, None)
    return Estimate(value=verdict.worst, low=low, high=high, n=verdict.measured)


def judged(verdict: Verdict | None) -> bool:
    """Whether the verdict says something about stability."""
    return verdict is not None and verdict.n > 0 and verdict.outcome not in (Outcome.INCONCLUSIVE,
                                                                             Outcome.NOT_APPLICABLE)


def effort(findings: Iterable[Finding], verdict: Verdict) -> float:
    """Mean evaluations (forward and backward) per sample spent on the worst case of a verdict."""
    spent = [f.forward + f.backward for f in rows_of(findings, verdict)]
    return sum(spent) / len(spent) if spent else 0.0


def unequal_checks(findings: Sequence[Finding], comparisons: Iterable[Comparison]) -> frozenset[str]:
    """Ids of checks in which the established method's search was cut off with less effort than the audited system's."""
    uneven = set()
    for row in comparisons:
        if row.established is None:
            continue
        cut_off = [f for f in rows_of(findings, row.established) if f.stop is Stop.BUDGET]
        spent = sum(f.forward + f.backward for f in cut_off) / max(len(cut_off), 1)
        if cut_off and spent < EQUAL_EFFORT * effort(findings, row.audited):
            uneven.add(row.audited.check)
    return frozenset(uneven)
