"""Sparse recovery in orthogonal wavelets: the LASSO, and the form constrained by the noise level."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import PerExample, per_example
from assay.numerics.norms import norm
from assay.numerics.proximal import soft_threshold
from assay.operators.fourier import MaskedFourier
from assay.operators.protocol import LinearOperator
from assay.operators.wavelet import Wavelet
from assay.solvers.result import Solution, stops


def lasso(y: Tensor, operator: LinearOperator, wavelet: Wavelet, *, weight: float, iterations: int = 200,
          tolerance: float = 3e-4, norm_bound: float = 1.0) -> Solution:
    """argmin_x ½‖A x − y‖² + λ‖W x‖₁ by FISTA with adaptive restart, step 1/‖A‖², λ = `weight`.

    Sources: Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009); restart when ⟨z − x⁺, x⁺ − x⟩ > 0: O'Donoghue and
    Candès, Found. Comput. Math. 15 (2015). Differentiable by unrolling; each example restarts and stops alone.
    """
    step = 1 / norm_bound**2
    x = operator.adjoint(y) * step
    z, momentum = x, torch.ones(len(y), dtype=x.real.dtype)
    residual, done, used = torch.full_like(momentum, torch.inf), torch.zeros(len(y), dtype=torch.bool), 0
    for used in range(1, iterations + 1):
        forward = z - step * operator.adjoint(operator.forward(z) - y)
        following = wavelet.adjoint(soft_threshold(wavelet.forward(forward), weight * step))
        with torch.no_grad():
            uphill = ((z - following).conj() * (following - x)).real.flatten(1).sum(1) > 0
            nxt = 0.5 * (1 + (1 + 4 * momentum**2).sqrt())
            factor = torch.where(uphill, torch.zeros_like(momentum), (momentum - 1) / nxt)
            moved = norm(following - x) / norm(following).clamp_min(1e-30)
            momentum = torch.where(uphill, torch.ones_like(momentum), nxt)
        going = per_example(~done, x)
        z = torch.where(going, following + per_example(factor, x) * (following - x), z)
        x = torch.where(going, following, x)
        with torch.no_grad():
            residual = torch.where(done, residual, moved)
            done = done | (moved <= tolerance)
        if bool(done.all()):
            break
    return Solution(x=x, stop=stops(residual, tolerance), residual=residual, iterations=used)


def constrained(y: Tensor, operator: MaskedFourier, wavelet: Wavelet, *, noise: float | Tensor, iterations: int = 300,
                tolerance: float = 3e-4, penalty: float = 20.0) -> Solution:
    """argmin_x ‖W x‖₁ subject to ‖A x − y‖₂ ≤ η, η = `noise` · ‖y‖, for operators with A Aᴴ = 1.

    Douglas–Rachford splitting with threshold max|Aᴴy| / `penalty`, which no unit of the data changes; its image step is
    the projection x + Aᴴ(P(A x) − A x) onto the tube around the data.
    Sources: Candès, Romberg and Tao, Commun. Pure Appl. Math. 59 (2006); Combettes and Pesquet, IEEE J. Sel. Top.
    Signal Process. 1 (2007). The image returned lies in the tube up to rounding.
    """
    radius: PerExample = noise * norm(y)

    def into_tube(x: Tensor) -> Tensor:
        gap = operator.forward(x) - y
        over = (1 - radius / norm(gap).clamp_min(1e-30)).clamp_min(0)
        return x - operator.adjoint(gap * per_example(over, gap))

    w = operator.adjoint(y)
    peak = w.abs().flatten(1).amax(1)
    residual, done, used = torch.full_like(radius, torch.inf), torch.zeros(len(y), dtype=torch.bool), 0
    for used in range(1, iterations + 1):
        x = into_tube(w)
        coefficients = wavelet.forward(2 * x - w)
        sparse = wavelet.adjoint(soft_threshold(coefficients, per_example(peak / penalty, coefficients)))
        moved = sparse - x
        with torch.no_grad():
            change = norm(moved) / norm(x).clamp_min(1e-30)
        w = torch.where(per_example(~done, w), w + moved, w)
        with torch.no_grad():
            residual = torch.where(done, residual, change)
            done = done | (change <= tolerance)
        if bool(done.all()):
            break
    return Solution(x=into_tube(w), stop=stops(residual, tolerance), residual=residual, iterations=used)
