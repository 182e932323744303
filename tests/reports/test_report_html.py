"""The report: complete, self-contained, harmless whatever the samples are called."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import synthetic_audit
from synthetic_audit import HOSTILE, SyntheticFolder

from assay.reports import html
from assay.reports.panels import galleries

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Tags, attributes and text; fails on elements that are closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def page(folder: SyntheticFolder) -> Outline:
    return Outline(html.render(folder, folder.verdicts()))


def test_the_headline_is_the_first_thing_read(page: Outline) -> None:
    words = " ".join(" ".join(page.text).split()).replace("\u00a0", " ")
    body = words[words.index("WARNING", words.index("print-color-adjust")):]
    places = [body.index(part) for part in ("WARNING", "damaged 6 of 6 images", "Worst case found", "Every check")]
    assert places == sorted(places)
    assert page.headings == ["Every check", "Error against the size of the change", "Pictures",
                             "What ran, what did not, and why", "Not tested", "What to do", "Settings and provenance"]
    assert "were simulated" in body


def test_nothing_is_loaded_from_anywhere(page: Outline, folder: SyntheticFolder) -> None:
    for tag, name, value in page.attributes:
        if name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            assert value.startswith(("data:image/png;base64,", "#")), (tag, name, value)
        assert not name.startswith("on")
    assert not set(page.tags) & {"script", "link", "iframe", "object", "embed", "base", "form"}
    text = html.render(folder, folder.verdicts())
    assert not re.search(r"https?://|url\(|@import|@font-face", text)


def test_every_link_has_its_target(page: Outline) -> None:
    targets = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for tag, name, value in page.attributes if tag == "a" and name == "href"} <= targets
    assert max(Counter(v for _, n, v in page.attributes if n == "id").values()) == 1


def test_every_chart_has_points_to_focus_and_a_table_twin(page: Outline) -> None:
    charts = sum(1 for tag, name, value in page.attributes if tag == "svg" and (name, value) == ("class", "chart"))
    twins = sum(1 for tag, name, value in page.attributes if tag == "details" and (name, value) == ("class", "twin"))
    points = [value for tag, name, value in page.attributes if tag == "g" and name == "aria-label"]
    assert charts == twins >= 5
    assert "deep-cascade: worst case found: 16.2\u00a0% at 2\u00a0%" in points or any(
        p.startswith("deep-cascade: worst case found:") for p in points)


def test_pictures_have_words(page: Outline) -> None:
    sources = sum(1 for tag, name, _ in page.attributes if tag == "img" and name == "src")
    words = [value for tag, name, value in page.attributes if tag == "img" and name == "alt"]
    assert sources == len(words) > 20 and all(words)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = synthetic_audit.make(tmp_path, samples=(HOSTILE, "b"), description=HOSTILE)
    folder.header["name"] = folder.header["systems"][0]["description"] = HOSTILE
    text = html.render(folder, folder.verdicts())
    page = Outline(text)
    assert page.tags["script"] == 0
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert '<script>alert("x")</script>&../\\x1b[31m\\u202e' in "".join(page.text)
    assert "\x1b" not in text and "\u202e" not in text


def test_escaping_is_what_saves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above must fail where escaping is off."""
    broken = html._environment().overlay(autoescape=False)
    monkeypatch.setattr(html, "_environment", lambda: broken)
    folder = synthetic_audit.make(tmp_path, samples=(HOSTILE, "b"), description=HOSTILE)
    assert "<script>alert" in html.render(folder, folder.verdicts())


def test_the_report_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = synthetic_audit.make(tmp_path, side=64)
    rng = np.random.default_rng(0)
    noisy = [(check, {k: rng.random((400, 400)).astype(np.float16) if a.dtype != bool else a
                      for k, a in arrays.items() if "detail" not in k}) for check, arrays in folder.pictures]
    path = html.write_report(replace(folder, pictures=noisy), folder.verdicts(), tmp_path / "report.html")
    assert path.stat().st_size <= html.LIMIT
    monkeypatch.setattr(html, "LIMIT", 1_500_000)
    small = html.write_report(replace(folder, pictures=noisy), folder.verdicts(), tmp_path / "report.html")
    assert small.stat().st_size <= 1_500_000 and "picture rows were left out" in small.read_text(encoding="utf-8")
    monkeypatch.setattr(html, "LIMIT", 1000)
    with pytest.raises(ValueError, match=r"report\.html"):
        html.write_report(folder, folder.verdicts(), tmp_path / "report.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html"]


def test_unfinished_and_empty_audits_still_have_a_report(folder: SyntheticFolder) -> None:
    assert "The audit is unfinished" in html.render(replace(folder, done=(3, 20)), folder.verdicts())
    empty = Outline(html.render(replace(folder, rows=[], pictures=[]), []))
    assert "NOTICE" in " ".join(empty.text)


def test_measured_data_are_not_called_simulated(tmp_path: Path) -> None:
    folder = synthetic_audit.make(tmp_path, data_simulated=False)
    text = html.render(folder, folder.verdicts())
    assert "recorded by a scanner" in text and "were simulated" not in text


def test_what_did_not_run_is_listed_with_its_reason(folder: SyntheticFolder) -> None:
    skipped = ({"check": "local-gain", "system": synthetic_audit.NETWORK, "reason": "no <gradients> here"},)
    text = html.render(replace(folder, skipped=skipped), folder.verdicts())
    assert "no &lt;gradients&gt; here" in text


def test_flags_come_with_their_meaning(folder: SyntheticFolder) -> None:
    flagged = synthetic_audit.with_flag(folder, "worst-below-control", check="noise", system=synthetic_audit.NETWORK)
    text = html.render(flagged, flagged.verdicts())
    assert "the search was too weak" in text and "seen in the test" in text


def test_galleries_show_sizes_then_cases(folder: SyntheticFolder) -> None:
    shown, refused = galleries(folder, folder.rows, folder.verdicts())
    first = next(g for g in shown if g.check["id"] == "tiny-image")
    assert refused == 0 and len(first.sizes) == 2 and len(first.cases) == 2
    strip = first.sizes[0]
    assert [p.title for p in strip.panels] == ["Original", "Original + change", "deep-cascade", "total-variation"]
    assert any("gain" in line for line in strip.panels[2].lines) and any("PSNR" in x for x in strip.panels[2].lines)
    assert "2 %" in strip.panels[1].lines[0]
    assert "own worst case" in first.cases[0].title
    assert galleries(folder, folder.rows, folder.verdicts(), budget=0)[0] == []
