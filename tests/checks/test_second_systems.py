"""Changes found on a second system: between linear classifiers exact; a union that catches what masked gradients hide."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import assay
import small_classifier as small
from assay.api import redact, session_for, verify
from assay.arrays import InputError
from assay.audits.plan import make_plan
from assay.checks import second_systems
from assay.checks.check import Bench, Check, run_check
from assay.records import Access
from assay.systems.function import FunctionSystem
from assay.systems.torch import TorchSystem
from assay.verdicts import SERIOUS, judge
from planes import CARRIED, EPSILON, UNION, Masked, Plane, asked, bench, examples, normals


def moves_by_the_cosine(angle: float) -> None:
    """The change −ε v (or + ε v) of the other plane raises the margin by 2 ε cos(angle), and turns what lies nearer."""
    found, height, _ = asked(angle, CARRIED)
    wanted = height.abs() < EPSILON * math.cos(angle)
    assert bool(wanted.any()) and not bool(wanted.all())
    for i, row in enumerate(found.findings):
        rise = row.extra["margin.worst"] - row.extra["margin.normal"]
        assert rise == pytest.approx(2 * EPSILON * math.cos(angle), abs=1e-4)
        assert row.worst == float(wanted[i]) and row.normal == 0 and row.size == pytest.approx(EPSILON, rel=1e-4)
        assert row.controls == 3 and row.control_size == pytest.approx(EPSILON, rel=1e-4)


@pytest.mark.parametrize("angle", [0.3, 1.0, 1.3])
def test_between_two_planes_a_change_carries_over_by_the_cosine(angle):
    moves_by_the_cosine(angle)


def on_itself(check, system, bench, x, level, within, steps, climb):
    return _kept(check, "nobody", Bench(systems=bench.systems, roles={}, seed=0, families={}, fetch=bench.fetch), x, level,
                 within, steps, climb)


def half_way(*given):
    return {name: replace(loan, parameters=loan.parameters / 2) for name, loan in _kept(*given).items()}


def turned_round(*given):
    return {name: replace(loan, parameters=-loan.parameters) for name, loan in _kept(*given).items()}


_kept = second_systems.lent


@pytest.mark.parametrize("broken", [on_itself, half_way, turned_round])
def test_broken_carriers_are_caught(broken, monkeypatch):
    monkeypatch.setattr("assay.checks.worst_case.lent", broken)
    with pytest.raises(AssertionError):
        moves_by_the_cosine(1.0)


def test_what_chance_does_is_not_called_carried_over():
    """At a right angle nothing carries over, while random changes turn the nearest points."""
    found, height, _ = asked(math.pi / 2, CARRIED)
    nearest = height.abs().argmin()
    assert abs(float(height[nearest])) < 0.01
    assert all(row.worst == 0 for row in found.findings)
    assert max(row.average for row in found.findings) > 0


def test_the_union_catches_what_a_masked_gradient_hides():
    """Without the second system nothing is found, with it exactly what the closed form says, and the flag says how."""
    angle = 0.3
    alone, _, check = asked(angle, {**UNION, "transfer": 0}, first=Masked)
    union, height, _ = asked(angle, UNION, first=Masked)
    wanted = height.abs() < EPSILON * math.cos(angle)
    assert all(row.worst == 0 or row.average for row in alone.findings)
    for i, row in enumerate(union.findings):
        assert row.worst >= float(wanted[i])
        if wanted[i] and not alone.findings[i].worst:
            assert "transfer-beats-gradient" in {flag.id for flag in row.flags}
    before, after = (judge(found.findings, vars(check), "net", role="audited") for found in (alone, union))
    assert after.harmed >= int(wanted.sum()) > before.harmed and after.outcome == "unstable"
    assert "transfer-beats-gradient" in SERIOUS


def test_an_honest_gradient_is_not_beaten():
    found, height, _ = asked(0.3, UNION)
    assert [row.worst for row in found.findings] == (height.abs() < EPSILON).double().tolist()
    assert not any(row.flags for row in found.findings)


def flags_go_down() -> None:
    """A start that a second system gave at the larger size is no find of the gradient's at the smaller."""
    found, _, _ = asked(0.3, UNION, first=Masked, levels=(EPSILON, 1.4 * EPSILON))
    beaten = {(row.level, row.sample) for row in found.findings if "transfer-beats-gradient" in {f.id for f in row.flags}}
    above = {sample for level, sample in beaten if level > EPSILON}
    turned = {row.sample for row in found.findings if row.level == EPSILON and row.worst}
    assert above & turned and {(EPSILON, sample) for sample in above & turned} <= beaten


def test_a_flag_goes_down_the_ladder_with_what_it_found(monkeypatch):
    flags_go_down()
    monkeypatch.setattr("assay.checks.worst_case._pass_down", lambda *given: None)
    with pytest.raises(AssertionError):
        flags_go_down()


@pytest.mark.parametrize("search", [CARRIED, UNION], ids=["alone", "union"])
def test_results_do_not_depend_on_the_batch(search):
    whole, _, _ = asked(0.7, search)
    one, _, _ = asked(0.7, search, batch=1)
    for a, b in zip(whole.findings, one.findings, strict=True):
        assert a.worst == b.worst and a.extra["margin.worst"] == pytest.approx(b.extra["margin.worst"], abs=1e-3)


