"""Nearest points of convex sets, per example. Each is the projection in the Euclidean norm, or has another name."""

from __future__ import annotations

from torch import Tensor

from assay.arrays import Batch, InputError, PerExample, per_example
from assay.numerics.norms import norm


def project_l2(x: Batch, radius: PerExample) -> Batch:
    """argmin ‖z − x‖ over ‖z‖₂ ≤ radius: x · min(1, radius / ‖x‖).

    >>> import torch
    >>> project_l2(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    scale = (radius / norm(x).clamp_min(1e-38)).clamp_max(1.0)
    return x * per_example(scale, x)


def project_linf(x: Batch, radius: PerExample) -> Batch:
    """argmin ‖z − x‖ over |z_i| ≤ radius: each entry shortened to modulus radius, its phase (or sign) kept.

    >>> import torch
    >>> project_linf(torch.tensor([[3.0, -0.5]]), torch.tensor([1.0])).tolist()
    [[1.0, -0.5]]
    """
    bound = per_example(radius, x)
    return x * (bound / x.abs().clamp_min(1e-38)).clamp_max(1.0)


def project(x: Batch, radius: PerExample, kind: str) -> Batch:
    """The projection onto the ball of the named norm."""
    if kind == "l2":
        return project_l2(x, radius)
    if kind == "linf":
        return project_linf(x, radius)
    raise InputError(f"no projection onto the ball of norm {kind!r}")


def steepest(gradient: Tensor, kind: str) -> Tensor:
    """argmax ⟨gradient, d⟩ over the unit ball ‖d‖ ≤ 1: g/‖g‖₂, or the sign (phase) for ℓ∞.

    >>> import torch
    >>> steepest(torch.tensor([[0.0, -2.0]]), "l2").tolist()
    [[0.0, -1.0]]
    """
    if kind == "l2":
        return gradient / per_example(norm(gradient).clamp_min(1e-38), gradient)
    if kind == "linf":
        return gradient / gradient.abs().clamp_min(1e-38)
    raise InputError(f"no steepest direction for norm {kind!r}")
