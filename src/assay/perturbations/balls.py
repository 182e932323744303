"""Balls of a norm: around the system's inputs, or around the image as the forward model sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample, per_example
from assay.numerics.norms import norm
from assay.numerics.projections import (
    project,
    project_l2_box,
    project_linf_box,
    steepest,
    steepest_in_box,
    stretched,
)
from assay.operators.protocol import LinearOperator
from assay.perturbations.protocol import Examples


@dataclass(frozen=True, kw_only=True)
class Ball:
    """{p : ‖p‖ ≤ radius · scale(x), low ≤ x + p ≤ high}, scale(x) = ‖x‖, or high − low, or 1, as `relative` says.

    x is the tensor the ball surrounds; for "linf" the scale is the greatest modulus of x. p has the dtype of x: complex
    data, complex perturbations. `box` = (low, high), in the unit of x, holds for real tensors only; without one the ball
    is whole. x itself must lie in the box. `relative` "range" makes sizes shares of high − low.
    """

    norm: str = "l2"
    radius: float = 0.02
    relative: bool | Literal["range"] = True
    box: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.radius >= 0:
            raise InputError(f"radius must be ≥ 0, got {self.radius}")
        if self.box is not None and not (len(self.box) == 2 and -math.inf < self.box[0] < self.box[1] < math.inf):
            raise InputError(f"box must be two finite numbers (low, high) with low < high, got {self.box}")
        if self.relative == "range" and self.box is None:
            raise InputError('relative="range" needs the range: give the box, or data with a declared range')

    @property
    def unit(self) -> str:
        name = {"l2": "ℓ2", "linf": "ℓ∞"}[self.norm]
        if self.relative == "range":
            return f"share of the range, {name}"
        return f"relative {name}" if self.relative else name

    def scale(self, x: Tensor) -> PerExample:
        if self.relative == "range" and self.box is not None:
            return torch.full((len(x),), self.box[1] - self.box[0], dtype=x.real.dtype)
        return norm(x, self.norm) if self.relative else torch.ones(len(x), dtype=x.real.dtype)

    def inside(self, x: Tensor, ids: Sequence[str] = ()) -> Tensor:
        """x itself, or `InputError` naming the first example (by its id, else its place in the batch) outside the box."""
        if self.box is None:
            return x
        if x.is_complex():
            raise InputError("a box bounds real values, and these are complex; leave out `box`, or give real data")
        low, high = self.box
        members = ((x >= low) & (x <= high)).flatten(1).all(1)
        if not bool(members.all()):
            first = int((~members).nonzero()[0])
            raise InputError(f"box ({low:g}, {high:g}): example {ids[first] if ids else first} has values from "
                             f"{float(x[first].min()):g} to {float(x[first].max()):g}; give the box in the unit of the "
                             f"data, or scale the data into it")
        return x

    def room(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(low − x, high − x), rounded so that x + p is in the box for every p between them; infinite without a box."""
        low, high = self.box or (-math.inf, math.inf)
        return _inward(low - self.inside(x), x, low), _inward(high - x, x, high)

    def project(self, x: Tensor, p: Tensor) -> Tensor:
        radius = self.radius * self.scale(x)
        if self.box is None:
            return project(p, radius, self.norm)
        boxed = {"l2": project_l2_box, "linf": project_linf_box}
        if self.norm not in boxed:
            raise InputError(f"no projection onto the ball of norm {self.norm!r} within a box")
        return boxed[self.norm](p, radius, *self.room(x))

    def steepest(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The member of greatest inner product with the gradient: the maximum of a linear objective."""
        if self.box is None:
            return self.uphill(x, gradient)
        return steepest_in_box(gradient, self.radius * self.scale(x), *self.room(x), self.norm)

    def uphill(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The steepest direction of the whole ball, blind to the box: a step that `project` then brings back.

        A step along `steepest` cannot do that: at a saturated entry whose gradient points outward it is 0, and a
        perturbation that has moved such an entry inward would never move it back.
        """
        return steepest(gradient, self.norm) * per_example(self.radius * self.scale(x), gradient)

    def sample(self, x: Tensor, generators: Sequence[torch.Generator], size: PerExample | None) -> Tensor:
        """Uniform directions: Gaussian entries scaled to the size (ℓ2), or entries of modulus `size` (ℓ∞).

        With a box, an entry that has too little room on the side drawn goes to the side with more, and no further than
        there is room; the others are scaled up until the size is as asked. Where even the farthest corner of the box is
        nearer than that, it is the member: the largest there is.
        """
        p = torch.stack([torch.randn(x.shape[1:], dtype=x.dtype, generator=g) for g in generators])
        radius = (self.radius if size is None else size.to(p.real.dtype)) * self.scale(x)
        if self.box is None:
            return steepest(p, self.norm) * per_example(radius, p)
        low, high = self.room(x)
        farthest = torch.maximum(-low, high)
        moduli = (stretched(p.abs(), farthest, radius) if self.norm == "l2"
                  else torch.minimum(per_example(radius, p), farthest))
        upward = torch.where(p >= 0, (high >= moduli) | (high >= -low), (-low < moduli) & (high > -low))
        return torch.where(upward, moduli, -moduli)

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
        return self.ball.project(self.ball.inside(x.inputs, x.ids), p)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.ball.steepest(self.ball.inside(x.inputs, x.ids), gradient)

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.ball.uphill(self.ball.inside(x.inputs, x.ids), gradient)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        return self.ball.sample(self.ball.inside(x.inputs, x.ids), generators, size)

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
        return self.ball.project(self.ball.inside(_truth(x), x.ids), p)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.ball.steepest(self.ball.inside(_truth(x), x.ids), gradient)

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        return self.ball.uphill(self.ball.inside(_truth(x), x.ids), gradient)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        return self.ball.sample(self.ball.inside(_truth(x), x.ids), generators, size)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return self.ball.size(_truth(x), p)

    def resized(self, radius: float) -> Through:
        return replace(self, ball=replace(self.ball, radius=radius))


def _inward(step: Tensor, x: Tensor, edge: float) -> Tensor:
    """The step from x to the edge, shortened by one rounding where x + step lies beyond it."""
    beyond = (x + step - edge) * step.sign() > 0
    return torch.where(beyond, torch.nextafter(step, torch.zeros_like(x)), step) if bool(beyond.any()) else step


def _truth(x: Examples) -> Tensor:
    if x.truth is None:
        raise InputError("a change of the image needs the true image, and these samples have none; "
                         "use a change of the data instead")
    return x.truth
