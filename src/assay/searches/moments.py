"""Adam with one second moment for each example, so that every step is a direction of the set and a trust in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.numerics.norms import norm

BETA1, BETA2 = 0.9, 0.99


class Moments:
    """m ← β₁ m + (1 − β₁) ∇, v ← β₂ v + (1 − β₂) ‖∇‖₂², both corrected for their start at 0; v is a number per example.

    Kingma and Ba, ICLR 2015, but for v, which there is one for each coordinate: projected, that iteration has another
    fixed point, for ⟨w, p⟩ on a ball the sign of w instead of w/‖w‖.
    """

    def __init__(self, like: Tensor) -> None:
        self.first = torch.zeros_like(like)
        self.second = torch.zeros(len(like), dtype=like.real.dtype)
        self.steps = 0

    def move(self, gradient: Tensor, uphill: Callable[[Tensor], Tensor]) -> Tensor:
        """`uphill` of the mean gradient, shortened by ‖m̂‖/√v̂ ≤ 1 where the gradients disagree."""
        self.steps += 1
        self.first = BETA1 * self.first + (1 - BETA1) * gradient
        self.second = BETA2 * self.second + (1 - BETA2) * norm(gradient) ** 2
        smooth = self.first / (1 - BETA1 ** self.steps)
        trust = norm(smooth) / (self.second / (1 - BETA2 ** self.steps)).sqrt().clamp_min(1e-38)
        return uphill(smooth) * per_example(trust.clamp_max(1.0), smooth)
