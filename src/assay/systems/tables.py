"""Systems that decide on rows of a table: any function from a list of dictionaries to scores; indicators for networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.perturbations.fields import Fields
from assay.records import Access
from assay.systems.answers import scores_of

Cell = float | int | bool | str


@dataclass(frozen=True, eq=False)
class RowSystem:
    """`function(rows)` as a system, rows a list of {field: value}: its scores (rows, classes) are seen, gradients are not.

    Numbers are floats (of kind whole ints), categories their words, flags True or False. The function may return a tensor,
    an array or nested lists; scores are logits or log-probabilities, so of two classes with one score z return (0, z).
    Raises `ContractError` for another number of answers than rows, and for answers that are no real numbers.

    >>> from assay.perturbations.fields import fields_from
    >>> age = fields_from({"fields": {"age": {"kind": "whole", "range": [0, 120]}}})
    >>> system = RowSystem(lambda rows: [[0, row["age"] - 65] for row in rows], fields=age)
    >>> system(torch.tensor([[61.0], [70.0]])).tolist()
    [[0.0, -4.0], [0.0, 5.0]]
    """

    function: Callable[[Sequence[Mapping[str, Cell]]], Any]
    fields: Fields = field(kw_only=True)
    name: str = "rule base"
    access: Access = Access.SCORE
    kind: str = "function"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, inputs: Tensor) -> Tensor:
        if inputs.ndim != 2 or inputs.shape[1] != len(self.fields.fields):
            raise InputError(f"system {self.name!r} decides on rows of {len(self.fields.fields)} fields, and the inputs "
                             f"have shape {tuple(inputs.shape)}")
        rows = [self._told(row) for row in inputs.tolist()]
        return scores_of(self.function(rows), len(rows), name=self.name, things="rows")

    def _told(self, row: Sequence[float]) -> dict[str, Cell]:
        found: dict[str, Cell] = {}
        for each, value in zip(self.fields.fields, row, strict=True):
            found[each.name] = (each.values[round(value)] if each.kind == "category" else value > 0.5 if each.kind == "flag"
                                else round(value) if each.kind == "whole" else value)
        return found


class OneHot(nn.Module):
    """(batch, fields) → (batch, columns): a category of m values as m indicators, numbers scaled to [0, 1], flags as 0, 1.

    `widths` are the numbers of values of categories and 0 for other fields, `low` and `span` the ranges. Given in `dtype`,
    that of the network behind it.
    """

    low: Tensor
    span: Tensor

    def __init__(self, widths: Sequence[int], low: Tensor, span: Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.widths, self.dtype = list(widths), dtype
        self.register_buffer("low", low.double())
        self.register_buffer("span", span.double())

    @property
    def columns(self) -> int:
        """How many columns come out."""
        return sum(width or 1 for width in self.widths)

    def forward(self, rows: Tensor) -> Tensor:
        scaled = (rows.double() - self.low) / self.span
        parts = [scaled[:, i, None] if not width else (rows[:, i, None].round() == torch.arange(width)).double()
                 for i, width in enumerate(self.widths)]
        return torch.cat(parts, dim=1).to(self.dtype)


def one_hot(fields: Fields) -> OneHot:
    """The first layer of a network on rows; `.columns` is how many numbers it gives to the next.

    >>> from assay.perturbations.fields import fields_from
    >>> kinds = fields_from({"fields": {"unit": {"kind": "category", "values": ["a", "b"]},
    ...                                 "age": {"kind": "whole", "range": [0, 120]}}})
    >>> one_hot(kinds)(torch.tensor([[1.0, 60.0]])).tolist(), one_hot(kinds).columns
    ([[0.0, 1.0, 0.5]], 3)
    """
    each = fields.fields
    return OneHot([len(one.values) for one in each], torch.tensor([one.low for one in each], dtype=torch.float64),
                  torch.tensor([one.high - one.low for one in each], dtype=torch.float64))
