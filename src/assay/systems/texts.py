"""Systems that decide on texts: any function from a list of texts to scores, one for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.numerics.texts import decode
from assay.records import Access
from assay.systems.metered import ContractError


@dataclass(frozen=True, eq=False)
class TextSystem:
    """`function(texts)`, texts a list of str, as a system: its scores (texts, classes) are seen, gradients are not.

    The function may return a tensor, an array or nested lists; scores are logits or log-probabilities, so of two classes
    with one score z return (0, z). `module` is what holds its weights, if anything does. Raises `ContractError` for
    another number of answers than texts, and for answers that are no real numbers.

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
        answers = self.function(texts)
        try:
            scores = answers if isinstance(answers, Tensor) else torch.from_numpy(np.asarray(answers, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ContractError(f"system {self.name!r}: its answers are not numbers ({error}); return scores (texts, "
                                "classes)") from None
        if scores.ndim != 2 or len(scores) != len(texts) or scores.is_complex():
            raise ContractError(f"system {self.name!r}: {len(texts)} texts were given and answers of shape "
                                f"{tuple(scores.shape)} came back; return real scores (texts, classes)")
        return scores if scores.is_floating_point() else scores.double()
