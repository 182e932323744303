"""Closed forms that searches must reach: linear classifiers, linear systems, a tiny relu network solved exactly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream


def unit_ball(n: int, *, norm: str = "l2", radius: float = 1.0, dtype: torch.dtype = torch.float64,
              batch: int = 1) -> tuple[Examples, InputBall]:
    """Examples at the origin and the ball of that radius around them."""
    x = Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=torch.zeros(batch, n, dtype=dtype))
    return x, InputBall(ball=Ball(norm=norm, radius=radius, relative=False))


def streams(batch: int = 1, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, i) for i in range(batch)]


def dual_norm(w: Tensor, norm: str) -> float:
    """max ⟨w, p⟩ over the unit ball: ‖w‖₂ for ℓ2, ‖w‖₁ for ℓ∞."""
    return float(w.abs().square().sum().sqrt() if norm == "l2" else w.abs().sum())


def relu_network_maximum(W: np.ndarray, b: np.ndarray, v: np.ndarray, radius: float) -> float:
    """max vᵀ relu(W p + b) over ‖p‖_∞ ≤ radius, exactly, by mixed-integer linear programming (big-M, one binary per unit).

    Tjeng, Xiao and Tedrake (ICLR 2019): h ≥ a, h ≥ 0, h ≤ a − l(1 − z), h ≤ u z, with l ≤ a = W p + b ≤ u.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    hidden, n = W.shape
    reach = radius * np.abs(W).sum(1)
    low, high = b - reach, b + reach
    cost = np.concatenate([np.zeros(n), -v, np.zeros(hidden)])
    eye = np.eye(hidden)
    zero = np.zeros((hidden, hidden))
    rows = [(np.hstack([-W, eye, zero]), b, np.inf),                              # h ≥ a
            (np.hstack([-W, eye, np.diag(-np.minimum(low, 0))]), -np.inf, b - np.minimum(low, 0)),
            (np.hstack([np.zeros((hidden, n)), eye, -np.diag(np.maximum(high, 0))]), -np.inf, 0.0)]
    bounds = Bounds(np.concatenate([np.full(n, -radius), np.zeros(2 * hidden)]),
                    np.concatenate([np.full(n, radius), np.full(hidden, np.inf), np.ones(hidden)]))
    solved = milp(cost, constraints=[LinearConstraint(*row) for row in rows], bounds=bounds,
                  integrality=np.concatenate([np.zeros(n + hidden), np.ones(hidden)]))
    assert solved.success
    return float(-solved.fun)
