"""Linear SVMs against liblinear, against their own gradient, and on problems solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.solvers import linear_svm
from assay.solvers.linear_svm import svm_objective, svm_path

CS = (0.05, 0.5, 5.0)


def problem(n: int = 60, features: int = 8, classes: int = 3, overlap: float = 1.0) -> tuple[Tensor, Tensor]:
    """Clouds around one centre for each class, which overlap."""
    generator = torch.Generator().manual_seed(n + features)
    labels = torch.arange(n) % classes
    centres = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    return centres[labels] + overlap * torch.randn(n, features, generator=generator, dtype=torch.float64), labels


def gradient(theta: Tensor, rows: Tensor, labels: Tensor, strength: float) -> float:
    at = theta.clone().requires_grad_(True)
    return float(torch.autograd.grad(svm_objective(at, rows, labels, strength), at)[0].norm())


@pytest.mark.parametrize(("n", "features", "classes"), [(60, 8, 3), (20, 50, 4), (40, 5, 2)])
def test_is_liblinears(n, features, classes):
    svm = pytest.importorskip("sklearn.svm", reason="scikit-learn is not installed")
    rows, labels = problem(n, features, classes)
    for strength, theta in zip(CS, svm_path(rows, labels, classes, CS), strict=True):
        theirs = svm.LinearSVC(C=strength, dual=False, tol=1e-10, max_iter=10_000).fit(rows.numpy(), labels.numpy())
        expected = np.column_stack((theirs.coef_, theirs.intercept_))
        found = theta[1:] if classes == 2 else theta            # of two classes theirs holds the second alone
        assert np.allclose(found.numpy(), expected, atol=1e-5)
        other = svm.LinearSVC(C=2 * strength, dual=False, tol=1e-10, max_iter=10_000).fit(rows.numpy(), labels.numpy())
        assert not np.allclose(found.numpy(), np.column_stack((other.coef_, other.intercept_)), atol=1e-4)


@pytest.mark.parametrize("overlap", [0.1, 1.0, 10.0])
def test_the_gradient_is_nothing_at_the_minimiser_and_something_beside_it(overlap):
    rows, labels = problem(200, 6, 5, overlap)
    for strength, theta in zip(CS, svm_path(rows, labels, 5, CS), strict=True):
        scale = gradient(0 * theta, rows, labels, strength)
        assert gradient(theta, rows, labels, strength) < 1e-9 * scale < gradient(1.001 * theta, rows, labels, strength)


def test_two_classes_mirror_each_other():
    (theta,) = svm_path(*problem(40, 5, 2), 2, (0.5,))
    assert torch.allclose(theta[0], -theta[1], atol=1e-12)


def test_a_path_ends_where_a_start_from_nothing_ends():
    rows, labels = problem()
    *_, last = svm_path(rows, labels, 3, CS)
    assert torch.allclose(last, next(svm_path(rows, labels, 3, CS[-1:])), atol=1e-10)


def test_a_step_that_is_never_taken_is_told(monkeypatch):
    monkeypatch.setattr(linear_svm, "longest", lambda *_: 0.0)
    with pytest.raises(InputError, match=r"stopped at a gradient of .* --established none"):
        next(svm_path(*problem(), 3, (0.5,)))
