"""One drawing, two painters: what the SVG says, the PNG shows, at the same place."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from assay.reports import label_png, label_svg, label_text
from assay.reports.label_layout import layout, verify_text
from assay.reports.label_statements import bar_lines
from assay.reports.sheet import Box, Cells, Page, Shape, Words, drawable, length, wrapped

SVG = "{http://www.w3.org/2000/svg}"
Data = dict[str, Any]


def pixels(label: Data, page: Page) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(label_png.render_png(label, page))).convert("RGB")).astype(int)


def test_the_svg_holds_every_line_of_the_layout_and_no_other(label: Data) -> None:
    page = layout(label)
    root = ElementTree.fromstring(label_svg.render_svg(label))
    assert [t.text for t in root.iter(f"{SVG}text")] == page.texts
    assert len(list(root.iter(f"{SVG}rect"))) == sum(isinstance(i, Box) for i in page.items)
    shapes = [*root.iter(f"{SVG}polygon"), *root.iter(f"{SVG}polyline")]
    assert len(shapes) == sum(isinstance(i, Shape) for i in page.items)


ITEMS = [
    Words(x=20, y=40, size=20, text="Worst", length=length("Worst", 20)),
    Words(x=180, y=40, size=20, text="bold", length=length("bold", 20, True), bold=True, anchor="end"),
    Words(x=100, y=70, size=16, text="mid", length=length("mid", 16), anchor="middle"),
    Box(x=20, y=80, width=50, height=10, fill="#d55e00"),
    Shape(points=((100, 80), (120, 95), (90, 95)), stroke="#111111", stroke_width=2),
    Cells(x=150, y=60, cell=5, rows=("101", "010", "111")),
]


def extent(item: Any) -> tuple[float, float, float, float]:
    if isinstance(item, Words):
        left = item.x - {"start": 0, "middle": item.length / 2, "end": item.length}[item.anchor]
        return left, item.y - item.size, left + item.length, item.y + 0.35 * item.size
    if isinstance(item, Box):
        return item.x, item.y, item.x + item.width, item.y + item.height
    if isinstance(item, Shape):
        xs, ys = zip(*item.points, strict=True)
        return min(xs) - 2, min(ys) - 2, max(xs) + 2, max(ys) + 2
    return item.x, item.y, item.x + 3 * item.cell, item.y + 3 * item.cell


@pytest.mark.parametrize("position", range(len(ITEMS)))
def test_the_png_draws_each_item_where_the_layout_puts_it(label: Data, position: int) -> None:
    """Leaving one item out must change the picture, and only inside that item's own place."""
    whole = Page(width=200, height=110, items=tuple(ITEMS))
    without = Page(width=200, height=110, items=tuple(i for k, i in enumerate(ITEMS) if k != position))
    changed = np.argwhere((pixels(label, whole) != pixels(label, without)).any(-1)) / label_png.SCALE
    left, top, right, bottom = extent(ITEMS[position])
    assert len(changed) > 0
    assert changed[:, 1].min() >= left - 1 and changed[:, 1].max() <= right + 1
    assert changed[:, 0].min() >= top - 1 and changed[:, 0].max() <= bottom + 1
    if isinstance(ITEMS[position], Words):              # text fills the width that the SVG forces with textLength
        assert changed[:, 1].max() - changed[:, 1].min() >= 0.8 * (right - left)


def test_both_painters_give_the_page_its_size(label: Data) -> None:
    page = layout(label)
    picture = Image.open(io.BytesIO(label_png.render_png(label)))
    assert picture.size == (2 * page.width, 2 * page.height)
    assert f'viewBox="0 0 {page.width:.0f} {page.height:.0f}"' in label_svg.render_svg(label)


