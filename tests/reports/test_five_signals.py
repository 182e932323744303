"""Each of the five signals from findings to label: what the rows earn, the drawing, the text and the JSON say alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import synthetic_audit
from synthetic_labels import labelled

from assay.reports import warning_label
from assay.reports.label_layout import layout

EARNED = {"WARNING": ("tiny-data", "W1", "demonstrated", "Non-human behaviour"),
          "CAUTION": ("tiny-data", "C3", "demonstrated", "Unstable"),
          "NOTICE": ("tiny-data", "N3", "incomplete", "No conclusion"),
          "NONE FOUND": ("tiny-data", "F1", "searched-none-found", "Not a proof of safety"),
          "BOUND PROVED": ("proved-gain", "B1", "certified", "Not a proof of safety")}


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_findings_earn_their_signal(word: str) -> None:
    label, (check, rule, kind, manner) = labelled(word), EARNED[word]
    assert label["headline"]["signal"] == word and label["headline"]["manner"] == manner
    assert label["headline"]["rule"] == f"research/{check}/{rule}"
    assert label["evidence"]["kind"] == kind
    assert warning_label.read(warning_label.canonical(label)) == label


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_the_label_can_be_computed_again_from_its_findings(word: str) -> None:
    folder = synthetic_audit.with_signal(word)
    assert warning_label.differences(labelled(word), folder, folder.verdicts()) == []


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_drawing_and_text_say_the_signal_first(word: str) -> None:
    label = labelled(word)
    assert layout(label).texts[0] in (word, "0", "<")
    assert word in layout(label).texts[:2]
    assert warning_label.render_text(label).splitlines()[1].startswith(f"{word}: ")



CHANGES: list[tuple[str, str, Any]] = [         # what changes one signal into another, and only that
    ("WARNING", "NONE FOUND", lambda f: replace(f, rows=synthetic_audit.with_signal("NONE FOUND").rows)),
    ("WARNING", "CAUTION", lambda f: replace(f, rows=[r for r in f.rows if r.role != "established"])),
    ("WARNING", "NOTICE", lambda f: replace(f, rows=[replace(r, witness=None) for r in f.rows])),
    ("NONE FOUND", "NOTICE", lambda f: replace(f, done=(19, 20))),
    ("NONE FOUND", "NOTICE", lambda f: replace(f, rows=[r for r in f.rows if r.check != "noise"])),
    ("BOUND PROVED", "NOTICE", lambda f: replace(f, rows=[
        replace(r, worst=3.1) if r.check == "proved-gain" else r for r in f.rows])),
    ("BOUND PROVED", "NOTICE", lambda f: replace(f, done=(19, 20))),
]


@pytest.mark.parametrize(("before", "after", "change"), CHANGES)
def test_a_change_of_the_evidence_changes_the_signal(before: str, after: str, change: Any) -> None:
    folder = change(synthetic_audit.with_signal(before))
    made = warning_label.build(folder, folder.verdicts(), issued=datetime(2026, 1, 1, tzinfo=UTC))
    assert made["headline"]["signal"] == after


def test_a_bound_is_proved_with_its_count_and_size() -> None:
    label = labelled("BOUND PROVED")
    assert label["headline"]["hazard"] == ("A bound was proved for any change of the measured signal: it holds for 6 of 6 "
                                           "forward models.")
    assert label["results"]["metric"]["id"] == "gain-bound" and label["results"]["worst_case"]["bound"] == "upper"
