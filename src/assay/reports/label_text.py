"""The label as plain text of at most 80 columns: for terminals, e-mail and places where no picture goes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from assay.reports.label_statements import (
    ENGLISH,
    BarLine,
    bar_lines,
    hazard_of,
    rows,
    scale_of,
    signal_of,
    title_of,
    value_of,
)
from assay.reports.language import Language
from assay.reports.wording import printable

COLUMNS = 80
_MARKS = {"normal": "#", "average": "-", "worst": "/", "own": "|"}


def render_text(label: Mapping[str, Any], tongue: Language = ENGLISH) -> str:
    """The label in plain text, bars included; no line is longer than 80 characters."""
    lines = ["=" * COLUMNS, ": ".join(signal_of(label, tongue)), "=" * COLUMNS, *_wrapped(hazard_of(label, tongue)),
             *_wrapped(tongue.shown(label["headline"]["consequence"])), ""]
    if results := label["results"]:
        metric = results["metric"]
        low, high = scale_of(metric, tongue)
        lines += _wrapped(tongue.say("bars-from", title=title_of(metric, tongue), low=low, high=high))
        lines += [line for bar in bar_lines(results, tongue) for line in _bar(bar, metric, tongue)]
        lines.append("")
    named = rows(label, tongue)
    margin = max(13, *(len(name) + 2 for name, _, _ in named))
    for name, text, _ in named:
        for i, part in enumerate(text.split("\n")):
            lines += _wrapped(part, first=f"{name if i == 0 else '':<{margin}}", rest=" " * margin)
    subject = label["subject"]
    version = "" if subject["version"] == "unversioned" else f" {subject['version']}"
    lines += ["-" * COLUMNS, *_wrapped(subject["name"] + version), f"sha256   {subject['digest']['sha256']}",
              f"evidence {label['provenance']['audit_digest']['sha256']}",
              *_wrapped(tongue.say("check-it", command=label["provenance"]["replay"])), ""]
    return "\n".join(lines)


def _bar(line: BarLine, metric: Mapping[str, Any], tongue: Language) -> list[str]:
    estimate, (low, high) = line.estimate, metric["range"]
    if estimate is None:
        return _wrapped(f"{line.words}: {tongue.amount(None)}", first="  ", rest="    ")
    share = min(max((estimate["value"] - low) / (high - low), 0.0), 1.0)
    shown = value_of(estimate, metric["unit"], tongue)
    bar = (_MARKS[line.style] * max(1, round(share * 50))) + (">" if estimate["value"] > high else "")
    return [*_wrapped(f"{line.words}: {shown}", first="  ", rest="    "), f"    [{bar:<51}]"]


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(printable(text), COLUMNS, initial_indent=first, subsequent_indent=rest) or [""]