def test_nothing_runs_out_of_the_frame(label: Data, stable_label: Data) -> None:
    hostile = {**label, "subject": {**label["subject"], "name": "a-very-long-system-name-" * 12},
               "not_tested": ["x" * 300, *("word " * 60 for _ in range(20))]}
    for made in (label, stable_label, hostile):
        page = layout(made)
        for item in page.items:
            if isinstance(item, Words):
                left, _, right, bottom = extent(item)
                assert left >= 16 and right <= 784 and bottom <= page.height, item.text


def test_bars_differ_without_colour(label: Data) -> None:
    """In grey, no two bars may have the same mean and the same pattern: each has its own strokes on top."""
    page, counts = layout(label), []
    tops = [i.y for i in page.items if isinstance(i, Box) and i.fill == "#e9e9e9" and i.width > 700 and i.height == 20]
    for top in tops:
        inside = [i for i in page.items if isinstance(i, Shape) and not i.closed
                  and all(top - 1 <= y <= top + 21 for _, y in i.points) and i.stroke == "#111111"]
        slopes = {("up" if i.points[0][0] == i.points[1][0] else "flat" if i.points[0][1] == i.points[1][1] else
                   "diagonal") for i in inside}
        outlined = any(isinstance(i, Box) and i.y == top and i.stroke for i in page.items)
        counts.append((frozenset(slopes), outlined, len(inside) > 10))
    assert len(counts) == 4 and len(set(counts)) == 4


def test_a_screen_reader_gets_the_whole_statement(label: Data) -> None:
    root = ElementTree.fromstring(label_svg.render_svg(label))
    description = root.find(f"{SVG}desc")
    assert description is not None and description.text is not None
    for line in ("WARNING", "6 of 6", "Worst case found", "Not tested", "What to do"):
        assert line in description.text
    assert root.attrib["role"] == "img"


def test_the_svg_loads_and_runs_nothing(label: Data) -> None:
    text = label_svg.render_svg(label).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in text and "script" not in text and "href" not in text


def test_hostile_names_stay_text(label: Data) -> None:
    name = '</text><script>x</script>&"\x1b\u202e'
    made = {**label, "subject": {**label["subject"], "name": name}}
    root = ElementTree.fromstring(label_svg.render_svg(made))
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>" in (t.text or "") for t in root.iter(f"{SVG}text"))
    assert "\x1b" not in label_text.render_text(made) and "\u202e" not in label_text.render_text(made)


def test_plain_text_fits_80_columns_and_says_the_same(label: Data) -> None:
    text = label_text.render_text(label)
    assert max(map(len, text.splitlines())) <= 80
    joined = " ".join(text.split())
    assert label["headline"]["hazard"] in joined and label["subject"]["digest"]["sha256"] in joined
    for line in bar_lines(label["results"]):
        assert line.words in joined


def test_a_value_beyond_the_scale_is_marked_and_stays_inside(label: Data) -> None:
    far = {**label, "results": {**label["results"], "worst_case": {**label["results"]["worst_case"], "value": 0.9}}}
    arrows = [i for i in layout(far).items if isinstance(i, Shape) and i.fill == "#111111" and len(i.points) == 3]
    assert len(arrows) == 1
    assert not [i for i in layout(label).items if isinstance(i, Shape) and i.fill == "#111111" and len(i.points) == 3]
    assert "/>" in label_text.render_text(far)


def test_the_qr_code_carries_the_command_and_the_evidence(label: Data) -> None:
    assert verify_text(label).startswith("assay verify warning_label.json")
    assert label["provenance"]["audit_digest"]["sha256"] in verify_text(label)
    code = next(i for i in layout(label).items if isinstance(i, Cells))
    assert code.rows[0].startswith("1111111") and len(code.rows) == len(code.rows[0])


def test_wrapping_keeps_every_word() -> None:
    text = "the quick brown fox " * 5 + "unbreakable" * 9
    lines = wrapped(text, 150, 18)
    assert all(length(line, 18) <= 150 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_only_drawable_letters_are_drawn() -> None:
    assert drawable("Ångström ≤ 5 × 3 – naïve… ‘q’") == "Ångström at most  5 x 3 - naive… ‘q’"
