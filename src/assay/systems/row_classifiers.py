"""Classifiers of rows of a table: a multilayer perceptron, and as the established one logistic regression on the fields.

Their weights hold how the fields are read: how many values a category has, and the range of each number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.tables import OneHot
from assay.systems.weights import State

HIDDEN = 48


class _OfRows(nn.Module):
    """What both share: the fields as indicators and numbers from 0 to 1."""

    def __init__(self, encode: OneHot) -> None:
        super().__init__()
        self.encode = encode
        self.register_buffer("widths", torch.tensor(encode.widths))


class RowNetwork(_OfRows):
    """W₃ relu(W₂ relu(W₁ e(x) + b₁) + b₂) + b₃, e(x) the fields as indicators and numbers."""

    def __init__(self, encode: OneHot, *, classes: int, hidden: int = HIDDEN) -> None:
        super().__init__(encode)
        self.first = nn.Linear(encode.columns, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.decide = nn.Linear(hidden, classes)

    def forward(self, rows: Tensor) -> Float[Tensor, "rows classes"]:
        return self.decide(torch.relu(self.second(torch.relu(self.first(self.encode(rows))))))


class RowLogistic(_OfRows):
    """W e(x) + b: additive in the fields, as a points score is."""

    def __init__(self, encode: OneHot, *, classes: int) -> None:
        super().__init__(encode)
        self.linear = nn.Linear(encode.columns, classes)

    def forward(self, rows: Tensor) -> Float[Tensor, "rows classes"]:
        return self.linear(self.encode(rows))


def _encoding(state: State) -> OneHot:
    widths: Sequence[float] = state["widths"].tolist()
    return OneHot([round(width) for width in widths], state["encode.low"], state["encode.span"])


def build_row_network(state: State) -> RowNetwork:
    """The network whose weights these are."""
    return RowNetwork(_encoding(state), classes=len(state["decide.bias"]), hidden=len(state["first.bias"]))


def build_row_logistic(state: State) -> RowLogistic:
    """The classifier whose weights these are."""
    return RowLogistic(_encoding(state), classes=len(state["linear.bias"]))
