"""Verdicts for test servers (JUnit) and code hosts (SARIF)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from assay.records import Outcome, Verdict
from assay.reports.wording import WORST, amount, printable

_SARIF_LEVELS = {Outcome.UNSTABLE: "error", Outcome.INCONCLUSIVE: "warning"}


def junit(verdicts: Sequence[Verdict]) -> str:
    """JUnit XML of the audited systems: unstable is a failure, inconclusive an error, not applicable skipped."""
    mine = [v for v in verdicts if v.role == "audited"]
    suite = ElementTree.Element("testsuite", name="assay", tests=str(len(mine)))
    for name, outcome in (("failures", Outcome.UNSTABLE), ("errors", Outcome.INCONCLUSIVE),
                          ("skipped", Outcome.NOT_APPLICABLE)):
        suite.set(name, str(sum(v.outcome is outcome for v in mine)))
    tags = {Outcome.UNSTABLE: "failure", Outcome.INCONCLUSIVE: "error", Outcome.NOT_APPLICABLE: "skipped"}
    for verdict in mine:
        case = ElementTree.SubElement(suite, "testcase", classname=printable(verdict.system), name=verdict.check)
        if verdict.outcome in tags:
            detail = ElementTree.SubElement(case, tags[verdict.outcome], message=printable(verdict.reason))
            detail.text = _numbers(verdict)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def sarif(verdicts: Sequence[Verdict], folder: Path | None = None) -> dict[str, Any]:
    """SARIF 2.1.0 log of what was found or could not be judged in the audited systems.

    Code hosts show no result without a place: with `folder` it is the label's text there.
    """
    placed = {} if folder is None else {"locations": [{"physicalLocation": {
        "artifactLocation": {"uri": quote(_relative(folder))}, "region": {"startLine": 1}}}]}
    shown = [v for v in verdicts if v.role == "audited" and v.outcome in _SARIF_LEVELS]
    rules = {v.check: {"id": v.check, "shortDescription": {"text": printable(v.criterion) or v.check}} for v in shown}
    return {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [{
        "tool": {"driver": {"name": "assay", "rules": list(rules.values())}},
        "results": [{"ruleId": v.check, "level": _SARIF_LEVELS[v.outcome],
                     "message": {"text": f"{printable(v.system)}: {printable(v.reason)}. {_numbers(v)}"}, **placed}
                    for v in shown]}]}


def _relative(folder: Path) -> str:
    """The label's text in the folder, without a way that leads up or to a root."""
    inside = folder if not folder.is_absolute() and ".." not in folder.parts else Path(folder.name)
    return (inside / "warning_label.txt").as_posix()


def _numbers(verdict: Verdict) -> str:
    if verdict.metric in WORST:
        proved = f"{WORST[verdict.metric].lower()} {amount(verdict.worst)}"
        return f"{verdict.metric}: {proved}; as much as asked for {verdict.certified} of {verdict.n}"
    return (f"{verdict.metric}: normal {amount(verdict.normal)}, average {amount(verdict.average)}, "
            f"worst found {amount(verdict.worst)}; harmed {verdict.harmed} of {verdict.n}")
