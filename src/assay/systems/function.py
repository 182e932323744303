"""Any callable as a system: its outputs are seen, its gradients are not, unless it says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from assay.records import Access


@dataclass(frozen=True, eq=False)
class FunctionSystem:
    """`function(inputs)`. Declare `access=Access.GRADIENT` only if autograd runs through it.

    >>> import torch
    >>> FunctionSystem(lambda x: 2 * x)(torch.ones(1)).tolist()
    [2.0]
    """

    function: Callable[[Tensor], Tensor]
    name: str = "function"
    access: Access = Access.SCORE
    kind: str = "function"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)
