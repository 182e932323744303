"""Exact smallest flips, by methods that share nothing with the searches: sorting, bisection on the dual, linear programs."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp


def to_hyperplane(w: np.ndarray, c: float, low: np.ndarray, high: np.ndarray, norm: str) -> float:
    """min ‖r‖ over ⟨w, r⟩ ≥ c > 0 and low ≤ r ≤ high; infinite if the box does not reach."""
    if np.where(w > 0, w * high, w * low).sum() < c:
        return np.inf
    if norm == "linf":                                          # variables (r, t): |r_i| ≤ t
        n, eye = len(w), np.eye(len(w))
        A = np.vstack([np.hstack([eye, -np.ones((n, 1))]), np.hstack([-eye, -np.ones((n, 1))]), np.append(-w, 0)[None]])
        solved = linprog(np.append(np.zeros(n), 1), A_ub=A, b_ub=np.append(np.zeros(2 * n), -c),
                         bounds=[*zip(low, high, strict=True), (0, None)])
        assert solved.success
        return float(solved.fun)
    least, most = 0.0, 1.0                                      # the multiplier λ of ⟨w, r⟩ ≥ c: r = clip(λ w)
    while w @ np.clip(most * w, low, high) < c and most < 1e12:
        most *= 2
    for _ in range(200):
        middle = (least + most) / 2
        least, most = (middle, most) if w @ np.clip(middle * w, low, high) < c else (least, middle)
    return float(np.linalg.norm(np.clip(most * w, low, high)))


def linear_classifier(W: np.ndarray, b: np.ndarray, x: np.ndarray, box: tuple[float, float], norm: str) -> float:
    """The distance from x to the nearest of the half spaces of other classes, within the box."""
    scores = W @ x + b
    top = int(scores.argmax())
    return min(to_hyperplane(W[k] - W[top], scores[top] - scores[k], box[0] - x, box[1] - x, norm)
               for k in range(len(b)) if k != top)


def relu_network(W: np.ndarray, b: np.ndarray, V: np.ndarray, d: np.ndarray, x: np.ndarray,
                 box: tuple[float, float]) -> float:
    """min ‖r‖_∞ with x + r in the box and another class of V relu(W x + b) + d at least as high: exact (big-M).

    Tjeng, Xiao and Tedrake (ICLR 2019): h ≥ a, h ≥ 0, h ≤ a − l (1 − z), h ≤ u z, with l ≤ a = W (x + r) + b ≤ u.
    """
    hidden, n = W.shape
    centre = W @ x + b
    low, high = box[0] - x, box[1] - x
    reach_low = np.where(W > 0, W * low, W * high).sum(1) + centre
    reach_high = np.where(W > 0, W * high, W * low).sum(1) + centre
    top = int((V @ np.maximum(centre, 0) + d).argmax())
    zero, eye, column = np.zeros((hidden, hidden)), np.eye(hidden), np.zeros((hidden, 1))
    down, up = np.minimum(reach_low, 0), np.maximum(reach_high, 0)
    rows = [LinearConstraint(np.hstack([-W, eye, zero, column]), centre, np.inf),
            LinearConstraint(np.hstack([-W, eye, np.diag(-down), column]), -np.inf, centre - down),
            LinearConstraint(np.hstack([np.zeros((hidden, n)), eye, np.diag(-up), column]), -np.inf, 0.0),
            LinearConstraint(np.hstack([np.eye(n), np.zeros((n, 2 * hidden)), -np.ones((n, 1))]), -np.inf, 0.0),
            LinearConstraint(np.hstack([-np.eye(n), np.zeros((n, 2 * hidden)), -np.ones((n, 1))]), -np.inf, 0.0)]
    bounds = Bounds(np.concatenate([low, np.zeros(2 * hidden), [0.0]]),
                    np.concatenate([high, np.full(hidden, np.inf), np.ones(hidden), [np.inf]]))
    cost = np.append(np.zeros(n + 2 * hidden), 1.0)
    whole = np.concatenate([np.zeros(n + hidden), np.ones(hidden), [0.0]])
    best = np.inf
    for k in range(len(d)):
        if k == top:
            continue
        margin = LinearConstraint(np.concatenate([np.zeros(n), V[k] - V[top], np.zeros(hidden + 1)]), d[top] - d[k], np.inf)
        solved = milp(cost, constraints=[*rows, margin], bounds=bounds, integrality=whole, options={"mip_rel_gap": 1e-6})
        if solved.success:
            best = min(best, float(solved.fun))
    return best
