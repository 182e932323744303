"""The label's drawing painted as SVG: real text that can be searched and read aloud, no script, nothing loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from assay.reports.label_layout import layout
from assay.reports.label_statements import ENGLISH, signal_of, statement
from assay.reports.language import Language
from assay.reports.sheet import Box, Cells, Item, Page, Shape, drawable

FAMILY = "Aileron, Helvetica, Arial, 'Liberation Sans', sans-serif"


def render_svg(label: Mapping[str, Any], page: Page | None = None, tongue: Language = ENGLISH) -> str:
    """The label as a standalone SVG file; a screen reader gets the whole statement as its description."""
    page = page or layout(label, tongue)
    title = tongue.say("label-of", signal=signal_of(label, tongue)[0], name=label["subject"]["name"])
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(page.width)} {_n(page.height)}" '
            f'width="{_n(page.width)}" height="{_n(page.height)}" role="img" aria-labelledby="t d" lang="{tongue.code}" '
            f'font-family="{FAMILY}"><title id="t">{escape(drawable(title))}</title>'
            f'<desc id="d">{escape(drawable(statement(label, tongue)))}</desc>')
    return "\n".join([head, *(_painted(item) for item in page.items), "</svg>\n"])


def _painted(item: Item) -> str:
    if isinstance(item, Box):
        return (f'<rect x="{_n(item.x)}" y="{_n(item.y)}" width="{_n(item.width)}" height="{_n(item.height)}"'
                f"{_ink(item.fill, item.stroke, item.stroke_width)}/>")
    if isinstance(item, Shape):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in item.points)
        name = "polygon" if item.closed else "polyline"
        return f'<{name} points="{points}"{_ink(item.fill, item.stroke, item.stroke_width)}/>'
    if isinstance(item, Cells):
        return _cells(item)
    weight = ' font-weight="700"' if item.bold else ""
    weight += f' lang="{item.language}"' if item.language else ""
    # textLength gives every font the width that the layout measured, so that nothing overlaps or runs out.
    return (f'<text x="{_n(item.x)}" y="{_n(item.y)}" font-size="{_n(item.size)}"{weight} fill="{item.colour}" '
            f'text-anchor="{item.anchor}" textLength="{_n(item.length)}" lengthAdjust="spacingAndGlyphs">'
            f"{escape(item.text)}</text>")


def _cells(item: Cells) -> str:
    path = "".join(f"M{column} {row}h1v1h-1z" for row, line in enumerate(item.rows)
                   for column, cell in enumerate(line) if cell == "1")
    return (f'<path transform="translate({_n(item.x)} {_n(item.y)}) scale({_n(item.cell)})" d="{path}" fill="#000000" '
            'shape-rendering="crispEdges"/>')


def _ink(fill: str | None, stroke: str | None, width: float) -> str:
    outline = f' stroke="{stroke}" stroke-width="{_n(width)}" stroke-linejoin="round"' if stroke else ""
    return f' fill="{fill or "none"}"{outline}'


def _n(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
