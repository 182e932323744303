"""The top singular value of a linear map, or of a system linearised at its input: its local gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import PerExample, per_example
from assay.numerics.norms import norm

DIFFERENCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class TopSingular:
    """σ per example, the right singular vector v (‖v‖ = 1), and the residual ‖JᴴJ v − σ² v‖ / σ²."""

    value: PerExample
    vector: Tensor
    residual: PerExample
    forward: int
    backward: int


def power_iteration(apply: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], start: Tensor, *,
                    iterations: int = 20, tolerance: float = 1e-4) -> TopSingular:
    """‖J‖₂ by v ← JᴴJ v / ‖JᴴJ v‖; the estimate ‖J v‖ is a lower bound of ‖J‖₂ at every step.

    Source: Golub and Van Loan, "Matrix Computations" (4th ed.), section 8.2. Stops early when every residual is below
    `tolerance`.

    >>> M = torch.diag(torch.tensor([3.0, 1.0]))
    >>> found = power_iteration(lambda v: v @ M.T, lambda u: u @ M, torch.ones(1, 2))
    >>> round(float(found.value), 4)
    3.0
    """
    v = start / per_example(norm(start).clamp_min(1e-38), start)
    value, residual = norm(v) * 0, norm(v) + torch.inf
    best, top, count = value.clone(), v, 0
    for _ in range(iterations):
        image = apply(v)
        value = norm(image)
        back = adjoint(image)
        count += 1
        residual = norm(back - per_example(value**2, back) * v) / (value**2).clamp_min(1e-38)
        better = value > best
        best, top = torch.where(better, value, best), torch.where(per_example(better, v), v, top)
        if bool((residual < tolerance).all()):
            break
        v = back / per_example(norm(back).clamp_min(1e-38), back)
    return TopSingular(value=best, vector=top, residual=residual, forward=count, backward=count)


def linearised(system: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Callable[[Tensor], Tensor],
                                                                        Callable[[Tensor], Tensor]]:
    """v ↦ J v and u ↦ Jᴴ u of a differentiable system at `at`, both through reverse mode.

    J v is the derivative of u ↦ Jᴴ u tested with v (Jᴴ u is linear in u), so no forward-mode rules are needed. A system
    whose own gradient cannot be differentiated again (an implicit one) gets J v by central differences of relative size
    `DIFFERENCE`.
    """
    y = at.detach().requires_grad_(True)
    try:
        output = system(y)
        dual = torch.zeros_like(output, requires_grad=True)
        (back,) = torch.autograd.grad(output, y, dual, create_graph=True)
        torch.autograd.grad(back, dual, torch.zeros_like(back), retain_graph=True)
        twice = True
    except RuntimeError:
        twice = False
        try:
            output = system(y)
        except RuntimeError:            # it leaves the graph, as numpy does: differences alone, and no adjoint
            output = at

    def apply(v: Tensor) -> Tensor:
        if twice:
            (result,) = torch.autograd.grad(back, dual, v, retain_graph=True)
            return result.detach()
        with torch.no_grad():
            step = DIFFERENCE * norm(at) / norm(v).clamp_min(1e-38)
            move = per_example(step, v) * v
            difference = system(at + move) - system(at - move)
            return difference / per_example(2 * step, difference)

    def adjoint(u: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(output, y, u, retain_graph=True)
        return result.detach()

    return apply, adjoint
