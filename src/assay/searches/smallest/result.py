"""What every search for the smallest change that flips a decision returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from assay.arrays import MaskPerExample, PerExample
from assay.records import Stop

# inputs (batch, …) -> scores of the classes (batch, classes), before softmax; examples do not see each other
Scores = Callable[[Tensor], Tensor]
Box = tuple[float, float]           # the least and the greatest value an entry of the input may take


@dataclass(frozen=True, kw_only=True)
class Smallest:
    """The smallest flipping perturbation found for each example.

    `perturbation` (batch, …) in the unit of the inputs; `size` (batch,) its norm, infinite where nothing was found (the
    true size is then censored, never "robust"); `found` (batch,); `decision` (batch,) the new class, or the old one;
    `stop` why each example stopped; `forward`, `backward` (batch,) evaluations of each example: a batched pass over n
    examples counts 1 for each, and the gradients of k classes count k; `winner` which search found it ("" where none).
    """

    perturbation: Tensor
    size: PerExample
    found: MaskPerExample
    decision: Tensor
    stop: tuple[Stop, ...]
    forward: Tensor
    backward: Tensor
    winner: tuple[str, ...]
