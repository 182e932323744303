"""Charts as SVG text, drawn without script: every point can be reached by keyboard and has a row in a table twin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 46

# Series differ in dash and marker as well as in colour, so that a monochrome print can be read.
STYLES = ("worst", "average", "own", "transfer")


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart: (x, y) points in increasing x, and a band (x, low, high), with its words, where there is one."""

    name: str
    style: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float, float], ...] = ()
    banded: str = "least to greatest"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A line chart and the words that go with it; the two texts turn numbers into what is printed, `notes` stand below."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    from_zero: bool = True
    notes: tuple[str, ...] = ()


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about so many.

    >>> ticks(0.0, 0.37)
    [0.0, 0.1, 0.2, 0.3, 0.4]
    """
    if not high > low:
        high = low + 1.0
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def table(chart: Chart) -> tuple[list[str], list[list[str]]]:
    """The chart's table twin: header and rows of text, one row per x, one column per series and band.

    >>> c = Chart(title="t", x_label="size", y_label="e", x_text=str, y_text=str,
    ...           series=(Series(name="worst", style="worst", points=((1.0, 2.0),)),))
    >>> table(c)
    (['size', 'worst'], [['1.0', '2.0']])
    """
    header = [chart.x_label]
    columns: list[dict[float, str]] = []
    for series in chart.series:
        header.append(series.name)
        columns.append({x: chart.y_text(y) for x, y in series.points})
        if series.band:
            header.append(f"{series.name}: {series.banded}")
            columns.append({x: f"{chart.y_text(low)} to {chart.y_text(high)}" for x, low, high in series.band})
    places = sorted({x for column in columns for x in column})
    return header, [[chart.x_text(x), *(column.get(x, "–") for column in columns)] for x in places]


def line_chart(chart: Chart) -> str:
    """The chart as an SVG element; colours come from the page's style sheet, by class."""
    values = [y for s in chart.series for _, y in s.points] + [y for s in chart.series for _, *b in s.band for y in b]
    places = sorted({x for s in chart.series for x, _ in s.points})
    if not values:
        return ""
    y_ticks = ticks(0.0 if chart.from_zero and min(values) >= 0 else min(values), max(values))
    x_low, x_high = places[0], places[-1] if places[-1] > places[0] else places[0] + 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM))

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(chart.title)}">']
    parts += _axes(chart, y_ticks, _sparse(places, at), at)
    parts += [_band(s, at) for s in chart.series if s.band]
    parts += [_line(s, at) for s in chart.series]
    parts += [_point(s, chart, x, y, at) for s in chart.series for x, y in s.points]
    return "".join([*parts, "</svg>"])


Place = Callable[[float, float], tuple[float, float]]


def _sparse(places: Sequence[float], at: Place, gap: float = 44.0) -> list[float]:
    """The places to print under the axis: as many as leave room for their text."""
    kept: list[float] = []
    for x in places:
        if not kept or at(x, 0.0)[0] - at(kept[-1], 0.0)[0] >= gap:
            kept.append(x)
    return kept


def _axes(chart: Chart, y_ticks: Sequence[float], x_ticks: Sequence[float], at: Place) -> list[str]:
    bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    parts = []
    for y in y_ticks:
        height = at(x_ticks[0], y)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
                     f'<text class="tick" x="{LEFT - 7}" y="{height + 4:.1f}" text-anchor="end">'
                     f"{escape(chart.y_text(y))}</text>")
    for x in x_ticks:
        across = at(x, y_ticks[0])[0]
        parts.append(f'<line class="axis" x1="{across:.1f}" x2="{across:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
                     f'<text class="tick" x="{across:.1f}" y="{bottom + 18}" text-anchor="middle">'
                     f"{escape(_short(chart.x_text(x)))}</text>")
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
                 f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
                 f"{escape(chart.x_label)}</text>"
                 f'<text class="name" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
                 f"{escape(chart.y_label)}</text>")
    return parts


def _short(text: str, longest: int = 8) -> str:
    """The number alone where its unit is long: the axis has it in its name.

    >>> _short("10 %"), _short("3 phrases replaced")
    ('10 %', '3')
    """
    return text if len(text) <= longest else text.split(" ")[0]


def _band(series: Series, at: Place) -> str:
    upper = [at(x, high) for x, _, high in series.band]
    lower = [at(x, low) for x, low, _ in reversed(series.band)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in upper + lower)
    return f'<polygon class="band {series.style}" points="{points}"/>'


def _line(series: Series, at: Place) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*p) for p in series.points))
    return f'<polyline class="line {series.style}" points="{points}"/>'


def _point(series: Series, chart: Chart, x: float, y: float, at: Place) -> str:
    across, height = at(x, y)
    text = f"{series.name}: {chart.y_text(y)} at {chart.x_text(x)}"
    width = 7.2 * len(text) + 16
    left = min(max(across - width / 2, 2), WIDTH - width - 2)
    top = height - 36 if height > 60 else height + 14
    return (f'<g class="point {series.style}" tabindex="0" role="img" aria-label="{escape(text)}">'
            f"<title>{escape(text)}</title>{marker(series.style, across, height)}"
            f'<g class="tip"><rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="24" rx="3"/>'
            f'<text x="{left + width / 2:.1f}" y="{top + 16.5:.1f}" text-anchor="middle">{escape(text)}</text></g></g>')


def marker(style: str, x: float, y: float) -> str:
    """The mark of a series: square, circle, triangle or diamond, so that it is known without its colour."""
    if style == "worst":
        return f'<rect class="mark" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    if style == "average":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    corners = [(0, -6), (5.5, 4), (-5.5, 4)] if style == "own" else [(0, -6), (6, 0), (0, 6), (-6, 0)]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="mark" points="{points}"/>'


def legend_key(style: str) -> str:
    """A short piece of a series' line with its mark, for the legend beside its name."""
    return (f'<svg class="key" viewBox="0 0 44 16" width="44" height="16" aria-hidden="true"><polyline class="line '
            f'{style}" points="2,8 42,8"/><g class="point {style}">{marker(style, 22, 8)}</g></svg>')
