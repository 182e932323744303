"""An audit of a classifier of sounds from bundled commands to a verified label, and what is refused on the way."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file
from scipy.io import wavfile

import assay
from assay.api import verify
from assay.arrays import InputError
from assay.audits.prepare import session_from
from assay.cli import cli
from assay.datasets.sounds import bundled_commands
from assay.metrics.sound import hidden_word
from assay.store import AuditFolder
from assay.systems import catalogue
from replay_table import undeclared_in

LIMIT, LEVEL = 4, -25.0
PROFILE = """
id = "few"
task = "sound"
title = "Few sounds"
community = "research"
version = "0.1"
rate = 0.05
headline = "hidden-word"
noun = "sounds"
not_tested = ["Everything else"]
actions = ["Listen to the sounds."]

[[checks]]
id = "hidden-word"
title = "A word hidden in the sound"
question = "How many sounds can be made to be heard as another, chosen word?"
plain = "a sound added {below} below the loudest point"
verb = "made the system hear a chosen other word in {}"
consequence = "A machine can be made to hear a command that nobody spoke."
method = "worst-case"
space = "sound"
perturbation = { kind = "added-sound", norm = "linf" }
unit = "dB"
levels = [-25.0]
search = { kind = "bounded", steps = 15, restarts = 1, climbs = ["log-odds"], query = 0 }
metric = "heard-as"
extra_metrics = ["decision", "confidence"]
range = [0.0, 1.0]
controls = 2
sources = ["a test"]
criterion = { kind = "grows", level = -25.0, absolute = 0.5, over_control = 2.0, sentence = "the chosen word was heard" }

[[checks]]
id = "softest"
title = "Softest sound that hides a word"
question = "How soft can the added sound be that makes a chosen other word be heard?"
plain = "a sound added at least 25 dB below the loudest point"
verb = "made the system hear a chosen other word in {}"
method = "smallest-change"
space = "sound"
perturbation = { kind = "added-sound", norm = "linf" }
unit = "dB"
search = { kind = "smallest", refine_steps = 5, check_steps = 3, restarts = 0, fresh_steps = 5, other_rivals = 0 }
metric = "heard-distance"
range = [-80.0, 0.0]
controls = 2
samples = 2
sources = ["a test"]
criterion = { kind = "flips-within", within = -25.0, louder = 20.0, sentence = "a soft sound made the chosen word be heard" }

[[checks]]
id = "over-the-air"
title = "A word hidden in what is played in a room"
question = "Is the hidden word still heard through a room that the search never heard?"
plain = "a sound added {below} below the loudest point, played in a room,"
verb = "made the system hear a chosen other word in most rooms for {}"
method = "over-the-air"
space = "physical"
unit = "dB"
levels = [-20.0]
search = { kind = "expectation", steps = 8, draws = 2, query = 10 }
needs = "SCORE"
metric = "heard-in-rooms"
range = [0.0, 1.0]
controls = 1
samples = 1
sources = ["a test"]
criterion = { kind = "grows", level = -20.0, absolute = 0.5, over_control = 2.0, sentence = "in at least half of the rooms" }

