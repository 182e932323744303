"""Sentences, exports and the terminal's table: the same numbers everywhere, and names that cannot deceive."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import synthetic_audit
from rich.console import Console
from synthetic_audit import ESTABLISHED, HOSTILE, NETWORK, SyntheticFolder

from assay.records import Outcome
from assay.reports import exports, terminal
from assay.reports.bars import bar_range
from assay.reports.comparison import Estimate, compare, mean_estimate, unequal_checks
from assay.reports.headline import headline
from assay.reports.wording import FLAGS, METRICS, SENTENCE_LIMIT, amount, plain_change, printable, sentence
from assay.verdicts import SERIOUS


def test_json_has_the_documented_fields_and_the_verdicts_numbers(folder: SyntheticFolder) -> None:
    verdicts = folder.verdicts()
    told = exports.json_object(folder, verdicts)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["signal"] == "WARNING" and told["folder"] == "audit"
    first = told["checks"][0]
    assert set(first) >= {"id", "system", "radius", "unit", "n", "normal", "average", "worst", "established", "verdict"}
    theirs = next(v for v in verdicts if v.check == first["id"] and v.system == ESTABLISHED)
    assert first["established"]["own_worst"] == theirs.worst and first["established"]["transfer"] == theirs.transfer
    assert [c["id"] for c in told["checks"]] == [c["id"] for c in folder.header["profile"]["checks"][1:]]


def test_junit_counts_what_it_lists(folder: SyntheticFolder) -> None:
    root = ElementTree.fromstring(exports.junit(folder.verdicts()))
    assert int(root.attrib["failures"]) == len(list(root.iter("failure"))) > 0
    assert int(root.attrib["tests"]) == len(list(root.iter("testcase")))


def test_junit_survives_hostile_text(folder: SyntheticFolder) -> None:
    verdicts = [replace(v, system=HOSTILE, reason=HOSTILE) for v in folder.verdicts()]
    assert ElementTree.fromstring(exports.junit(verdicts)).tag == "testsuite"


def test_sarif_shows_findings_only(folder: SyntheticFolder) -> None:
    log = exports.sarif(folder.verdicts())
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert {r["ruleId"] for r in run["results"]} == {r["id"] for r in run["tool"]["driver"]["rules"]} == {
        v.check for v in folder.verdicts() if v.role == "audited" and v.outcome is Outcome.UNSTABLE}


def test_the_terminal_shows_names_and_never_obeys_them(folder: SyntheticFolder) -> None:
    stream = io.StringIO()
    verdicts = [replace(v, system=f"[red]{HOSTILE}") if v.role == "audited" else v for v in folder.verdicts()]
    more = [replace(v, system="second") for v in verdicts if v.role == "audited"]
    Console(file=stream, width=160, color_system=None).print(terminal.summary(folder, verdicts + more))
    text = stream.getvalue()
    assert "[red]" in text and "\x1b" not in text and "\u202e" not in text
    assert "unstable" in text and "16 %" in text


@pytest.mark.parametrize("change", [{}, {"done": (1, 9)}, {"rows": []}])
def test_every_sentence_is_short(folder: SyntheticFolder, stable_folder: SyntheticFolder, change: dict) -> None:
    for audit in (folder, stable_folder):
        changed = replace(audit, **change)
        top = headline(changed, changed.verdicts())
        assert 0 < len(top.hazard) <= SENTENCE_LIMIT and 0 < len(top.consequence) <= SENTENCE_LIMIT


def test_long_names_do_not_lengthen_sentences(folder: SyntheticFolder) -> None:
    verdicts = [replace(v, system=v.system * 30) if v.role == "established" else v for v in folder.verdicts()]
    assert len(headline(folder, verdicts).hazard) <= SENTENCE_LIMIT


def test_human_behaviour_is_named_only_against_a_reference(folder: SyntheticFolder) -> None:
    alone = [v for v in folder.verdicts() if v.role == "audited"]
    assert headline(folder, folder.verdicts()).manner == "Non-human behaviour"
    assert headline(folder, alone).manner == "Unstable"


def test_none_found_states_what_can_still_be(stable_folder: SyntheticFolder) -> None:
    top = headline(stable_folder, stable_folder.verdicts())
    assert "up to 39 %" in top.hazard and top.manner == "Not a proof of safety"


def test_a_search_cut_off_early_is_unequal(folder: SyntheticFolder) -> None:
    rows = compare(folder.verdicts(), folder.header["profile"])
    assert unequal_checks(folder.rows, rows) == frozenset()
    less = [replace(f, forward=5, backward=2) if f.role == "established" else f for f in folder.rows]
    assert unequal_checks(less, rows) == {"tiny-data", "tiny-image"}     # the others stopped by themselves


def test_scales_are_fixed_for_fractions(folder: SyntheticFolder) -> None:
    rows = {r.audited.check: r for r in compare(folder.verdicts(), folder.header["profile"])}
    huge = [Estimate(value=3.0, low=None, high=7.2, n=3)]
    assert bar_range(rows["tiny-data"], huge) == (0.0, 0.5)
    assert bar_range(rows["structure"], huge) == (0.0, 1.0)
    assert bar_range(rows["local-gain"], huge)[1] >= 7.2


def test_missing_numbers_are_words_and_never_zero() -> None:
    assert amount(None, "dB") == "not measured" and mean_estimate([None, float("nan")]).value is None
    assert mean_estimate([0.2]).low is None


def test_profiles_cannot_run_format_codes() -> None:
    check = {"plain": "{level.__class__} {level:>9999999} {other}", "unit": "relative ℓ2"}
    assert plain_change(check, 0.02) == "2 % 2 % {other}"
    assert plain_change({"plain": "more data ({level} of all)"}, None) == "more data"


def test_names_cannot_hide() -> None:
    assert printable("a\u200bb\u2028c\x07") == "a\\u200bb\\u2028c\\x07" and printable("größe 数") == "größe 数"
    assert len(sentence("x" * 500)) == SENTENCE_LIMIT


def test_metric_words_are_those_of_the_metrics() -> None:
    metrics = pytest.importorskip("assay.metrics.protocol")
    pytest.importorskip("assay.metrics.stability")
    for name, (words, unit) in METRICS.items():
        if name in metrics.METRICS:
            assert (metrics.METRICS[name].name, metrics.METRICS[name].unit) == (words, unit), name


def test_every_serious_flag_has_its_sentence() -> None:
    assert set(FLAGS) >= SERIOUS


def test_the_telling_loads_no_torch() -> None:
    code = ("import sys, assay.reports.html, assay.reports.warning_label, assay.reports.terminal, assay.reports.exports; "
            "print([m for m in sys.modules if m in ('torch', 'assay.systems', 'assay.checks')])")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_two_audited_systems_have_a_row_each(tmp_path: Path) -> None:
    folder = synthetic_audit.make(tmp_path)
    both = folder.verdicts() + [replace(v, system="second") for v in folder.verdicts() if v.role == "audited"]
    rows = compare(both, folder.header["profile"])
    assert [r.audited.system for r in rows[:2]] == [NETWORK, "second"]
    assert len(compare(both, folder.header["profile"], system="second")) == len(rows) // 2
