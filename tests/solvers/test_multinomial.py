"""Multinomial regression against scikit-learn, and against its own gradient, on rows of every shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_linear_svm import problem
from torch import Tensor

from assay.arrays import InputError
from assay.solvers import multinomial
from assay.solvers.multinomial import regression_objective, regression_path

WEIGHTS = (1.0, 0.1, 0.01)


def gradient(theta: Tensor, rows: Tensor, labels: Tensor, weight: float) -> float:
    at = theta.clone().requires_grad_(True)
    return float(torch.autograd.grad(regression_objective(at, rows, labels, weight), at)[0].norm())


@pytest.mark.parametrize(("n", "features", "classes"), [(60, 8, 3), (20, 50, 4)])
def test_is_scikit_learns(n, features, classes):
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    rows, labels = problem(n, features, classes)
    for weight, theta in zip(WEIGHTS, regression_path(rows, labels, classes, WEIGHTS), strict=True):
        theirs = linear.LogisticRegression(C=1 / (weight * n), tol=1e-10, max_iter=10_000).fit(rows.numpy(), labels.numpy())
        assert np.allclose(theta[:, :-1].numpy(), theirs.coef_, atol=1e-4)
        apart = theta[:, -1].numpy() - theirs.intercept_        # all biases may be moved by one number
        assert np.ptp(apart) < 1e-4
        other = linear.LogisticRegression(C=2 / (weight * n), tol=1e-10, max_iter=10_000).fit(rows.numpy(), labels.numpy())
        assert not np.allclose(theta[:, :-1].numpy(), other.coef_, atol=1e-3)


@pytest.mark.parametrize(("features", "spread"), [(6, 1.0), (6, 100.0), (300, 1.0)])
def test_the_gradient_is_small_at_the_minimiser_and_larger_beside_it(features, spread):
    """Also where one direction varies most by far, as brightness does, and where there are more features than rows."""
    rows, labels = problem(200, features, 5)
    rows[:, 0] = spread * rows[:, 0] + 3
    for weight, theta in zip(WEIGHTS, regression_path(rows, labels, 5, WEIGHTS), strict=True):
        scale = gradient(0 * theta, rows, labels, weight)
        assert gradient(theta, rows, labels, weight) < 2e-5 * scale < gradient(1.1 * theta, rows, labels, weight)


def test_what_never_varies_has_no_weight():
    rows, labels = problem()
    rows[:, 3] = 0.7
    (theta,) = regression_path(rows, labels, 3, (0.1,))
    assert float(theta[:, 3].abs().max()) < 1e-12 < float(theta[:, 2].abs().max())


def test_a_step_that_is_never_taken_is_told(monkeypatch):
    monkeypatch.setattr(multinomial, "longest", lambda *_: 0.0)
    with pytest.raises(InputError, match=r"stopped at a gradient of .* --established none"):
        next(regression_path(*problem(), 3, (0.5,)))
