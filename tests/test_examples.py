"""The example scripts run with the data that ship, end at a report that verifies, and are short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import assay
from assay.records import Outcome

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_examples_are_short():
    assert len(SCRIPTS) >= 4
    for name in SCRIPTS:
        assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60, name


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_example_runs(name, tmp_path):
    if name == "audit_sklearn":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install -e '.[sklearn]'")
    source = str(Path(assay.__file__).parents[1])
    ran = subprocess.run([sys.executable, EXAMPLES / f"{name}.py", tmp_path / "audit"], capture_output=True, text=True,
                         cwd=tmp_path, timeout=600, env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"})
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.rstrip().endswith("report.html") and (tmp_path / "audit" / "report.html").exists()
    verdicts = assay.Audit(tmp_path / "audit").verdicts
    assert {v.role for v in verdicts} == {"audited", "established"} and any(v.outcome is Outcome.UNSTABLE for v in verdicts)
    assert all(claim.holds for claim in assay.api.verify(tmp_path / "audit", replay=False))
