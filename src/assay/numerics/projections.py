"""Nearest points of convex sets, per example. Each is the projection in the Euclidean norm, or has another name."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import Batch, InputError, PerExample, per_example
from assay.numerics.norms import norm


def project_l2(x: Batch, radius: PerExample) -> Batch:
    """argmin ‖z − x‖ over ‖z‖₂ ≤ radius: x · min(1, radius / ‖x‖).

    >>> project_l2(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    scale = (radius / norm(x).clamp_min(1e-38)).clamp_max(1.0)
    return x * per_example(scale, x)


def project_linf(x: Batch, radius: PerExample) -> Batch:
    """argmin ‖z − x‖ over |z_i| ≤ radius: each entry shortened to modulus radius, its phase (or sign) kept.

    >>> project_linf(torch.tensor([[3.0, -0.5]]), torch.tensor([1.0])).tolist()
    [[1.0, -0.5]]
    """
    bound = per_example(radius, x)
    return x * (bound / x.abs().clamp_min(1e-38)).clamp_max(1.0)


def project_simplex(x: Batch, total: PerExample) -> Batch:
    """argmin ‖z − x‖ over z ≥ 0, Σ z_i = total (real x, total ≥ 0): z = max(x − θ, 0), θ by sorting.

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, "Efficient projections onto the ℓ1-ball", ICML 2008, Figure 1.

    >>> project_simplex(torch.tensor([[1.0, 0.5, -3.0]]), torch.tensor([1.0])).tolist()
    [[0.75, 0.25, 0.0]]
    """
    if x.is_complex():
        raise InputError("a simplex has real members; project the moduli, or the real part")
    total = total.to(x.dtype)
    flat = x.flatten(1)
    flat = flat - flat.amax(1, keepdim=True)                # Σ z is given, so a common shift changes nothing but rounding
    high = flat.sort(dim=1, descending=True).values
    count = torch.arange(1, flat.shape[1] + 1, dtype=x.dtype)
    theta = (high.cumsum(1) - total[:, None]) / count       # θ if the `count` greatest entries stay positive
    kept = (high > theta).sum(1).clamp_min(1)
    return (flat - theta.gather(1, kept[:, None] - 1)).clamp_min(0).reshape(x.shape)


def project_l1(x: Batch, radius: PerExample) -> Batch:
    """argmin ‖z − x‖ over ‖z‖₁ ≤ radius: the moduli go to the simplex, phases (signs) stay. Duchi et al. (2008), section 4.

    >>> project_l1(torch.tensor([[1.0, -0.5]]), torch.tensor([1.0])).tolist()
    [[0.75, -0.25]]
    """
    moduli = x.abs()
    outside = moduli.flatten(1).sum(1) > radius
    nearest = torch.where(per_example(outside, moduli), project_simplex(moduli, radius), moduli)
    return x * (nearest / torch.where(moduli > 0, moduli, torch.ones_like(moduli)))


def stretched(direction: Batch, cap: Batch, radius: PerExample) -> Batch:
    """min(s·a, cap) with s ≥ 0 such that its ℓ2 norm is `radius`; all of the cap (where a > 0) if that is shorter.

    a = `direction` ≥ 0 and cap ≥ 0, both (batch, *shape) and real. Σ min(u a², cap²) is concave, increasing and piecewise
    linear in u = s², so Newton's method from the left never passes the root; each step at least quarters the product of
    gap and slope, and the capped entries only grow in number, so it ends (in 3 to 9 steps on images). Free of units.

    >>> stretched(torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, 10.0]]), torch.tensor([5.0])).tolist()
    [[3.0, 4.0]]
    """
    a, c, r = direction.flatten(1), cap.flatten(1), radius.to(direction.dtype)[:, None]
    a = a / _nonzero(a.amax(1, keepdim=True))
    a2, c2 = a.square(), (c / _nonzero(r)).square().clamp_max(torch.finfo(a.dtype).max)
    capped = a2 == 0
    c2 = c2.masked_fill(capped, 0.0)
    while True:
        room = 1 - c2.masked_fill(~capped, 0.0).sum(1, keepdim=True, dtype=torch.float64)
        slope = a2.masked_fill(capped, 0.0).sum(1, keepdim=True, dtype=torch.float64)
        u = torch.where(slope > 0, room.clamp_min(0) / _nonzero(slope), torch.zeros_like(slope))
        reached = capped | (u.to(a.dtype) * a2 >= c2)
        if bool((reached == capped).all()):
            break
        capped = reached
    moduli = torch.where(capped, c.masked_fill(a2 == 0, 0.0), (r * u.sqrt()).to(a.dtype) * a)
    return torch.where(r > 0, torch.minimum(moduli, c), torch.zeros_like(c)).reshape(direction.shape)


def _nonzero(x: Tensor) -> Tensor:
    """x as a divisor: 1 in place of 0."""
    return torch.where(x > 0, x, torch.ones_like(x))


def project_l2_box(x: Batch, radius: PerExample, low: Batch, high: Batch) -> Batch:
    """argmin ‖z − x‖ over ‖z‖₂ ≤ radius and low ≤ z ≤ high, where low ≤ 0 ≤ high: clip(x / (1 + λ), low, high), λ ≥ 0.

    λ = 0 if the clipped x is short enough, otherwise the λ at which the norm is the radius (conditions of Karush, Kuhn
    and Tucker of the ball's one constraint; each entry is then a projection onto its interval).

    >>> low, high = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 9.0]])
    >>> project_l2_box(torch.tensor([[8.0, 8.0]]), torch.tensor([5.0]), low, high).tolist()
    [[3.0, 4.0]]
    """
    clipped = torch.minimum(torch.maximum(x, low), high)
    fits = norm(clipped) <= radius
    if bool(fits.all()):
        return clipped
    short = stretched(x.abs(), torch.where(x >= 0, high, -low), radius) * x.sign()
    return torch.where(per_example(fits, x), clipped, short)


def project_linf_box(x: Batch, radius: PerExample, low: Batch, high: Batch) -> Batch:
    """argmin ‖z − x‖ over |z_i| ≤ radius and low ≤ z ≤ high, where low ≤ 0 ≤ high: two clips."""
    bound = per_example(radius, x)
    return torch.minimum(torch.maximum(x, torch.maximum(low, -bound)), torch.minimum(high, bound))


def steepest_in_box(gradient: Batch, radius: PerExample, low: Batch, high: Batch, kind: str) -> Batch:
    """argmax ⟨gradient, d⟩ over ‖d‖ ≤ radius and low ≤ d ≤ high, where low ≤ 0 ≤ high.

    ℓ∞: the sign times the radius, clipped. ℓ2: clip(t·gradient, low, high) with t such that the norm is the radius, or
    the corner of the box that the gradient points to if the ball contains it.

    >>> low, high = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 9.0]])
    >>> steepest_in_box(torch.tensor([[7.0, 7.0]]), torch.tensor([5.0]), low, high, "l2").tolist()
    [[3.0, 4.0]]
    """
    if kind == "l2":
        return stretched(gradient.abs(), torch.where(gradient >= 0, high, -low), radius) * gradient.sign()
    return project_linf_box(steepest(gradient, kind) * per_example(radius, gradient), radius, low, high)


def project(x: Batch, radius: PerExample, kind: str) -> Batch:
    """The projection onto the ball of the named norm."""
    if kind == "l2":
        return project_l2(x, radius)
    if kind == "linf":
        return project_linf(x, radius)
    raise InputError(f"no projection onto the ball of norm {kind!r}")


def steepest(gradient: Tensor, kind: str) -> Tensor:
    """argmax ⟨gradient, d⟩ over the unit ball ‖d‖ ≤ 1: g/‖g‖₂, or the sign (phase) for ℓ∞.

    >>> steepest(torch.tensor([[0.0, -2.0]]), "l2").tolist()
    [[0.0, -1.0]]
    """
    if kind == "l2":
        return gradient / per_example(norm(gradient).clamp_min(1e-38), gradient)
    if kind == "linf":
        return gradient / gradient.abs().clamp_min(1e-38)
    raise InputError(f"no steepest direction for norm {kind!r}")
