"""The recipes of commands and voices train what they say, the former also on a folder of a user's recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.io import wavfile

import recipe_modules
from assay.datasets.commands import CLASSES, RATE, commands
from assay.datasets.sounds import load_sounds
from assay.systems import catalogue


@pytest.fixture
def recipe(monkeypatch):
    """A recipe with one pass, and few of everything."""
    def load(name: str):
        module = recipe_modules.recipe(name)
        monkeypatch.setattr(module, "PASSES", 1)
        return module
    threads = torch.get_num_threads()
    yield load
    torch.set_num_threads(threads)


def recordings(folder: Path) -> Path:
    for i, clip in enumerate(commands("tuning")[:120]):
        place = folder / CLASSES[clip.label]
        place.mkdir(parents=True, exist_ok=True)
        wavfile.write(place / f"{i}.wav", RATE, clip.samples)
    return folder


def test_a_users_recordings_are_split_and_what_is_held_out_is_written_down(tmp_path, recipe, capsys, monkeypatch):
    module = recipe("commands")
    monkeypatch.setattr(module, "WEIGHTS", (0.1, 0.01))
    module.main(["--data", str(recordings(tmp_path / "mine")), "--out", str(tmp_path / "w")])
    assert capsys.readouterr().out.count("of 24 held-out sounds") == 4
    held, data = (tmp_path / "w" / "held_out.txt").read_text().split(), load_sounds(tmp_path / "mine")
    assert len(held) == 24 and set(held) < set(data.ids)
    x = data.fetch([data.ids.index(name) for name in held])
    for name, file in (("commands-res8", "res8"), ("commands-ctc", "ctc"), ("commands-cepstra", "cepstra"),
                       ("commands-dtw", "dtw")):
        system = catalogue.load(name, role="audited", weights=tmp_path / "w" / f"commands_{file}.safetensors").system
        scores = system(x.inputs)
        assert scores.shape == (24, 10) and bool(torch.isfinite(scores).all())
        if file in ("cepstra", "dtw"):                  # which one look at eighty recordings teaches most words
            assert float((scores.argmax(1) == x.truth).double().mean()) > 0.5


def test_the_voices_recipe_writes_weights_that_load(tmp_path, recipe, capsys, monkeypatch):
    module = recipe("voices")
    made = module.training_voices
    few = [clip for clip in made() if clip.label < 30]
    monkeypatch.setattr(module, "training_voices", lambda: few)
    monkeypatch.setattr(module, "PEOPLE", 30)
    module.main(["--out", str(tmp_path)])
    assert capsys.readouterr().out.count("auroc") == 2
    for name in ("voices-res8", "voices-cepstra"):
        weights = tmp_path / f"{name.replace('-', '_')}.safetensors"
        system = catalogue.load(name, role="audited", weights=weights).system
        assert system(torch.zeros(2, RATE) + 0.01 * torch.randn(2, RATE)).shape == (2, 2)
