"""Letters with marks that the bundled font lacks: which of its letters to draw, and the marks as shapes around them.

Pillow's bundled font has basic Latin letters only, and no other font ships with the package. Where a letter is one of those
with a mark, both are drawn; SVG keeps the real letter.
"""

from __future__ import annotations

import math
import unicodedata

Points = tuple[tuple[float, float], ...]

_GRAVE, _ACUTE, _CIRCUMFLEX, _TILDE, _DOTS, _RING, _CEDILLA = "\u0300\u0301\u0302\u0303\u0308\u030a\u0327"
_LETTERS = {"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss"}
_NARROW = "iîïíìj"           # whose dot stands where the mark would be: drawn without it


def plain(letter: str) -> str:
    """The letters of the bundled font for a letter, without its mark; the letter itself where it has none.

    >>> plain("é"), plain("ø"), plain("ß"), plain("x")
    ('e', 'o', 'ss', 'x')
    """
    if letter in _LETTERS:
        return _LETTERS[letter]
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isascii() and base.isalpha() else letter


def marked(letter: str) -> bool:
    """Whether a letter can be drawn by one of the font's letters and a mark, or by two of its letters."""
    if letter in _LETTERS:
        return True
    parts = unicodedata.normalize("NFD", letter)
    return (len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[0] not in _NARROW
            and parts[1] in (_GRAVE, _ACUTE, _CIRCUMFLEX, _TILDE, _DOTS, _RING, _CEDILLA))


def strokes(letter: str, left: float, baseline: float, width: float, size: float) -> list[Points]:
    """The mark of a letter as lines: `left` and `width` are those of its base, everything in the drawing's units."""
    if letter in "øØ":
        top = 0.56 if letter == "ø" else 0.74
        return [((left + 0.1 * width, baseline + 0.03 * size), (left + 0.9 * width, baseline - top * size))]
    parts = unicodedata.normalize("NFD", letter)
    if letter in _LETTERS or len(parts) != 2:
        return []
    middle, over = left + width / 2, baseline - (0.80 if letter.isupper() else 0.63) * size

    def at(*points: tuple[float, float]) -> Points:
        return tuple((middle + x * size, over + y * size) for x, y in points)

    shapes: dict[str, list[Points]] = {
        _GRAVE: [at((-0.11, -0.07), (0.03, 0.03))], _ACUTE: [at((0.11, -0.07), (-0.03, 0.03))],
        _CIRCUMFLEX: [at((-0.12, 0.03), (0.0, -0.07), (0.12, 0.03))],
        _TILDE: [at((-0.13, 0.0), (-0.06, -0.05), (0.06, 0.0), (0.13, -0.05))],
        _DOTS: [at((x - 0.035, 0.0), (x + 0.035, 0.0)) for x in (-0.11, 0.11)],
        _RING: [at(*((0.075 * math.cos(k * math.pi / 8), 0.075 * math.sin(k * math.pi / 8) - 0.03) for k in range(17)))],
        _CEDILLA: [tuple((middle + x * size, baseline + y * size) for x, y in
                         ((0.0, 0.02), (0.0, 0.07), (0.06, 0.11), (0.03, 0.16), (-0.06, 0.16)))]}
    return shapes.get(parts[1], [])


def thickness(letter: str, size: float, bold: bool) -> float:
    """Width of the mark's line: dots are as thick as they are long."""
    dots = unicodedata.normalize("NFD", letter)[1:] == _DOTS
    return size * (0.09 if dots else 0.065) * (1.25 if bold else 1.0)
