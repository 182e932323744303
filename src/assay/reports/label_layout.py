"""Where everything on the warning label stands. Painted by `label_svg` and `label_png`, which add nothing of their own.

Nothing is told by colour alone: each bar has its own pattern and outline, and the sign beside the word its own shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import segno

from assay.reports.label_statements import ENGLISH, bar_lines, hazard_of, rows, scale_of, signal_of, title_of, value_of
from assay.reports.language import Language
from assay.reports.sheet import Box, Cells, Page, Point, Shape, Sheet, drawable, ellipsed, length, wrapped

WIDTH, EDGE, INSIDE = 800.0, 32.0, 736.0
INK, SOFT, TRACK = "#111111", "#444444", "#e9e9e9"
# Okabe and Ito's palette, distinguishable with every common colour vision. No green banner: nothing here is a pass.
BANNERS = {"WARNING": "#e66a12", "CAUTION": "#f0e442", "NOTICE": "#9ccdf0", "NONE FOUND": "#e9e9e9",
           "BOUND PROVED": "#e9e9e9"}
FILLS = {"normal": "#0072b2", "average": "#56b4e9", "worst": "#d55e00", "own": "#009e73"}


def layout(label: Mapping[str, Any], tongue: Language = ENGLISH) -> Page:
    """The label as shapes and lines of text."""
    sheet = Sheet(width=WIDTH)
    _banner(sheet, label, tongue)
    hazard, consequence = hazard_of(label, tongue), tongue.shown(label["headline"]["consequence"])
    sheet.paragraph(hazard, EDGE, INSIDE, 29, bold=True, leading=1.22, language=_foreign(hazard, tongue))
    sheet.y += 8
    sheet.paragraph(consequence, EDGE, INSIDE, 23, language=_foreign(consequence, tongue))
    sheet.y += 20
    _bars(sheet, label, tongue)
    _rows(sheet, label, tongue)
    _foot(sheet, label, tongue)
    height = math.ceil(sheet.y)
    frame = [Box(x=0, y=0, width=WIDTH, height=height, fill="#ffffff"),
             Box(x=5, y=5, width=WIDTH - 10, height=height - 10, stroke=INK, stroke_width=6)]
    return Page(width=WIDTH, height=height, items=(*frame, *sheet.items))


def _foreign(text: str, tongue: Language) -> str:
    """The language of a text where it is not the label's."""
    return "en" if tongue.is_foreign(text) else ""


def _banner(sheet: Sheet, label: Mapping[str, Any], tongue: Language) -> None:
    word, manner = signal_of(label, tongue)
    colour = BANNERS[label["headline"]["signal"]]
    sheet.items.append(Box(x=16, y=16, width=768, height=106, fill=colour, stroke=INK, stroke_width=4))
    _sign(sheet, label["headline"]["signal"])
    title = tongue.say("label-title")
    room = 768 - 148 - 20 - max(length(drawable(title), 20, True), length(drawable(manner), 22, True))
    size = min(58.0, 58.0 * room / length(drawable(word), 58, True))
    sheet.words(word, 148, 69 + 0.36 * size, size, bold=True)
    sheet.words(title, 768, 52, 20, bold=True, anchor="end")
    sheet.words(manner, 768, 104, 22, bold=True, anchor="end")
    sheet.y = 132


def _sign(sheet: Sheet, signal: str) -> None:
    """A triangle for demonstrated harm, a circle for no conclusion, a square for a bounded statement; never a tick."""
    if signal in ("WARNING", "CAUTION"):
        sheet.items.append(Shape(points=((84, 30), (130, 108), (38, 108)), stroke=INK, stroke_width=8))
        sheet.items.append(Shape(points=((78.5, 52), (89.5, 52), (87.5, 84), (80.5, 84)), fill=INK))
        sheet.items.append(Box(x=79, y=89, width=10, height=10, fill=INK))
    elif signal == "NOTICE":
        circle = [(84 + 38 * math.cos(k * math.pi / 24), 69 + 38 * math.sin(k * math.pi / 24)) for k in range(48)]
        sheet.items.append(Shape(points=tuple(circle), stroke=INK, stroke_width=7))
        sheet.items.append(Box(x=79, y=47, width=10, height=10, fill=INK))
        sheet.items.append(Box(x=79, y=63, width=10, height=30, fill=INK))
    else:
        sheet.items.append(Box(x=48, y=33, width=72, height=72, stroke=INK, stroke_width=7))
        sheet.words("0" if signal == "NONE FOUND" else "<", 84, 86, 48, bold=True, anchor="middle")


def _bars(sheet: Sheet, label: Mapping[str, Any], tongue: Language) -> None:
    sheet.items.append(Box(x=16, y=sheet.y, width=768, height=10, fill=INK))
    sheet.y += 10
    results = label["results"]
    if results is None:
        return
    metric = results["metric"]
    title, note = title_of(metric, tongue), tongue.say("mean-and-interval")
    sheet.words(title, EDGE, sheet.y + 32, 22, bold=True)
    if EDGE + length(title, 22, True) + length(note, 18, False) > EDGE + INSIDE - 12:
        sheet.y += 24                                       # the note on a line of its own
    sheet.words(note, 768, sheet.y + 32, 18, anchor="end", colour=SOFT)
    sheet.y += 44
    low, high = metric["range"]
    for line in bar_lines(results, tongue):
        bold = line.style == "worst"
        shown = value_of(line.estimate, metric["unit"], tongue)
        sheet.words(line.words, EDGE, sheet.y + 22, 20, bold=bold)
        sheet.words(shown, 768, sheet.y + 22, 20, bold=True, anchor="end")
        _bar(sheet, line.style, line.estimate, low, high)
        sheet.y += 58
    low_text, high_text = scale_of(metric, tongue)
    sheet.words(low_text, EDGE, sheet.y + 12, 15, colour=SOFT)
    sheet.words(high_text, 768, sheet.y + 12, 15, anchor="end", colour=SOFT)
    note = tongue.say("one-scale" if results["established"] else "none-judged")
    sheet.words(note, WIDTH / 2, sheet.y + 12, 15, anchor="middle", colour=SOFT)
    sheet.y += 30


