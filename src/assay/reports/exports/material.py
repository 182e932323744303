"""What every export is computed from, and the numbers all of them tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.records import Outcome, Verdict
from assay.reports.comparison import Comparison, compare
from assay.reports.wording import WORST, plain_change, printable
from assay.store import AuditFolder


@dataclass(frozen=True, kw_only=True)
class Material:
    """An audit's folder, its verdicts, and the label that was issued for it."""

    folder: AuditFolder
    verdicts: Sequence[Verdict]
    label: Mapping[str, Any]
    expired: bool = False

    @property
    def rows(self) -> list[Comparison]:
        """The audited system's verdicts beside the established method's, in the profile's order."""
        return compare(self.verdicts, self.folder.header["profile"], system=self.label["subject"]["name"])


@dataclass(frozen=True, kw_only=True)
class Number:
    """One measured number: which metric, under what, of which system, with its 95 % interval where there is one."""

    metric: str         # id of the metric, or "harmed-share"
    name: str           # in words
    unit: str
    under: str          # "without change", "worst case found", …
    system: str
    value: float
    low: float | None
    high: float | None
    n: int


def numbers(label: Mapping[str, Any]) -> list[Number]:
    """The label's numbers: the headline check's bars, then the share of harmed samples. What was not measured is absent."""
    results = label["results"]
    if results is None:
        return []
    name, change = label["subject"]["name"], label["perturbation"]["plain"].rstrip(",")
    bars = [(name, "without change", results["normal"]),
            (name, f"random changes as large: {change}", results["average_case"]),
            (name, f"{_worst(results, 'worst case found')}: {change}", results["worst_case"])]
    other = results["established"]
    if other is not None:
        bars += [(other["name"], "without change", other["normal"]),
                 (other["name"], f"{_worst(results, 'its own worst case found')}: {change}", other["worst_case"])]
    found = [_number(results["metric"], under, system, estimate) for system, under, estimate in bars if estimate is not None]
    harmed = results["harmed"]
    if harmed["n"] and results["metric"]["id"] not in WORST:          # nothing is searched where a bound is proved
        low, high = harmed["rate95"] or (None, None)
        found.append(Number(metric="harmed-share", name="Share of samples on which the criterion fired", unit="share",
                            under=f"worst case found: {change}", system=name, value=harmed["count"] / harmed["n"],
                            low=low, high=high, n=harmed["n"]))
    return found


def _worst(results: Mapping[str, Any], found: str) -> str:
    """What the last bar is called: what was found, or what was proved."""
    return WORST[results["metric"]["id"]].lower().rstrip(":") if results["metric"]["id"] in WORST else found


def _number(metric: Mapping[str, Any], under: str, system: str, estimate: Mapping[str, Any]) -> Number:
    low, high = estimate["ci95"] or (None, None)
    return Number(metric=metric["id"], name=metric["name"], unit=metric["unit"], under=under, system=system,
                  value=estimate["value"], low=low, high=high, n=estimate["n"])


def told(row: Comparison) -> str:
    """What was seen in one check, in one sentence; of a check that nothing was learnt from, why."""
    verdict, change = row.audited, plain_change(row.check, row.audited.level)
    if verdict.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE):
        return printable(f"{row.title}: {verdict.outcome.value}; {verdict.reason}.")
    if verdict.outcome is Outcome.CERTIFIED:
        return printable(f"{row.title}: {change}: {verdict.reason}.")
    found = "harm was demonstrated on" if verdict.harmed else "no harmful case was found on any of"
    count = f"{verdict.harmed} of {verdict.n}" if verdict.harmed else str(verdict.n)
    return printable(f"{row.title}: {change}: {found} {count} samples.")
