"""Minimisers as fixed points: iterated until each example has converged, differentiated at the fixed point."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from assay.arrays import PerExample
from assay.solvers.result import Solution, stops

State = tuple[Tensor, ...]          # batch first


class FixedPoint(Protocol):
    """A map T(state, data) whose fixed point gives the minimiser, for a batch of data."""

    def data(self, y: Tensor) -> Tensor:
        """What T and `image` need of the measurements."""
        ...

    def start(self, data: Tensor) -> State: ...

    def step(self, state: State, data: Tensor) -> State: ...

    def image(self, state: State, data: Tensor) -> Tensor: ...

    def residual(self, state: State, following: State, data: Tensor) -> PerExample:
        """How far each example is from the fixed point, relative."""
        ...

    def only(self, kept: Tensor) -> FixedPoint:
        """The problem of the kept examples alone."""
        ...


def solve(problem: FixedPoint, y: Tensor, *, iterations: int, tolerance: float, every: int,
          adjoint_iterations: int) -> Solution:
    """Iterate T, looking every `every` steps at the residual; finished examples leave the batch.

    The image is differentiable with respect to y: its gradient is that of the fixed point, with memory that does not
    grow with the number of iterations.
    """
    with torch.no_grad():
        state, residual, used = _iterate(problem, problem.data(y), iterations, tolerance, every)
    x = _Minimiser.apply(problem, adjoint_iterations, y, *state)  # type: ignore[no-untyped-call]
    return Solution(x=x, stop=stops(residual, tolerance), residual=residual, iterations=used)


def _iterate(problem: FixedPoint, data: Tensor, iterations: int, tolerance: float,
             every: int) -> tuple[State, PerExample, int]:
    working = problem.start(data)
    reached = tuple(part.clone() for part in working)
    residual = torch.full((len(data),), torch.inf, dtype=data.real.dtype)
    active, used = torch.arange(len(data)), 0
    for used in range(1, iterations + 1):
        following = problem.step(working, data)
        if used % every == 0 or used == iterations:
            now = problem.residual(working, following, data)
            residual[active] = now
            for whole, part in zip(reached, following, strict=True):
                whole[active] = part
            going = ~(now <= tolerance)
            if not bool(going.any()):
                break
            if not bool(going.all()):
                active, data, problem = active[going], data[going], problem.only(going)
                following = tuple(part[going] for part in following)
        working = following
    return reached, residual, used


class _Minimiser(torch.autograd.Function):
    """y ↦ X(w*(y), y) with the exact derivative of the fixed point w* = T(w*, y).

    dX/dy = X_y + X_w (1 − T_w)⁻¹ T_y; its adjoint solves μ = X_wᴴ g + T_wᴴ μ by iteration, which converges as the
    forward iteration does. Source: implicit differentiation of fixed points, Christianson, Optim. Methods Softw. 3 (1994).
    """

    @staticmethod
    def forward(context: object, problem: FixedPoint, adjoint_iterations: int, y: Tensor, *state: Tensor) -> Tensor:
        context.save_for_backward(y, *state)  # type: ignore[attr-defined]
        context.problem, context.adjoint_iterations = problem, adjoint_iterations  # type: ignore[attr-defined]
        return problem.image(state, problem.data(y))

    @staticmethod
    @once_differentiable
    def backward(context: object, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, *state = context.saved_tensors  # type: ignore[attr-defined]
        problem: FixedPoint = context.problem  # type: ignore[attr-defined]
        with torch.enable_grad():
            y = y.detach().requires_grad_(True)
            data = problem.data(y)
            seen = data.detach().requires_grad_(True)
            at = tuple(part.detach().requires_grad_(True) for part in state)
            image, following = problem.image(at, seen), problem.step(at, seen)
        *x_w, x_data = torch.autograd.grad(image, (*at, seen), gradients[0], materialize_grads=True)
        mu = tuple(x_w)
        for _ in range(context.adjoint_iterations):  # type: ignore[attr-defined]
            moved = torch.autograd.grad(following, at, mu, retain_graph=True)
            mu = tuple(first + more for first, more in zip(x_w, moved, strict=True))
        (t_data,) = torch.autograd.grad(following, seen, mu)
        (total,) = torch.autograd.grad(data, y, x_data + t_data)
        return None, None, total, *(None for _ in state)
