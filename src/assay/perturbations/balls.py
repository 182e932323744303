"""Balls of a norm: around the system's inputs, or around the image as the forward model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample, per_example
from assay.numerics.norms import norm
from assay.numerics.projections import project, steepest
from assay.operators.protocol import LinearOperator
from assay.perturbations.protocol import Examples


@dataclass(frozen=True, kw_only=True)
class Ball:
    """{p : ‖p‖ ≤ radius · scale(x)} with scale(x) = ‖x‖ (or 1 when `relative` is false), x the tensor it surrounds.

    For "linf" the scale is the greatest modulus of x. p has the dtype of x: complex data, complex perturbations.
    """

    norm: str = "l2"
    radius: float = 0.02
    relative: bool = True

    def __post_init__(self) -> None:
        if not self.radius >= 0:
            raise InputError(f"radius must be ≥ 0, got {self.radius}")

    @property
    def unit(self) -> str:
        name = {"l2": "ℓ2", "linf": "ℓ∞"}[self.norm]
        return f"relative {name}" if self.relative else name

    def scale(self, x: Tensor) -> PerExample:
        return norm(x, self.norm) if self.relative else torch.ones(len(x), dtype=x.real.dtype)

    def project(self, x: Tensor, p: Tensor) -> Tensor:
        return project(p, self.radius * self.scale(x), self.norm)

    def steepest(self, x: Tensor, gradient: Tensor) -> Tensor:
        return steepest(gradient, self.norm) * per_example(self.radius * self.scale(x), gradient)

    def sample(self, x: Tensor, generators: Sequence[torch.Generator], size: PerExample | None) -> Tensor:
        """Uniform directions: Gaussian entries scaled to the size (ℓ2), or entries of modulus `size` (ℓ∞)."""
        p = torch.stack([torch.randn(x.shape[1:], dtype=x.dtype, generator=g) for g in generators])
        radius = (self.radius if size is None else size.to(p.real.dtype)) * self.scale(x)
        return steepest(p, self.norm) * per_example(radius, p)

    def size(self, x: Tensor, p: Tensor) -> PerExample:
        return norm(p, self.norm) / self.scale(x).clamp_min(1e-38)


@dataclass(frozen=True, kw_only=True)
class InputBall:
    """Changes of what the system is given: inputs + p, p in the ball; the truth stays."""

    ball: Ball

    @property
    def unit(self) -> str:
        return self.ball.unit

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(x.inputs)

    def apply(self, x: Examples, p: Tensor) -> Examples:
        return x.changed(inputs=x.inputs + p, truth=x.truth)

    def project(self, x: Examples, p: Tensor) -> Tensor:
        return self.ball.project(x.inputs, p)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.ball.steepest(x.inputs, gradient)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        return self.ball.sample(x.inputs, generators, size)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return self.ball.size(x.inputs, p)

    def resized(self, radius: float) -> InputBall:
        return replace(self, ball=replace(self.ball, radius=radius))


@dataclass(frozen=True, kw_only=True)
class Through:
    """Changes of the image, seen through the forward model: inputs + A p and truth + p, p in a ball around the truth.

    Measurement noise already in the inputs is kept. A faithful method returns x + p, so errors are measured against
    that. Source: Antun, Renna, Poon, Adcock and Hansen, PNAS 117 (2020), "stability test with worst-case perturbations".
    """

    operator: LinearOperator
    ball: Ball

    @property
    def unit(self) -> str:
        return self.ball.unit

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(_truth(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        return x.changed(inputs=x.inputs + self.operator.forward(p), truth=_truth(x) + p)

    def project(self, x: Examples, p: Tensor) -> Tensor:
        return self.ball.project(_truth(x), p)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.ball.steepest(_truth(x), gradient)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        return self.ball.sample(_truth(x), generators, size)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return self.ball.size(_truth(x), p)

    def resized(self, radius: float) -> Through:
        return replace(self, ball=replace(self.ball, radius=radius))


def _truth(x: Examples) -> Tensor:
    if x.truth is None:
        raise InputError("a change of the image needs the true image, and these samples have none; "
                         "use a change of the data instead")
    return x.truth
