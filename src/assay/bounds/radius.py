"""The largest ball around an input within which the decision is proved to hold."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import PerExample
from assay.bounds.crown import lower
from assay.bounds.layers import Chain
from assay.bounds.region import Box, around

HALVINGS = 20


def margins_over(chain: Chain, x: Tensor, label: Tensor, radius: PerExample, kind: str, box: Box | None) -> PerExample:
    """A lower bound of min f_y(z) − f_k(z) over the ball and k ≠ y: positive only where the decision y holds in it."""
    rows = torch.eye(chain.outputs, dtype=torch.float64)
    forms = rows[label][:, None] - rows[None]                        # (batch, outputs, outputs); that of y itself is 0
    bounds = lower(chain, forms, around(x, radius, kind, box))
    return bounds.scatter(1, label[:, None], torch.inf).amin(1)


def certified_radius(chain: Chain, x: Tensor, label: Tensor, *, kind: str, most: PerExample, box: Box | None,
                     halvings: int = HALVINGS) -> PerExample:
    """A radius (batch,) within which the decision `label` is proved to hold: 0 where nothing is, at most `most`.

    By bisection: every radius returned was itself proved, so that it does not matter whether the bounds grow with it. Of a
    linear network it is the exact distance to the nearest other decision within the box, less at most `most` · 2^(−halvings)
    and what rounding takes.

    >>> from assay.bounds.layers import dense
    >>> chain = Chain(layers=(dense(torch.tensor([[3.0, 4.0], [0.0, 0.0]])),), shape=(2,))
    >>> x, most = torch.tensor([[1.0, 0.5]]), torch.tensor([4.0])
    >>> round(certified_radius(chain, x, torch.tensor([0]), kind="l2", most=most, box=None).item(), 4)   # 5 / ‖(3, 4)‖
    1.0
    """
    proved, tried = torch.zeros_like(most.double()), most.double()
    step = tried.clone()
    for _ in range(halvings + 1):
        holds = margins_over(chain, x, label, tried, kind, box) > 0
        proved = torch.where(holds, torch.maximum(proved, tried), proved)
        step = step / 2
        tried = torch.where(holds, tried + step, tried - step).clamp_max(most.double())
    return proved
