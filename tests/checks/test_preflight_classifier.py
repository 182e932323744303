"""Each flag of a classifier's preflight is raised by a classifier made to raise it, and by no honest one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import small_classifier as small
from assay.checks.preflight_classifier import agreement, gradient_slopes
from assay.perturbations.protocol import Examples
from assay.records import Access
from assay.systems import catalogue
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem


class WrongSign(small.Linear):
    """The right scores; every gradient has the wrong sign."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x.detach() - x)


class ZeroGradient(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores.detach() + 0 * scores


class Detached(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores.detach()


class Shattered(small.Linear):
    """A gradient that has nothing to do with the scores: of other pixels."""

    def forward(self, x: Tensor) -> Tensor:
        other = super().forward(x.roll((2, 1), (2, 3)))
        return super().forward(x).detach() + other - other.detach()


class Softmax(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores.softmax(1)


class Constant(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores + torch.tensor([1e3, 0.0, 0.0])


class Random(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores + 1e-3 * torch.randn(scores.shape)


class DependsOnTheBatch(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores - 0.5 * scores.mean(0, keepdim=True)


class NaN(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores * math.nan


def flags_of(system, *, x: Examples | None = None) -> list[set[str]]:
    return [{flag.id for flag in f.flags} for f in small.ask(system, x=x, id="preflight", method="preflight").findings]


@pytest.mark.parametrize(("module", "flag"), [
    (WrongSign, "gradient-mismatch"), (ZeroGradient, "zero-gradient"),
    (Detached, "zero-gradient"), (Softmax, "probabilities"), (Constant, "constant-decision"), (Random, "not-deterministic"),
    (DependsOnTheBatch, "batch-dependent"), (NaN, "non-finite")])
def test_each_flag_is_raised(module, flag):
    raised = flags_of(TorchSystem(module(), name="net"))
    assert len(raised) == small.N and all(flag in mine for mine in raised)


def test_a_gradient_of_something_else_is_flagged_on_most_samples():
    """In six random directions it agrees to a cosine of 0.5 by chance about once in eight times."""
    raised = flags_of(TorchSystem(Shattered(), name="net"))
    assert sum("gradient-mismatch" in mine for mine in raised) >= 0.7 * small.N


@pytest.mark.parametrize(("module", "flag"), [(WrongSign, "gradient-mismatch"), (Detached, "zero-gradient"),
                                              (Softmax, "probabilities"), (Constant, "constant-decision")])
def test_and_nothing_else(module, flag):
    """But that a search led astray, or a decision that never changes, may not reach a flip within the whole range."""
    assert all({flag} <= mine <= {flag, "not-reached"} for mine in flags_of(TorchSystem(module(), name="net")))


def test_an_honest_classifier_raises_none():
    assert flags_of(TorchSystem(small.Linear(), name="net")) == [set()] * small.N


@pytest.mark.parametrize("name", ["lenet", "mlp", "hog-svm", "multinomial"])
def test_the_shipped_classifiers_raise_none(name):
    from assay.datasets.labelled import bundled_digits

    x = bundled_digits("tuning").fetch(range(12))
    assert flags_of(catalogue.load(name, role="audited").system, x=x) == [set()] * 12


def test_gradients_that_are_not_offered_are_not_compared():
    assert flags_of(FunctionSystem(small.Linear(), access=Access.SCORE)) == [set()] * small.N


def test_one_class_alone_is_no_constant_decision():
    x, label = small.examples(), small.images()[1]
    mine = (small.Linear()(x.inputs).argmax(1) == label) & (label == label[0])
    index = mine.nonzero()[:, 0].tolist()
    few = Examples(ids=tuple(x.ids[i] for i in index), inputs=x.inputs[index], truth=label[index], box=x.box)
    assert flags_of(TorchSystem(small.Linear(), name="net"), x=few) == [set()] * len(index)


def test_scores_that_happen_to_be_positive_are_no_probabilities():
    assert flags_of(FunctionSystem(lambda x: small.Linear()(x).exp() + 1, access=Access.GRADIENT)) == [set()] * small.N


def test_rows_count_errors_and_repeatability():
    found = small.ask(id="preflight", method="preflight").findings
    assert [f.normal for f in found] == [0.0] * (small.N - small.WRONG) + [1.0] * small.WRONG
    assert all(f.worst is None and f.extra["repeatability"] == 0.0 for f in found)


def test_slopes_of_a_linear_classifier_are_exact():
    """Two classes, so that the margin is linear: both step sizes give ⟨w, d⟩."""
    w = torch.randn(2, 36, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = Examples(ids=("a", "b"), inputs=torch.rand(2, 36, dtype=torch.float64), truth=torch.tensor([0, 1]), box=(0.0, 1.0))
    directions = [torch.randn(2, 36, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (1, 2, 3)]
    exact, measured = gradient_slopes(Metered(FunctionSystem(lambda z: z @ w.T), name="f"), x, directions)
    known = torch.stack([(d / d.norm(dim=1, keepdim=True) * torch.stack((w[1] - w[0], w[0] - w[1]))).sum(1)
                         for d in directions])
    torch.testing.assert_close(exact, known)
    torch.testing.assert_close(measured, known.expand(2, 3, 2))


def test_agreement_is_the_better_cosine():
    exact = torch.tensor([3.0, 4.0])
    table = [([[3.0, 4.0]], 1.0), ([[30.0, 40.0]], 1.0), ([[-3.0, -4.0]], -1.0), ([[4.0, -3.0]], 0.0), ([[0.0, 0.0]], 1.0),
             ([[4.0, -3.0], [3.0, 4.0]], 1.0), ([[4.0, -3.0], [-3.0, -4.0]], 0.0)]
    for measured, cosine in table:
        assert agreement(exact, torch.tensor(measured)) == pytest.approx(cosine, abs=1e-12)