def test_a_system_without_gradients_starts_from_what_was_found_on_others():
    one, two = normals(0.3)
    x = examples(one)
    blind = FunctionSystem(Plane(one), name="net")
    assert blind.access < Access.GRADIENT
    check = Check(id="c", title="", question="", method="worst-case", metric="error-rate", sources=(), criterion={}, levels=(
        EPSILON,), perturbation={"kind": "inputs", "norm": "l2", "relative": False}, search={**UNION, "steps": 1})
    rows = run_check(check, "net", bench(blind, Plane(two), x), x).findings
    wanted = ((x.inputs.flatten(1) - 0.5) @ one).abs() < EPSILON * math.cos(0.3)
    assert all(row.worst == 1 for row, near in zip(rows, wanted, strict=True) if near)
    assert all({flag.id for flag in row.flags} == {"query-only"} for row in rows)


def test_without_a_second_system_the_check_is_refused_and_the_union_is_the_search_alone():
    one, _ = normals(0.0)
    x = examples(one)
    check = Check(id="c", title="", question="", method="worst-case", metric="error-rate", sources=(), criterion={}, levels=(
        EPSILON,), perturbation={"kind": "inputs", "norm": "l2", "relative": False}, search=CARRIED)
    rows = run_check(check, "net", bench(Plane(one), None, x), x).findings
    assert {flag.id for row in rows for flag in row.flags} == {"raised"} and "--surrogate" in rows[0].notes


def test_a_set_without_a_gradient_search_is_refused_by_name():
    one, two = normals(0.3)
    x = examples(one)
    check = Check(id="hidden", title="", question="", method="worst-case", metric="error-rate", sources=(), criterion={},
                  levels=(0.4,), perturbation={"kind": "occlusion", "grey": 0.5}, search=CARRIED)
    rows = run_check(check, "net", bench(Plane(one), Plane(two), x), x).findings
    assert all("that gradients search" in row.notes for row in rows)


PROFILE_SEARCH = 'search = { kind = "transfer", steps = 8, climb = "margin" }'


def profile(folder: Path) -> str:
    """The first two checks of the small profile, the bounded search replaced by what is carried over."""
    path = Path(small.profile(folder))
    text = path.read_text(encoding="utf-8").partition('[[checks]]\nid = "smallest-flip"')[0]
    line = next(line for line in text.splitlines() if 'kind = "bounded"' in line)
    path.write_text(text.replace(line, PROFILE_SEARCH), encoding="utf-8")
    return str(path)


def second() -> TorchSystem:
    other = small.Linear()
    with torch.no_grad():
        other.linear.weight.add_(0.3 * torch.randn(other.linear.weight.shape, generator=torch.Generator().manual_seed(9)))
    return TorchSystem(other, name="second")


def test_an_audit_records_the_surrogate_and_plans_the_check_only_with_one(tmp_path):
    def session(*surrogates):
        return session_for(TorchSystem(small.Linear(), name="net"), small.data(tmp_path), profile=profile(tmp_path),
                           budget="standard", established=("none",), seed=0, surrogates=surrogates)

    found = session(second())
    assert [(s["name"], s["role"]) for s in found.header()["surrogates"]] == [("second", "surrogate")]
    assert [s["name"] for s in found.header()["systems"]] == ["net"] and not make_plan(found).skipped
    assert {unit.system for unit in make_plan(found).units} == {"net"}
    (skipped,) = make_plan(session()).skipped
    assert skipped["check"] == "tiny-energy" and "--surrogate" in skipped["reason"]
    assert "surrogates" not in session().header()


def test_what_was_carried_over_is_replayed_and_the_surrogate_is_bound(tmp_path):
    """A recipe that others can repeat: the digests and numbers hold, and another surrogate under the name does not."""
    small.profile(tmp_path)
    found = assay.audit("multinomial", "bundled:digits", profile=profile(tmp_path), established=("none",),
                        surrogates=("mlp",), limit=12, out=tmp_path / "audit")
    copy = redact(found.folder, tmp_path / "redacted", key=bytes(32))
    assert [s["name"] for s in copy.header["surrogates"]] == ["mlp"] and copy.header["name"] == "multinomial"
    claims = verify(tmp_path / "audit")
    assert all(claim.holds for claim in claims), [claim for claim in claims if not claim.holds]
    assert any(claim.claim == "mlp is the system on which changes were found" for claim in claims)
    header = json.loads((tmp_path / "audit" / "audit.json").read_text())
    header["surrogates"][0]["digest"] = "0" * 64
    (tmp_path / "audit" / "audit.json").write_text(json.dumps(header))
    assert not all(claim.holds for claim in verify(tmp_path / "audit"))


def test_a_surrogate_that_no_check_asks_for_is_refused(tmp_path):
    with pytest.raises(InputError, match="carries changes over"):
        assay.audit(TorchSystem(small.Linear(), name="net"), small.data(tmp_path), profile=small.profile(tmp_path),
                    established=("none",), surrogates=[second()], out=tmp_path / "audit")
