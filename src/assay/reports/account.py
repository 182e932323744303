"""An account as a self-contained HTML page, as Markdown and as text for a terminal. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from assay.account import Account, Picture, Plot
from assay.reports import figures, pages
from assay.reports.pictures import data_uri
from assay.reports.wording import amount, printable

COLUMNS = 6         # of a table in a terminal; the page has them all


def page(account: Account, *, facts: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The page's bytes: no script, no link to anywhere; `facts` (name, value) say what was run."""
    plots = [_drawn(plot) for plot in account.plots]
    strips = [(strip.title, [(p.caption, _uri(p)) for p in strip.pictures]) for strip in account.strips]
    text = pages.environment().from_string(pages.template("account.html.j2")).render(
        style=Markup(pages.template("report.css")), account=account, plots=plots, strips=strips, facts=facts)
    return str(text).encode()


def summary(account: Account) -> Any:
    """What a terminal shows: question, what was seen, tables, limits."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table as Grid
    from rich.text import Text

    def grid(table: Any) -> Grid:
        shown = Grid(title=Text(table.title, style="bold"), title_justify="left", box=None, pad_edge=False,
                     header_style="bold", padding=(0, 2, 0, 0), caption_justify="left",
                     caption=Text(table.note, style="dim") if table.note else None)
        for i, name in enumerate(table.head[:COLUMNS]):
            shown.add_column(Text(name), justify="left" if i == 0 else "right")
        for row in table.rows:
            shown.add_row(*(Text(printable(cell)) for cell in row[:COLUMNS]))
        return shown

    head = Text.assemble((account.title, "bold"), "\n", (account.question, "italic"))
    seen = Text("\n".join(f"• {printable(line)}" for line in account.seen))
    limits = Text("\n".join(f"Not shown: {printable(line)}" for line in account.limits), style="dim")
    return Group(Panel(head, padding=(0, 1)), seen, *(item for table in account.tables for item in (Text(""), grid(table))),
                 Text(""), limits)


def markdown(account: Account) -> str:
    """Question, what was seen, tables, limits and sources as Markdown, under a heading of second level; no pictures.

    >>> print(markdown(Account(title="T", question="Q?", seen=("a*b",))))
    ## T
    <BLANKLINE>
    *Q?*
    <BLANKLINE>
    * a\\*b
    <BLANKLINE>
    """
    def listed(lines: Sequence[str]) -> str:
        return "\n".join(f"* {_escaped(line)}" for line in lines)

    parts = [f"## {_escaped(account.title)}", f"*{_escaped(account.question)}*", listed(account.seen)]
    for table in account.tables:
        rows = [table.head, ("---",) * len(table.head), *table.rows]
        parts += [f"**{_escaped(table.title)}**", "\n".join(
            "|" + "".join(f" {cell if row is rows[1] else _escaped(cell)} |" for cell in row) for row in rows)]
        parts += [_escaped(table.note)] if table.note else []
    parts += ["Not shown:", listed(account.limits)] if account.limits else []
    parts += [f"Sources: {_escaped('; '.join(account.sources))}."] if account.sources else []
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: nothing in a name of the user's starts a link, a tag or a column."""
    return re.sub(r"([\\`*_\[\]<|])", r"\\\1", printable(" ".join(text.split())))


def _uri(picture: Picture) -> str:
    return data_uri(np.array(picture.pixels, dtype=np.float64), low=picture.low, high=picture.high)


def _drawn(plot: Plot) -> dict[str, Any]:
    """The plot as a chart; of a logarithmic axis the chart has the logarithms, and its texts the numbers."""
    def scaled(value: float, log: bool) -> float:
        return math.log10(value) if log else value

    def text(value: float, log: bool, kind: str) -> str:
        return amount(10**value if log else value, kind, digits=3)

    series = tuple(figures.Series(name=line.name, style=line.style, points=tuple(
        (scaled(x, plot.x_log), scaled(y, plot.y_log)) for x, y in line.points)) for line in plot.lines if line.points)
    chart = figures.Chart(title=plot.title, x_label=plot.x_label, y_label=plot.y_label, series=series,
                          x_text=lambda x: text(x, plot.x_log, ""), y_text=lambda y: text(y, plot.y_log, plot.kind),
                          from_zero=not plot.y_log)
    return pages.drawn(chart)
