"""The label's drawing painted as PNG with Pillow and its bundled font: the same picture on every machine."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from assay.reports.accents import marked, plain, strokes, thickness
from assay.reports.label_layout import layout
from assay.reports.label_statements import ENGLISH, statement
from assay.reports.language import Language
from assay.reports.sheet import Box, Cells, Item, Page, Shape, Words, boldness, drawable, font, length, spelt, tracking

SCALE = 2           # pixels per unit: sharp on paper at the label's natural size
SMOOTH = 2          # shapes are drawn so much larger and averaged, which text does not need


def render_png(label: Mapping[str, Any], page: Page | None = None, tongue: Language = ENGLISH, *,
               scale: float = SCALE) -> bytes:
    """The label as a PNG file, 800 pixels wide times `scale`; its text chunk holds the whole statement."""
    page = page or layout(label, tongue)
    size = (round(page.width * scale), round(page.height * scale))
    picture = Image.new("RGB", (size[0] * SMOOTH, size[1] * SMOOTH), "#ffffff")
    shapes = ImageDraw.Draw(picture)
    for item in page.items:
        _shape(shapes, item, scale * SMOOTH)
        if isinstance(item, Words):
            _marks(shapes, item, scale, scale * SMOOTH)
    picture = picture.resize(size, Image.Resampling.BOX)
    text = ImageDraw.Draw(picture)
    for item in page.items:
        if isinstance(item, Words):
            _words(text, item, scale)
        elif isinstance(item, Cells):
            _cells(text, item, scale)
    information = PngInfo()
    information.add_itxt("Description", drawable(statement(label, tongue)))
    information.add_itxt("Digest", label["digest"]["sha256"])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=information, dpi=(96 * scale, 96 * scale))
    return buffer.getvalue()


def _shape(draw: ImageDraw.ImageDraw, item: Item, scale: float) -> None:
    if isinstance(item, Box):
        edge = item.stroke_width / 2                    # an outline lies half inside and half outside, as in SVG
        outer = [scale * (item.x - edge), scale * (item.y - edge),
                 scale * (item.x + item.width + edge) - 1, scale * (item.y + item.height + edge) - 1]
        draw.rectangle(outer, fill=item.fill, outline=item.stroke, width=max(1, round(scale * item.stroke_width))
                       if item.stroke else 0)
    elif isinstance(item, Shape):
        points = [(scale * x, scale * y) for x, y in item.points]
        if item.fill:
            draw.polygon(points, fill=item.fill)
        if item.stroke:
            joined = [*points, *points[:2]] if item.closed else points
            draw.line(joined, fill=item.stroke, width=max(1, round(scale * item.stroke_width)), joint="curve")


def _left(item: Words) -> float:
    return item.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[item.anchor] * item.length


def _words(draw: ImageDraw.ImageDraw, item: Words, scale: float) -> None:
    left, face, letters = _left(item), font(scale * item.size), spelt(item.text)
    if not item.bold:
        draw.text((scale * left, scale * item.y), letters, fill=item.colour, font=face, anchor="ls")
        return
    stroke = round(scale * boldness(item.size))
    for i, letter in enumerate(letters):                # the bundled font has one weight: a stroke makes it bold
        draw.text((scale * (left + _across(letters[:i], item, scale)), scale * item.y), letter, fill=item.colour, font=face,
                  anchor="ls", stroke_width=stroke)


def _across(before: str, item: Words, scale: float) -> float:
    """How far right of the words' beginning a letter is drawn: of one drawn whole, where FreeType's own steps bring it."""
    if item.bold:
        return length(before, item.size) + boldness(item.size) + len(before) * tracking(item.size)
    return font(scale * item.size).getlength(before) / scale


def _marks(draw: ImageDraw.ImageDraw, item: Words, painted: float, scale: float) -> None:
    """Accents, rings and strokes of letters whose base alone the font has; `painted` is the scale of the letters."""
    for i, letter in enumerate(item.text):
        if letter.isascii() or not marked(letter):
            continue
        at = _left(item) + _across(spelt(item.text[:i]), item, painted)
        for line in strokes(letter, at, item.y, length(plain(letter), item.size), item.size):
            draw.line([(scale * x, scale * y) for x, y in line], fill=item.colour, joint="curve",
                      width=max(1, round(scale * thickness(letter, item.size, item.bold))))


def _cells(draw: ImageDraw.ImageDraw, item: Cells, scale: float) -> None:
    for row, line in enumerate(item.rows):
        for column, cell in enumerate(line):
            if cell == "1":
                left, right = (round(scale * (item.x + item.cell * k)) for k in (column, column + 1))
                top, bottom = (round(scale * (item.y + item.cell * k)) for k in (row, row + 1))
                draw.rectangle([left, top, right - 1, bottom - 1], fill="#000000")
