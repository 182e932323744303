"""Readable by everyone: axe-core and widths in Chromium where both are here, contrast and twins everywhere."""

from __future__ import annotations

import copy
import re
from importlib.resources import files
from itertools import pairwise
from typing import Any

import in_chromium
import pytest
import synthetic_audit
from synthetic_labels import labelled

from assay.account import Account, Line, Picture, Plot, Strip, Table
from assay.reports import account, html, label_layout, label_statements, label_svg, label_text
from assay.reports.language import language
from assay.reports.sheet import Box, Words

browser = pytest.mark.skipif(in_chromium.chromium() is None, reason="Chromium is not installed")
scripted = pytest.mark.skipif(in_chromium.axe() is None,
                              reason="axe-core is not here: ASSAY_AXE names its axe.min.js (`npm pack axe-core`)")

ACCOUNT = Account(
    title="Stripes", question="Does a network see what a person sees?", seen=("It did not in 3 of 4 runs.",),
    tables=(Table(title="Runs", head=tuple(f"column {i} of many" for i in range(14)),
                  rows=(tuple(str(1.25 * i) for i in range(14)),), note="Means."),),
    plots=(Plot(title="Error", x_label="runs", y_label="share", lines=(
        Line(name="network", style="worst", points=((1.0, 0.1), (2.0, 0.4))),)),),
    strips=(Strip(title="Pictures", pictures=(Picture(caption="a stripe", pixels=((0.0, 1.0), (1.0, 0.0))),)),),
    limits=("Other networks.",), sources=("synthetic, 2026",))


def in_a_page(drawing: str) -> str:
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            "<title>Label</title><style>body{margin:0}svg{max-width:100%;height:auto}</style></head><body><main><h1>Label</h1>"
            f"{drawing}</main></body></html>")


def report(word: str) -> str:
    folder = synthetic_audit.with_signal(word)
    return html.render(folder, folder.verdicts())


PAGES: dict[str, Any] = {
    "report WARNING": lambda: report("WARNING"), "report BOUND PROVED": lambda: report("BOUND PROVED"),
    "account": lambda: account.page(ACCOUNT, facts=(("seed", "0"),)).decode(),
    **{f"label {word}": lambda word=word: in_a_page(label_svg.render_svg(labelled(word)))
       for word in synthetic_audit.SIGNALS},
    "label in German": lambda: in_a_page(label_svg.render_svg(labelled("WARNING"), None, language("de"))),
}


@browser
@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_wider_than_its_window(page: str) -> None:
    for told in in_chromium.asked(PAGES[page]()):
        assert told["scrollWidth"] <= told["clientWidth"], (page, told["width"], told["wide"])


@browser
@scripted
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_no_violation(page: str, dark: bool) -> None:
    for told in in_chromium.asked(PAGES[page](), dark=dark):
        assert told["rules"] >= 8, "axe-core did not look"
        assert told["violations"] == [], (page, told["width"])


@browser
@scripted
def test_axe_and_the_widths_can_fail() -> None:
    broken = report("WARNING").replace("<main>", '<main><img src="data:,"><p style="color:#bbb;width:1500px">pale</p>', 1)
    for told in in_chromium.asked(broken):
        assert {"image-alt", "color-contrast"} <= {violation[0] for violation in told["violations"]}
        assert told["scrollWidth"] > told["clientWidth"]


def luminance(colour: str, *, grey: bool = False) -> float:
    """WCAG 2.2 relative luminance; of what a monochrome printer makes of the colour (ITU-R BT.601) where `grey`."""
    digits = colour.lstrip("#")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    rgb = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    rgb = [sum(a * b for a, b in zip((0.299, 0.587, 0.114), rgb, strict=True))] * 3 if grey else rgb
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055)**2.4 for c in rgb]
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str, *, grey: bool = False) -> float:
    low, high = sorted(luminance(colour, grey=grey) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)          # the known grey that just fails


def behind(items: tuple[Any, ...], at: int) -> str:
    """The colour of the last filled box under the words: the paper where there is none."""
    words = items[at]
    left = words.x - {"start": 0, "middle": words.length / 2, "end": words.length}[words.anchor]
    boxes = [i.fill for i in items[:at] if isinstance(i, Box) and i.fill and i.x <= left + 1
             and i.x + i.width >= left + words.length - 1 and i.y <= words.y - words.size / 3 <= i.y + i.height]
    return boxes[-1] if boxes else "#ffffff"


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "monochrome"])
@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_every_text_of_the_label_stands_out(word: str, grey: bool) -> None:
    items = label_layout.layout(labelled(word)).items
    seen = {(item.colour, behind(items, at)) for at, item in enumerate(items) if isinstance(item, Words)}
    assert (label_layout.INK, label_layout.BANNERS[word]) in seen
    for ink, paper in seen:
        assert contrast(ink, paper, grey=grey) >= 4.5, (ink, paper)


