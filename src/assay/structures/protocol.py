"""What a candidate structure is, and one that can be edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Structure(Protocol):
    """A cheap scalar or small vector g(x) of an input; `formula` says in a line what it is.

    `keeps_truth` says whether an edit of it leaves what a person would say the input shows; where it does not, following an
    edit is no fault, and the study does not call it one. `unfit` is why the structure says nothing about such inputs, or "".
    """

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def formula(self) -> str: ...

    @property
    def keeps_truth(self) -> bool: ...

    def unfit(self, x: Tensor) -> str: ...

    def features(self, x: Tensor) -> Tensor:
        """(batch, k) numbers of inputs (batch, …): what a simple learner may read."""
        ...


@runtime_checkable
class Editable(Structure, Protocol):
    """A structure with an editor: `given(x, content(x))` is x, and all else of x stays."""

    def content(self, x: Tensor) -> Tensor:
        """What an edit exchanges, (batch, …)."""
        ...

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        """x with this content instead of its own, kept to the box of the inputs."""
        ...


@dataclass(frozen=True, kw_only=True)
class OfFunction:
    """A user's structure: a function from inputs (batch, …) to numbers (batch,) or (batch, k), without an editor."""

    id: str
    title: str
    function: Callable[[Tensor], Tensor]
    formula: str = "a function of the user's"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return ""

    def features(self, x: Tensor) -> Tensor:
        found = self.function(x)
        return found[:, None] if found.ndim == 1 else found


def neutral(structure: Editable, x: Tensor, reference: Tensor) -> Tensor:
    """x with the structure's mean content over `reference`: it tells nothing about the class any more."""
    content = structure.content(reference).mean(0, keepdim=True)
    return structure.given(x, content.expand(len(x), *content.shape[1:]))


def square(side: int, x: Tensor) -> Tensor:
    """Mean over blocks to (batch, channels, side, side) of images (batch, channels, height, width)."""
    return torch.nn.functional.adaptive_avg_pool2d(x, side)
