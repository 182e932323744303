"""What a forward model must offer: `forward`, an exact `adjoint`, and the shapes of one input and one output."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from assay.arrays import InputError


@runtime_checkable
class LinearOperator(Protocol):
    """A linear map A from C^domain to C^range, batch first: ⟨A x, y⟩ = ⟨x, Aᴴ y⟩.

    `dtype` is the dtype of both sides; `name` and `settings` say in a record what the operator is.
    """

    @property
    def name(self) -> str: ...
    @property
    def domain(self) -> tuple[int, ...]: ...
    @property
    def range(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> torch.dtype: ...

    def forward(self, x: Tensor) -> Tensor: ...

    def adjoint(self, y: Tensor) -> Tensor: ...


def random_element(shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator, batch: int = 1) -> Tensor:
    """Standard normal element (batch, *shape) of the given real or complex dtype."""
    return torch.randn((batch, *shape), dtype=dtype, generator=generator)


def dot_test(operator: LinearOperator, *, generator: torch.Generator, tolerance: float = 1e-5, batch: int = 2) -> float:
    """The relative defect |⟨A x, y⟩ − ⟨x, Aᴴ y⟩| / (‖A x‖‖y‖ + ‖x‖‖Aᴴ y‖) on random x and y.

    Raises `InputError` if a shape is not the declared one or the defect exceeds `tolerance`. Source: Claerbout,
    "Earth Soundings Analysis" (1992), the dot-product test; also applied to sums, to test linearity.

    >>> from assay.operators.algebra import Matrix
    >>> dot_test(Matrix(torch.eye(3)), generator=torch.Generator().manual_seed(0)) < 1e-6
    True
    """
    x = random_element(operator.domain, dtype=operator.dtype, generator=generator, batch=batch)
    z = random_element(operator.domain, dtype=operator.dtype, generator=generator, batch=batch)
    y = random_element(operator.range, dtype=operator.dtype, generator=generator, batch=batch)
    ax, ay = operator.forward(x), operator.adjoint(y)
    for value, expected, side in ((ax, y.shape, "forward"), (ay, x.shape, "adjoint")):
        if value.shape != expected:
            raise InputError(f"operator {operator.name!r}: {side} returned shape {tuple(value.shape)}, "
                             f"declared {tuple(expected)}; mend `domain`/`range` or the operator")
    scale = float(ax.norm() * y.norm() + x.norm() * ay.norm())
    defect = float((torch.vdot(y.flatten(), ax.flatten()) - torch.vdot(ay.flatten(), x.flatten())).abs())
    additive = float((operator.forward(x + 2 * z) - ax - 2 * operator.forward(z)).norm())
    relative = max(defect / scale, additive / float(ax.norm() + 2 * operator.forward(z).norm())) if scale else 0.0
    if not relative <= tolerance:
        raise InputError(f"operator {operator.name!r} fails the dot test: relative defect {relative:.1e} > "
                         f"{tolerance:.0e}; its adjoint is not the adjoint of its forward map, or it is not linear")
    return relative