def palettes() -> list[dict[str, str]]:
    """The report's colours in the light and in the dark, and its fixed banners."""
    css = files("assay.reports").joinpath("templates", "report.css").read_text(encoding="utf-8")
    blocks = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{([^}]*)\}", css)]
    return [blocks[0], {**blocks[0], **blocks[1]}]


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "monochrome"])
def test_every_text_of_the_report_stands_out(grey: bool) -> None:
    for colours in palettes():
        for ink in ("ink", "soft", "link"):
            for paper in ("paper", "panel"):
                assert contrast(colours[ink], colours[paper], grey=grey) >= 4.5, (ink, paper)
    for banner in ("#e66a12", "#f0e442", "#9ccdf0", "#eceef1"):
        assert contrast("#111", banner, grey=grey) >= 4.5


def test_the_signal_word_never_touches_what_stands_beside_it() -> None:
    for word in synthetic_audit.SIGNALS:
        items = label_layout.layout(labelled(word)).items
        signal = next(i for i in items if isinstance(i, Words) and i.text == word)
        beside = [i for i in items if isinstance(i, Words) and i.y < 122 and i.anchor == "end"]
        assert len(beside) == 2 and all(signal.x + signal.length <= i.x - i.length - 12 for i in beside)


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_no_two_lines_of_the_label_overlap(word: str) -> None:
    words = [i for i in label_layout.layout(labelled(word)).items if isinstance(i, Words)]
    spans = sorted((i.y, i.x - {"start": 0, "middle": i.length / 2, "end": i.length}[i.anchor], i) for i in words
                   if i.size < 48)
    for (y, left, one), (y2, left2, other) in pairwise(spans):
        if abs(y - y2) < 0.5 * one.size and one is not other:
            assert left + one.length <= left2 + 0.5 or left2 + other.length <= left + 0.5, (one.text, other.text)


FACTS: list[tuple[str, Any]] = [
    ("headline.signal", "NOTICE"), ("headline.manner", "Unstable"), ("headline.hazard", "It changed 5 of 6 images."),
    ("headline.consequence", "It can blur."), ("headline.rule", "research/x/W1"), ("actions.0", "Do nothing."),
    ("results.metric.name", "Another error"), ("results.metric.better", "higher"), ("results.normal.value", 0.3),
    ("results.average_case.value", 0.3), ("results.worst_case.value", 0.3), ("results.worst_case.ci95", [0.2, 0.4]),
    ("results.established.worst_case.value", 0.3), ("results.established.name", "wavelets"),
    ("results.established.harmed", 5), ("results.established.same_budget", False), ("results.criterion", "it moved"),
    ("perturbation.plain", "a push"), ("perturbation.relative_to_noise", 7.0), ("evidence.kind", "incomplete"),
    ("evidence.witnesses", 3), ("evidence.budget.evaluations", 99), ("evidence.checks.0.harmed", 1),
    ("evidence.checks.0.title", "Another title"), ("scope.n", 12), ("scope.noun", "scans"), ("not_tested.0", "Rain"),
    ("scope.dataset.simulated", False), ("profile.version", "9.9"), ("profile.thresholds.proposal", 7),
    ("profile.clauses.0.id", "Act, 99"), ("auditor.name", "Other Lab"), ("auditor.independence", "self"),
    ("issued", "2025-01-01T00:00:00Z"), ("valid_until", "2029-01-01T00:00:00Z"), ("subject.name", "another net"),
    ("subject.digest.sha256", "00" * 32), ("provenance.replay", "assay verify other.json"),
]


@pytest.mark.parametrize(("field", "value"), FACTS)
def test_text_drawing_and_screen_reader_follow_the_json(field: str, value: Any) -> None:
    """Every fact of the JSON that a reader is told stands in the text, in the drawing and in its description."""
    made = copy.deepcopy(labelled("WARNING"))
    *parents, last = field.split(".")
    place: Any = made
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    assert label_text.render_text(made) != label_text.render_text(labelled("WARNING"))
    assert label_statements.statement(made) != label_statements.statement(labelled("WARNING"))
    assert label_layout.layout(made).texts != label_layout.layout(labelled("WARNING")).texts


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_the_text_says_every_row_and_number_of_the_description(word: str) -> None:
    text = " ".join(label_text.render_text(labelled(word)).split())
    label = labelled(word)
    for name, row, _ in label_statements.rows(label):
        assert name in text and " ".join(row.split()) in text
    numbers = set(re.findall(r"\d+(?:\.\d+)? [%×]", label_statements.statement(label)))
    assert numbers and numbers <= set(re.findall(r"\d+(?:\.\d+)? [%×]", text))
