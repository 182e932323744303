"""What an experiment or a study tells: sentences, tables, plots and pictures, as plain values. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a head; `note` says what a reader must know to read them."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a plot: its points, and the style it is drawn in (worst, average, own, transfer)."""

    name: str
    style: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines over common axes. Of a logarithmic axis the points hold the numbers themselves, all above 0.

    `kind` says how numbers of y are printed: "share" in per cent, else as they are.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_log: bool = False
    y_log: bool = False
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A small picture as rows of grey values, or of (red, green, blue), drawn from `low` (black) to `high` (white)."""

    caption: str
    pixels: tuple[tuple[float | tuple[float, ...], ...], ...]
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Pictures side by side under one heading."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is told, in reading order: the question, what was seen, numbers, drawings, what it does not show."""

    title: str
    question: str
    seen: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    strips: tuple[Strip, ...] = ()
    limits: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
