"""Laws that every linear operator obeys, as functions: each returns nothing, and fails with the measured defect.

The oracle is independent of `assay.operators.protocol.dot_test`: it builds the dense matrix column by column.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.operators.protocol import LinearOperator, random_element


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _close(value: Tensor, expected: Tensor, law: str, tolerance: float) -> None:
    assert value.shape == expected.shape, f"{law}: shapes {tuple(value.shape)} and {tuple(expected.shape)}"
    assert value.dtype == expected.dtype, f"{law}: dtypes {value.dtype} and {expected.dtype}"
    scale = max(float(value.norm()), float(expected.norm()), 1e-30)
    defect = float((value - expected).norm()) / scale
    assert defect <= tolerance, f"{law}: relative defect {defect:.1e}"


def dense(operator: LinearOperator) -> Tensor:
    """The matrix (range, domain) of the operator, from the images of the unit vectors."""
    n = torch.Size(operator.domain).numel()
    units = torch.eye(n, dtype=operator.dtype).reshape(n, *operator.domain)
    return operator.forward(units).flatten(1).T


def adjoint_is_exact(operator: LinearOperator, *, tolerance: float = 1e-5, seed: int = 0) -> None:
    """⟨A x, y⟩ = ⟨x, Aᴴ y⟩ for random x and y, with the shapes each side declares."""
    g = generator(seed)
    x = random_element(operator.domain, dtype=operator.dtype, generator=g, batch=3)
    y = random_element(operator.range, dtype=operator.dtype, generator=g, batch=3)
    ax, ay = operator.forward(x), operator.adjoint(y)
    assert ax.shape == y.shape, f"adjoint: forward gives {tuple(ax.shape)}, declared {tuple(y.shape)}"
    assert ay.shape == x.shape, f"adjoint: adjoint gives {tuple(ay.shape)}, declared {tuple(x.shape)}"
    left, right = (y.conj() * ax).sum(), (ay.conj() * x).sum()
    scale = float(ax.norm() * y.norm() + x.norm() * ay.norm()) or 1e-30
    assert float((left - right).abs()) <= tolerance * scale, f"adjoint: relative defect {abs(left - right) / scale:.1e}"


def adjoint_is_conjugate_transpose(operator: LinearOperator, *, tolerance: float = 1e-5) -> None:
    """The dense matrix of the adjoint is the conjugate transpose of the dense matrix. For small operators."""
    n = torch.Size(operator.range).numel()
    units = torch.eye(n, dtype=operator.dtype).reshape(n, *operator.range)
    _close(operator.adjoint(units).flatten(1).T, dense(operator).mH, "conjugate transpose", tolerance)


def is_linear(operator: LinearOperator, *, tolerance: float = 1e-5, seed: int = 0) -> None:
    """A(a x + z) = a A x + A z, with a complex factor where the operator is complex; and A 0 = 0."""
    g = generator(seed)
    x = random_element(operator.domain, dtype=operator.dtype, generator=g, batch=2)
    z = random_element(operator.domain, dtype=operator.dtype, generator=g, batch=2)
    a = 0.7 - 1.3j if operator.dtype.is_complex else -1.7
    _close(operator.forward(a * x + z), a * operator.forward(x) + operator.forward(z), "linearity", tolerance)
    assert not operator.forward(torch.zeros_like(x)).any(), "linearity: A 0 is not 0"


def gradient_is_adjoint(operator: LinearOperator, *, tolerance: float = 1e-5, seed: int = 0) -> None:
    """∇_x Re⟨A x, y⟩ = Aᴴ y, by autograd."""
    g = generator(seed)
    x = random_element(operator.domain, dtype=operator.dtype, generator=g, batch=2).requires_grad_()
    y = random_element(operator.range, dtype=operator.dtype, generator=g, batch=2)
    value = operator.forward(x)
    product = (y.conj() * value).sum()
    assert product.requires_grad, "gradient: the forward map is not differentiable"
    (gradient,) = torch.autograd.grad(product.real if product.is_complex() else product, x)
    _close(gradient, operator.adjoint(y), "gradient", tolerance)


def is_batch_invariant(operator: LinearOperator, *, tolerance: float = 1e-6, seed: int = 0) -> None:
    """An example gives the same result alone and among others, both ways."""
    g = generator(seed)
    x = random_element(operator.domain, dtype=operator.dtype, generator=g, batch=4)
    y = random_element(operator.range, dtype=operator.dtype, generator=g, batch=4)
    for call, value in ((operator.forward, x), (operator.adjoint, y)):
        _close(torch.cat([call(value[i: i + 1]) for i in range(4)]), call(value), "batch invariance", tolerance)


LAWS = (adjoint_is_exact, adjoint_is_conjugate_transpose, is_linear, gradient_is_adjoint, is_batch_invariant)
