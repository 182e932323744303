"""The norm of a linear system against its closed form; what is not linear, or says so wrongly, is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

import assay
import assay.checks.catalogue
from assay.api import session_for, verify
from assay.audits.plan import make_plan
from assay.checks.check import Bench, Check, run_check
from assay.checks.operator_norm import not_linear, replayed
from assay.operators.fourier import MaskedFourier
from assay.operators.spectral_norm import operator_norm
from assay.perturbations.protocol import Examples
from assay.records import Outcome
from assay.solvers.linear import exact_gain
from assay.systems.classical import BoundMethod, Tikhonov, TotalVariation, ZeroFilled
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem
from assay.verdicts import judge

WORDS = {"id": "norm", "metric": "gain-bound", "unit": "output change per input change",
         "criterion": {"kind": "certifies", "at_most": 1.001, "sentence": "nothing is magnified"}}
CHECK = Check(title="", question="", method="operator-norm", sources=(), **WORDS)


def measured(side: int = 12) -> Examples:
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[::3] = mask[:2] = True
    operator = MaskedFourier(mask)
    truth = torch.randn(3, side, side, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return Examples(ids=("a", "b", "c"), inputs=operator.forward(truth), truth=truth, operator=operator)


def bench(system) -> Bench:
    return Bench(systems={"net": Metered(system, name="net")}, roles={"net": "audited"}, seed=0, families={},
                 fetch=lambda positions: measured())


def ask(system, x: Examples):
    return run_check(CHECK, "net", bench(system), x)


@pytest.mark.parametrize(("family", "weight"), [(ZeroFilled(), None), (Tikhonov(weight=0.25), 0.25)])
def test_the_norm_of_a_linear_method_is_its_closed_form(family, weight):
    x = measured()
    found = ask(family.bind(x.operator), x)
    exact = exact_gain(x.operator, weight=weight) * operator_norm(x.operator)
    for row in found.findings:
        assert exact * (1 - 1e-5) <= row.worst <= exact * (1 + 1e-4) and row.flags == ()
    system, vector = family.bind(x.operator), found.witnesses["net|a|-"][None]
    gain = float(system(vector).abs().square().sum().sqrt() / vector.abs().square().sum().sqrt())
    assert gain == pytest.approx(exact, rel=1e-4)                # the bound is attained
    assert replayed(CHECK, found.findings[0], bench(system), x, vector[0])["worst"] == pytest.approx(exact, rel=1e-4)


def test_the_matrix_of_a_linear_network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4)).requires_grad_(False)
    x = Examples(ids=("a",), inputs=torch.randn(1, 6), truth=torch.randn(1, 4))
    (row,) = ask(TorchSystem(module), x).findings
    norm = float(torch.linalg.matrix_norm(module[1].weight @ module[0].weight, 2))
    assert norm <= row.worst * (1 + 1e-6) and row.worst == pytest.approx(norm, rel=1e-4)
    layers = float(torch.linalg.matrix_norm(module[1].weight, 2) * torch.linalg.matrix_norm(module[0].weight, 2))
    assert row.worst < 0.99 * layers                             # the product of the layers' norms is no exact bound


def test_what_is_not_linear_is_refused():
    x = measured()
    assert not_linear(Tikhonov().bind(x.operator), x) == ""
    assert "not linear" in not_linear(TotalVariation().bind(x.operator), x)
    assert "too large" in not_linear(Tikhonov().bind(x.operator), measured(100))
    real = Examples(ids=("a",), inputs=torch.randn(1, 6), truth=None)
    assert "not all linear" in not_linear(TorchSystem(nn.Sequential(nn.Linear(6, 2), nn.ReLU())), real)
    assert "not known" in not_linear(TorchSystem(nn.Linear(6, 2)), x)


def test_a_method_that_calls_itself_linear_and_is_not_is_caught():
    x = measured()
    inner = TotalVariation().bind(x.operator)
    (row, *_) = ask(BoundMethod("net", inner.solver, linear=True), x).findings
    assert row.worst is None and [f.id for f in row.flags] == ["raised"] and "differs from its matrix" in row.notes


def test_verdict_and_contradiction():
    x = measured()
    rows = list(ask(ZeroFilled().bind(x.operator), x).findings)
    verdict = judge(rows, WORDS, "net", role="audited")
    assert verdict.outcome is Outcome.CERTIFIED and verdict.certified == 3
    strict = {**WORDS, "criterion": {**WORDS["criterion"], "at_most": 0.9}}
    assert judge(rows, strict, "net", role="audited").outcome is Outcome.NOT_APPLICABLE
    other = dataclasses.replace(rows[0], check="tiny", metric="relative-error", worst=0.1, gain=1.2)
    contradicted = judge([*rows, other], WORDS, "net", role="audited")
    assert contradicted.outcome is Outcome.INCONCLUSIVE and contradicted.flags[0].id == "certificate-contradicted"
    assert judge([*rows, dataclasses.replace(other, gain=1.0)], WORDS, "net", role="audited").outcome is Outcome.CERTIFIED


def test_a_reconstruction_audit_ends_in_a_proved_bound(tmp_path):
    """The example profile on a linear method: BOUND PROVED, replayed; of total variation nothing is, and why is said."""
    example = Path(__file__).parents[2] / "examples" / "proved_gain.toml"
    child = tmp_path / "child.toml"
    child.write_text(f'extends = "{example}"\nid = "small"\nversion = "1"\nwithout = ["noise", "local-gain"]\n'
                     '[override.tiny-data]\nlevels = [0.02]\ncontrols = 1\n'
                     'search = { steps = 2, restarts = 1, query = 0 }\n')
    found = assay.audit("tikhonov", size=48, limit=2, profile=str(child), established=("none",), out=tmp_path / "audit")
    label = found.warning_label
    assert label["headline"]["signal"] == "BOUND PROVED" and label["results"]["worst_case"]["bound"] == "upper"
    verdict = next(v for v in found.verdicts if v.check == "proved-gain")
    assert verdict.outcome is Outcome.CERTIFIED and verdict.certified == verdict.n == 2
    assert verdict.worst == pytest.approx(1 / 1.01, rel=1e-3)                   # 1/(1 + λ), λ = 0.01
    assert all(claim.holds for claim in verify(found.folder))
    plan = make_plan(session_for("total-variation", "", profile=str(child), budget="standard", established=("none",),
                                 seed=0, size=48, limit=2))
    assert [s["check"] for s in plan.skipped] == ["proved-gain"] and "not linear" in plan.skipped[0]["reason"]
