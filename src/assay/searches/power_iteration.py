"""The top singular value of a linear map, or of a system linearised at its input: power iteration and Lanczos."""

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


def lanczos(apply: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], start: Tensor, *,
            iterations: int = 20, tolerance: float = 1e-4) -> TopSingular:
    """‖J‖₂ from the same products as power iteration, but the best vector of their whole span: Lanczos for JᴴJ.

    v₁, v₂, … is an orthonormal basis of span{v, JᴴJ v, (JᴴJ)² v, …}, orthogonalised twice against all before it; σ² and
    the coefficients of v are the top eigenpair of the Gram matrix ⟨J v_i, J v_j⟩. Complex vectors are taken as pairs of
    real numbers throughout: the derivative of a network or of a shrinkage is linear over the reals only, J(iv) ≠ iJv.
    The value is ‖J v‖ evaluated once more at the v returned, so it is a lower bound of ‖J‖₂ even where J is known by
    differences only. Source: Golub and Van
    Loan, "Matrix Computations" (4th ed.), section 10.1. On spectra without a gap, where power iteration crawls, twenty
    products suffice.

    >>> M = torch.diag(torch.tensor([3.0, 2.9, 1.0]))
    >>> found = lanczos(lambda v: v @ M.T, lambda u: u @ M, torch.ones(1, 3), iterations=3)
    >>> round(float(found.value), 4)
    3.0
    """
    def vector_of(flat: Tensor) -> Tensor:
        return torch.view_as_complex(flat.reshape(*start.shape, 2)) if start.is_complex() else flat.reshape(start.shape)

    v = _unit(_reals(start))
    basis, images = v[:, None], v.new_zeros(0)
    residual, vector, count = norm(v) + torch.inf, v, 0
    for _ in range(iterations):
        image = apply(vector_of(basis[:, -1]))
        back = _reals(adjoint(image))
        image = _reals(image)[:, None]
        images = image if count == 0 else torch.cat((images, image), dim=1)
        count += 1
        gram = images @ images.mT
        gram = torch.where(torch.isfinite(gram), gram, torch.zeros_like(gram))    # the value below will say NaN
        values, vectors = torch.linalg.eigh(gram)
        top, coefficients = values[:, -1].clamp_min(1e-38), vectors[:, :, -1]
        vector = (coefficients[:, :, None] * basis).sum(1)
        for _ in range(2):
            back = back - ((basis @ back[:, :, None]).mT @ basis)[:, 0]
        left = norm(back)
        residual = left * coefficients[:, -1].abs() / top
        if bool((residual < tolerance).all()):
            break
        following = torch.where((left > 1e-6 * top)[:, None], _unit(back), torch.zeros_like(back))
        basis = torch.cat((basis, following[:, None]), dim=1)
    vector = vector_of(_unit(vector))
    return TopSingular(value=norm(apply(vector)), vector=vector, residual=residual, forward=count + 1, backward=count)


def _reals(v: Tensor) -> Tensor:
    """(batch, …) → (batch, n) of real numbers, with real and imaginary parts side by side."""
    return (torch.view_as_real(v.resolve_conj()) if v.is_complex() else v).flatten(1)


def _unit(v: Tensor) -> Tensor:
    return v / per_example(norm(v).clamp_min(1e-38), v)


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
