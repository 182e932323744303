"""Every unit in this process, in the plan's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assay.audits.plan import Unit
from assay.audits.run import run_unit
from assay.audits.session import Session
from assay.records import Finding
from assay.store import AuditFolder


@dataclass(frozen=True)
class Serial:
    """The default: no second process, all cores to torch; at most `batch` samples at once (None: a whole unit)."""

    batch: int | None = None

    def run(self, session: Session, folder: AuditFolder, units: list[Unit]) -> Iterator[tuple[Unit, list[Finding]]]:
        checks, bench = session.checks(), session.bench()
        for unit in units:
            with session.threading():
                findings = run_unit(unit, checks, bench, folder, self.batch)
            yield unit, findings
