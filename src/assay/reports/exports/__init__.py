"""The same facts for other programs: each format is computed from an audit's folder, without torch.

Numbers come from the label that was issued and from the verdicts of the stored findings. What is not known is absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from assay.records import Verdict, to_json
from assay.reports import warning_label
from assay.reports.exports.annex_iv import annex_iv, annex_iv_text
from assay.reports.exports.chai import chai
from assay.reports.exports.code_hosts import junit, sarif
from assay.reports.exports.cyclonedx import cyclonedx
from assay.reports.exports.findings_table import csv_of, parquet_of
from assay.reports.exports.huggingface import readme
from assay.reports.exports.json_object import json_object
from assay.reports.exports.material import Material
from assay.store import AuditFolder, StoreError

__all__ = ["FORMATS", "Material", "annex_iv", "annex_iv_text", "chai", "csv_of", "cyclonedx", "json_object", "junit",
           "material_of", "parquet_of", "readme", "sarif", "written"]

FORMATS: dict[str, Callable[[Material], bytes]] = {
    "cyclonedx": lambda told: _json(cyclonedx(told)),
    "huggingface": lambda told: readme(told, "").encode(),
    "chai": lambda told: chai(told).encode(),
    "annex-iv": lambda told: annex_iv_text(told).encode(),
    "annex-iv-json": lambda told: _json(annex_iv(told)),
    "sarif": lambda told: _json(sarif(told.verdicts, told.folder.path)),
    "junit": lambda told: junit(told.verdicts).encode(),
    "json": lambda told: _json(json_object(told.folder, told.verdicts)),
    "csv": lambda told: csv_of(told.folder.table()),
    "parquet": lambda told: parquet_of(told.folder.table()),
}


def material_of(folder: AuditFolder, verdicts: Sequence[Verdict]) -> Material:
    """What the formats are computed from; `StoreError` where the label is missing, or says what the findings do not."""
    path = folder.path / "warning_label.json"
    if not path.exists():
        raise StoreError(f"{path}: no such file; write it with `assay report {folder.path}`")
    label = warning_label.read(path.read_bytes())
    if wrong := warning_label.differences(label, folder, verdicts):
        raise StoreError(f"{path}: {wrong[0]} is not what the findings say; write it again with `assay report "
                         f"{folder.path}`")
    return Material(folder=folder, verdicts=verdicts, label=label, expired=warning_label.expired(label, datetime.now(UTC)))


def written(told: Material, form: str, existing: Path | None) -> bytes:
    """The export in one of `FORMATS`; a README that exists keeps everything that Assay did not write."""
    if form == "huggingface" and existing is not None and existing.exists():
        try:
            return readme(told, existing.read_bytes().decode("utf-8")).encode()
        except UnicodeDecodeError as error:
            raise StoreError(f"{existing}: not UTF-8 text ({error}); save it as UTF-8, or choose another --out") from None
    return FORMATS[form](told)


def _json(value: object) -> bytes:
    """JSON in which what does not print stands as its escape: the same values, and nothing that hides or reorders."""
    text = to_json(value, indent=1)
    return ("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n").encode()
