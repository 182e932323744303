"""The label as plain text of at most 80 columns: for terminals, e-mail and places where no picture goes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from assay.reports.label_statements import BarLine, bar_lines, interval_of, rows, scale_of
from assay.reports.wording import amount, printable

COLUMNS = 80
_MARKS = {"normal": "#", "average": "-", "worst": "/", "own": "|"}


def render_text(label: Mapping[str, Any]) -> str:
    """The label in plain text, bars included; no line is longer than 80 characters."""
    head = label["headline"]
    lines = ["=" * COLUMNS, f"{head['signal']}: {head['manner']}", "=" * COLUMNS,
             *_wrapped(head["hazard"]), *_wrapped(head["consequence"]), ""]
    if results := label["results"]:
        metric = results["metric"]
        low, high = scale_of(metric)
        lines += _wrapped(f"{metric['name']} ({metric['better']} is better), mean and 95 % interval; "
                          f"bars from {low} to {high}")
        lines += [line for bar in bar_lines(results) for line in _bar(bar, metric)]
        lines.append("")
    for name, text, _ in rows(label):
        lines += _wrapped(text, first=f"{name:<13}", rest=" " * 13)
    subject = label["subject"]
    version = "" if subject["version"] == "unversioned" else f" {subject['version']}"
    lines += ["-" * COLUMNS, *_wrapped(subject["name"] + version), f"sha256   {subject['digest']['sha256']}",
              f"evidence {label['provenance']['audit_digest']['sha256']}",
              *_wrapped(f"Check it: {label['provenance']['replay']}"), ""]
    return "\n".join(lines)


def _bar(line: BarLine, metric: Mapping[str, Any]) -> list[str]:
    estimate, (low, high) = line.estimate, metric["range"]
    if estimate is None:
        return _wrapped(f"{line.words}: {amount(None)}", first="  ", rest="    ")
    share = min(max((estimate["value"] - low) / (high - low), 0.0), 1.0)
    shown = f"{amount(estimate['value'], metric['unit'])} {interval_of(estimate, metric['unit'])}".strip()
    bar = (_MARKS[line.style] * max(1, round(share * 50))) + (">" if estimate["value"] > high else "")
    return [*_wrapped(f"{line.words}: {shown}", first="  ", rest="    "), f"    [{bar:<51}]"]


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(printable(text), COLUMNS, initial_indent=first, subsequent_indent=rest) or [""]
