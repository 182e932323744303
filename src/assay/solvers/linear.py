"""Linear reconstructions, whose worst case is known exactly: zero-filled and Tikhonov."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.operators.fourier import MaskedFourier
from assay.operators.protocol import LinearOperator
from assay.operators.spectral_norm import operator_norm
from assay.records import Stop
from assay.solvers.result import Solution, stops


def zero_filled(y: Tensor, operator: LinearOperator) -> Solution:
    """Aᴴ y: what was not measured is set to zero. Its gain is ‖A‖."""
    return Solution(x=operator.adjoint(y), stop=(Stop.EXHAUSTED,) * len(y), iterations=0,
                    residual=torch.zeros(len(y), dtype=y.real.dtype))


def tikhonov(y: Tensor, operator: LinearOperator, *, weight: float, iterations: int = 200,
             tolerance: float = 1e-6) -> Solution:
    """(AᴴA + λ)⁻¹ Aᴴ y: closed form where A Aᴴ = 1, conjugate gradients otherwise. Source: Tikhonov (1963).

    With orthonormal rows the solution is Aᴴ y / (1 + λ).
    """
    right = operator.adjoint(y)
    if isinstance(operator, MaskedFourier) and operator.maps is None:
        return Solution(x=right / (1 + weight), stop=(Stop.EXHAUSTED,) * len(y), iterations=0,
                        residual=torch.zeros(len(y), dtype=y.real.dtype))
    x = torch.zeros_like(right)
    r = p = right
    square = _square(r)
    first, used = square.clamp_min(1e-38), 0
    for used in range(1, iterations + 1):
        image = operator.adjoint(operator.forward(p)) + weight * p
        step = square / (p.conj() * image).real.flatten(1).sum(1).clamp_min(1e-38)
        x, r = x + per_example(step, x) * p, r - per_example(step, x) * image
        following = _square(r)
        if bool((following / first <= tolerance**2).all()):
            break
        p, square = r + per_example(following / square.clamp_min(1e-38), x) * p, following
    residual = (_square(r) / first).sqrt()
    return Solution(x=x, stop=stops(residual.detach(), tolerance), residual=residual.detach(), iterations=used)


def exact_gain(operator: LinearOperator, *, weight: float | None = None) -> float:
    """Worst gain of zero-filled (‖A‖) or, with a weight, of Tikhonov: max over singular values of σ / (σ² + λ).

    For Tikhonov the maximum over σ ∈ (0, ‖A‖] is at σ = √λ if that is a singular value, so 1/(2√λ) bounds it; with
    orthonormal rows every singular value is 1 and the gain is exactly 1/(1 + λ).
    """
    top = operator_norm(operator)
    if weight is None:
        return top
    if isinstance(operator, MaskedFourier) and operator.maps is None:
        return 1 / (1 + weight)
    return 1 / (2 * weight**0.5) if top >= weight**0.5 else top / (top**2 + weight)


def _square(x: Tensor) -> Tensor:
    return x.abs().square().flatten(1).sum(1)