def _bar(sheet: Sheet, style: str, estimate: Mapping[str, Any] | None, low: float, high: float) -> None:
    top, tall = sheet.y + 30, 20.0
    sheet.items.append(Box(x=EDGE, y=top, width=INSIDE, height=tall, fill=TRACK))
    if estimate is None:
        return

    def place(value: float) -> float:
        return EDGE + INSIDE * min(max((value - low) / (high - low), 0.0), 1.0)

    width = max(place(estimate["value"]) - EDGE, 3.0)
    sheet.items.append(Box(x=EDGE, y=top, width=width, height=tall, fill=FILLS[style]))
    _pattern(sheet, style, EDGE, top, width, tall)
    if estimate["value"] > high:                        # beyond the scale: an arrow head, never a silent cut
        sheet.items.append(Shape(points=((768, top - 4), (784, top + tall / 2), (768, top + tall + 4)), fill=INK))
    if estimate["ci95"]:
        left, right, middle = place(estimate["ci95"][0]), place(estimate["ci95"][1]), top + tall / 2
        sheet.line((left, middle), (right, middle), width=5, colour="#ffffff")
        sheet.line((left, middle), (right, middle))
        for end in (left, right):
            sheet.line((end, middle - 7), (end, middle + 7), width=5, colour="#ffffff")
            sheet.line((end, middle - 7), (end, middle + 7))


def _pattern(sheet: Sheet, style: str, x: float, y: float, width: float, height: float) -> None:
    """What tells the bars apart in monochrome: plain, dashed outline, diagonal hatch, upright lines."""
    corners: tuple[Point, ...] = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    if style == "average":
        for a, b in zip(corners, (*corners[1:], corners[0]), strict=True):
            _dashed(sheet, a, b)
        return
    if style == "worst":
        start = x - height
        while start < x + width:                        # each 45° line, clipped to the bar
            left, right = max(start, x), min(start + height, x + width)
            if right > left:
                sheet.line((left, y + height - (left - start)), (right, y + height - (right - start)), width=2.2)
            start += 9
    elif style == "own":
        across = x + 5
        while across < x + width - 1:
            sheet.line((across, y), (across, y + height), width=1.6)
            across += 6
    sheet.items.append(Box(x=x, y=y, width=width, height=height, stroke=INK, stroke_width=2))


def _dashed(sheet: Sheet, a: Point, b: Point, dash: float = 8.0, gap: float = 5.0) -> None:
    total = math.dist(a, b)
    at = 0.0
    while at < total:
        stop = min(at + dash, total)
        sheet.line(*((a[0] + (b[0] - a[0]) * t / total, a[1] + (b[1] - a[1]) * t / total) for t in (at, stop)), width=2)
        at += dash + gap


def _rows(sheet: Sheet, label: Mapping[str, Any], tongue: Language) -> None:
    sheet.items.append(Box(x=16, y=sheet.y, width=768, height=4, fill=INK))
    sheet.y += 12
    for name, text, limit in rows(label, tongue):
        top = sheet.y
        sheet.paragraph(name, EDGE, 150, 19, bold=True, leading=1.3)
        after = sheet.y
        sheet.y = top
        for part in text.split("\n"):
            sheet.paragraph(part, 190, 578, 19, leading=1.3, limit=limit, language=_foreign(part, tongue))
        sheet.y = max(sheet.y, after) + 7
    sheet.y += 6


def _foot(sheet: Sheet, label: Mapping[str, Any], tongue: Language) -> None:
    sheet.items.append(Box(x=16, y=sheet.y, width=768, height=4, fill=INK))
    top = sheet.y + 18
    code = tuple("".join(str(int(cell)) for cell in row) for row in segno.make(
        verify_text(label), error="m", boost_error=False).matrix)
    cell = 168.0 / len(code)
    sheet.items.append(Cells(x=768 - cell * len(code), y=top, cell=cell, rows=code))
    subject, digest = label["subject"], label["subject"]["digest"]["sha256"]
    evidence = label["provenance"]["audit_digest"]["sha256"]
    version = "" if subject["version"] == "unversioned" else f" {subject['version']}"
    sheet.y = top - 4
    lines = wrapped(drawable(subject["name"] + version), 540, 23, True)
    shown = lines[0] if len(lines) < 2 else ellipsed(lines[0], 540, 23, True)
    sheet.words(shown, EDGE, top + 20, 23, bold=True)
    for i, (text, bold, colour) in enumerate((
            (tongue.say("this-system-only"), False, SOFT), (digest[:32], False, INK),
            (digest[32:], False, INK), (tongue.say("evidence-digest", digest=evidence[:32]), False, SOFT),
            (tongue.say("check-it", command=label["provenance"]["replay"]), True, INK))):
        sheet.words(text, EDGE, top + 50 + 27 * i + (6 if bold else 0), 18, bold=bold, colour=colour)
    sheet.y = top + 196


def verify_text(label: Mapping[str, Any]) -> str:
    """What the QR code holds: the command that checks the label, and the digest of the evidence it must find."""
    return f"{label['provenance']['replay']} # evidence sha256:{label['provenance']['audit_digest']['sha256']}"
