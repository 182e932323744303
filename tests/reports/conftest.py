from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import synthetic_audit
from synthetic_audit import SyntheticFolder

from assay.reports import warning_label

ISSUED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AUDITOR = {"name": "Example Lab", "independence": "third-party", "contact": "lab@example.org"}


@pytest.fixture(scope="session")
def folder() -> SyntheticFolder:
    """A network that fails where the established method does not."""
    return synthetic_audit.make(Path("audit"))


@pytest.fixture(scope="session")
def stable_folder() -> SyntheticFolder:
    """A network on which nothing is found."""
    return synthetic_audit.make(Path("audit"), network=1.2)


@pytest.fixture(scope="session")
def label(folder: SyntheticFolder) -> dict[str, Any]:
    return warning_label.build(folder, folder.verdicts(), issued=ISSUED, auditor=AUDITOR)


@pytest.fixture(scope="session")
def stable_label(stable_folder: SyntheticFolder) -> dict[str, Any]:
    return warning_label.build(stable_folder, stable_folder.verdicts(), issued=ISSUED, auditor=AUDITOR)
