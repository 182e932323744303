"""What stands beside what: each check of the audited system next to the same check of the established method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from assay.records import Finding, Outcome, Stop, Verdict

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
        return str(self.check.get("metric_name") or self.audited.metric)

    @property
    def unit(self) -> str:
        """Unit of the metric's numbers."""
        return str(self.check.get("metric_unit", ""))


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
    """The findings a verdict rests on: its system under its own search, at its level."""
    return [f for f in findings if f.check == verdict.check and f.system == verdict.system and f.origin == f.system
            and same_level(f.level, verdict.level)]


def same_level(a: float | None, b: float | None) -> bool:
    """Equal up to the six digits under which levels are stored."""
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-12)


def mean_estimate(values: Iterable[float | None]) -> Estimate:
    """Mean over samples with Student's 95 % interval, mean ± t(0.975, n − 1) · s / √n; one sample has no interval.

    Source: Student (W. S. Gosset), "The probable error of a mean", Biometrika 6 (1908).

    >>> e = mean_estimate([1.0, 3.0, None]); e.value, round(e.high, 3), e.n
    (2.0, 14.706, 2)
    """
    known = np.array([v for v in values if v is not None and math.isfinite(v)], dtype=np.float64)
    if not known.size:
        return Estimate(value=None, low=None, high=None, n=0)
    mean = float(known.mean())
    if known.size == 1:
        return Estimate(value=mean, low=None, high=None, n=1)
    half = float(stdtrit(known.size - 1, 0.975)) * float(known.std(ddof=1)) / math.sqrt(known.size)
    low = max(0.0, mean - half) if known.min() >= 0 else mean - half   # a quantity that is never negative stays so
    return Estimate(value=mean, low=low, high=mean + half, n=int(known.size))


def worst_estimate(verdict: Verdict) -> Estimate:
    """The worst case found, with the interval the verdict carries."""
    return Estimate(value=verdict.worst, low=verdict.worst_low, high=verdict.worst_high, n=verdict.n)


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
