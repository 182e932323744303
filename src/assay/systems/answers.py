"""What a function from a list of things to scores gave back, as scores, or the reason why it is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.systems.metered import ContractError


def scores_of(answers: Any, count: int, *, name: str, things: str) -> Tensor:
    """Real scores (count, classes) from a tensor, an array or nested lists.

    Raises `ContractError` for another number of answers than `things` (texts, rows), and for answers that are no real
    numbers.

    >>> scores_of([[0, 2]], 1, name="rules", things="texts").tolist()
    [[0.0, 2.0]]
    """
    try:
        scores = answers if isinstance(answers, Tensor) else torch.from_numpy(np.asarray(answers, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ContractError(f"system {name!r}: its answers are not numbers ({error}); return scores ({things}, classes)"
                            ) from None
    if scores.ndim != 2 or len(scores) != count or scores.is_complex():
        raise ContractError(f"system {name!r}: {count} {things} were given and answers of shape {tuple(scores.shape)} came "
                            f"back; return real scores ({things}, classes)")
    return scores if scores.is_floating_point() else scores.double()
