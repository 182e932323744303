"""Where the inputs may lie: a box, or a Euclidean ball within one; and the least value of a linear form there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample, per_example
from assay.numerics.projections import stretched

Box = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """{z : low ≤ z ≤ high, ‖z − centre‖₂ ≤ radius}, batch-wise and in double precision; without a radius, the box alone."""

    centre: Tensor
    low: Tensor
    high: Tensor
    radius: Tensor | None = None        # (batch,)

    def least(self, form: Tensor) -> Tensor:
        """A lower bound of min ⟨a_k, z⟩ for each form, (batch, forms, …) → (batch, forms); exact but for rounding.

        Without a radius Σ min(a l, a u). With one the greatest of three values of the dual, each a lower bound by itself
        (weak duality): for any split a = p + q, ⟨a, c⟩ − r‖p‖₂ + Σ min(q (l − c), q (u − c)). With p = −λ clip(−a/λ, l − c,
        u − c) at the λ of the minimiser (conditions of Karush, Kuhn and Tucker) it is the minimum.
        """
        low, high, centre = (v.flatten(1)[:, None] for v in (self.low, self.high, self.centre))
        a = form.flatten(2)
        if self.radius is None:
            return torch.minimum(a * low, a * high).sum(2)
        down, up, r = low - centre, high - centre, self.radius[:, None]
        base = (a * centre).sum(2)
        whole = -r * a.norm(dim=2)
        boxed = torch.minimum(a * down, a * up).sum(2)
        return base + torch.maximum(torch.maximum(whole, boxed), _split(a, down, up, r))

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """The least box that holds the region."""
        if self.radius is None:
            return self.low, self.high
        r = per_example(self.radius, self.centre)
        return torch.maximum(self.low, self.centre - r), torch.minimum(self.high, self.centre + r)

    def part(self, chosen: Tensor) -> Region:
        """Some of the batch."""
        return replace(self, centre=self.centre[chosen], low=self.low[chosen], high=self.high[chosen],
                       radius=None if self.radius is None else self.radius[chosen])


def _split(a: Tensor, down: Tensor, up: Tensor, r: Tensor) -> Tensor:
    """The dual's value at the λ of the primal minimiser, (batch, forms)."""
    batch, forms, n = a.shape
    d, u, g = down.expand(a.shape).reshape(-1, n), up.expand(a.shape).reshape(-1, n), -a.reshape(-1, n)
    step = stretched(g.abs(), torch.where(g >= 0, u, -d), r.expand(batch, forms).reshape(-1)) * g.sign()
    free = (step > d) & (step < u) & (step != 0)
    share = torch.where(free, g, 0.0).norm(dim=1) / torch.where(free, step, 0.0).norm(dim=1).clamp_min(1e-300)
    scale = torch.where(free.any(1), share, 0.0)[:, None]       # λ; 0 where every entry is at an end of its room
    held = scale * torch.minimum(torch.maximum(g / scale.clamp_min(1e-300), d), u)
    rest = -g + held
    value = -r.expand(batch, forms).reshape(-1) * held.norm(dim=1) + torch.minimum(rest * d, rest * u).sum(1)
    return value.reshape(batch, forms)


def around(x: Tensor, radius: PerExample, kind: str, box: Box | None) -> Region:
    """The ball of the norm `kind` ("l2" or "linf") around x, within the box where there is one."""
    centre, r = x.double(), radius.double()
    low, high = box or (-math.inf, math.inf)
    least, most = torch.full_like(centre, low), torch.full_like(centre, high)
    if kind == "linf":
        size = per_example(r, centre)
        return Region(centre=centre, low=torch.maximum(centre - size, least), high=torch.minimum(centre + size, most))
    if kind != "l2":
        raise InputError(f"no bounds over balls of norm {kind!r}; known: l2, linf")
    if box is None:
        size = per_example(r, centre)
        least, most = centre - size, centre + size
    return Region(centre=centre, low=least, high=most, radius=r)
