"""What second systems must be to say anything: duds are refused or flagged, and a blind system gets all that they found."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_second_systems import profile
from torch import Tensor, nn

import assay
import small_classifier as small
from assay.api import redact, session_for, verify
from assay.arrays import InputError
from assay.checks import searching
from assay.checks.check import run_check
from assay.redaction import _Copy
from assay.store import FINDINGS, AuditFolder
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem
from assay.verdicts import judge
from planes import CARRIED, EPSILON, UNION, D, Masked, Plane, asked, bench, examples, normals


class Raises(Plane):
    """A surrogate that fails whenever it is asked."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no such layer")


class Sloppy(Plane):
    """The other way round: most of its decisions are wrong before any change."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flip(1)


def verdict(angle: float, second: nn.Module | None = None, first: type = Plane, controls: int = 3):
    found, height, check = asked(angle, CARRIED, first=first, second=second, controls=controls)
    return judge(found.findings, vars(check), "net", role="audited"), found, height


def flags(judged) -> set[str]:
    return {flag.id for flag in judged.flags}


DUDS = {"constant": Plane(torch.zeros(D)), "without a slope": Masked(normals(0.3)[1]), "sloppy": Sloppy(normals(0.3)[1])}


def dud_is_told(second: nn.Module) -> None:
    judged, found, _ = verdict(0.3, second)
    assert judged.outcome == "inconclusive" and judged.harmed == 0 and "surrogate-unmoved" in flags(judged)
    turned = sum(row.extra["lent.other.turned"] for row in found.findings)
    assert 2 * turned <= len(found.findings)
    assert f"made for other, the changes turned it on {int(turned)} of {len(found.findings)}" in judged.reason
    assert f"other: {int(turned)} of {len(found.findings)}" in next(f for f in judged.flags
                                                                    if f.id == "surrogate-unmoved").detail


@pytest.mark.parametrize("second", [DUDS["constant"], DUDS["sloppy"]], ids=["constant", "sloppy"])
def test_a_dud_as_second_system_is_no_sign_of_stability(second):
    dud_is_told(second)


def test_without_that_flag_a_dud_would_give_none_found(monkeypatch):
    monkeypatch.setattr("assay.verdicts.judging.unmoved", lambda judged: [])
    with pytest.raises(AssertionError):
        dud_is_told(DUDS["sloppy"])


def test_a_second_system_without_a_slope_is_told_by_its_own_rows():
    """Its random starts turn the nearest points alone."""
    _, found, height = verdict(0.3, DUDS["without a slope"])
    turned = torch.tensor([row.extra["lent.other.turned"] for row in found.findings])
    assert 2 * int(turned.sum()) <= len(turned) and not bool(turned[height.abs() > EPSILON].any())


def test_what_was_lent_says_by_the_closed_form_whether_it_turned_its_lender():
    """The lender's own right decisions within ε of its plane turn, and no others; sizes are the whole ball."""
    angle = 0.5
    two = normals(angle)[1]
    _, found, _ = verdict(angle)
    x = examples(normals(angle)[0])
    own = (x.inputs.flatten(1) - 0.5) @ two
    right = (own > 0) == (x.truth == 1)
    wanted = right & (own.abs() < EPSILON)
    assert bool(wanted.any()) and not bool(wanted.all()) and not bool(right.all())
    assert [row.extra["lent.other.turned"] for row in found.findings] == wanted.double().tolist()
    assert all(row.extra["lent.other.size"] == pytest.approx(EPSILON, rel=1e-4) for row in found.findings)


