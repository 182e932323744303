"""Units spread over local processes, each of which builds the session from its recipe, with what was chosen and fitted."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay.arrays import InputError
from assay.audits.plan import Unit
from assay.audits.recipe import as_chosen
from assay.audits.run import run_unit
from assay.audits.session import Session
from assay.checks.check import Bench, Check
from assay.records import Finding
from assay.store import AuditFolder

_WORKER: dict[str, Any] = {}        # what this worker process built at its start


@dataclass(frozen=True)
class Processes:
    """`count` worker processes; torch gets an equal share of the cores in each; at most `batch` samples at once."""

    count: int
    batch: int | None = None

    def run(self, session: Session, folder: AuditFolder, units: list[Unit]) -> Iterator[tuple[Unit, list[Finding]]]:
        if session.recipe is None:
            raise InputError("systems made in memory cannot be sent to other processes; name them (module:factory) or "
                             "use one process")
        threads = min(session.threads, max(1, (os.cpu_count() or 1) // self.count))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.count, mp_context=context, initializer=_start,
                                 initargs=(as_chosen(folder.header, folder), str(folder.path), threads, self.batch)) as pool:
            waiting = {pool.submit(_work, unit): unit for unit in units}
            try:
                for finished in as_completed(waiting):
                    yield waiting[finished], finished.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _start(recipe: dict[str, Any], path: str, threads: int, batch: int | None) -> None:
    from assay.audits.prepare import session_from

    torch.set_num_threads(threads)
    session = session_from(recipe)
    _WORKER.update(checks=session.checks(), bench=session.bench(), folder=AuditFolder(Path(path)), batch=batch)


def _work(unit: Unit) -> list[Finding]:
    checks: dict[str, Check] = _WORKER["checks"]
    bench: Bench = _WORKER["bench"]
    return run_unit(unit, checks, bench, _WORKER["folder"], _WORKER["batch"])
