"""Every member of a finite set: the only search whose answer is the worst case and not a bound on it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import Examples
from assay.records import Stop
from assay.searches.result import Best, Objective, SearchResult


def exhaustive(objective: Objective, members: Iterable[Tensor], *, x: Examples) -> SearchResult:
    """The member of greatest harm for each example: max over m of objective(m), each m (batch, …) parameters.

    Of equal members the first is kept. Every member is evaluated once, for all examples together, without gradients, so
    an iterator of any length takes the memory of one member. Raises `InputError` for no members, or for one that is not
    given per example.

    >>> x = Examples(ids=("a",), inputs=torch.zeros(1, 1))
    >>> found = exhaustive(lambda p: -(p[:, 0] - 2) ** 2, [torch.tensor([[v]]) for v in (0.0, 1.0, 3.0)], x=x)
    >>> float(found.parameters), float(found.value), found.stop[0].value
    (1.0, -1.0, 'exhausted')
    """
    best: Best | None = None
    with torch.no_grad():
        for p in members:
            if p.ndim < 1 or len(p) != len(x):
                raise InputError(f"members: need parameters for {len(x)} examples, got shape {tuple(p.shape)}; "
                                 "repeat a shared member with .expand")
            if best is None:
                best = Best(p)
            best.see(p, objective(p))
    if best is None:
        raise InputError("members: the set is empty; give at least one member")
    return best.result(Stop.EXHAUSTED)
