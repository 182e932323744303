"""Running a plan: resume what is there, run the rest, seal the folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from assay.audits.plan import Plan, Unit, make_plan
from assay.audits.session import Session
from assay.checks.check import Bench, Check, run_check
from assay.records import Finding
from assay.store import AuditFolder, StoreError
from assay.verdicts import harm


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a watcher is told after each unit."""

    unit: Unit
    done: int
    total: int
    seconds: float
    worst: Finding | None           # the most harmful row of this unit at its own level


Watcher = Callable[[Progress], None]


class Executor(Protocol):
    """Runs units, in any order, each leaving its files in the folder; yields each as it finishes."""

    def run(self, session: Session, folder: AuditFolder, units: list[Unit]) -> Iterator[tuple[Unit, list[Finding]]]: ...


def run_audit(session: Session, path: Path, *, executor: Executor, watch: Watcher | None = None,
              plan: Plan | None = None) -> AuditFolder:
    """Run what the folder does not hold yet, then write the manifest. Safe to kill at any moment and to repeat."""
    plan = plan or make_plan(session)
    fitted = {loaded.record.name: loaded.weights for loaded in (*session.systems, *session.surrogates)
              if loaded.weights is not None}
    folder = AuditFolder.create(path, session.header(), plan.data(session.data.ids), fitted)
    with _lock(path):
        folder.clear_leftovers()
        waiting = [unit for unit in plan.units if not folder.has(unit.id)]
        finished, start = len(plan.units) - len(waiting), time.perf_counter()
        folder.log(event="start", time=time.time(), waiting=len(waiting), executor=type(executor).__name__)
        for done, (unit, findings) in enumerate(executor.run(session, folder, waiting), start=finished + 1):
            if watch is not None:
                watch(Progress(unit=unit, done=done, total=len(plan.units), seconds=time.perf_counter() - start,
                               worst=_most_harmful(findings)))
        folder.seal()
        folder.log(event="sealed", time=time.time(), seconds=time.perf_counter() - start)
    return folder


def run_unit(unit: Unit, checks: dict[str, Check], bench: Bench, folder: AuditFolder,
             batch: int | None = None) -> list[Finding]:
    """One unit from samples to files, computed at most `batch` samples at once."""
    start = time.perf_counter()
    x = bench.fetch(unit.positions)
    result = run_check(checks[unit.check], unit.system, bench, x, batch=batch)
    folder.write_unit(unit.id, result.findings, _arrays(result.witnesses), _arrays(result.exhibits))
    folder.log(event="unit", unit=unit.id, seconds=round(time.perf_counter() - start, 3))
    return list(result.findings)


def _arrays(tensors: object) -> dict[str, np.ndarray]:
    return {name: value.detach().contiguous().numpy() for name, value in tensors.items()  # type: ignore[attr-defined]
            if isinstance(value, Tensor)}


def _most_harmful(findings: list[Finding]) -> Finding | None:
    judged = [f for f in findings if f.worst is not None and f.origin == f.system]
    return max(judged, key=lambda f: harm(f.worst or 0.0, f), default=None)


class _lock:  # noqa: N801 - used as a verb: with _lock(path)
    """One audit process per folder: an advisory lock that the system frees when a process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path / ".lock"

    def __enter__(self) -> None:
        import fcntl

        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.file.close()
            raise StoreError(f"{self.path.parent}: another process is running this audit; wait for it, or choose "
                             "another --out") from None

    def __exit__(self, *exception: object) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)