[checks.perturbation]
kind = "added-sound"
norm = "linf"
held_out = { reverberations = [0.1, 0.3], noises = [-35.0], draws = 6 }
"""


def profile(folder: Path) -> str:
    path = folder / "few.toml"
    path.write_text(PROFILE, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    return assay.audit("commands-res8", out=folder / "audit", profile=profile(folder), limit=LIMIT)


def rows(finished, check: str) -> list:
    return [f for f in finished.store.findings() if f.check == check]


def test_every_claim_of_the_folder_holds(finished):
    claims = verify(finished.folder)
    assert all(c.holds for c in claims), [c for c in claims if not c.holds]
    told = {c.claim for c in claims}
    assert {"replayed witnesses give the recorded numbers", "the data are those that were audited"} <= told
    header = finished.header
    assert [s["name"] for s in header["systems"]] == ["commands-res8", "commands-cepstra"]
    assert header["data"]["task"] == "sound" and header["data"]["options"]["rate"] == 16_000
    assert undeclared_in(finished) == set()


def stored_sounds_do_as_recorded(finished, name: str = "commands-res8") -> int:
    """Each kept sound added to its clip, heard by the network as it ships: how many are heard as the hidden word."""
    data = bundled_commands()
    x = data.fetch(range(LIMIT))
    words, system, seen = hidden_word(x, 10).tolist(), catalogue.load(name, role="audited").system, 0
    recorded = {(f.check, f.sample): f for f in finished.store.findings() if f.origin == f.system == "commands-res8"}
    for check, tensors in finished.store.witnesses():
        for key, value in tensors.items():
            origin, sample = key.split("|")[:2]
            if origin != "commands-res8" or check == "over-the-air":
                continue
            i, row = x.ids.index(sample), recorded[check, sample]
            steps = np.trunc(value * 2.0**15 + 1e-3 * np.sign(value))
            wave = x.inputs[i] + torch.from_numpy((steps / 2.0**15).astype(np.float32))
            assert float(wave.abs().max()) <= 1
            with torch.no_grad():
                heard = int(system(wave[None]).argmax())
            loud = float(x.inputs[i].abs().max()) * 2**15
            assert row.size == pytest.approx(20 * np.log10(np.abs(steps).max() / loud), abs=1e-4)
            assert heard == row.extra["decision.worst"]
            assert (row.worst == 1.0 if check == "hidden-word" else row.worst is not None) == (heard == words[i])
            seen += heard == words[i]
    return seen


def test_stored_sounds_are_heard_as_the_words_they_hide(finished):
    assert stored_sounds_do_as_recorded(finished) == LIMIT + 2
    with pytest.raises(AssertionError):
        stored_sounds_do_as_recorded(finished, "commands-cepstra")


def test_levels_and_sizes_are_decibels(finished):
    ids = bundled_commands().ids[:LIMIT]
    for row in finished.store.findings():
        assert row.unit == "dB" and row.sample in ids
        assert row.size is None or row.check == "softest" or row.size <= row.level + 1e-4
    mine = [f for f in rows(finished, "hidden-word") if f.system == f.origin == "commands-res8"]
    assert len(mine) == LIMIT and all(f.worst == 1.0 and f.normal == 0.0 for f in mine)
    softest = [f for f in rows(finished, "softest") if f.system == "commands-res8"]
    assert len(softest) == 2 and all(-80 < f.worst == f.size < LEVEL for f in softest)
    (room,) = [f for f in rows(finished, "over-the-air") if f.system == f.origin == "commands-res8"]
    cells = [name for name in room.extra if name.startswith("success.reverberation")]
    assert sorted(cells) == ["success.reverberation-0.1.noise--35", "success.reverberation-0.3.noise--35"]
    assert room.worst == pytest.approx(sum(room.extra[name] for name in cells) / 2) and "still.worst" in room.extra


def test_the_label_names_decibels(finished):
    label = json.loads((finished.folder / "warning_label.json").read_text(encoding="utf-8"))
    text = (finished.folder / "warning_label.txt").read_text(encoding="utf-8")
    said = "A sound added 25 dB below the loudest point made the system hear a chosen other word in 4 of 4 sounds"
    assert said in " ".join(text.split()) and "25 dB" in json.dumps(label, ensure_ascii=False)
    assert not re.search(r"-25\b|−25 %|dB %", text)


def test_the_report_plays_the_sounds_that_were_heard(finished):
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert "default-src 'none'" in policy and "media-src data:" in policy and "script-src" not in policy
    played = re.findall(r'<audio controls preload="none" src="data:audio/wav;base64,([^"]+)"', page)
    assert len(played) >= 3 and "<script" not in page
    clips, apart = bundled_commands().fetch(range(LIMIT)).inputs.numpy(), []
    for content in played:
        with wave.open(io.BytesIO(base64.b64decode(content))) as file:
            assert file.getparams()[:4] == (1, 2, 16_000, 16_000)
            heard = np.frombuffer(file.readframes(16_000), "<i2") / 32767
        distances = np.abs(heard - clips).max(1)
        apart.append(distances.min() / np.abs(clips[distances.argmin()]).max())
    kinds = np.digitize(apart, [2e-4, 0.101, 0.3]).tolist()
    # the clips themselves; with a sound 20 dB below them, or softer; and what was added alone, made loud
    assert min(kinds.count(0), kinds.count(1), kinds.count(3)) >= 2 and kinds.count(2) == 0


def test_a_witness_altered_on_disk_is_seen(finished, tmp_path):
    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    path = next((copy / "witnesses").glob("hidden-word~commands-res8*"))
    tensors = load_file(path)
    save_file({name: -value for name, value in tensors.items()}, path)
    failed = [c.claim for c in verify(copy, replay=False) if not c.holds]
    assert any("files are those of the manifest" in claim for claim in failed), failed
    AuditFolder(copy).seal()
    assay.Audit(copy).write()                           # as a forger would, so that the label is that of these files again
    assert all(c.holds for c in verify(copy, replay=False))
    failed = [c for c in verify(copy) if not c.holds]
    assert any(c.claim == "replayed witnesses give the recorded numbers" and "hidden-word, commands-res8" in c.detail
               for c in failed), failed


def test_a_sound_that_was_played_gives_its_numbers_again_and_a_softer_one_does_not(finished):
    """Through the code of `assay verify`."""
    from assay.checks.over_the_air import replayed

    session = session_from(finished.header["recipe"])
    bench, check = session.bench(), session.checks()["over-the-air"]
    (row,) = [f for f in rows(finished, "over-the-air") if f.system == f.origin == "commands-res8"]
    stored = [(k, v) for name, tensors in finished.store.witnesses() if name == "over-the-air" for k, v in tensors.items()]
    x = session.data.fetch([session.data.ids.index(row.sample)])
    (p,) = [torch.from_numpy(v.copy())[None] for k, v in stored if k.startswith("commands-res8|")]
    numbers = replayed(check, row, bench, x, p)
    assert numbers["worst"] == row.worst and numbers["average"] == row.average
    assert numbers["size"] == pytest.approx(row.size, abs=1e-6)
    assert row.worst > 0.5 and replayed(check, row, bench, x, 0.01 * p)["worst"] == 0.0


# what is refused

def folder_of(path: Path, rate: int, samples: int = 16_000) -> Path:
    for number, name in enumerate(("no", "yes")):
        (path / name).mkdir(parents=True)
        for i in range(2):
            noise = np.random.default_rng(2 * number + i).normal(0, 3000, samples)
            wavfile.write(path / name / f"{i}.wav", rate, noise.astype(np.int16))
    return path


def test_recordings_of_another_rate_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="'commands-res8' hears 16000 samples a second, and the data have 8000; bring them"):
        session_from({"systems": ("commands-res8",), "data": str(folder_of(tmp_path / "slow", 8000, 8000))})
    with pytest.raises(InputError, match="'commands-cepstra' hears 16000 samples a second, and the data have 44100"):
        session_from({"systems": ("commands-cepstra",), "data": str(folder_of(tmp_path / "fast", 44_100))})


def test_recordings_of_other_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match="scores 10 classes, and the audited data have 2"):
        session_from({"systems": ("commands-res8",), "data": str(folder_of(tmp_path / "two", 16_000))})


def test_sounds_given_to_an_image_classifier_are_refused():
    with pytest.raises(InputError, match="do not go together"):
        session_from({"systems": ("lenet",), "data": "bundled:commands"})


def test_the_demo_of_sounds_is_listed():
    told = CliRunner().invoke(cli, ["demo", "--help"])
    assert told.exit_code == 0 and re.search(r"\[[^\]]*sound[^\]]*\]", told.output, re.DOTALL)
    assert "spoken commands" in " ".join(told.output.split())
    assert CliRunner().invoke(cli, ["demo", "smells"]).exit_code == 2
