"""What every HTML page is made with: the templates' text, and an environment that lets no name deceive the eye."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from assay.reports import figures
from assay.reports.wording import printable


@functools.cache
def template(name: str) -> str:
    """The text of a file of `templates/`."""
    return files("assay.reports").joinpath("templates", name).read_text(encoding="utf-8")


def environment() -> Environment:
    """A new environment: everything is escaped, nothing may be undefined, and a line's key can be drawn."""
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals |= {"legend_key": lambda style: Markup(figures.legend_key(style))}
    # Names come from users' files: whatever is printed has its control characters written out first.
    made.finalize = lambda value: value if isinstance(value, Markup) else (
        printable(value).replace(" %", "\u00a0%") if isinstance(value, str) else value)
    return made


def drawn(chart: figures.Chart) -> dict[str, Any]:
    """A chart as a template takes it: itself, its drawing, and its table twin."""
    head, body = figures.table(chart)
    return {"chart": chart, "svg": Markup(figures.line_chart(chart)), "head": head, "body": body}
