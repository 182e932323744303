"""Changes found on second systems and carried over: what an attacker achieves who has another model, and not this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench, Check
from assay.checks.searching import objective_of
from assay.metrics import protocol as metrics
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.records import Access
from assay.searches.auto_pgd import auto_pgd
from assay.systems.metered import Metered


def lenders(system: str, bench: Bench) -> Mapping[str, Metered]:
    """The systems that changes for `system` can be found on: the others that give gradients, surrogates among them."""
    return {name: other for name, other in {**bench.systems, **bench.surrogates}.items()
            if name != system and other.access >= Access.GRADIENT}


def lent(check: Check, system: str, bench: Bench, x: Examples, level: float, within: Any, steps: int,
         climb: str) -> list[Tensor]:
    """For each second system the member of the set, per example, that Auto-PGD finds worst for it in so many `steps`.

    The run does not end where that system's decision turns: a change that only just turns it seldom turns another
    (Dong et al., CVPR 2018). A system that raises on a single sample lends nothing. `InputError` for a set that no gradient
    searches.
    """
    if not isinstance(within, ConvexSet):
        raise InputError(f"check {check.id!r}: changes are carried over within a set that gradients search, such as "
                         "kind = \"inputs\"; this one is none")
    metric, found = metrics.find(check.metric), []
    for name, other in lenders(system, bench).items():
        generators = [stream(bench.seed, check.id, level, sample, "second system", name) for sample in x.ids]
        try:
            with torch.no_grad():
                normal = other(x.inputs)
            objective = objective_of(metric, other, within, x, normal, climb)
            found.append(auto_pgd(objective, within, x=x, generators=generators, steps=steps, restarts=1).parameters)
        except (MemoryError, OSError):
            raise
        except Exception:
            if len(x) > 1:
                raise                       # `run_check` tries each sample alone
    return found
