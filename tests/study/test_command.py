"""`assay study` and `assay experiment` from the outside: refusals that name what to do, a small study from start to page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from assay.arrays import InputError
from assay.cli import cli
from assay.study import run as running
from assay.study import simplicity


def refused(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, (InputError, SystemExit)), result.output
    return str(result.exception) if isinstance(result.exception, InputError) else result.output


def test_refusals_name_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "one of" in refused("experiment", "no-such").lower()
    assert "have no classes" in refused("study", "zero-filled", "bundled:brain")
    assert "module:NAME" in refused("study", "multinomial", "bundled:digits", "--structures", "nowhere:X")
    assert "is no structure" in refused("study", "multinomial", "bundled:digits", "--structures", "json.decoder:__all__")
    assert "needs at least 4 of each class" in refused("study", "multinomial", "bundled:digits", "--limit", "30")
    assert "--time when: no such file" in refused("study", "multinomial", "bundled:digits", "--time", "when")
    np.savez("signs.npz", images=np.zeros((8, 8, 8), np.uint8), labels=np.arange(8) % 4 + 8)
    assert "class '10' is not one of" in refused("study", "multinomial", "bundled:digits", "--shifted", "signs.npz")


@pytest.mark.slow
def test_a_small_study_from_start_to_page(tmp_path, monkeypatch):
    monkeypatch.setattr(simplicity, "SEEDS", 1)
    monkeypatch.setattr(running.non_robust, "TRAINING", 20)
    monkeypatch.setattr(running.controls, "PERMUTED", 2)
    monkeypatch.setattr(running.controls, "PLANTED_STEPS", 50)
    words = ["study", "multinomial", "bundled:digits", "--limit", "200", "--out", str(tmp_path / "s")]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0
    cards = json.loads((tmp_path / "s" / "structure_cards.json").read_text())
    assert {card["id"] for card in cards} >= {"intensity", "border", "corner", "bands", "thumbnail", "order"}
    for card in cards:
        assert card["verdict"] in ("consistent with the conjecture", "not consistent", "inconclusive")
        assert card["reason"]
    page = (tmp_path / "s" / "report.html").read_text()
    assert "What this does not show" in page
    assert "multinomial" in page
    assert "proved" not in page.replace("proves neither", "")


@pytest.mark.slow
def test_a_study_of_texts_asks_words(tmp_path, monkeypatch):
    monkeypatch.setattr(running.controls, "PERMUTED", 2)
    result = CliRunner().invoke(cli, ["study", "notes-tfidf", "bundled:notes", "--word", "pain", "--limit", "120", "--out",
                                      str(tmp_path / "t")], catch_exceptions=False)
    assert result.exit_code == 0
    cards = {card["id"]: card for card in json.loads((tmp_path / "t" / "structure_cards.json").read_text())}
    assert set(cards) == {"text-length", "keyword-pain", "order"}
    assert "instability" not in cards["text-length"]
