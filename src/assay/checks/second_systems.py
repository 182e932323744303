"""Changes found on second systems and carried over: what an attacker achieves who has another model, and not this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from assay.arrays import InputError, MaskPerExample, PerExample, per_example
from assay.checks.check import Bench, Check
from assay.checks.searching import beats, objective_of
from assay.metrics import protocol as metrics
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.records import LENT, TURNED, Access
from assay.searches.auto_pgd import auto_pgd
from assay.searches.result import score
from assay.systems.metered import Metered

T = TypeVar("T")
SIZE = ".size"


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


@dataclass(frozen=True, kw_only=True)
class Loan:
    """What was found on one second system: the members of the set (batch, …), their size, and what they did to it.

    A change that does not turn the very system it was made for says nothing about another one.
    """

    parameters: Tensor
    size: PerExample
    harmed: MaskPerExample          # it did some harm; where it did none, as to a constant, it is a random start and no find
    turned: MaskPerExample          # decided rightly without the change, and wrongly under it; without a goal: harmed


def lent(check: Check, system: str, bench: Bench, x: Examples, level: float, within: Any, steps: int,
         climb: str) -> dict[str, Loan]:
    """By second system the member of the set, per example, that Auto-PGD finds worst for it in so many `steps`.

    The run does not end where that system's decision turns: a change that only just turns it seldom turns another
    (Dong et al., CVPR 2018). `InputError` for a set that no gradient searches.
    """
    if not isinstance(within, ConvexSet):
        raise InputError(f"check {check.id!r}: changes are carried over within a set that gradients search, such as "
                         "kind = \"inputs\"; this one is none")
    metric = metrics.find(check.metric)

    def worst(name: str, other: Metered) -> Loan:
        generators = [stream(bench.seed, check.id, level, sample, "second system", name) for sample in x.ids]
        objective = objective_of(metric, other, within, x, unchanged(other, x), climb)
        found = auto_pgd(objective, within, x=x, generators=generators, steps=steps, restarts=1)
        return _loan(check, other, within, x, found.parameters)

    return of_each(all_lenders(system, bench), len(x), worst)


def all_lenders(system: str, bench: Bench) -> Mapping[str, Metered]:
    """The lenders of a system that is audited, and the surrogates that give gradients."""
    return lenders(system, {**bench.systems, **bench.surrogates})


def _loan(check: Check, other: Metered, within: Any, x: Examples, p: Tensor) -> Loan:
    """The members with what they do to the second system."""
    metric = metrics.find(check.metric)
    objective = objective_of(metric, other, within, x, unchanged(other, x))
    with torch.no_grad():
        before, after = (score(objective(q)).harm.double() for q in (within.zero(x), p))
    return Loan(parameters=p, size=within.size(x, p), harmed=after > before,
                turned=beats(after, before, metric) & before.isfinite())


def members(loans: Mapping[str, Loan], within: Any, x: Examples) -> list[Tensor]:
    """What is carried over: of each lender its change, where it did harm there; else another's; where none did any, none."""
    other = within.zero(x)
    for loan in loans.values():
        other = torch.where(per_example(loan.harmed, other), loan.parameters, other)
    return [torch.where(per_example(loan.harmed, other), loan.parameters, other) for loan in loans.values()]


def told(loans: Mapping[str, Loan], system: str, bench: Bench, n: int) -> tuple[Mapping[str, float], ...]:
    """For each example what its row says of the loans: `lent.NAME.turned` (0 or 1) and `lent.NAME.size`.

    A lender that raised on the example has no size and was not turned.
    """
    return tuple({f"{LENT}{name}{field}": value for name in all_lenders(system, bench)
                  for field, value in _numbers(loans.get(name), i).items()} for i in range(n))


def _numbers(loan: Loan | None, i: int) -> dict[str, float]:
    return {TURNED: 0.0} if loan is None else {TURNED: float(loan.turned[i]), SIZE: float(loan.size[i])}


def replayed(check: Check, system: str, bench: Bench, x: Examples, within: Any,
             stored: Mapping[str, Tensor]) -> dict[str, float]:
    """What a row says of the loans, from the stored changes (1, …) by second system; one that stored none turned nothing."""
    others = all_lenders(system, bench)
    loans = {name: _loan(check, others[name], within, x, p) for name, p in stored.items() if name in others}
    return dict(told(loans, system, bench, 1)[0])
