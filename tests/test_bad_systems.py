"""Systems that misbehave, audited from memory: never "none found", never a crash, and the good samples are finished."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import assay
import small_audit
from assay.operators.fourier import MaskedFourier
from assay.records import Access, Finding, Outcome, Stop, Verdict
from assay.systems.classical import Tikhonov
from assay.systems.function import FunctionSystem

LIMIT = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data set of the audits below: its operator, and how a system can tell one sample from the others."""
    return small_audit.session(small_audit.profile(tmp_path_factory.mktemp("p")), limit=LIMIT).data


class Adjoint(nn.Module):
    """A good linear system, Aᴴ y, through which gradients run."""

    def __init__(self, operator: MaskedFourier) -> None:
        super().__init__()
        self.operator = operator
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, y: Tensor) -> Tensor:
        return self.spoiled(y, self.weight * self.operator.adjoint(y))

    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image


class ReturnsNaN(Adjoint):
    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image * math.nan


class NaNWhenChanged(Adjoint):
    """Finite on the measurements as they are, NaN on whatever is a little larger."""

    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return torch.where((y.abs().flatten(1).norm(dim=1) > self.greatest)[:, None, None], image * math.nan, image)


class ChangesShape(Adjoint):
    calls = 0

    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        self.calls += 1
        return image if self.calls % 2 else image[:, 1:]


class WrongShape(Adjoint):
    """One channel too many: broadcasting would compare each image with all the others."""

    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image[:, None]


class Random(Adjoint):
    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image + 0.01 * torch.randn(image.shape)


class DependsOnTheBatch(Adjoint):
    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image - 0.1 * image.mean(0, keepdim=True)


class Detached(Adjoint):
    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image.detach()


class ZeroGradient(Adjoint):
    """As a quantised network: the graph is there, and every derivative is exactly zero."""

    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        return image.detach() + 0 * image


class RaisesOnOne(Adjoint):
    def spoiled(self, y: Tensor, image: Tensor) -> Tensor:
        if bool(((y - self.one).flatten(1).norm(dim=1) < 0.053 * self.one.norm()).any()):
            raise RuntimeError("index out of <b>range</b>")
        return image


def rows(audit: assay.Audit, check: str, system: str) -> list[Finding]:
    return [f for f in audit.store.findings() if (f.check, f.system, f.origin) == (check, system, system)]


def verdicts(audit: assay.Audit) -> dict[tuple[str, str], Verdict]:
    return {(v.check, v.system): v for v in audit.verdicts}


def audited(system, tmp_path, *checks: str, limit: int = LIMIT, **options) -> assay.Audit:
    toml = small_audit.profile(tmp_path, *checks)
    return assay.audit(system, "bundled:brain", profile=toml, established=("tikhonov",), out=tmp_path / "audit", size=48,
                       limit=limit, **options)


def never_none_found(audit: assay.Audit, name: str, flag: str) -> None:
    mine = [v for v in audit.verdicts if v.system == name]
    assert mine and all(v.outcome is not Outcome.NONE_FOUND for v in mine), [(v.check, v.outcome) for v in mine]
    assert all(v.outcome is Outcome.INCONCLUSIVE for v in mine if v.check == "tiny-data")
    assert all(flag in {f.id for f in v.flags} for v in mine), [(v.check, v.flags) for v in mine]
    assert audit.warning_label["headline"]["signal"] in ("NOTICE", "CAUTION", "WARNING")


def test_a_good_system_is_told_from_the_bad_ones(data, tmp_path):
    """The twin of all tests below: the same module unspoiled has nothing against it."""
    audit = audited(Adjoint(data.operator), tmp_path, *small_audit.CHECKS)
    found = verdicts(audit)
    assert {v.outcome for (_, s), v in found.items() if s == "Adjoint"} == {Outcome.NONE_FOUND}
    with pytest.raises(AssertionError):
        never_none_found(audit, "Adjoint", "non-finite")
    assert [f.gain for f in rows(audit, "local-gain", "Adjoint")] == pytest.approx([1.0] * LIMIT, rel=1e-3)


CASES = {"non-finite": ReturnsNaN, "not-deterministic": Random, "batch-dependent": DependsOnTheBatch,
         "zero-gradient": ZeroGradient}


@pytest.mark.parametrize("flag", CASES)
def test_preflight_keeps_a_bad_system_from_none_found(flag, data, tmp_path):
    never_none_found(audited(CASES[flag](data.operator), tmp_path, "preflight", "tiny-data", "noise", "local-gain"),
                     CASES[flag].__name__, flag)


@pytest.mark.parametrize(("kind", "flag"), [(ReturnsNaN, "non-finite"), (ZeroGradient, "zero-gradient"),
                                            (Detached, "raised")])
def test_without_preflight_the_checks_themselves_notice(kind, flag, data, tmp_path):
    audit = audited(kind(data.operator), tmp_path, "tiny-data", "local-gain")
    for check in ("tiny-data", "local-gain"):
        found = verdicts(audit)[check, kind.__name__]
        assert found.outcome is Outcome.INCONCLUSIVE and flag in {f.id for f in found.flags}, found
    assert all(f.worst is None or math.isfinite(f.worst) for f in audit.store.findings())


