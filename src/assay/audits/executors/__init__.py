"""Where units run: in this process, or in several."""

from __future__ import annotations

from assay.arrays import InputError
from assay.audits.executors.processes import Processes
from assay.audits.executors.serial import Serial
from assay.audits.run import Executor


def executor(processes: int = 1, batch: int | None = None) -> Executor:
    """One process or several, computing at most `batch` samples at once (None: a whole unit of work)."""
    if processes < 1 or (batch is not None and batch < 1):
        raise InputError(f"need at least one process and one sample at once, got {processes} and {batch}")
    return Serial(batch) if processes == 1 else Processes(processes, batch)
