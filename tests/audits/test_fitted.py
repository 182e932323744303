"""Established classifiers fitted to a user's images: what is refused, what is chosen, and an audit that verifies."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import assay
import small_classifier as small
from assay.api import verify
from assay.arrays import InputError
from assay.audits.fitted import draw
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe, as_chosen
from assay.datasets.labelled import bundled_digits, image_digests, load_labelled
from assay.store import AuditFolder, StoreError
from assay.systems import fitting
from assay.systems.weights import read_weights

CLASSES, SIDE = 3, 12


def pictures(n: int, seed: int, *, classes: int = CLASSES, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Colour images (n, side, side, 3) uint8 of stripes that run at an angle of their class, with noise; and the labels."""
    generator, labels = np.random.default_rng(seed), np.arange(n) % classes
    rows, columns = np.mgrid[:side, :side]
    angle = (labels + 0.15 * generator.standard_normal(n)) * np.pi / classes
    phase = np.cos(angle)[:, None, None] * columns + np.sin(angle)[:, None, None] * rows + generator.random((n, 1, 1))
    images = 0.5 + 0.25 * np.sin(phase)[..., None] + 0.05 * generator.standard_normal((n, side, side, 3))
    return (255 * images.clip(0, 1)).astype(np.uint8), labels


def archive(path: Path, *, train: int = 90, test: int = 12, **more: int) -> str:
    """A data set as they are published: one archive with a part to train on and a part to test on."""
    (x, y), (tx, ty) = pictures(train, 0, **more), pictures(test, 1, **more)
    np.savez(path, x_train=x, y_train=y, x_test=tx, y_test=ty)
    return str(path)


def network(classes: int = CLASSES, side: int = SIDE) -> torch.nn.Module:
    """A system to audit, on PYTHONPATH by this module's name."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * side * side, classes))


def recipe(path: str, **words: object) -> Recipe:
    return Recipe(**{"systems": ("test_fitted:network",), "data": path, "fit": path, "limit": 6, **words})


def failure(**words: object) -> str:
    with pytest.raises(InputError) as caught:
        session_from(recipe(**words))
    return str(caught.value)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return archive(tmp_path_factory.mktemp("data") / "set.npz")


def audited(data: str, folder: Path, **more: object) -> assay.Audit:
    (folder / "small.toml").write_text(small.PROFILE.format(low=0.5, level=1.0, within=0.05), encoding="utf-8")
    return assay.audit("test_fitted:network", data, fit=Path(data), limit=6, out=folder / "audit",
                       established=("hog-svm", "multinomial"), profile=str(folder / "small.toml"), **more)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> assay.Audit:
    return audited(data, tmp_path_factory.mktemp("fitted"))


def test_both_are_fitted_and_say_how(finished, data):
    choices, systems = finished.header["choices"], {s["name"]: s for s in finished.header["systems"]}
    train = load_labelled(data, image_key="x_train", label_key="y_train")
    for name, strength in (("hog-svm", "C"), ("multinomial", "l2_weight")):
        chosen = choices[name]
        assert (chosen["fitted"], chosen["tuning"], chosen["data"]) == (81, 9, train.record.digest)
        assert f"{chosen['strength'][strength]:g}" in chosen["table"] and chosen["accuracy"] > 0.6
        assert min(chosen["table"].values()) == chosen["table"][f"{chosen['strength'][strength]:g}"]
        assert "fitted to 81 of 90 images" in systems[name]["description"] and systems[name]["role"] == "established"
        _, facts = read_weights(finished.store.fitted()[name])
        assert json.loads(facts["fitted"]) == chosen


def test_the_audit_verifies_from_the_kept_weights_without_the_images_it_was_fitted_to(finished, data, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(fitting, "fit", never)
    claims = verify(finished.folder, trust_code=True)
    assert all(c.holds for c in claims), [c for c in claims if not c.holds]


def test_everything_fits_again_and_finds_the_same(finished):
    claims = verify(finished.folder, everything=True, trust_code=True)
    assert all(c.holds for c in claims), [c for c in claims if not c.holds]


def forged(finished: assay.Audit, folder: Path, change: float) -> Path:
    """A copy whose fitted SVM is another one, with manifest and header made to agree with it."""
    from assay.file_digests import file_digest, root_digest

    copy = Path(shutil.copytree(finished.folder, folder))
    weights = copy / "fitted" / "hog-svm.safetensors"
    save_file({k: v * (change if k == "svm.weight" else 1) for k, v in load_file(weights).items()}, weights)
    header = json.loads((copy / "audit.json").read_text(encoding="utf-8"))
    for system in header["systems"]:
        if system["name"] == "hog-svm":
            system["files"] = {weights.name: file_digest(weights)}
            system["digest"] = root_digest(system["files"])
    (copy / "audit.json").write_text(json.dumps(header), encoding="utf-8")
    AuditFolder(copy).seal()
    for label in copy.glob("warning_label.*"):
        label.unlink()
    return copy


def test_a_worse_classifier_put_in_its_place_is_told_by_fitting_again(finished, tmp_path):
    claim = "hog-svm is the system that was audited"
    for change, holds in ((1 + 1e-6, True), (0.5, False)):
        claims = verify(forged(finished, tmp_path / str(change), change), everything=True, trust_code=True)
        assert {c.claim: c.holds for c in claims}[claim] is holds, [c for c in claims if not c.holds]


def test_a_changed_weights_file_breaks_the_manifest(finished, tmp_path):
    copy = Path(shutil.copytree(finished.folder, tmp_path / "copy"))
    weights = copy / "fitted" / "multinomial.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert [c.holds for c in verify(copy)] == [False]


DIGEST = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from assay.audits.prepare import session_from
from test_fitted import recipe
session = session_from(recipe(sys.argv[2], established=("hog-svm", "multinomial")))
print([s.record.digest for s in session.systems])
"""


