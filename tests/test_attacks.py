"""Planted systems are judged rightly, honest ones are not flagged, and the judgement itself can fail."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import assay
from assay.api import session_for
from assay.arrays import InputError
from assay.checks.check import run_check
from assay.checks.searching import still_rising
from assay.checks.training_mode import training_layers
from assay.checks.whole_range import whole_range_flags
from assay.datasets.labelled import bundled_digits
from assay.datasets.measured import Part
from assay.perturbations.protocol import Examples
from assay.records import Finding, Outcome, Stop
from assay.searches.result import SearchResult
from assay.systems import catalogue
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem
from assay.verdicts import judge

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))           # attacks/ stands beside the package: it is no part of what is installed

from attacks import cases, planted, run  # noqa: E402

HONEST = ("lenet", "mlp", "hog-svm", "multinomial")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return run.digits(20)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_planted_system_is_judged_rightly(case, digits):
    assert cases.misjudged(case, run.verdicts_on(case, digits, budget="tiny")) == ""


def test_there_are_at_least_twelve_and_each_has_its_two_lines():
    readme = (ROOT / "attacks" / "README.md").read_text(encoding="utf-8")
    dishonest = [case for case in cases.CASES if not case.honest]
    assert len(dishonest) >= 12
    for case in dishonest:
        assert f"**{case.name}**" in readme, case.name
        assert case.flags <= set(assay.verdicts.SERIOUS), case.flags


def test_an_honest_system_passed_off_as_planted_is_not_judged_rightly(digits):
    """The twin: the table says "yes" because flags were raised, not whatever is said."""
    honest = cases.Case(system=planted.Wrapper, flags=frozenset({"jumps"}), why="")
    told = run.verdicts_on(honest, digits, budget="tiny")
    assert "none of jumps was raised" in cases.misjudged(honest, told)
    liar = next(case for case in cases.CASES if case.system is planted.LabelLeak)
    pretended = cases.Case(system=planted.Wrapper, flags=frozenset(), why="", outcomes=frozenset(Outcome))
    assert "honest system was flagged" in cases.misjudged(pretended, run.verdicts_on(liar, digits, budget="tiny"))


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_classifier_raises_no_flag_at_the_standard_budget(name, tmp_path):
    data = Part(bundled_digits("audited"), tuple(range(50)))
    audit = assay.audit(name, data, established=("none",), out=tmp_path / "audit")
    raised = Counter(flag.id for verdict in audit.verdicts for flag in verdict.flags)
    assert not raised, raised


# --- the parts, on systems whose answer is known ---


class Line(nn.Module):
    """Two classes on [0, 1]²: scores (0, f(x₁)), f given."""

    def __init__(self, f) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        first = self.f(x[:, 0])
        return torch.stack((torch.zeros_like(first), first), 1)


def flags_of(f, *, at=(0.2, 0.5)):
    x = Examples(ids=("a",), inputs=torch.tensor([at]), truth=torch.tensor([0]), box=(0.0, 1.0))
    target = Metered(TorchSystem(Line(f)), name="line")
    with torch.no_grad():
        scores = target(x.inputs)
    return {flag.id for flag in whole_range_flags(target, x, scores, seed=0, check="preflight")[0]}


@pytest.mark.parametrize(("f", "expected"), [
    (lambda t: t - 0.6, set()),                                             # a straight line crosses without a jump
    (lambda t: 50 * (t - 0.6) ** 3 - 0.1 * (t < 2), set()),                 # curved, and continuous
    (lambda t: t - 1.5, {"not-reached"}),                                   # no point of the range is decided otherwise
    (lambda t: t - 0.6 + 3.0 * (t > 0.5).to(t.dtype), {"jumps"}),           # a step on the way
    (lambda t: (t > 0.5).to(t.dtype) - 0.5, {"jumps"}),                     # no graph at all: queries find it
    (lambda t: torch.where(t > 0.3, torch.nan, t - 1.5), {"not-reached"}),  # not a number is no jump, and no flip
])
def test_the_whole_range_is_reached_and_without_a_jump(f, expected):
    assert flags_of(f) == expected


def test_a_wrong_decision_is_not_asked_for_the_way_to_another():
    assert flags_of(lambda t: t - 0.1) == set()


def result(*harms: float) -> SearchResult:
    history = torch.tensor(harms, dtype=torch.float64)[:, None]
    return SearchResult(parameters=torch.zeros(1, 1), value=history[-1], stop=(Stop.BUDGET,), forward=len(harms),
                        backward=0, history=history)


@pytest.mark.parametrize(("harms", "raised"), [
    ((-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, -0.1), True),         # at this pace it flips in a step
    ((-4.0, -1.0, -0.5, -0.2, -0.1, -0.1, -0.1, -0.1, -0.1), False),        # converged
    ((-100.0, -99.0, -98.0, -97.0, -96.0, -95.0, -94.0, -93.0, -92.0), False),      # rising, and far too slowly to matter
    ((-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.1), False),         # flipped
    ((-4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0), False),        # flat
])
def test_a_search_that_rises_still_is_told_from_one_that_converged(harms, raised):
    _, flags = still_rising(result(*harms), unchanged=torch.tensor([-4.5]), goal=0.0, steps=8)
    assert ([flag.id for flag in flags[0]] == ["still-rising"]) is raised


def test_a_starved_search_is_told_on_an_honest_classifier(digits):
    """Two steps flip less than twenty, and it is said; twenty are enough."""
    session = session_for("lenet", Part(digits, tuple(range(20))), profile=str(run.PROFILE), budget="tiny",
                          established=("none",), seed=0)
    x, check = digits.fetch(range(20)), session.checks()["tiny-pixels"]

    def searched(steps):
        asked = dataclasses.replace(check, levels=(0.1,), search={**check.search, "steps": steps, "query": 0})
        return {f.sample: f for f in run_check(asked, "lenet", session.bench(), x).findings}

    starved, fed = searched(2), searched(20)
    rising = {sample for sample, f in starved.items() if "still-rising" in {flag.id for flag in f.flags}}
    assert rising and not any(f.flags for f in fed.values())
    assert any(f.worst > starved[sample].worst for sample, f in fed.items())


def turned_away_where_it_searches(digits) -> None:
    """One level alone and few queries: nothing is found, and it is the gradient where the search ended that is told."""
    case = next(case for case in cases.CASES if case.system is planted.ReversedShell)
    (judged,) = (v for v in run.verdicts_on(dataclasses.replace(case, surrogates=()), digits, budget="tiny")
                 if v.check == "tiny-pixels")
    assert judged.harmed == 0 and judged.outcome == Outcome.INCONCLUSIVE
    assert {flag.id for flag in judged.flags} == {"gradient-mismatch"}


def test_a_gradient_that_is_wrong_only_where_a_search_spends_its_steps(digits, monkeypatch):
    turned_away_where_it_searches(digits)
    monkeypatch.setattr("assay.checks.worst_case.misled", lambda target, x, **words: [None] * len(x))
    with pytest.raises(AssertionError):
        turned_away_where_it_searches(digits)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.off, self.last = nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.off(self.first(x)))


class Stubborn(nn.Dropout):
    """Dropout for the sake of its spread (Gal and Ghahramani 2016): eval() does not reach it."""

    def train(self, mode: bool = True) -> Stubborn:
        return super().train(True)


def test_the_layer_in_training_mode_is_named_and_no_hook_is_left():
    module = Dropping()
    assert training_layers(Metered(TorchSystem(module), name="net"), torch.zeros(2, 4)) == []
    module.off = Stubborn(0.5)
    assert training_layers(Metered(TorchSystem(module), name="net"), torch.zeros(2, 4)) == ["off (draws as dropout does)"]
    normed = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    system = TorchSystem(normed)
    normed[1].train()
    assert training_layers(Metered(system, name="net"), torch.randn(3, 4)) == ["1 (normalises over the batch)"]
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in (*module.modules(), *normed.modules()))


def rows(worst: float, average: float, wrong: int, right: int) -> list[Finding]:
    def one(i: int, already: bool) -> Finding:
        found = Finding.empty(check="c", system="s", role="audited", sample=str(i), unit="", metric="error-rate",
                              better="lower", level=0.1)
        return Finding(**{**vars(found), "normal": float(already), "worst": 1.0 if already else worst, "average": average,
                          "extra": {"already-wrong": float(already), "label": 0.0}})
    return [one(i, i < wrong) for i in range(wrong + right)]


def verdict(found: list[Finding]):
    check = {"id": "c", "metric": "error-rate",
             "criterion": {"kind": "grows", "level": 0.1, "absolute": 0.5, "over_control": 2.0, "sentence": ""}}
    return judge(found, check, "s", role="audited", expected=len(found))


def test_what_all_rows_together_show():
    def told(*numbers):
        judged = verdict(rows(*numbers))
        return judged.outcome, {flag.id for flag in judged.flags}
    assert told(0.0, 0.0, 1, 9) == (Outcome.NONE_FOUND, set())
    assert told(0.0, 0.0, 5, 5) == (Outcome.NONE_FOUND, set())
    assert told(0.0, 0.0, 6, 4) == (Outcome.INCONCLUSIVE, {"mostly-wrong"})
    assert told(1.0, 0.9, 1, 9) == (Outcome.INCONCLUSIVE, {"chance-as-harmful"})
    assert told(1.0, 0.2, 1, 9) == (Outcome.UNSTABLE, set())
    unmeasured = [Finding(**{**vars(f), "worst": None}) for f in rows(0.0, 0.0, 1, 9)]
    assert "mostly-wrong" not in {flag.id for flag in verdict(unmeasured).flags}


class Returns(nn.Module):
    def __init__(self, spoiled) -> None:
        super().__init__()
        self.inner = catalogue.load("lenet", role="audited").system.module
        self.spoiled = spoiled

    def forward(self, x: Tensor) -> Tensor:
        return self.spoiled(self.inner(x))


@pytest.mark.parametrize("spoiled", [
    lambda z: z.argmax(1), lambda z: z.round().long(), lambda z: z[:, :, None]],
    ids=["decisions", "whole numbers", "one axis too many"])
def test_outputs_that_are_no_scores_are_raised_and_never_judged_stable(spoiled, digits, tmp_path):
    audit = assay.audit(Returns(spoiled), Part(digits, (0, 1, 2, 3, 4, 5, 6, 7)), profile=str(run.PROFILE), budget="tiny",
                        established=("none",), out=tmp_path / "audit")
    for judged in (v for v in audit.verdicts if v.check != "second-model"):         # there is no second system
        assert judged.outcome in cases.ANY_BUT_NONE_FOUND and "raised" in {flag.id for flag in judged.flags}


def test_a_system_of_fewer_classes_than_the_labels_name_is_refused_before_anything_runs(digits, tmp_path):
    with pytest.raises(InputError, match=r"scores 5 classes, .* have 10 .*those above 4 are out of its range"):
        assay.audit(Returns(lambda z: z[:, :5]), Part(digits, (0, 1)), profile=str(run.PROFILE), budget="tiny",
                    established=("none",), out=tmp_path / "audit")
