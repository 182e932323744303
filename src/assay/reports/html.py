"""The report: one HTML file without scripts, fonts, links or pictures from anywhere else, at most 5 MB."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from assay.numerics.binary import SPECIFICITY
from assay.profiles.thresholds import counts, thresholds_of
from assay.records import Finding, Verdict
from assay.reports import pages
from assay.reports.bars import bar_range, bars
from assay.reports.brackets import Brackets, bracket_table, brackets, estimate_note
from assay.reports.comparison import Comparison, Folder, compare, is_complete
from assay.reports.curves import ladder_charts
from assay.reports.extrapolation import extrapolations
from assay.reports.headline import headline, noun
from assay.reports.kinds import Table, kinds_table
from assay.reports.panels import BUDGET, galleries
from assay.reports.refusals import refusals_by_system
from assay.reports.risks import risks
from assay.reports.sounds import written_note
from assay.reports.spreads import spreads
from assay.reports.subgroups import subgroups
from assay.reports.two_classes import POSITIVE, as_tests, populations
from assay.reports.wording import (
    CLASSIFYING,
    FLAGS,
    WORST,
    WRITTEN,
    amount,
    area,
    plain_change,
    printable,
    significant,
    span,
)
from assay.store import StoreError, write_aside

LIMIT = 5_000_000   # bytes
SHOWN = {"text": "Texts", "codes": "Texts", "sound": "Sounds", "verification": "Sounds",
         "table": "Rows"}       # what is shown where it is not pictures


def write_report(folder: Folder, verdicts: Sequence[Verdict], path: Path) -> Path:
    """Write the self-contained report to `path` (aside, then renamed) and return the path."""
    write_aside(path, contents(folder, verdicts))
    return path


def contents(folder: Folder, verdicts: Sequence[Verdict]) -> bytes:
    """The bytes of the report: the same for the same folder and verdicts.

    Raises ValueError if it would exceed 5 MB even without pictures.
    """
    for budget in (BUDGET, BUDGET // 4, 0):
        text = render(folder, verdicts, budget=budget).encode()
        if len(text) <= LIMIT:
            return text
    raise ValueError(f"report.html: {len(text)} bytes without any picture, more than {LIMIT}; audit fewer samples at once")


def render(folder: Folder, verdicts: Sequence[Verdict], *, budget: int = BUDGET) -> str:
    """The report as text; `budget` bounds the characters spent on pictures."""
    findings = list(folder.findings())
    profile = folder.header["profile"]
    rows = compare(verdicts, profile)
    top = headline(folder, verdicts, findings=findings)
    shown, refused = galleries(folder, findings, verdicts, budget=budget)
    template = _environment().from_string(pages.template("report.html.j2"))
    return template.render(
        style=Markup(pages.template("report.css")), header=folder.header, profile=profile, top=top,
        complete=is_complete(folder), done=folder.done, skipped=folder.skipped, rows=rows,
        bars=bars(top.on, findings) if top.on else [],
        charts=_charts(rows, findings), kinds=_kinds(rows, findings),
        written=[written_note(row.check, row.audited.system, row.audited.level, findings) for row in rows],
        estimates=[estimate_note(row.check, row.audited.system, findings) for row in rows],
        brackets=_brackets(brackets(rows, findings)), proofs=WORST,
        galleries=shown, refused=refused, flags=_flags(verdicts, findings),
        stops=_stops(findings), manifest=_manifest(folder), noun=noun(profile),
        counted=noun(profile, top.on.check if top.on else None), change=plain_change,
        labelled=profile.get("task") in CLASSIFYING, texts=profile.get("task") in WRITTEN,
        shown=SHOWN.get(str(profile.get("task")), "Pictures"),
        subgroups=subgroups(rows, findings, folder.header.get("groups", {})),
        risks=risks(rows, findings), spreads=spreads(rows, findings), extrapolations=extrapolations(rows, findings),
        tests=populations(as_tests(rows, findings, folder.header)),
        refusals=refusals_by_system(folder.header, rows, findings, complete=is_complete(folder)),
        thresholds=thresholds_of(profile), told=counts(profile),
        positive=POSITIVE, asked=SPECIFICITY, others=[v for v in verdicts if v.role == "established"],
        established={v.system for v in verdicts if v.role == "established"})


def _manifest(folder: Folder) -> str:
    """The manifest's digest, or words where the audit has not been sealed yet."""
    try:
        return folder.manifest_digest
    except StoreError:
        return "not sealed yet"


def _charts(rows: Sequence[Comparison], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        charts = ladder_charts(row.check, findings, row.audited.system,
                               row.established.system if row.established else None)
        if charts:
            found.append({"row": row, "charts": [pages.drawn(chart) for chart in charts]})
    return found


def _kinds(rows: Sequence[Comparison], findings: Sequence[Finding]) -> list[Table | None]:
    """For each row the table of its kinds of change, where there are several."""
    return [kinds_table(row.check, findings, [row.audited.system, *([row.established.system] if row.established else [])],
                        row.audited.level) for row in rows]


def _brackets(known: Sequence[Brackets]) -> dict[str, list[tuple[Table, int]]]:
    """For each certificate its tables, and how many samples each is of."""
    found: dict[str, list[tuple[Table, int]]] = {}
    for one in known:
        found.setdefault(one.check, []).append((bracket_table(one), len(one.samples)))
    return found


def _flags(verdicts: Sequence[Verdict], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Every flag once per check and system, with how many rows carry it and the first detail."""
    seen: dict[tuple[str, str, str], dict[str, Any]] = {}
    sources: list[Finding | Verdict] = [*findings, *verdicts]
    for source in sources:
        for flag in source.flags:
            entry = seen.setdefault((flag.id, source.check, source.system), {
                "id": flag.id, "check": source.check, "system": source.system, "detail": flag.detail, "count": 0,
                "meaning": FLAGS.get(flag.id, "See docs/flags.md.")})
            entry["detail"] = entry["detail"] or flag.detail
            entry["count"] += isinstance(source, Finding)
    return [seen[key] for key in sorted(seen)]


def _stops(findings: Sequence[Finding]) -> list[tuple[str, str, int]]:
    """Why the searches stopped: reason, sentence, how many."""
    counts: dict[Any, int] = {}
    for finding in findings:
        counts[finding.stop] = counts.get(finding.stop, 0) + 1
    return [(stop.value, stop.sentence, n) for stop, n in sorted(counts.items(), key=lambda item: -item[1])]


def _scaled(value: float | None, scale: tuple[float, float]) -> float:
    """Position on the bar's scale in percent, clipped to it."""
    if value is None:
        return 0.0
    return min(max(100 * (value - scale[0]) / (scale[1] - scale[0]), 0.0), 100.0)


def _passage(text: str) -> Markup:
    """A user's text with its line breaks; other control characters are written out."""
    return Markup("\n").join(printable(line) for line in text.split("\n"))


def _settings(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} = {v}" for k, v in sorted(value.items()) if v not in (None, "", {}, []))


@functools.cache
def _environment() -> Environment:
    environment = pages.environment()
    environment.filters |= {"amount": amount, "span": span, "printable": printable, "significant": significant,
                            "settings": _settings, "area": area, "passage": _passage}
    environment.globals |= {"scaled": _scaled, "bar_range": bar_range}
    return environment
