"""Linear support vector machines, one class against the rest, to machine precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from assay.arrays import InputError
from assay.solvers.line_search import longest

ENOUGH = 1e-10          # gradient at the end, as a share of that at the origin
MOST_STEPS = 200


def svm_objective(theta: Float[Tensor, "classes features_1"], rows: Float[Tensor, "n features"], labels: Int[Tensor, " n"],
                  strength: float) -> Float[Tensor, ""]:
    """Σ_c ½‖(w_c, b_c)‖² + C Σ_i max(0, 1 − y_ic s_ic)², y = ±1: LIBLINEAR's, which counts the bias as a weight.

    Strongly convex with modulus 1, so the minimiser is at most the gradient's norm away.
    """
    margins = _signs(labels, theta.shape[0]) * (rows @ theta[:, :-1].T + theta[:, -1])
    return theta.square().sum() / 2 + strength * (1 - margins).clamp_min(0).square().sum()


def svm_path(rows: Float[Tensor, "n features"], labels: Int[Tensor, " n"], classes: int,
             strengths: Sequence[float]) -> Iterator[Float[Tensor, "classes features_1"]]:
    """For each C of `strengths`, each from the one before: the minimiser of `svm_objective`, its last column the biases.

    By the finite Newton method (Keerthi and DeCoste, "A modified finite Newton method for fast solution of large scale
    linear SVMs", JMLR 2005): the rows within the margin pose a ridge regression, whose solution moves the margin. On 3,010
    traffic signs it takes 3 s where L-BFGS took 128 s to a gradient ten thousand times larger (43 classes, C = 5).
    Raises `InputError` if the minimiser is not reached.

    >>> rows = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)       # by symmetry w, b = 4C/(1 + 4C), 0
    >>> next(svm_path(rows, torch.tensor([1, 0]), 2, (0.25,)))[1].tolist()
    [0.5, 0.0]
    """
    x, signs = torch.cat((rows, torch.ones_like(rows[:, :1])), 1), _signs(labels, classes).to(rows)
    theta: Tensor | None = None
    for strength in strengths:
        if theta is None:
            theta = _ridge(x, signs, strength).T        # Newton's first step from 0, where every row is within the margin
        theta = torch.stack([_finite_newton(x, signs[:, k].contiguous(), theta[k], strength) for k in range(classes)])
        yield theta


def _signs(labels: Tensor, classes: int) -> Tensor:
    return 2 * F.one_hot(labels, classes) - 1


def _finite_newton(x: Tensor, signs: Tensor, theta: Tensor, strength: float) -> Tensor:
    """The minimiser of ½‖θ‖² + C Σ max(0, 1 − y xᵀθ)², from θ on."""
    enough = ENOUGH * 2 * strength * float((signs @ x).norm())
    for _ in range(MOST_STEPS):
        margins = signs * (x @ theta)
        within = margins < 1
        inside, targets = x[within], signs[within]
        gradient = theta - 2 * strength * ((targets * (1 - margins[within])) @ inside)
        if float(gradient.norm()) <= enough:
            return theta
        step = _ridge(inside, targets[:, None], strength)[:, 0] - theta
        theta = theta + _length(theta, step, margins, signs * (x @ step), strength, float(gradient @ step)) * step
    raise InputError(f"the linear SVMs stopped at a gradient of {float(gradient.norm()):.1e}, where {enough:.1e} is enough; "
                     "fit them to other images, or leave them out with --established none")


def _ridge(x: Tensor, targets: Tensor, strength: float) -> Tensor:
    """θ (features, targets) with ½‖θ‖² + C ‖xθ − targets‖² least, by the smaller of the two systems of equations."""
    wide = x.shape[0] < x.shape[1]
    gram = x @ x.T if wide else x.T @ x
    gram.diagonal().add_(1 / (2 * strength))
    factor = torch.linalg.cholesky(gram)
    return x.T @ torch.cholesky_solve(targets, factor) if wide else torch.cholesky_solve(x.T @ targets, factor)


def _length(theta: Tensor, step: Tensor, margins: Tensor, change: Tensor, strength: float, slope: float) -> float:
    """How far along the step, which changes the margins by `change`."""
    def value(length: float) -> float:
        loss = (1 - margins - length * change).clamp_min(0).square().sum()
        return float((theta + length * step).square().sum() / 2 + strength * loss)

    return longest(value, slope)
