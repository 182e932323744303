"""A network of one hidden layer trained by Adam, in plain arrays: millions of steps on a handful of units.

A step of 50 samples and 104 units takes 20 to 30 µs here; the same step in an automatic differentiation library takes
several hundred, nearly all of it overhead, and the published experiments need six million.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BETA, GAMMA, TINY = 0.9, 0.999, 1e-8        # Adam's own: Kingma and Ba, ICLR 2015


@dataclass(frozen=True, kw_only=True)
class Network:
    """score(x) = v · max(0, W (x, 1)) + b. `inner` is W (inputs + 1, units), `outer` (v, b) (units + 1)."""

    inner: Array
    outer: Array

    def __call__(self, x: Array) -> Array:
        """Scores (n,) of inputs (n, inputs).

        >>> Network(inner=np.array([[1.0], [0.0]]), outer=np.array([2.0, -1.0]))(np.array([[3.0], [-3.0]])).tolist()
        [5.0, -1.0]
        """
        hidden = np.maximum(np.concatenate([x, np.ones((len(x), 1))], 1) @ self.inner, 0.0)
        scores: Array = hidden @ self.outer[:-1] + self.outer[-1]
        return scores

    def slope(self, x: Array) -> Array:
        """∂score/∂x (n, inputs) of the linear piece that each input lies in."""
        active = np.concatenate([x, np.ones((len(x), 1))], 1) @ self.inner > 0
        slopes: Array = (active * self.outer[:-1]) @ self.inner[:-1].T
        return slopes


def drawn(inputs: int, units: int, rng: np.random.Generator) -> Network:
    """Weights uniform within ±√(6/(fan in + fan out)), no biases (Glorot and Bengio, AISTATS 2010)."""
    first, second = math.sqrt(6 / (inputs + units)), math.sqrt(6 / (units + 1))
    inner = np.concatenate([rng.uniform(-first, first, (inputs, units)), np.zeros((1, units))])
    return Network(inner=inner, outer=np.append(rng.uniform(-second, second, units), 0.0))


def logistic(score: Array, y: Array) -> Array:
    """Derivative of −log of the probability of the label y in {0, 1}, by the score: σ(s) − y."""
    derivative: Array = 1.0 / (1.0 + np.exp(-score)) - y
    return derivative


def squared(score: Array, y: Array) -> Array:
    """Derivative of (s − y)² by the score s."""
    derivative: Array = 2.0 * (score - y)
    return derivative


def train(network: Network, x: Array, y: Array, *, epochs: int, batch: int, rate: float, rng: np.random.Generator,
          derivative: Callable[[Array, Array], Array] = logistic, anew: bool = False) -> Network:
    """`epochs` times n/`batch` steps of Adam on x (n, inputs) and y (n,), from `network` on.

    As in the released code, the samples are cut into batches once, and the batches come in random order, each drawn with
    replacement (its shuffling buffer holds many repetitions of them). With `anew` they are cut anew in each epoch, as is
    usual now. Source of the steps: Kingma and Ba, ICLR 2015,
    algorithm 1. The gradient is that of the mean loss of the batch.
    """
    size, units = network.inner.size, network.inner.shape[1]
    weights = np.concatenate([network.inner.ravel(), network.outer])
    inner, outer = weights[:size].reshape(network.inner.shape), weights[size:]
    gradient, mean, square, work = (np.zeros_like(weights) for _ in range(4))
    by_inner, by_outer = gradient[:size].reshape(inner.shape), gradient[size:]
    rows, far, near = np.concatenate([x, np.ones((len(x), 1))], 1), 1.0, 1.0
    batches = _cut(rows, y, batch, rng)
    for _ in range(epochs):
        batches = _cut(rows, y, batch, rng) if anew else batches
        for which in range(len(batches)) if anew else rng.integers(len(batches), size=len(batches)):
            here, goal = batches[which]
            hidden = np.maximum(here @ inner, 0.0)
            delta = derivative(hidden @ outer[:units] + outer[units], goal) / len(goal)
            np.dot(delta, hidden, out=by_outer[:units])
            by_outer[units] = delta.sum()
            np.dot(here.T, np.where(hidden > 0, delta[:, None], 0.0) * outer[:units], out=by_inner)
            far, near = far * GAMMA, near * BETA
            mean *= BETA
            mean += (1 - BETA) * gradient
            square *= GAMMA
            square += (1 - GAMMA) * np.multiply(gradient, gradient, out=work)
            np.sqrt(square, out=work)
            work /= math.sqrt(1 - far)
            work += TINY
            weights -= rate / (1 - near) * mean / work
    return Network(inner=inner.copy(), outer=outer.copy())


def _cut(rows: Array, y: Array, batch: int, rng: np.random.Generator) -> list[tuple[Array, Array]]:
    order = rng.permutation(len(y))
    rows, y = rows[order], y[order]
    return [(rows[start: start + batch], y[start: start + batch]) for start in range(0, len(y), batch)]
