"""What is known of the smallest flip from both sides: proved harmless up to here, found to flip from there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.records import Finding
from assay.reports.comparison import Comparison
from assay.reports.figures import Chart, Series
from assay.reports.wording import amount
from assay.verdicts import WITHIN, apart, flips_found

STEPS = 16              # of the curve
SHOWN = 40              # samples in the report's table, the widest brackets first; the JSON has all


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """One rightly decided sample: the size within which nothing flips it, proved, and the smallest found to do it."""

    sample: str
    proved: float
    found: float | None         # None where no search flipped it

    @property
    def contradicts(self) -> bool:
        """Whether a change was found within the size that was proved harmless."""
        return self.found is not None and self.found < self.proved * (1 - WITHIN)


@dataclass(frozen=True, kw_only=True)
class Brackets:
    """The brackets of one certificate and one system, in the unit of its sizes."""

    check: str
    system: str
    unit: str
    samples: tuple[Bracket, ...]


def brackets(rows: Sequence[Comparison], findings: Sequence[Finding]) -> list[Brackets]:
    """Of every certificate, for the audited system and the established method beside it."""
    return [found for row in rows if row.check.get("method") == "certificate"
            for verdict in (row.audited, row.established) if verdict is not None
            if (found := of(str(row.check["id"]), verdict.system, findings)).samples]


def of(check: str, system: str, findings: Sequence[Finding]) -> Brackets:
    """The brackets of one system, from the rows of its certificate and of every search in the same unit."""
    proofs = [f for f in findings if f.check == check and f.system == system and f.worst is not None and not apart(f)]
    unit = proofs[0].unit if proofs else ""
    found = flips_found(findings, system=system, unit=unit)
    return Brackets(check=check, system=system, unit=unit, samples=tuple(
        Bracket(sample=f.sample, proved=f.worst or 0.0, found=found.get(f.sample)) for f in proofs))


def bracket_chart(check: Mapping[str, Any], known: Brackets) -> Chart | None:
    """The share of right decisions flipped by a size or less: at least what was found, at most what was not proved."""
    sizes = [v for b in known.samples for v in (b.proved, b.found) if v is not None]
    if not sizes or max(sizes) <= 0:
        return None
    n, step = len(known.samples), 1.1 * max(sizes) / STEPS
    places = [i * step for i in range(STEPS + 1)]
    least = [sum(b.found is not None and b.found <= x for b in known.samples) / n for x in places]
    most = [sum(b.proved < x for b in known.samples) / n for x in places]
    band = tuple((x, min(low, high), max(low, high)) for x, low, high in zip(places, least, most, strict=True))
    series = (Series(name=f"{known.system}: flipped by a change that was found", style="worst", band=band,
                     points=tuple(zip(places, least, strict=True)), banded="what is neither found nor excluded"),
              Series(name=f"{known.system}: not proved to hold", style="own", points=tuple(zip(places, most, strict=True))))
    label = "Right decisions flipped"
    return Chart(title=f"{check.get('title', check['id'])}, {known.system}: {label}", y_label=label,
                 x_label=f"size of the change, or less ({known.unit})", series=series,
                 x_text=lambda x: amount(x, known.unit), y_text=lambda y: amount(y, "share", digits=3))


def bracket_table(known: Brackets) -> tuple[list[str], list[list[str]]]:
    """Sample, proved, found: the widest brackets first, at most `SHOWN` of them."""
    def width(b: Bracket) -> float:
        return math.inf if b.found is None else b.found - b.proved

    ordered = sorted(known.samples, key=lambda b: (not b.contradicts, -width(b), b.proved))
    body = [[b.sample, amount(b.proved, known.unit), "none" if b.found is None else amount(b.found, known.unit)]
            for b in ordered[:SHOWN]]
    return [f"Sample ({known.system})", "Proved to hold up to", "Smallest flip found"], body


def estimate_note(check: Mapping[str, Any], system: str, findings: Sequence[Finding]) -> str:
    """How an estimate from slopes (CLEVER) is to be read, with what speaks against it; "" for any other check."""
    if check.get("method") != "clever":
        return ""
    rows = [f for f in findings if f.check == check["id"] and f.system == system and f.worst is not None]
    found = flips_found(findings, system=system, unit=rows[0].unit if rows else "")
    below = sum(found.get(f.sample, math.inf) < (f.worst or 0.0) * (1 - WITHIN) for f in rows)
    misfits = sum(f.extra.get("fit.good", 1.0) == 0 for f in rows)
    return ("An estimate, not a bound: masked gradients make it too large. "
            f"{below} of {len(rows)} samples were flipped by a smaller change than estimated; on {misfits} the fitted law "
            "does not hold (Kolmogorov and Smirnov, 5 %).")


def data(known: Brackets) -> dict[str, Any]:
    """The same for `--format json`."""
    return {"check": known.check, "system": known.system, "unit": known.unit, "samples": [
        {"sample": b.sample, "proved": b.proved, "found": b.found} for b in known.samples]}
