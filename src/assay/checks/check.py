"""`Check` as data, the bench it runs on, and `run_check`, which never lets one bad sample stop the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from assay.arrays import InputError
from assay.metrics import protocol as metrics
from assay.perturbations.protocol import Examples
from assay.records import Finding, Flag, Role, Stop
from assay.systems.metered import Metered


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question, as a value: everything a stranger needs to ask it again. Never a lambda.

    `method` names a row of `METHODS`; `perturbation` and `search` are words with numbers; `levels` the ladder; `metric`
    the judged number and `extra_metrics` those reported beside it; `controls` the random members per level; `samples`
    the greatest number of samples (None: all), because some questions cost more than others.
    """

    id: str
    title: str
    question: str
    method: str
    metric: str
    criterion: Mapping[str, Any]
    sources: tuple[str, ...]
    unit: str = ""
    plain: str = ""
    perturbation: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[float, ...] = ()
    extra_metrics: tuple[str, ...] = ()
    controls: int = 0
    samples: int | None = None
    needs: str = "SCORE"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a check runs on: every system (bound, counted) with its role, the seed, how to get other samples."""

    systems: Mapping[str, Metered]
    roles: Mapping[str, Role]
    seed: int
    families: Mapping[str, Any]                           # systems before binding, for checks that change the operator
    fetch: Callable[[tuple[int, ...]], Examples]          # samples by position in the data set
    count: int = 0                                        # samples in the data set
    groups: tuple[str, ...] = ()                          # the group of each of them, where the data have such
    classes: tuple[str, ...] = ()                         # their names by label, where the truth is a label
    surrogates: Mapping[str, Metered] = field(default_factory=dict)     # not judged: changes are found on them
    keep: int = 4                                         # witnesses kept per unit and level
    exhibits: frozenset[str] = frozenset()                # samples whose pictures are kept
    cache: dict[Any, Any] = field(default_factory=dict)   # per process: results that several units share


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """What one unit of work leaves: rows, perturbations worth keeping, pictures."""

    findings: tuple[Finding, ...]
    witnesses: Mapping[str, Tensor] = field(default_factory=dict)
    exhibits: Mapping[str, Tensor] = field(default_factory=dict)


STOP_FLAGS = {Stop.NON_FINITE: "non-finite", Stop.ZERO_GRADIENT: "zero-gradient"}      # stop reasons that raise a flag
Method = Callable[[Check, str, Bench, Examples], UnitResult]
METHODS: dict[str, Method] = {}
PER_CLASS: set[str] = set()         # methods whose rows are the classes of the data, asked once of all samples together


def method(name: str, *, per_class: bool = False) -> Callable[[Method], Method]:
    """Register a way of asking under the name that profiles use; `per_class` if its rows are classes, not samples."""
    def register(function: Method) -> Method:
        METHODS[name] = function
        if per_class:
            PER_CLASS.add(name)
        return function
    return register


def class_rows(classes: Sequence[str]) -> tuple[str, ...]:
    """What the rows about classes are called, where other rows have the id of a sample.

    >>> class_rows(("cat", "dog"))
    ('class:cat', 'class:dog')
    """
    return tuple(f"class:{name}" for name in classes)


def key(origin: str, sample: str, level: float | None) -> str:
    """How witnesses and pictures are named inside their files.

    >>> key("net", "a", 0.02)
    'net|a|0.02'
    """
    return f"{origin}|{sample}|{'-' if level is None else format(level, '.6g')}"


def loan_key(named: str, lender: str) -> str:
    """How a change that was found on a second system is named beside the witness `named`.

    >>> loan_key(key("net", "a", 0.02), "mlp")
    'net|a|0.02|lent|mlp'
    """
    return f"{named}|lent|{lender}"


def run_check(check: Check, system: str, bench: Bench, x: Examples, *, batch: int | None = None) -> UnitResult:
    """Run the check's method on the samples, at most `batch` at once; if the system raises, each sample alone.

    A method that asks about classes gets all samples, whatever the batch.
    """
    whole = check.method in PER_CLASS
    if batch is not None and len(x) > batch and not whole:
        parts = [x.part(start, start + batch) for start in range(0, len(x), batch)]
        return _merge([run_check(check, system, bench, some) for some in parts])
    try:
        return METHODS[check.method](check, system, bench, x)
    except KeyError:
        if check.method not in METHODS:
            raise InputError(f"check {check.id!r}: unknown method {check.method!r}; known: "
                             f"{', '.join(sorted(METHODS))}") from None
        raise
    except (MemoryError, OSError):
        raise                                              # the machine's trouble, not the sample's
    except Exception as error:
        if len(x) > 1 and not whole:
            return _merge([run_check(check, system, bench, x.only(i)) for i in range(len(x))])
        names = class_rows(bench.classes) if whole else x.ids
        return UnitResult(findings=tuple(_failed(check, system, bench, name, error) for name in names))


def _failed(check: Check, system: str, bench: Bench, sample: str, error: Exception) -> Finding:
    metric = metrics.find(check.metric)
    text = f"{type(error).__name__}: {error}"
    return Finding.empty(check=check.id, system=system, role=bench.roles[system], sample=sample, unit=check.unit,
                         metric=metric.id, better=metric.better, stop=Stop.RAISED, notes=text[:500],
                         flags=(Flag(id="raised", detail=text[:200]),),
                         level=check.criterion.get("level"))


def _merge(results: list[UnitResult]) -> UnitResult:
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    for result in results:
        witnesses |= dict(result.witnesses)
        exhibits |= dict(result.exhibits)
    return UnitResult(findings=tuple(f for r in results for f in r.findings), witnesses=witnesses, exhibits=exhibits)
