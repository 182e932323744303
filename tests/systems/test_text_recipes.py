"""The recipes of notes and claims train what they say, on the bundled records and on a user's table."""

from __future__ import annotations

import csv

import pytest
import torch

from assay.datasets.notes import notes
from assay.datasets.texts import load_texts
from assay.systems import catalogue
from recipe_modules import recipe

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.fixture
def few_passes(monkeypatch):
    def quick(module):
        monkeypatch.setattr(module, "PASSES", 2)
        return module
    return quick


def test_a_users_table_is_split_trained_on_and_what_is_held_out_is_audited(tmp_path, few_passes, capsys):
    table = tmp_path / "mine.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("note", "risk"))
        rows.writerows((n.text, ("low", "middle", "high")[n.label + (n.points > 5)]) for n in notes("tuning"))
    few_passes(recipe("notes")).main(
        ["--data", str(table), "--key", "note", "--labels", "risk", "--out", str(tmp_path / "w")])
    assert "of 80 held-out texts" in capsys.readouterr().out
    held = load_texts(tmp_path / "w" / "held_out.csv")
    assert len(held.ids) == 80 and len(held.classes) == 3
    x = held.fetch(range(80))
    for name, file in (("notes-cnn", "notes_cnn"), ("notes-tfidf", "notes_tfidf")):
        system = catalogue.load(name, role="audited", weights=tmp_path / "w" / f"{file}.safetensors").system
        scores = system(x.inputs)
        assert scores.shape == (80, 3) and bool(torch.isfinite(scores).all())
    assert float((scores.argmax(1) == x.truth).double().mean()) > 0.6        # TF-IDF learns this in two classes or three


def test_a_class_that_is_missing_from_the_training_part_is_said(tmp_path, few_passes):
    table = tmp_path / "mine.csv"
    lines = [f'"{n.text}",{n.label + 1}' for n in notes("tuning")[:60]]         # classes 1 and 2: class 0 has no sample
    table.write_text("\n".join(("text,label", *lines)))
    with pytest.raises(SystemExit, match="of 3 classes only 2"):
        few_passes(recipe("notes")).main(["--data", str(table), "--out", str(tmp_path / "w")])


def test_the_claims_recipe_writes_weights_that_load(tmp_path, few_passes, capsys):
    few_passes(recipe("claims")).main(["--out", str(tmp_path)])
    assert capsys.readouterr().out.count("of 200 audited claims") == 2
    for name, file in (("claims-net", "claims_net"), ("claims-logistic", "claims_logistic")):
        assert catalogue.load(name, role="audited", weights=tmp_path / f"{file}.safetensors").record.kind
