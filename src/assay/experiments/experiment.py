"""What an experiment is, and running one: part by part, resumable."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.account import Account
from assay.arrays import InputError
from assay.experiments import MODULES, SIZES
from assay.records import to_json
from assay.store import write_aside
from assay.workbook import Watch, Workbook


@dataclass(frozen=True, kw_only=True)
class Part:
    """One piece of work: what computes its results (plain values), and about how many seconds that takes."""

    name: str
    seconds: float
    run: Callable[[], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """`parts` says what is to be computed in a size ("quick" or "full"), `tell` what the results show."""

    id: str
    title: str
    parts: Callable[[str, int], tuple[Part, ...]]               # size, seed
    tell: Callable[[Mapping[str, dict[str, Any]], str], Account]   # results by part, size


def find(name: str) -> Experiment:
    """The experiment of this name; `InputError` naming those that exist."""
    if name not in MODULES:
        raise InputError(f"experiment {name!r}: it is one of {', '.join(MODULES)}")
    found: Experiment = importlib.import_module(MODULES[name]).EXPERIMENT
    return found


def run_experiment(experiment: Experiment, path: Path, *, size: str = "quick", seed: int = 0,
                   watch: Watch | None = None) -> Account:
    """Compute the parts that the folder does not hold yet, then write the account. Safe to kill and to repeat.

    Raises `InputError` for an unknown size, `StoreError` where the folder holds other work.
    """
    if size not in SIZES:
        raise InputError(f"size {size!r}: it is one of {', '.join(SIZES)}")
    book = Workbook.create(path, {"experiment": experiment.id, "size": size, "seed": seed})
    results = book.fill({part.name: part.run for part in experiment.parts(size, seed)}, watch)
    told = experiment.tell(results, size)
    write_aside(book.path / "account.json", to_json(told, indent=1).encode())
    return told
