"""K-space that was never fully measured: audited as measured, judged by changes of the system's own image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import small_audit
from assay.api import Audit, verify
from assay.arrays import InputError
from assay.audits.executors.serial import Serial
from assay.audits.plan import make_plan
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.reconstruction import datasets
from assay.audits.run import run_audit
from assay.datasets.bundled import BundledSlices
from assay.operators.fourier import fft2
from assay.operators.sensitivity import simulate_maps
from assay.operators.subsampling import cartesian_lines
from assay.profiles.load import ProfileError, load
from assay.systems import catalogue

BLIND = """
[without_truth]
not_tested = ["Accuracy: nobody knows the true image"]

[without_truth.checks.tiny-data]
metric_name = "Change of the image"
criterion = { kind = "grows", level = 0.02, per_level = 2.0, over_control = 3.0, sentence = "the image changed" }
"""


def mask_of(seed: int = 0) -> torch.Tensor:
    return cartesian_lines((48, 48), 0.4, generator=torch.Generator().manual_seed(seed))


def write_kspace(path: Path, *masks: torch.Tensor, coils: int = 2) -> Path:
    """K-space (samples, [coils,] 48, 48) of bundled slices, zero outside each mask."""
    images, maps = BundledSlices("brain", 48), simulate_maps(coils, (48, 48))
    k = torch.stack([fft2(maps * images[i], centred=True) * mask for i, mask in enumerate(masks)])
    np.save(path, (k[:, 0] if coils == 1 else k).numpy())
    return path


def words(toml: str, data: Path, **more) -> Recipe:
    return Recipe(**{"systems": ("zero-filled",), "established": ("tikhonov",), "data": str(data), "kspace": True,
                     "axes": "schw", "limit": 1, "profile": toml, **more})


@pytest.fixture(scope="module")
def toml(tmp_path_factory) -> str:
    path = Path(small_audit.profile(tmp_path_factory.mktemp("profile")))
    path.write_text(path.read_text(encoding="utf-8") + BLIND, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def finished(toml, tmp_path_factory) -> Audit:
    folder = tmp_path_factory.mktemp("native")
    session = session_from(words(toml, write_kspace(folder / "k.npy", mask_of())))
    run_audit(dataclasses.replace(session, shard=4), folder / "audit", executor=Serial())
    audit = Audit(folder / "audit")
    audit.write()
    return audit


def test_the_native_sampling_is_the_operators(toml, tmp_path):
    audited, tuning = datasets(words(toml, write_kspace(tmp_path / "k.npy", mask_of())))
    assert tuning is None and not audited.record.truth and not audited.record.simulated
    assert torch.equal(audited.operator.mask, mask_of()) and audited.operator.maps.shape == (2, 48, 48)
    assert audited.fetch((0,)).truth is None


def test_fully_sampled_kspace_keeps_its_truth(toml, tmp_path):
    full = write_kspace(tmp_path / "k.npy", torch.ones(48, 48, dtype=torch.bool), coils=1)
    audited, _ = datasets(words(toml, full, axes="shw"))
    assert audited.record.truth and audited.fetch((0,)).truth is not None


def test_checks_that_change_the_true_image_are_not_applicable(toml, tmp_path):
    plan = make_plan(session_from(words(toml, write_kspace(tmp_path / "k.npy", mask_of()))))
    assert {s["check"]: s["reason"] for s in plan.skipped} == {"structure": "the true images are not known"}
    assert {u.check for u in plan.units} == {"preflight", "tiny-data", "noise", "local-gain"}


def test_research_profile_asks_only_what_can_be_asked(tmp_path):
    plan = make_plan(session_from(words("research", write_kspace(tmp_path / "k.npy", mask_of()), budget="demo")))
    unknown = {s["check"] for s in plan.skipped if s["reason"] == "the true images are not known"}
    assert unknown == {"tiny-image", "structure", "sampling", "kernel", "hallucination", "localised"}


def test_the_change_is_measured_from_the_systems_own_image(finished):
    rows = [f for f in finished.store.findings() if f.check == "tiny-data" and f.system == f.origin == "zero-filled"]
    assert len(rows) == 2 and all(f.normal == 0 for f in rows)
    data = datasets(Recipe(**finished.store.header["recipe"]))[0]
    y = data.fetch((0,)).inputs
    system = catalogue.load("zero-filled", role="audited").system.bind(data.operator)
    stored = [array for file in sorted((finished.folder / "witnesses").iterdir()) if file.name.startswith("tiny-data~zero")
              for name, array in load_file(file).items() if name.endswith("|0.02")]
    changed = system(y + torch.from_numpy(stored[0])[None])
    expected = float((changed - system(y)).norm() / system(y).norm())
    assert next(f for f in rows if f.level == 0.02).worst == pytest.approx(expected, rel=1e-4)


def test_label_report_and_verification(finished):
    label = finished.warning_label
    assert "Accuracy: nobody knows the true image" in label["not_tested"]
    assert label["results"]["metric"]["name"] == "Change of the image"
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "The true images are not known" in page and "data unchanged" in page
    assert all(claim.holds for claim in verify(finished.folder))


def test_a_profile_must_say_how_to_judge_then(tmp_path):
    with pytest.raises(ProfileError, match=r"no table \[without_truth\]"):
        load(small_audit.profile(tmp_path), truth=False)


def test_known_truth_ignores_the_table(toml):
    known = load(toml)
    assert "without_truth" not in known and known["not_tested"] == ["Everything else"]
    assert known["checks"][1]["criterion"]["sentence"] == "the error grew"
    assert load(toml, truth=False)["digest"] != known["digest"]


def test_samples_of_another_pattern_are_refused(toml, tmp_path):
    path = write_kspace(tmp_path / "k.npy", mask_of(), mask_of(1), coils=1)
    audited, _ = datasets(words(toml, path, axes="shw", limit=None))
    with pytest.raises(InputError, match="measured at other places"):
        audited.fetch((0, 1))


@pytest.mark.parametrize("network", ["deep-cascade", "automap"])
def test_networks_for_one_coil_say_so(network, tmp_path):
    data, _ = datasets(words("research", write_kspace(tmp_path / "k.npy", mask_of())))
    with pytest.raises(InputError, match="one coil"):
        catalogue.load(network, role="audited").system.bind(data.operator)
