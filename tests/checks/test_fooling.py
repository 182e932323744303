"""Fooling images end to end: rows are classes, nonsense is unlike the real, controls, replay, and checks that are broken."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from assay.api import Audit, verify
from assay.arrays import InputError
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.run import run_audit
from assay.checks import fooling as module
from assay.checks.check import Bench, Check, UnitResult, run_check
from assay.metrics.fooling import nearest_distance, standardised, usual_distance
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Outcome, Stop
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from replay_table import undeclared_in

PROFILE = """
id = "nonsense"
title = "Nonsense"
task = "classification"
community = "research"
version = "0.1"
rate = 0.05
headline = "fooling"
not_tested = ["Everything else"]
actions = ["Look at the numbers."]

[[checks]]
id = "fooling"
title = "Confidence on nonsense"
question = "Is nonsense taken for something?"
plain = "an image of nothing"
verb = "was taken for {}"
noun = "classes"
method = "fooling"
metric = "fooling-confidence"
sources = ["a test"]
controls = 60
search = { generations = 4, children = 60, ascent = 20 }
criterion = { kind = "reaches", threshold = 0.5, sentence = "nonsense was taken for the class" }
"""
CHECK = Check(id="fooling", title="", question="", method="fooling", metric="fooling-confidence", sources=(), controls=60,
              criterion={"kind": "reaches", "threshold": 0.9}, search={"generations": 6, "children": 40, "ascent": 20})
CLASSES = ("left", "right", "both")


def samples(n: int = 30) -> Examples:
    """Bright bars on a dark ground: left, right or on both sides."""
    truth = torch.arange(n) % 3
    inputs = 0.1 * torch.rand(n, 1, 4, 4, generator=stream("bars"))
    inputs[truth != 1, :, :, 0] += 0.8
    inputs[truth != 0, :, :, 3] += 0.8
    return Examples(ids=tuple(f"s{i}" for i in range(n)), inputs=inputs, truth=truth, box=(0.0, 1.0))


def bars(images: Tensor) -> Tensor:
    left, right = images[:, 0, :, 0].mean(1), images[:, 0, :, 3].mean(1)
    return 8 * torch.stack((left - right, right - left, left + right - 1), dim=1)


def bench(classes: tuple[str, ...] = CLASSES, access: Access = Access.GRADIENT, **systems) -> Bench:
    functions = systems or {"bars": bars}
    return Bench(systems={name: Metered(FunctionSystem(f, name=name, access=access), name=name)
                          for name, f in functions.items()},
                 roles={name: "audited" if i == 0 else "established" for i, name in enumerate(functions)}, seed=0,
                 families={}, fetch=lambda positions: samples(), classes=classes)


def ask(check: Check = CHECK, x: Examples | None = None, **systems) -> UnitResult:
    return run_check(check, next(iter(systems), "bars"), bench(**systems), x or samples())


def lawful(result: UnitResult, x: Examples, system: str = "bars") -> bool:
    """Stored images give what is recorded, are unlike every real image, and no uniform noise was better."""
    usual = usual_distance(x.inputs)
    for row in result.findings:
        image = result.witnesses.get(f"{row.origin}|{row.sample}|-")
        if row.origin != row.system or image is None or row.worst is None:
            continue
        value = float(bars(image[None]).double().softmax(1)[0, round(row.extra["label"])])
        far = float(nearest_distance(image[None], x.inputs))
        shape = float(nearest_distance(standardised(image[None]), standardised(x.inputs)))
        near = far <= usual or shape <= usual_distance(standardised(x.inputs))
        if near or abs(value - row.worst) > 1e-6 or row.worst < row.extra["noise.worst"]:
            return False
    return True


@pytest.fixture(scope="module")
def audit(tmp_path_factory) -> Audit:
    folder = tmp_path_factory.mktemp("fooling")
    (folder / "nonsense.toml").write_text(PROFILE, encoding="utf-8")
    session = session_from(Recipe(systems=("lenet",), established=("hog-svm",), data="bundled:digits", limit=60,
                                  profile=str(folder / "nonsense.toml")))
    run_audit(session, folder / "audit", executor=Serial(batch=7))      # smaller than the samples: must not matter
    found = Audit(folder / "audit")
    found.write()
    return found


def test_rows_are_classes_and_numbers_are_lawful():
    result = ask()
    assert [f.sample for f in result.findings] == [f"class:{name}" for name in CLASSES]
    assert lawful(result, samples()) and len(result.witnesses) == 3
    for row in result.findings:
        x = samples()
        mine = x.truth == row.extra["label"]
        normal = bars(x.inputs[mine]).double().softmax(1)[:, round(row.extra["label"])].mean()
        assert row.normal == pytest.approx(float(normal)) and row.controls == 60
        assert row.average_low <= row.average <= row.average_high <= 1
        assert row.extra["nearest.worst"] > row.extra["nearest.normal"] == pytest.approx(usual_distance(x.inputs))
        assert row.worst == max(row.extra[f"{by}.worst"] for by in ("direct", "cppn", "ascent", "noise")
                                if f"{by}.worst" in row.extra)


def test_a_check_that_accepts_real_images_is_caught(monkeypatch):
    real = samples()
    monkeypatch.setattr(module.Sight, "unlike", lambda self, images: torch.ones(len(images), dtype=torch.bool))
    monkeypatch.setattr(module, "start_near", lambda mean, generators, *, box: real.inputs[:3])
    check = replace(CHECK, controls=1, search={"generations": 1, "children": 1, "ascent": 1, "decay": 0.0})
    assert not lawful(ask(check), real)


def test_faint_copies_of_the_real_are_refused():
    x = samples()
    faint = 0.1 * x.inputs + 0.05
    sight = module.Sight(bench().systems["bars"], x, 3)
    assert bool((nearest_distance(faint, x.inputs) > usual_distance(x.inputs)).any()), "pixels alone refuse them"
    assert not sight.unlike(faint).any() and not sight.unlike(x.inputs).any()
    noise = torch.rand(50, 1, 4, 4, generator=stream("noise"))
    assert float(sight.unlike(noise).double().mean()) > 0.5
    assert bool((sight.confidences(faint) == -math.inf).all())
    assert torch.allclose(standardised(faint), standardised(x.inputs), atol=1e-5)


def test_a_search_that_is_worse_than_noise_is_flagged_and_the_noise_kept():
    weak = replace(CHECK, controls=200, search={"generations": 1, "children": 2, "ascent": 0})
    result = ask(weak)
    flagged = [f for f in result.findings if any(flag.id == "worst-below-control" for flag in f.flags)]
    assert flagged and lawful(result, samples())
    assert all(f.worst == f.extra["noise.worst"] for f in flagged)


def test_other_systems_see_the_same_images():
    result = ask(bars=bars, mirrored=lambda images: bars(images.flip(3)))
    under = {f.sample: f for f in result.findings if f.system == "mirrored"}
    assert all(f.origin == "bars" for f in under.values())
    for sample, row in under.items():
        image = result.witnesses[f"bars|{sample}|-"]
        expected = bars(image[None].flip(3)).double().softmax(1)[0, round(row.extra["label"])]
        assert row.worst == pytest.approx(float(expected))


def test_the_same_seed_gives_the_same_rows():
    assert ask().findings == ask().findings


def test_when_everything_is_like_something_real_nothing_is_judged():
    x = samples()
    far = torch.tensor([0.0, 1e6])[torch.arange(30) // 29].reshape(30, 1, 1, 1) + x.inputs     # one real image far away
    result = ask(x=replace(x, inputs=far, box=(0.0, 1.0)))
    assert all(f.worst is None and "like a real one" in f.notes for f in result.findings) and not result.witnesses


def test_a_system_that_breaks_is_told_class_by_class():
    def broken(images: Tensor) -> Tensor:
        raise RuntimeError("out of paper")
    result = ask(broken=broken)
    assert [(f.sample, f.stop) for f in result.findings] == [(f"class:{c}", Stop.RAISED) for c in CLASSES]
    few = ask(few=lambda images: bars(images)[:, :2])
    assert all("2,) scores for data of 3 classes" in f.notes for f in few.findings)
    nan = ask(nan=lambda images: torch.where(images[:, 0, 0, 1, None] > 0.5, math.nan, bars(images)))
    assert all(any(flag.id == "non-finite" for flag in f.flags) for f in nan.findings)


def test_a_system_without_gradients_is_bred_for_all_the_same():
    result = run_check(CHECK, "bars", bench(access=Access.SCORE), samples())
    assert lawful(result, samples())
    for row in result.findings:
        assert row.worst is not None and "ascent.worst" not in row.extra and row.backward == 0
        assert [flag.id for flag in row.flags] == ["query-only"]
    assert all(not f.flags and f.backward > 0 for f in ask().findings)


def test_verdict_counts_classes(audit):
    lenet, svm = audit.verdicts
    assert (lenet.n, svm.n) == (10, 10) and lenet.outcome is Outcome.UNSTABLE
    assert svm.transfer is not None and lenet.harmed > svm.harmed
    assert "of 10 classes" in audit.warning_label["headline"]["hazard"]
    plan = json.loads((audit.folder / "plan.json").read_text())
    assert [(len(unit["samples"]), len(unit["rows"])) for unit in plan["units"]] == [(60, 10)] * 2


def test_none_found_is_not_inconclusive_for_being_about_fewer_classes_than_samples(audit):
    profile = json.loads(json.dumps(audit.header["profile"]))
    profile["checks"][0]["criterion"]["threshold"] = 2.0
    assert {v.outcome for v in audit.judged(profile)} <= {Outcome.NONE_FOUND, Outcome.INCONCLUSIVE}
    assert "planned" not in " ".join(v.reason for v in audit.judged(profile))
    assert audit.judged(profile)[0].outcome is Outcome.NONE_FOUND


def test_report_shows_an_image_for_each_class(audit):
    text = audit.report().read_text(encoding="utf-8")
    assert text.count("<b>Made to be ") == 20 and "Uniform noise, nothing searched" in text


def test_stored_images_are_replayed(audit):
    claims = verify(audit.folder, everything=True)
    assert all(claim.holds for claim in claims), [c for c in claims if not c.holds]
    replayed = next(c for c in claims if "replayed" in c.claim)
    assert not replayed.detail.startswith("0") and undeclared_in(audit) == set()


def test_a_forged_image_is_found_out(audit, tmp_path: Path):
    """A real image in place of nonsense: as confident, and no nonsense."""
    folder = Path(shutil.copytree(audit.folder, tmp_path / "copy"))
    session = session_from(audit.header["recipe"])
    x = session.data.fetch(tuple(range(60)))
    path = folder / "witnesses" / "fooling~lenet~00000.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    label = int(name.split("|")[1].removeprefix("class:"))
    save_file({**tensors, name: x.inputs[x.truth == label][0].numpy()}, path)
    Audit(folder).store.seal()
    Audit(folder).write()                               # a label that goes with the forged manifest
    wrong = [c for c in verify(folder, everything=True) if not c.holds and "replayed" in c.claim]
    assert wrong and "worst" in wrong[0].detail


def test_bad_input():
    x = samples()
    with pytest.raises(InputError, match="classes and a range"):
        module.fooling(CHECK, "bars", bench(), replace(x, box=None))
    with pytest.raises(InputError, match="encoding"):
        module.fooling(replace(CHECK, search={"encodings": ["words"]}), "bars", bench(), x)
    with pytest.raises(InputError, match="two of them"):
        usual_distance(x.inputs[:1])