def test_another_process_with_other_threads_fits_the_same_weights(finished, data):
    told = [subprocess.run([sys.executable, "-c", DIGEST, str(n), data], capture_output=True, text=True, check=True,
                           env={"PYTHONPATH": ":".join(p for p in sys.path if p)}).stdout for n in (1, 3)]
    assert told[0] == told[1] == f"{[s['digest'] for s in finished.header['systems']]}\n"


def test_the_same_command_finds_its_own_audit_again(finished, data):
    before = finished.store.manifest_digest
    assert audited(data, finished.folder.parent).store.manifest_digest == before
    with pytest.raises(StoreError, match=r"another audit \(.*systems.* differs\)"):
        audited(data, finished.folder.parent, seed=1)


def test_worker_processes_use_the_kept_weights(finished, monkeypatch):
    words = as_chosen(finished.header, finished.store)
    assert {Path(p).name for p in words["weights"].values()} == {"hog-svm.safetensors", "multinomial.safetensors"}
    monkeypatch.setattr(fitting, "fit", None)
    session = session_from(words)
    assert [s.record.digest for s in session.systems] == [s["digest"] for s in finished.header["systems"]]


def test_audited_images_among_those_to_fit_are_counted_and_refused(data, tmp_path):
    assert "6 of its 12 images are audited ones" in failure(path=data, fit_key="x_test", fit_labels="y_test")
    with np.load(data) as file:
        x, y = np.concatenate((file["x_train"], file["x_test"][:2])), np.concatenate((file["y_train"], file["y_test"][:2]))
    np.savez(tmp_path / "leak.npz", images=x / 255, labels=(y + 1) % CLASSES)       # another type, and other labels
    assert "1 of its 92 images are audited ones (the first is '90')" in failure(path=data, fit=str(tmp_path / "leak.npz"))
    session_from(recipe(data))                                                      # the twin that is not refused


@pytest.mark.parametrize(("more", "told"), [({"classes": 4}, "4 classes, and the audited data have 3"),
                                            ({"side": 16}, "images of 3×16×16 .* the audited ones have 3×12×12")])
def test_other_classes_or_sizes_are_refused(data, tmp_path, more, told):
    other = archive(tmp_path / "other.npz", **more)
    assert re.search(told, failure(path=data, fit=other))


def test_class_names_are_those_of_both(data, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nc\n", encoding="utf-8")
    assert session_from(recipe(data, classes=str(tmp_path / "names.txt"))).data.record.classes == ("a", "b", "c")


def test_without_fit_a_misfit_names_both_remedies(data):
    for name, reason in (("hog-svm", "900 HOG features, this SVM was fitted to 324"), ("multinomial", "have 432 values")):
        told = failure(path=data, fit="", task="classification", established=(name,))
        assert reason in told and "--fit DATA" in told and "--established none" in told


def test_too_many_classes_of_the_shipped_one_are_told(tmp_path):
    images = bundled_digits("tuning").fetch(range(20)).inputs[:, 0].numpy()
    np.savez(tmp_path / "few.npz", images=images, labels=np.arange(20) % 3)
    told = failure(path=str(tmp_path / "few.npz"), fit="", task="classification")
    assert "it scores 10 classes, and they have 3" in told and "--fit DATA" in told


def test_fit_without_anything_to_fit_is_refused(data):
    assert "nothing is fitted to it" in failure(path=data, established=("none",))
    assert "nothing is fitted to it" in failure(path="bundled:brain", systems=("zero-filled",), fit=data)
    assert "add --fit DATA" in failure(path=data, fit="", fit_key="x_train", task="classification")


def test_bundled_digits_can_be_fitted_to():
    session = session_from(Recipe(systems=("lenet",), fit="bundled:digits-train", limit=20))
    assert session.choices["hog-svm"]["accuracy"] > 0.9
    with pytest.raises(InputError, match="20 of its 500 images are audited ones"):
        session_from(Recipe(systems=("lenet",), fit="bundled:digits", limit=20))


def test_drawn_samples_keep_the_shares_of_the_classes_and_every_class():
    labels = [0] * 700 + [1] * 290 + [2] * 10
    drawn = draw(labels, 100, seed=3)
    kept = [labels[i] for i in drawn.fitted + drawn.tuning]
    assert len(kept) == 100 == len({*drawn.fitted, *drawn.tuning}) and len(drawn.tuning) == 10
    assert [kept.count(c) for c in range(3)] == pytest.approx([70, 29, 1], abs=1)
    assert 2 in {labels[i] for i in drawn.fitted} and draw(labels, 100, seed=3) == drawn != draw(labels, 100, seed=4)
    assert sorted(draw(labels, 5000, seed=3).fitted + draw(labels, 5000, seed=3).tuning) == list(range(1000))


def test_images_count_as_the_same_by_their_values_alone(tmp_path):
    images, labels = pictures(6, 0)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images.astype(np.float32) / 255, labels=labels[::-1])
    a, b = (load_labelled(tmp_path / f"{name}.npz") for name in "ab")
    assert image_digests(a) == image_digests(b, chunk=4) and len(set(image_digests(a))) == 6


def test_more_numbers_than_fit_in_memory_are_refused(data, monkeypatch):
    def hold(images: int) -> None:
        method = dataclasses.replace(fitting.METHODS["hog-svm"], most_values=900 * images)
        monkeypatch.setitem(fitting.METHODS, "hog-svm", method)

    hold(5)
    assert "hog-svm sees 900 numbers of each image, so that no more than 5 images can be fitted to" in failure(path=data)
    hold(50)
    assert session_from(recipe(data)).choices["hog-svm"]["fitted"] == 45
