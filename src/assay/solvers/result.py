"""What every solver returns: the image, why it stopped for each example, the residual, the iterations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from assay.arrays import PerExample
from assay.records import Stop


@dataclass(frozen=True, kw_only=True)
class Solution:
    """x (batch, …), the stop reason and relative residual of each example, and the iterations of the slowest."""

    x: Tensor
    stop: tuple[Stop, ...]
    residual: PerExample
    iterations: int


@runtime_checkable
class Iterative(Protocol):
    """A system that can say whether it had converged on an input: before it is said to have lost, it must have."""

    def solve(self, inputs: Tensor) -> Solution: ...


def stops(residual: PerExample, tolerance: float) -> tuple[Stop, ...]:
    """CONVERGED where the residual is at most the tolerance, BUDGET elsewhere, NON_FINITE for NaN."""
    return tuple(Stop.NON_FINITE if r != r else Stop.CONVERGED if r <= tolerance else Stop.BUDGET
                 for r in residual.tolist())
