"""What `assay audit` shows at the end: the headline, and one row per check. Names are shown, never interpreted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from assay.records import Finding, Outcome, Verdict
from assay.reports import label_fields
from assay.reports.comparison import Comparison, Folder, compare, is_complete
from assay.reports.headline import headline
from assay.reports.label_statements import as_test_text
from assay.reports.refusals import refusals_by_system
from assay.reports.two_classes import as_tests, told_with
from assay.reports.wording import WORST, amount, is_fraction, printable, shortened

# Words come first; colour only repeats them.
_STYLES = {Outcome.UNSTABLE: "bold red", Outcome.INCONCLUSIVE: "yellow", Outcome.NOT_APPLICABLE: "dim"}
_BORDERS = {"WARNING": "red", "CAUTION": "yellow", "NOTICE": "blue"}


def summary(folder: Folder, verdicts: Sequence[Verdict]) -> Group:
    """The headline and a table with one row per check and audited system, and what its columns are.

    For each classifier of two classes, a paragraph on what it is worth as a test.
    """
    findings = list(folder.findings())
    top = headline(folder, verdicts, findings=findings)
    head = Text.assemble((f"{top.signal.word}  ", "bold"), (top.manner, "italic"), "\n",
                         (printable(top.hazard), "bold"), "\n", printable(top.consequence))
    header = folder.header
    rows = compare(verdicts, header["profile"])
    several = len({row.audited.system for row in rows}) > 1
    tests = [told for name in dict.fromkeys(row.audited.system for row in rows)
             if (told := _as_test([row for row in rows if row.audited.system == name], top.on, findings, header))]
    refused = [Text(f"\n{printable(line.words)}") for lines in refusals_by_system(
        header, rows, findings, complete=is_complete(folder)).values() for line in lines]
    return Group(Panel(head, border_style=_BORDERS.get(top.signal.word, "none"), padding=(0, 1)),
                 _table(rows, several),
                 Text("their worst: the established method under its own worst case; same change: under this system's",
                      style="dim"), *tests, *refused)


def _as_test(rows: Sequence[Comparison], on: Comparison | None, findings: Sequence[Finding],
             header: Mapping[str, Any]) -> Text | None:
    told = told_with(as_tests(rows, findings, header), on, header["profile"]["headline"])
    field = label_fields.as_test(told, header["data"].get("classes", ()))
    if field is None:
        return None
    return Text.assemble((f"\n{printable(field['system']['name'])} as a test: ", "bold"), as_test_text(field))


def _table(rows: Sequence[Comparison], several: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    if several:
        table.add_column("system")
    for name in ("at", "normal", "average", "worst", "their\nworst", "same\nchange", "harmed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, several))
    return table


def _cells(row: Comparison, several: bool) -> list[Text]:
    verdict, other = row.audited, row.established
    numbers = [verdict.normal, verdict.average, verdict.worst, other.worst if other else None,
               other.transfer if other else None]
    plain = [verdict.check, *([shortened(verdict.system, 24)] if several else []),
             "" if verdict.level is None else _number(verdict.level, verdict.unit),
             *("–" if value is None else amount(value, row.unit) for value in numbers),
             f"{verdict.harmed}/{verdict.n}" if verdict.n and verdict.metric not in WORST else "–"]
    return [*(Text(printable(cell)) for cell in plain),
            Text(_outcome(row), style=_STYLES.get(verdict.outcome, ""))]


def _outcome(row: Comparison) -> str:
    """The verdict in a word; a check that only measures says so."""
    if row.audited.outcome is Outcome.NOT_APPLICABLE:
        return "measured" if row.audited.measured else "n/a"
    return row.audited.outcome.value


def _number(level: float, unit: str) -> str:
    """The level without a unit in words: the column is narrow, and the report says what is counted."""
    text = amount(level, unit)
    return text if is_fraction(unit) else text.split(" ")[0]


def progress_line(finished: int, planned: int, *, check: str, system: str, worst: float | None, unit: str = "") -> str:
    """One line of progress with the worst case so far.

    >>> progress_line(3, 10, check="noise", system="net", worst=0.25, unit="fraction")
    '3 of 10 · noise on net · worst so far 25 %'
    """
    seen = "" if worst is None else f" · worst so far {amount(worst, unit)}"
    return f"{finished} of {planned} · {check} on {shortened(system)}{seen}"
