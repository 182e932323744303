"""The few shapes a label is drawn from, and a sheet that places them: one drawing, painted as SVG and as PNG alike."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from PIL import ImageFont

from assay.reports.accents import marked, plain
from assay.reports.wording import printable

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

# The bundled font has basic Latin letters only: signs are spelt, common marks drawn (`accents`), other marks dropped, and
# the rest becomes a question mark, in SVG as in PNG, so that both say the same. The JSON keeps the original.
_SPELT = str.maketrans({
    "–": "-", "—": "-", "−": "-", "‑": "-", "×": "x", "≤": "at most ", "≥": "at least ", "‖": "||", "∞": "inf",
    "ℓ": "l", "σ": "sigma", "µ": "u", "μ": "u", "→": "->", "\u00a0": " ", "ł": "l", "Ł": "L", "đ": "d", "„": "“",
})
_SIGNS = "…·±‘’“”°«»"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle, filled or outlined."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A closed polygon, or an open line if not closed."""

    points: tuple[Point, ...]
    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 0.0
    closed: bool = True


@dataclass(frozen=True, kw_only=True)
class Words:
    """One line of text; `y` is its baseline, `length` the width both painters give it."""

    x: float
    y: float
    size: float
    text: str
    length: float
    bold: bool = False
    anchor: Anchor = "start"
    colour: str = "#111111"
    language: str = ""          # where it is not the drawing's own


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Black squares of a grid (a QR code), `cell` units each; `rows` holds one string of 0 and 1 per row."""

    x: float
    y: float
    cell: float
    rows: tuple[str, ...]


Item = Box | Shape | Words | Cells


@dataclass(frozen=True, kw_only=True)
class Page:
    """A finished drawing: its size and its items from back to front."""

    width: float
    height: float
    items: tuple[Item, ...]

    @property
    def texts(self) -> list[str]:
        """Every line of text, in reading order."""
        return [item.text for item in self.items if isinstance(item, Words)]


@dataclass
class Sheet:
    """A drawing in the making; `y` is where the next block begins."""

    width: float
    y: float = 0.0
    items: list[Item] = field(default_factory=list)

    def words(self, text: str, x: float, y: float, size: float, *, bold: bool = False, anchor: Anchor = "start",
              colour: str = "#111111", language: str = "") -> None:
        shown = drawable(text)
        self.items.append(Words(x=x, y=y, size=size, text=shown, length=length(shown, size, bold), bold=bold,
                                anchor=anchor, colour=colour, language=language))

    def paragraph(self, text: str, x: float, width: float, size: float, *, bold: bool = False, leading: float = 1.28,
                  colour: str = "#111111", limit: int = 99, language: str = "") -> None:
        """Wrapped text from `self.y` on, at most `limit` lines."""
        lines = wrapped(drawable(text), width, size, bold)
        if len(lines) > limit:
            lines = [*lines[:limit - 1], ellipsed(lines[limit - 1], width, size, bold)]
        for line in lines:
            self.y += size * leading
            self.words(line, x, self.y - size * (leading - 1), size, bold=bold, colour=colour, language=language)

    def line(self, *points: Point, width: float = 2.0, colour: str = "#111111") -> None:
        self.items.append(Shape(points=points, stroke=colour, stroke_width=width, closed=False))


def drawable(text: str) -> str:
    """The text in characters that the bundled font has.

    >>> drawable("15–20 × ℓ₂, naïve café"), drawable("数")
    ('15-20 x l2, naive café', '?')
    """
    whole = unicodedata.normalize("NFC", printable(text))
    parts = (c if c in _SIGNS or marked(c) else unicodedata.normalize("NFKD", c.translate(_SPELT)) for c in whole)
    bare = "".join(c for c in "".join(parts) if not unicodedata.combining(c))   # decomposed: marks stand alone
    return "".join(c if 32 <= ord(c) < 127 or c in _SIGNS or marked(c) else "?" for c in bare)


def spelt(text: str) -> str:
    """The text in the letters of the bundled font alone, marks left out."""
    return text if text.isascii() else "".join(plain(c) for c in text)


@functools.cache
def font(pixels: float) -> ImageFont.FreeTypeFont:
    """Pillow's bundled font, so that the label looks the same on every machine."""
    loaded = ImageFont.load_default(pixels)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install a Pillow wheel to draw the label")
    return loaded


def boldness(size: float) -> float:
    """Width of the stroke that makes text of this size bold."""
    return size / 36


def tracking(size: float) -> float:
    """Room added between bold letters, which the stroke would otherwise close."""
    return size / 50


def length(text: str, size: float, bold: bool = False) -> float:
    """Width of the text; measured large and scaled, so that hinting does not depend on the size."""
    letters = spelt(text)
    return font(100).getlength(letters) * size / 100 + (_bold_extra(len(letters), size) if bold else 0.0)


def _bold_extra(letters: int, size: float) -> float:
    return 2 * boldness(size) + max(letters - 1, 0) * tracking(size)


def wrapped(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """The text in lines of at most `width`; a word that is too long by itself is broken.

    >>> wrapped("one two", 1.0, 10.0)[:3]
    ['o', 'n', 'e']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and length(f"{lines[-1]} {word}", size, bold) <= width:
            lines[-1] += f" {word}"
            continue
        while word and length(word, size, bold) > width and len(word) > 1:
            cut = next((n for n in range(len(word) - 1, 1, -1) if length(word[:n], size, bold) <= width), 1)
            lines.append(word[:cut])
            word = word[cut:]
        if word:
            lines.append(word)
    return lines


def ellipsed(line: str, width: float, size: float, bold: bool = False) -> str:
    """The line cut so that an ellipsis fits behind it."""
    while line and length(line + "…", size, bold) > width:
        line = line[:-1]
    return line.rstrip() + "…"
