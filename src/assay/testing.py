"""Stability as an assertion, for test suites: `assert_stable(system, data)`. Importing this loads no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.api import Audit


def assert_stable(system: Any, data: Any = "", *, profile: str = "research", budget: str = "standard",
                  fail_on: str | Sequence[str] = "CAUTION", out: str | Path | None = None, **options: Any) -> Audit:
    """Audit, and `AssertionError` with the label's sentences and the report's place where a rule of `fail_on` fires.

    `system`, `data` and further keywords are those of `assay.audit`; `fail_on` is a rule or several, as on the command line
    (`WARNING`, `CAUTION`, `NOTICE`, `unstable`, `unstable:CHECK`, `inconclusive:CHECK`, `crossed`, `crossed:LINE`, `never`).
    Without `out` the folder is a new temporary one, which stays. Returns the finished audit. That nothing fired is no proof:
    a worse case can exist.
    """
    __tracebackhide__ = True
    from assay.api import audit
    from assay.reports import gate

    words = [fail_on] if isinstance(fail_on, str) else list(fail_on)
    gate.rules_of(words)                                    # a word that is none is told before the audit runs
    folder = Path(tempfile.mkdtemp(prefix="assay-")) / "audit" if out is None else Path(out)
    finished = audit(system, data, profile=profile, budget=budget, out=folder, **options)
    rules = gate.rules_of(words, finished.header["profile"])
    head = finished.warning_label["headline"]
    if reasons := gate.fired(rules, head["signal"], finished.verdicts, finished.refusals):
        raise AssertionError("\n".join([f"{head['signal']}. {head['hazard']} {head['consequence']}", *reasons,
                                        f"Report: {finished.folder / 'report.html'}"]))
    return finished
