"""Changes found on second systems and carried over: what an attacker achieves who has another model, and not this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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

T = TypeVar("T")


def lenders(system: str, systems: Mapping[str, Metered]) -> Mapping[str, Metered]:
    """Those that changes for `system` can be found on: the others that give gradients."""
    return {name: other for name, other in systems.items() if name != system and other.access >= Access.GRADIENT}


def of_each(others: Mapping[str, Metered], samples: int, find: Callable[[str, Metered], T]) -> dict[str, T]:
    """`find`(name, system) by name. A system that raises on a single sample is left out: its own rows say so."""
    found = {}
    for name, other in others.items():
        try:
            found[name] = find(name, other)
        except (MemoryError, OSError):
            raise
        except Exception:
            if samples > 1:
                raise                       # `run_check` tries each sample alone
    return found


def unchanged(system: Metered, x: Examples) -> Tensor:
    """Its outputs of the inputs as they are, without gradients."""
    with torch.no_grad():
        return system(x.inputs)


def lent(check: Check, system: str, bench: Bench, x: Examples, level: float, within: Any, steps: int,
         climb: str) -> list[Tensor]:
    """For each second system the member of the set, per example, that Auto-PGD finds worst for it in so many `steps`.

    The run does not end where that system's decision turns: a change that only just turns it seldom turns another
    (Dong et al., CVPR 2018). `InputError` for a set that no gradient searches.
    """
    if not isinstance(within, ConvexSet):
        raise InputError(f"check {check.id!r}: changes are carried over within a set that gradients search, such as "
                         "kind = \"inputs\"; this one is none")
    metric = metrics.find(check.metric)

    def worst(name: str, other: Metered) -> Tensor:
        generators = [stream(bench.seed, check.id, level, sample, "second system", name) for sample in x.ids]
        objective = objective_of(metric, other, within, x, unchanged(other, x), climb)
        return auto_pgd(objective, within, x=x, generators=generators, steps=steps, restarts=1).parameters

    return list(of_each(lenders(system, {**bench.systems, **bench.surrogates}), len(x), worst).values())
