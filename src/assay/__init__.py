"""Assay finds the worst case of an AI system, sets it beside the average case and the established method, and stamps the
result on a warning label that anyone can check.

    import assay
    audit = assay.audit("deep-cascade", "bundled:brain", profile="research", budget="demo")
    audit.verdicts, audit.findings, audit.folder, audit.warning_label

Read on: `assay.records` (what is said), `assay.systems` (what is audited), `assay.perturbations`, `assay.searches` and
`assay.metrics` (how it is stressed and measured), `assay.checks` (the questions), `assay.audits` (the act),
`assay.verdicts` and `assay.reports` (the telling). Importing `assay` loads no torch.
"""

from assay.api import Audit, audit
from assay.records import Access, Finding, Flag, Outcome, Stop, Verdict

__version__ = "0.1.0"
__all__ = ["Access", "Audit", "Finding", "Flag", "Outcome", "Stop", "Verdict", "audit"]
