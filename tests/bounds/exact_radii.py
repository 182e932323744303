"""Exact ℓ∞ radii of small ReLU networks by mixed-integer linear programming, and networks to try."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import nn

from assay.bounds.layers import Chain, Relu, dense

BOX = (0.0, 1.0)


def network(sizes: tuple[int, ...], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases, as single precision holds them."""
    generator = np.random.default_rng(seed)
    return [((generator.normal(size=(m, n)) / np.sqrt(n)).astype(np.float32).astype(np.float64),
             (0.3 * generator.normal(size=m)).astype(np.float32).astype(np.float64))
            for n, m in itertools.pairwise(sizes)]


def chain_of(layers) -> Chain:
    steps = []
    for i, (w, b) in enumerate(layers):
        steps += [Relu()] * (i > 0) + [dense(torch.from_numpy(w), torch.from_numpy(b))]
    return Chain(layers=steps, shape=(layers[0][0].shape[1],))


def module_of(layers) -> nn.Sequential:
    steps: list[nn.Module] = []
    for i, (w, b) in enumerate(layers):
        linear = nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        steps += [nn.ReLU()] * (i > 0) + [linear]
    return nn.Sequential(*steps).eval()


def forward(layers, x: np.ndarray) -> np.ndarray:
    for i, (w, b) in enumerate(layers):
        x = w @ (np.maximum(x, 0) if i else x) + b
    return x


def exact_radius(layers, x: np.ndarray, label: int, box=BOX) -> float:
    """The least ‖p‖_∞ with low ≤ x + p ≤ high at which another class leads (Tjeng, Xiao and Tedrake, ICLR 2019)."""
    return min(_to(layers, x, label, k, box) for k in range(len(layers[-1][1])) if k != label)


def _to(layers, x: np.ndarray, label: int, rival: int, box) -> float:
    """Variables: t, p, then of each hidden layer h (its outputs) and s (which units are on)."""
    n, hidden = len(x), [w.shape[0] for w, _ in layers[:-1]]
    total = 1 + n + 2 * sum(hidden)
    rows, whole = [], np.zeros(total)
    lower, upper = np.full(total, -np.inf), np.full(total, np.inf)
    lower[0], lower[1:1 + n], upper[1:1 + n] = 0.0, box[0] - x, box[1] - x
    for i in range(n):
        for sign in (1.0, -1.0):
            row = np.zeros(total)
            row[0], row[1 + i] = -1.0, sign
            rows.append((row, -np.inf, 0.0))
    start, width, shift = 1, n, x
    low, high = np.full(n, box[0]), np.full(n, box[1])
    place = 1 + n
    for (w, b), m in zip(layers[:-1], hidden, strict=True):
        middle, reach = w @ (low + high) / 2 + b, np.abs(w) @ (high - low) / 2
        bottom, top = middle - reach, middle + reach
        constant = w @ shift + b
        for j in range(m):
            on, unit = place + m + j, place + j
            above, below, cap = np.zeros(total), np.zeros(total), np.zeros(total)
            above[start:start + width], above[unit] = -w[j], 1.0                         # h ≥ a
            rows.append((above, constant[j], np.inf))
            below[start:start + width], below[unit], below[on] = -w[j], 1.0, -min(bottom[j], 0.0)
            rows.append((below, -np.inf, constant[j] - min(bottom[j], 0.0)))             # h ≤ a − l (1 − s)
            cap[unit], cap[on] = 1.0, -max(top[j], 0.0)                                  # h ≤ u s
            rows.append((cap, -np.inf, 0.0))
            lower[unit], lower[on], upper[on], whole[on] = 0.0, 0.0, 1.0, 1.0
        start, width, shift = place, m, np.zeros(m)
        low, high, place = np.maximum(bottom, 0), np.maximum(top, 0), place + 2 * m
    w, b = layers[-1]
    last = np.zeros(total)
    last[start:start + width] = w[label] - w[rival]
    rows.append((last, -np.inf, -(b[label] - b[rival]) - (w[label] - w[rival]) @ shift))
    cost = np.zeros(total)
    cost[0] = 1.0
    found = milp(cost, constraints=[LinearConstraint(*row) for row in rows], bounds=Bounds(lower, upper),
                 integrality=whole)
    return float(found.fun) if found.success else np.inf
