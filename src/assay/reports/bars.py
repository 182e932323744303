"""The four bars that tell the story: normal, average of random changes, worst found, the established method's worst."""

from __future__ import annotations

from collections.abc import Sequence

from assay.records import Finding
from assay.reports import figures
from assay.reports.comparison import Comparison, Estimate, mean_estimate, rows_of, worst_estimate
from assay.reports.wording import CONTROLS, WORST, is_fraction
from assay.verdicts import by_sample


def bars(row: Comparison, findings: Sequence[Finding]) -> list[tuple[str, str, Estimate]]:
    """The four bars (words, style, estimate): normal, average, worst found, the established method's worst."""
    own = rows_of(findings, row.audited)
    control = CONTROLS.get(row.audited.metric, "Average of random changes")
    listed = [("Normal input", "normal", mean_estimate(by_sample(own, "normal"))),
              (control, "average", mean_estimate(by_sample(own, "average"))),
              (WORST.get(row.audited.metric, "Worst case found"), "worst", worst_estimate(row.audited))]
    if row.established is not None:
        own_worst = WORST.get(row.audited.metric, "its own worst case").lower()
        listed.append((f"{row.established.system}: {own_worst}", "own", worst_estimate(row.established)))
    return listed


def bar_range(row: Comparison, estimates: Sequence[Estimate]) -> tuple[float, float]:
    """The fixed scale of a metric: the profile's `range`, else 0–50 % for errors and 0–100 % for other fractions.

    Fixed, so that two labels can be laid side by side; at a relative error of 50 % nothing of use is left of an image.
    Metrics without natural bounds get the next round number above what was measured.
    """
    if declared := row.check.get("range"):
        return float(declared[0]), float(declared[1])
    if is_fraction(row.unit):
        return (0.0, 0.5) if "error" in row.metric.lower() else (0.0, 1.0)
    top = max((v for e in estimates for v in (e.value, e.high) if v is not None), default=1.0)
    return 0.0, figures.ticks(0.0, top)[-1]
