"""Numbers of a row moved anywhere within their tolerances at once: a box around the row, for searches by gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.field_changes import rows_of, told
from assay.perturbations.fields import Fields
from assay.perturbations.protocol import Examples


@dataclass(frozen=True, kw_only=True)
class FieldBall:
    """{p : |p_i| ≤ radius, low_i ≤ x_i + t_i p_i ≤ high_i, p_i = 0 where the field may not move}, p (batch, fields).

    t_i is the field's tolerance at the row, `within` or by·|x_i|, so sizes are shares of it, and 1 is all of it. Fields move
    that are numbers with `may_change` and a tolerance, without a grid and in no tie: of others the values between are none.

    >>> from assay.perturbations.fields import fields_from
    >>> dose = {"kind": "number", "range": [0, 10], "may_change": True, "within": 2}
    >>> ball = FieldBall(fields=fields_from({"fields": {"dose": dose}}), radius=1.0)
    >>> x = Examples(ids=("a",), inputs=torch.tensor([[9.0]]))
    >>> ball.apply(x, ball.project(x, torch.tensor([[3.0]]))).inputs.tolist()       # 9 + 2 is beyond the range
    [[10.0]]
    """

    fields: Fields
    radius: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.radius < math.inf:
            raise InputError(f"radius must be at least 0 and finite, got {self.radius}")

    @property
    def unit(self) -> str:
        return "share of the tolerance, ℓ∞"

    @property
    def moving(self) -> tuple[int, ...]:
        """The positions of the fields that move."""
        tied = {i for tie in self.fields.ties for i in tie.fields}
        return tuple(i for i, f in enumerate(self.fields.fields) if f.kind == "number" and f.may_change and not f.to
                     and f.step is None and i not in tied)

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(x.inputs)

    def apply(self, x: Examples, p: Tensor) -> Examples:
        """x + t·p, cut to the range against rounding."""
        low, high = self._ends(x)
        moved = (x.inputs + self._tolerances(x) * p).clamp(low, high)
        return x.changed(inputs=torch.where(p != 0, moved, x.inputs), truth=x.truth)

    def project(self, x: Examples, p: Tensor) -> Tensor:
        low, high = self._room(x)
        return p.clamp(low, high)

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        """The member of greatest inner product with the gradient: an end of each field's room, by the gradient's sign."""
        low, high = self._room(x)
        return torch.where(gradient > 0, high, torch.where(gradient < 0, low, torch.zeros_like(low)))

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        """A step as large as the set, blind to the ranges; 0 for fields that do not move."""
        return self.radius * gradient.sign() * (self._tolerances(x) > 0)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """Every field moved by `size` (or the radius), up or down at random; down or up where there is more room there."""
        low, high = self._room(x)
        far = torch.full((len(x), 1), self.radius, dtype=low.dtype) if size is None else size[:, None].to(low)
        coins = torch.stack([torch.rand(x.inputs.shape[1], generator=g) for g in generators]) < 0.5
        upward = torch.where(coins, (high >= far) | (high >= -low), (-low < far) & (high > -low))
        return torch.where(upward, torch.minimum(far, high), -torch.minimum(far, -low))

    def size(self, x: Examples, p: Tensor) -> PerExample:
        """max_i |p_i|, (batch,)."""
        return p.abs().amax(1).double()

    def resized(self, radius: float) -> FieldBall:
        return replace(self, radius=radius)

    def texts(self, x: Examples) -> Tensor:
        """The rows as a person reads them, code points (batch, longest): a line for each field."""
        return told(self.fields, x)

    def _tolerances(self, x: Examples) -> Tensor:
        """How far each field may move, (batch, fields); 0 where it may not."""
        rows_of(self.fields, x)                     # refuses what are no rows of these fields
        found = torch.zeros_like(x.inputs)
        for i in self.moving:
            field = self.fields.fields[i]
            found[:, i] = field.within if field.within is not None else (field.by or 0.0) * x.inputs[:, i].abs()
        return found

    def _ends(self, x: Examples) -> tuple[Tensor, Tensor]:
        low, high = (torch.tensor([getattr(f, end) for f in self.fields.fields]).to(x.inputs) for end in ("low", "high"))
        return low, high

    def _room(self, x: Examples) -> tuple[Tensor, Tensor]:
        """The least and the greatest member of each field, (batch, fields) each."""
        (low, high), far = self._ends(x), self._tolerances(x)
        reach = self.radius * (far > 0).to(far)
        safe = torch.where(far > 0, far, torch.ones_like(far))
        return torch.maximum((low - x.inputs) / safe, -reach), torch.minimum((high - x.inputs) / safe, reach)