def test_a_detached_gradient_is_never_none_found(data, tmp_path):
    audit = audited(Detached(data.operator), tmp_path, "preflight", "tiny-data")
    found = verdicts(audit)["tiny-data", "Detached"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert {"zero-gradient", "raised"} & {f.id for f in found.flags}


def test_a_system_that_breaks_down_under_change_is_inconclusive(data, tmp_path):
    system = NaNWhenChanged(data.operator)
    system.greatest = float(data.fetch((0,)).inputs.norm()) * 1.0001
    audit = audited(system, tmp_path, "tiny-data", limit=1)
    found = verdicts(audit)["tiny-data", "NaNWhenChanged"]
    assert found.outcome is Outcome.INCONCLUSIVE and "non-finite" in {f.id for f in found.flags}


@pytest.mark.parametrize(("kind", "words"), [(ChangesShape, "shape changed"), (WrongShape, "shape")])
def test_a_wrong_or_changing_shape_is_raised_on_every_sample(kind, words, data, tmp_path):
    audit = audited(kind(data.operator), tmp_path, "tiny-data", "noise")
    for check in ("tiny-data", "noise"):
        assert verdicts(audit)[check, kind.__name__].outcome is Outcome.INCONCLUSIVE
        mine = rows(audit, check, kind.__name__)
        assert len({f.sample for f in mine}) == LIMIT
        assert all(f.stop is Stop.RAISED and words in f.notes and f.worst is None for f in mine), mine


def test_a_system_that_raises_on_one_sample_finishes_the_others(data, tmp_path):
    system = RaisesOnOne(data.operator)
    system.one = data.fetch((1,)).inputs[0]
    audit = audited(system, tmp_path, "tiny-data", "noise")
    for check in ("tiny-data", "noise"):
        mine = {(f.sample, f.level): f for f in rows(audit, check, "RaisesOnOne")}
        failed = [f for f in mine.values() if f.stop is Stop.RAISED]
        assert [f.sample for f in failed] == [data.ids[1]]
        assert "RuntimeError: index out of <b>range</b>" in failed[0].notes
        judged = [f for f in mine.values() if f.stop is not Stop.RAISED]
        assert {f.sample for f in judged} == {data.ids[0], data.ids[2]}
        assert all(f.worst is not None and f.average is not None and f.witness for f in judged)
        found = verdicts(audit)[check, "RaisesOnOne"]
        assert found.outcome is Outcome.INCONCLUSIVE and found.n == 2
        assert verdicts(audit)[check, "tikhonov"].outcome is Outcome.NONE_FOUND, "blamed for the other's fault"
    assert "<b>range" not in (audit.folder / "report.html").read_text(encoding="utf-8")


def test_a_function_whose_gradient_is_not_seen_is_searched_by_queries_alone(data, tmp_path):
    """Written in numpy: no graph at all. Checks that need gradients do not apply; the others run, established included."""
    calls = []

    def numpy_adjoint(y: Tensor) -> Tensor:
        calls.append(len(y))
        return data.operator.adjoint(torch.from_numpy(y.numpy().copy()))

    audit = audited(FunctionSystem(numpy_adjoint, name="blind"), tmp_path, *small_audit.CHECKS)
    found = verdicts(audit)
    assert [s["access"] for s in audit.header["systems"]] == [Access.SCORE, Access.GRADIENT]
    assert found["local-gain", "blind"].outcome is Outcome.NOT_APPLICABLE
    tiny = found["tiny-data", "blind"]
    assert tiny.n == LIMIT and tiny.harmed == 0 and "query-only" in {f.id for f in tiny.flags}
    assert tiny.outcome is Outcome.INCONCLUSIVE, "a few queries that find nothing say nothing"
    mine = rows(audit, "tiny-data", "blind")
    assert len(mine) == 2 * LIMIT and all(f.backward == 0 and f.forward > 6 for f in mine) and calls
    assert found["local-gain", "tikhonov"].outcome is Outcome.NONE_FOUND, found["local-gain", "tikhonov"]


def test_a_function_without_gradients_is_tried_with_the_worst_cases_of_the_others(data, tmp_path):
    """Its own worst case is at least what the established method's does to it."""
    solve = Tikhonov(weight=1e-3).bind(data.operator)
    blind = FunctionSystem(lambda y: solve(y.detach()).detach(), name="blind")
    audit = audited(blind, tmp_path, "preflight", "tiny-data")
    own = {(f.sample, f.level): f for f in rows(audit, "tiny-data", "blind")}
    for f in audit.store.findings():
        if f.check == "tiny-data" and f.system == "blind" and f.origin == "tikhonov":
            mine = own[f.sample, f.level]
            assert mine.worst >= f.worst * (1 - 1e-6)
            assert f.worst > mine.average_high              # what queries alone would hardly find


def test_the_established_method_is_judged_beside_a_bad_system(data, tmp_path):
    audit = audited(ReturnsNaN(data.operator), tmp_path, "preflight", "tiny-data")
    established = verdicts(audit)["tiny-data", "tikhonov"]
    assert established.outcome is Outcome.NONE_FOUND and established.n == LIMIT


@pytest.mark.parametrize(("system", "words"), [(3, "not a system"), (None, "not a system")])
def test_what_is_no_system_is_refused(system, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        audited(system, tmp_path, "tiny-data")


def test_two_systems_of_one_name_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="two systems are called"):
        audited(FunctionSystem(data.operator.adjoint, name="tikhonov"), tmp_path, "tiny-data")