class Remembers(nn.Module):
    """Knows the points by what does not change along `normal`, and their classes: no change along it turns any."""

    def __init__(self, normal: Tensor) -> None:
        super().__init__()
        x = examples(normal)
        self.normal, self.known, self.label = normal, self.aside(x.inputs, normal), x.truth

    def aside(self, x: Tensor, normal: Tensor) -> Tensor:
        from_middle = x.flatten(1) - 0.5
        return from_middle - (from_middle @ normal)[:, None] * normal

    def forward(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(self.aside(x, self.normal), self.known).argmin(1)
        return nn.functional.one_hot(self.label[nearest], 2).to(x.dtype) + 0 * x.flatten(1)[:, :2]


def test_a_good_second_system_whose_changes_carry_nothing_over_is_not_flagged():
    """It is turned on most points by changes along its normal, which the audited system does not see."""
    judged, found, height = verdict(0.0, first=Remembers, controls=0)
    assert judged.outcome == "none found" and not judged.flags
    near = int((height.abs() < EPSILON).sum())
    assert 2 * near > len(found.findings) and f"the changes turned it on {near} of {len(found.findings)}" in judged.reason


def chance_beats_it() -> None:
    """At a right angle nothing carries over, while random changes turn the nearest points: that is told."""
    _, found, _ = verdict(math.pi / 2)
    told = {row.sample for row in found.findings if "worst-below-control" in {flag.id for flag in row.flags}}
    assert told == {row.sample for row in found.findings if row.average and row.worst == 0} and told


def test_chance_that_does_more_than_what_was_carried_over_is_flagged(monkeypatch):
    chance_beats_it()
    monkeypatch.setattr("assay.checks.worst_case.beats", lambda one, two, metric, slack=0.0: torch.zeros_like(one).bool())
    with pytest.raises(AssertionError):
        chance_beats_it()


def test_a_lender_that_raises_beside_another_is_recorded_as_unturned():
    one, two = normals(0.3)
    x = examples(one)
    both = bench(Plane(one), Plane(two), x)
    both = replace(both, surrogates={**both.surrogates, "broken": Metered(TorchSystem(Raises(two), name="broken"),
                                                                          name="broken")})
    check = asked(0.3, CARRIED)[2]
    rows = run_check(check, "net", both, x).findings
    assert all(row.extra["lent.broken.turned"] == 0 and "lent.broken.size" not in row.extra for row in rows)
    assert any(row.extra["lent.other.turned"] for row in rows)



class Steps(Plane):
    """Scores in whole steps of the height: no slope, and queries see which way they rise."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return (100 * scores).round().detach() / 100 + 0 * scores


def blind_system_is_turned() -> None:
    """The lender's gradient is masked, so what is lent is chance; its own ladder goes on by queries, and is borrowed.

    The blind system tells its decision alone, so as many queries of it find no way to points a little farther.
    """
    one, _ = normals(0.0)
    x = examples(one)
    blind = FunctionSystem(lambda inputs: Masked(one)(torch.as_tensor(inputs)).detach(), name="net")
    check = replace(asked(0.0, UNION)[2], search={**UNION, "steps": 5, "query": 150})
    rows = run_check(check, "net", bench(blind, Steps(one), x, surrogate=False), x).findings
    turned = {row.sample for row in rows if row.system == row.origin == "net" and row.worst}
    height = (x.inputs.flatten(1) - 0.5) @ one
    far = [x.ids[i] for i in ((height.abs() > 0.04) & (height.abs() < 0.05)).nonzero().flatten().tolist()]
    assert len(far) >= 2 and turned.issuperset(far)


def test_a_blind_system_starts_from_the_ladders_of_others_and_from_what_is_lent(monkeypatch):
    blind_system_is_turned()
    monkeypatch.setattr("assay.checks.worst_case._ladders_of_others", lambda *given: [])
    with pytest.raises(AssertionError):
        blind_system_is_turned()


def a_blind_linear_system_turns_by_the_closed_form() -> None:
    """‖p‖∞ to the nearest plane is the gap of the scores over ‖w_a − w_b‖₁: what lies within it turns by 200 queries."""
    x, weight = small.examples(), small.Linear().linear.weight.detach()
    scores = small.Linear()(x.inputs).detach()
    first, gap = scores.argmax(1), scores.amax(1, keepdim=True) - scores
    far = torch.where(gap > 0, gap / (weight[None] - weight[first][:, None]).abs().sum(2), torch.inf).amin(1)
    blind = FunctionSystem(lambda inputs: small.Linear()(torch.as_tensor(inputs)).detach(), name="net")
    rows = small.ask(blind, method="worst-case", levels=(0.02,), search={**UNION, "transfer": 0, "query": 200},
                     perturbation={"kind": "inputs", "norm": "linf", "relative": "range"}).findings
    wanted = [x.ids[i] for i in (far < 0.02).nonzero().flatten().tolist() if first[i] == x.truth[i]]
    assert len(wanted) > 10 and [row.sample for row in rows if row.worst and not row.extra["already-wrong"]] == wanted


def test_a_blind_system_is_asked_by_square(monkeypatch):
    a_blind_linear_system_turns_by_the_closed_form()
    monkeypatch.setattr(searching, "_by_queries", lambda objective, within, draws, warm, common, squares: searching.flagged(
        searching.random_walk(objective, within, draws=draws, starts=warm, **common)))
    with pytest.raises(AssertionError):
        a_blind_linear_system_turns_by_the_closed_form()


class Few(small.Linear):
    """Two scores where there are three classes."""

    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores[:, :2]


class Broken(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        raise RuntimeError("no such layer")


@pytest.mark.parametrize(("surrogate", "message"), [
    (TorchSystem(Few(), name="few"), "surrogate 'few' scores 2 classes, and 3 are wanted"),
    (TorchSystem(Broken(), name="broken"), "surrogate 'broken' returns no scores .*RuntimeError: no such layer"),
    (TorchSystem(small.Linear(), name="net"), "two systems are called 'net'; a surrogate is another system"),
    (FunctionSystem(small.Linear(), name="blind"), "surrogate 'blind' gives no gradients")])
def test_a_surrogate_that_cannot_lend_is_refused_before_anything_runs(surrogate, message, tmp_path):
    with pytest.raises(InputError, match=message):
        session_for(TorchSystem(small.Linear(), name="net"), small.data(tmp_path), profile=profile(tmp_path),
                    budget="standard", established=("none",), seed=0, surrogates=(surrogate,))


@pytest.fixture(scope="module")
def with_surrogate(tmp_path_factory) -> assay.Audit:
    folder = tmp_path_factory.mktemp("lent")
    return assay.audit("multinomial", "bundled:digits", profile=profile(folder), established=("none",),
                       surrogates=("mlp",), limit=12, out=folder / "audit")


def forged(audit: assay.Audit, folder: Path, change: Callable[[str, float], float]) -> list[str]:
    """What `verify` no longer believes once the rows of that check are changed and sealed anew."""
    copy = folder / "forged"
    shutil.copytree(audit.folder, copy)
    (part,) = (copy / "parts").glob("tiny-energy~*.parquet")
    rows = pq.read_table(part).to_pylist()
    for row in rows:
        row["extra"] = [(name, change(name, value)) for name, value in row["extra"]]
    pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), part)
    AuditFolder(copy).seal()
    assay.Audit(copy).write()
    return [claim.detail for claim in verify(copy) if claim.claim == "replayed witnesses give the recorded numbers"
            and not claim.holds]


def test_what_a_change_did_to_its_lender_is_replayed(with_surrogate, tmp_path):
    assert all(claim.holds for claim in verify(with_surrogate.folder, everything=True))
    (wrong,) = forged(with_surrogate, tmp_path, lambda name, value: 1 - value if name == "lent.mlp.turned" else value)
    assert "lent.mlp.turned" in wrong


def test_sizes_beyond_the_level_are_refused(with_surrogate, tmp_path):
    (wrong,) = forged(with_surrogate, tmp_path, lambda name, value: value / 2 if name == "lent.mlp.size" else value)
    assert "lent.mlp.size" in wrong


def test_a_redacted_copy_does_not_name_a_surrogate_by_its_file(with_surrogate, tmp_path):
    copy = _Copy.__new__(_Copy)
    copy.systems = {"models/secret.onnx": "system-1234", "mlp": "mlp"}
    assert copy._field("lent.models/secret.onnx.turned") == "lent.system-1234.turned"
    assert copy._field("lent.mlp.size") == "lent.mlp.size" and copy._field("margin.worst") == "margin.worst"
    found = redact(with_surrogate.folder, tmp_path / "redacted", key=bytes(32))
    assert any("lent.mlp.turned" in row.extra for row in found.store.findings())
