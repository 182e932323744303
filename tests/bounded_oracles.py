"""Closed forms of the bounded worst case: support functions of ball ∩ box, tiny relu networks within a box, by milp."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples

BOX = (0.0, 1.0)


def saturated(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers in [0, 1], of which three in five are exactly 0 or 1, as in pictures of digits."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator, dtype=dtype)
    kind = torch.rand(shape, generator=generator)
    return torch.where(kind < 0.3, torch.zeros_like(x), torch.where(kind < 0.6, torch.ones_like(x), x))


def examples(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Examples:
    return Examples(ids=tuple(f"s{i}" for i in range(shape[0])), inputs=saturated(*shape, seed=seed, dtype=dtype))


def ball(norm: str, radius: float, box: tuple[float, float] | None = BOX) -> InputBall:
    return InputBall(ball=Ball(norm=norm, radius=radius, relative=False, box=box))


def support(g: np.ndarray, norm: str, radius: float, low: np.ndarray, high: np.ndarray) -> float:
    """max ⟨g, z⟩ over ‖z‖ ≤ radius, low ≤ z ≤ high.

    ℓ∞: entry by entry. ℓ2: the least value over μ of the dual Σ max_z (g z − μ z²/2) + μ radius²/2, one number, by Brent's
    method; any μ gives an upper bound.
    """
    from scipy.optimize import minimize_scalar

    if norm == "linf":
        return float(np.maximum(g * np.maximum(low, -radius), g * np.minimum(high, radius)).sum())

    def dual(t: float) -> float:
        mu = np.exp(t)
        z = np.clip(g / mu, low, high)
        return float((g * z - mu * z * z / 2).sum() + mu * radius**2 / 2)

    return float(minimize_scalar(dual, bounds=(-25, 25), method="bounded", options={"xatol": 1e-11}).fun)


def linear_maxima(w: Tensor, x: Tensor, norm: str, radius: float, box: tuple[float, float] | None = BOX) -> Tensor:
    """max ⟨w_b, p⟩ for each example over the ball around x_b within the box."""
    low, high = box or (-1e6, 1e6)
    flat, around = w.flatten(1).double().numpy(), x.flatten(1).double().numpy()
    return torch.tensor([support(g, norm, radius, low - a, high - a) for g, a in zip(flat, around, strict=True)],
                        dtype=torch.float64)


def relu_network_maximum(W: np.ndarray, b: np.ndarray, v: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """max vᵀ relu(W z + b) over low ≤ z ≤ high, exactly (Tjeng, Xiao and Tedrake, ICLR 2019, as in `oracles`)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    hidden, n = W.shape
    up, down = np.maximum(W, 0), np.minimum(W, 0)
    least, most = up @ low + down @ high + b, up @ high + down @ low + b
    zero, eye = np.zeros((hidden, hidden)), np.eye(hidden)
    rows = [(np.hstack([-W, eye, zero]), b, np.inf),
            (np.hstack([-W, eye, np.diag(-np.minimum(least, 0))]), -np.inf, b - np.minimum(least, 0)),
            (np.hstack([np.zeros((hidden, n)), eye, -np.diag(np.maximum(most, 0))]), -np.inf, 0.0)]
    bounds = Bounds(np.concatenate([low, np.zeros(2 * hidden)]),
                    np.concatenate([high, np.full(hidden, np.inf), np.ones(hidden)]))
    solved = milp(np.concatenate([np.zeros(n), -v, np.zeros(hidden)]), bounds=bounds,
                  constraints=[LinearConstraint(*row) for row in rows],
                  integrality=np.concatenate([np.zeros(n + hidden), np.ones(hidden)]))
    assert solved.success
    return float(-solved.fun)
