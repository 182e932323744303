"""Systems that decide on texts: any function from a list of texts to scores, one for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from assay.arrays import InputError
from assay.numerics.texts import decode
from assay.records import Access
from assay.systems.answers import scores_of


@dataclass(frozen=True, eq=False)
class TextSystem:
    """`function(texts)`, texts a list of str, as a system: its scores (texts, classes) are seen, gradients are not.

    The function may return a tensor, an array or nested lists; scores are logits or log-probabilities, so of two classes
    with one score z return (0, z). `module` is what holds its weights, if anything does. Raises `ContractError` for
    another number of answers than texts, and for answers that are no real numbers.

    >>> import torch
    >>> from assay.numerics.texts import encode
    >>> system = TextSystem(lambda texts: [[0.0, float(len(text))] for text in texts])
    >>> system(torch.from_numpy(encode(["ab", ""]))).tolist()
    [[0.0, 2.0], [0.0, 0.0]]
    """

    function: Callable[[Sequence[str]], Any]
    name: str = "text classifier"
    access: Access = Access.SCORE
    kind: str = "function"
    settings: Mapping[str, Any] = field(default_factory=dict)
    module: nn.Module | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        if inputs.is_floating_point() or inputs.is_complex() or inputs.ndim != 2:
            raise InputError(f"system {self.name!r} decides on texts, and the inputs are {inputs.dtype} of shape "
                             f"{tuple(inputs.shape)}")
        texts = list(decode(inputs.cpu().numpy()))
        return scores_of(self.function(texts), len(texts), name=self.name, things="texts")
