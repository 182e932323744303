"""Total variation for any linear operator: the primal-dual method of Chambolle and Pock, over-relaxed."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import PerExample, per_example
from assay.numerics.norms import norm
from assay.operators.finite_difference import FiniteDifference
from assay.operators.protocol import LinearOperator
from assay.operators.spectral_norm import operator_norm
from assay.solvers.fixed_point import State, solve
from assay.solvers.result import Solution

GRADIENT_NORM = 8**0.5          # ‖∇‖ ≤ √8 for periodic differences in two dimensions
RELAXATION = 1.8
BALANCE = 0.04                  # τ/σ such that duals of size λ and image steps of a few hundredths of the peak keep pace


def total_variation_primal_dual(y: Tensor, operator: LinearOperator, *, weight: float, iterations: int = 600,
                                tolerance: float = 3e-3, adjoint_iterations: int = 60) -> Solution:
    """argmin_x ½‖A x − y‖² + λ‖∇x‖₂,₁ for complex images (batch, height, width) and any A.

    x⁺ = x − τ(Aᴴp + ∇ᴴq), p⁺ = (p + σ(A(2x⁺ − x) − y))/(1 + σ), q⁺ = P_λ(q + σ∇(2x⁺ − x)), then all three are moved
    on by 1.8 of their step; τσ(‖A‖² + 8) < 1. Solved with A/‖A‖, y/‖A‖ and λ/‖A‖², whose minimiser is the same, so
    neither the iterations nor the stopping rule know the unit of the data. Stops, for each example alone, when
    ‖Aᴴp + ∇ᴴq‖ and ‖Ax − y − p‖ are at most `tolerance` of ‖Aᴴp‖ and ‖p‖: the conditions of optimality, since q is
    feasible (3e-3 leaves brain slices within 0.1 % of the minimiser). Differentiable with respect to y at the fixed
    point (`adjoint_iterations` steps).
    Sources: Chambolle and Pock, J. Math. Imaging Vis. 40 (2011), algorithm 1; relaxation: Condat, J. Optim. Theory
    Appl. 158 (2013), algorithm 3.1; Sidky, Jørgensen and Pan (2012), listing 4.
    """
    problem = _Problem.of(y, operator, weight)
    return solve(problem, y, iterations=iterations, tolerance=tolerance, every=10,
                 adjoint_iterations=adjoint_iterations)


class _Problem:
    """One relaxed step in (x, p, q), for the operator scaled to norm 1; `data` are the scaled measurements."""

    def __init__(self, operator: LinearOperator, top: float, weight: float, tau: PerExample) -> None:
        self.operator, self.top, self.weight, self.tau = operator, top, weight, tau
        self.differences = FiniteDifference(operator.domain)
        self.sigma = 0.98 / (tau * (1 + GRADIENT_NORM**2))

    @classmethod
    def of(cls, y: Tensor, operator: LinearOperator, weight: float) -> _Problem:
        top = 1.01 * operator_norm(operator) or 1.0
        scaled = weight / top**2
        with torch.no_grad():
            peak = operator.adjoint(y).abs().flatten(1).amax(1) / top**2
        ratio = (BALANCE * peak / scaled if scaled else torch.full_like(peak, torch.inf)).clamp(4, 40)
        return cls(operator, top, scaled, ratio / (1 + GRADIENT_NORM**2) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.forward(x) / self.top

    def adjoint(self, p: Tensor) -> Tensor:
        return self.operator.adjoint(p) / self.top

    def only(self, kept: Tensor) -> _Problem:
        return _Problem(self.operator, self.top, self.weight, self.tau[kept])

    def data(self, y: Tensor) -> Tensor:
        return y / self.top

    def start(self, data: Tensor) -> State:
        x = self.adjoint(data)
        return x, torch.zeros_like(data), torch.zeros_like(self.differences.forward(x))

    def image(self, state: State, data: Tensor) -> Tensor:
        return state[0]

    def _unrelaxed(self, state: State, data: Tensor) -> State:
        x, p, q = state
        x_next = x - per_example(self.tau, x) * (self.adjoint(p) + self.differences.adjoint(q))
        bar = 2 * x_next - x
        sigma = per_example(self.sigma, p)
        p_next = (p + sigma * (self.forward(bar) - data)) / (1 + sigma)
        raw = q + per_example(self.sigma, q) * self.differences.forward(bar)
        length = raw.abs().square().sum(1, keepdim=True).clamp_min(1e-30).sqrt()
        return x_next, p_next, raw * (self.weight / length).clamp_max(1.0)

    def step(self, state: State, data: Tensor) -> State:
        following = self._unrelaxed(state, data)
        x, p, q = (part + RELAXATION * (new - part) for part, new in zip(state, following, strict=True))
        return x, p, q

    def residual(self, state: State, following: State, data: Tensor) -> PerExample:
        x, p, q = self._unrelaxed(state, data)
        pull = self.adjoint(p)
        return torch.maximum(norm(pull + self.differences.adjoint(q)) / norm(pull).clamp_min(1e-30),
                             norm(self.forward(x) - data - p) / norm(p).clamp_min(1e-30))
