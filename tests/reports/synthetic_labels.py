"""The labels of the five fixed audits."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import synthetic_audit

from assay.reports import warning_label

ISSUED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AUDITOR = {"name": "Example Lab", "independence": "third-party", "contact": "lab@example.org"}


@functools.cache
def labelled(word: str) -> dict[str, Any]:
    """The label of the audit that earns this signal; not to be changed."""
    folder = synthetic_audit.with_signal(word)
    return warning_label.build(folder, folder.verdicts(), issued=ISSUED, auditor=AUDITOR)
