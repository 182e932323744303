"""Assay finds the worst case of an AI system, sets it beside the average case and the established method, and stamps the
result on a warning label that anyone can check.

    import assay
    audit = assay.audit("deep-cascade", "bundled:brain", profile="research", budget="demo")
    audit.verdicts, audit.findings, audit.folder, audit.warning_label

Read on: `assay.records` (what is said), `assay.systems` (what is audited), `assay.perturbations`, `assay.searches` and
`assay.metrics` (how it is stressed and measured), `assay.checks` (the questions), `assay.audits` (the act),
`assay.verdicts` and `assay.reports` (the telling). Importing `assay` loads no torch; the first use of `Audit` or `audit`
loads what reads an audit's folder, so that a test run with Assay's plug-in, and no audit, pays for neither.
"""

import importlib
from typing import TYPE_CHECKING, Any

from assay.records import Access, Finding, Flag, Outcome, Stop, Verdict

if TYPE_CHECKING:
    from assay.api import Audit, audit

__version__ = "0.1.0"
__all__ = ["Access", "Audit", "Finding", "Flag", "Outcome", "Stop", "Verdict", "audit"]


def __getattr__(name: str) -> Any:
    if name not in ("Audit", "api", "audit"):
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    api = importlib.import_module("assay.api")
    return api if name == "api" else getattr(api, name)
