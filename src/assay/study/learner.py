"""A simple learner on a structure alone: multinomial regression on its numbers and their squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.solvers.multinomial import regression_path

WEIGHT = 1e-3           # ℓ2, on standardised features
FLAT = 1e-9             # standard deviation below which a feature says nothing


@dataclass(frozen=True, kw_only=True)
class Learner:
    """scores(f) = W ((f, f²) − centre)/spread + b of features f (n, k)."""

    centre: Tensor
    spread: Tensor
    theta: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Scores (n, classes); gradients pass through."""
        f = features.to(self.theta.dtype)
        rows = (torch.cat((f, f.square()), 1) - self.centre) / self.spread
        return rows @ self.theta[:, :-1].T + self.theta[:, -1]

    def data(self) -> dict[str, Any]:
        """The numbers of the formula: centre, spread (2k,), W (classes, 2k) and b (classes,), to six digits."""
        named = {"centre": self.centre, "spread": self.spread, "W": self.theta[:, :-1], "b": self.theta[:, -1]}
        return {name: _rounded(value.tolist()) for name, value in named.items()}


def _rounded(value: Any) -> Any:
    return [_rounded(v) for v in value] if isinstance(value, list) else float(f"{value:.6g}")


def fit(features: Tensor, y: Tensor, classes: int) -> Learner:
    """The learner of the features (n, k) and classes (n,), in double precision.

    Squares let it say "neither bright nor dark". Rarer classes are repeated until all are as many, since what is asked of
    the learner is its balanced accuracy.

    >>> f = torch.tensor([[0.0], [0.1], [0.9], [1.0]])
    >>> fit(f, torch.tensor([0, 0, 1, 1]), 2)(f).argmax(1).tolist()
    [0, 0, 1, 1]
    """
    chosen = _balanced(y)
    f, y = features.double()[chosen], y[chosen]
    rows = torch.cat((f, f.square()), 1)
    centre, spread = rows.mean(0), rows.std(0)
    spread = torch.where(spread > FLAT, spread, torch.ones_like(spread))
    (theta,) = regression_path((rows - centre) / spread, y, classes, (WEIGHT,))
    return Learner(centre=centre, spread=spread, theta=theta)


def _balanced(y: Tensor) -> Tensor:
    """Places of y in which each class is as often as the commonest, but for what whole repetitions leave."""
    most = int(torch.bincount(y).max())
    places = [(y == c).nonzero().flatten() for c in y.unique().tolist()]
    return torch.cat([p.repeat(max(1, round(most / len(p)))) for p in places])
