"""Building operators from operators: matrices, the identity, composition, scaling, adjoints, restriction to real images."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from assay.arrays import InputError, from_channels, to_channels, to_complex
from assay.operators.protocol import LinearOperator


@dataclass(frozen=True)
class Matrix:
    """x ↦ M x for a stored matrix M (m, n): the operator of tests and closed forms.

    >>> Matrix(torch.tensor([[0.0, 2.0]])).forward(torch.tensor([[1.0, 3.0]]))
    tensor([[6.]])
    """

    matrix: Tensor
    name: str = "matrix"
    domain: tuple[int, ...] = field(init=False)
    range: tuple[int, ...] = field(init=False)
    dtype: torch.dtype = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", (self.matrix.shape[1],))
        object.__setattr__(self, "range", (self.matrix.shape[0],))
        object.__setattr__(self, "dtype", self.matrix.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix.T

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ self.matrix.conj()


@dataclass(frozen=True)
class Identity:
    """x ↦ x on C^shape."""

    domain: tuple[int, ...]
    dtype: torch.dtype = torch.complex64
    name: str = "identity"

    @property
    def range(self) -> tuple[int, ...]:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y


@dataclass(frozen=True)
class Composition:
    """x ↦ A(B x), written outer A, inner B; the adjoint is Bᴴ Aᴴ."""

    outer: LinearOperator
    inner: LinearOperator

    def __post_init__(self) -> None:
        if self.outer.domain != self.inner.range:
            raise InputError(f"cannot compose {self.outer.name!r} (domain {self.outer.domain}) with "
                             f"{self.inner.name!r} (range {self.inner.range})")

    @property
    def name(self) -> str:
        return f"{self.outer.name} ∘ {self.inner.name}"

    @property
    def domain(self) -> tuple[int, ...]:
        return self.inner.domain

    @property
    def range(self) -> tuple[int, ...]:
        return self.outer.range

    @property
    def dtype(self) -> torch.dtype:
        return self.outer.dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True)
class Scaled:
    """x ↦ c A x for a real or complex number c; the adjoint is c̄ Aᴴ."""

    operator: LinearOperator
    factor: complex

    @property
    def name(self) -> str:
        return f"{self.factor:g} · {self.operator.name}"

    @property
    def domain(self) -> tuple[int, ...]:
        return self.operator.domain

    @property
    def range(self) -> tuple[int, ...]:
        return self.operator.range

    @property
    def dtype(self) -> torch.dtype:
        return self.operator.dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.operator.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return complex(self.factor).conjugate() * self.operator.adjoint(y) if isinstance(self.factor, complex) \
            else self.factor * self.operator.adjoint(y)


@dataclass(frozen=True)
class Adjoint:
    """y ↦ Aᴴ y: the operator read backwards."""

    operator: LinearOperator

    @property
    def name(self) -> str:
        return f"adjoint of {self.operator.name}"

    @property
    def domain(self) -> tuple[int, ...]:
        return self.operator.range

    @property
    def range(self) -> tuple[int, ...]:
        return self.operator.domain

    @property
    def dtype(self) -> torch.dtype:
        return self.operator.dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.forward(y)


@dataclass(frozen=True)
class RealImages:
    """x ↦ (Re A x, Im A x) for real images x: a real operator, whose adjoint is Re Aᴴ(y₁ + i y₂).

    Its kernel is what a complex A cannot show of real images. For a Fourier mask these are the frequencies k where neither
    k nor −k is measured: fewer than those that are not measured.

    >>> A = RealImages(Matrix(torch.tensor([[1j, 0j]])))
    >>> A.forward(torch.tensor([[2.0, 3.0]])).tolist()
    [[[0.0], [2.0]]]
    """

    operator: LinearOperator

    def __post_init__(self) -> None:
        if not self.operator.dtype.is_complex:
            raise InputError(f"operator {self.operator.name!r} is real already")

    @property
    def name(self) -> str:
        return f"{self.operator.name}, real images"

    @property
    def domain(self) -> tuple[int, ...]:
        return self.operator.domain

    @property
    def range(self) -> tuple[int, ...]:
        return (2, *self.operator.range)

    @property
    def dtype(self) -> torch.dtype:
        return self.operator.dtype.to_real()

    def forward(self, x: Tensor) -> Tensor:
        return to_channels(self.operator.forward(to_complex(x)))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(from_channels(y)).real
