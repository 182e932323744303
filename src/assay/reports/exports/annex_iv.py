"""A dated test log, with lines to sign: evidence relevant to point 2(g) of Annex IV of the AI Act.

The point asks for procedures, data and their main characteristics, metrics, potentially discriminatory impacts, and test
logs dated and signed by the responsible persons. What an audit does not know is absent, and what it did not test is said.
Source: Regulation (EU) 2024/1689, Annex IV, point 2(g).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from assay.records import to_data
from assay.reports.comparison import Comparison
from assay.reports.exports.material import Material, numbers, told
from assay.reports.label_fields import stamp
from assay.reports.subgroups import data, subgroups
from assay.reports.wording import printable
from assay.store import AuditFolder

RELEVANT_TO = "Regulation (EU) 2024/1689 (AI Act), Annex IV, point 2(g)"
_SIGNED = ("Name", "Role", "Organisation", "Date", "Signature")


def annex_iv(material: Material) -> dict[str, Any]:
    """The log as data."""
    label, header = material.label, material.folder.header
    subject, other = label["subject"], label["results"]["established"] if label["results"] else None
    return _known({
        "evidence_relevant_to": RELEVANT_TO,
        "not_a_statement_of": "conformity; whether the requirement is met is for others to decide",
        "system": {"name": subject["name"], "version": subject["version"], "task": subject["task"],
                   "sha256": subject["digest"]["sha256"], "preprocessing": subject["preprocessing"]},
        "dates": {"tested": tested(material.folder), "issued": label["issued"], "valid_until": label["valid_until"],
                  "expired": material.expired},
        "responsible": None if label["auditor"]["name"] == "not attributed" else dict(label["auditor"]),
        "tool": {"name": "assay", "version": label["provenance"]["tool_version"], "seed": label["provenance"]["seed"],
                 "environment": label["provenance"]["environment"]},
        "test_data": {**label["scope"], "characteristics": header["data"].get("description"),
                      "operator": header["data"].get("operator"), "noise": header["data"].get("noise")},
        "established_method": other and other["name"],
        "result": {"signal": label["headline"]["signal"], "rule": label["headline"]["rule"],
                   "hazard": label["headline"]["hazard"], "consequence": label["headline"]["consequence"]},
        "metrics": [to_data(n) for n in numbers(label)],
        "tests": [_test(row) for row in material.rows],
        "potentially_discriminatory_impacts": _groups(material),
        "refusal_lines": [line["words"] for line in label["refusal"]],
        "not_tested": label["not_tested"],
        "bound_to": {"label_sha256": label["digest"]["sha256"],
                     "audit_sha256": label["provenance"]["audit_digest"]["sha256"]},
        "signatures": [dict.fromkeys(_SIGNED, "")]})


def _groups(material: Material) -> str | list[dict[str, Any]]:
    """The harm in each group of samples, of every check; that nothing was compared, where no groups were given."""
    found = subgroups(material.rows, list(material.folder.findings()), material.folder.header.get("groups", {}))
    return [data(one) for one in found] or "not tested: no groups were compared"


def _impacts(told_groups: str | list[dict[str, Any]]) -> list[str]:
    """The same in a sentence for each check and system: the worst group."""
    if isinstance(told_groups, str):
        return [f"Potentially discriminatory impacts: {told_groups}"]
    lines = ["Potentially discriminatory impacts: harm in groups of samples, the worst of each check"]
    for one in told_groups:
        worst = next(g for g in one["groups"] if g["name"] == one["worst"])
        sure = "above another group's" if one["told_apart"] else "not told apart from the others'"
        count = f"{worst['harmed']} of {worst['n']}"
        lines.append(printable(f"  {one['check']}, {one['system']}: {worst['name']}, {count}; {sure}"))
    return lines


def tested(folder: AuditFolder) -> dict[str, str] | None:
    """First and last time in the folder's log, which the manifest does not cover; None where there is none."""
    path = folder.path / "log.jsonl"
    if not path.exists():
        return None
    times = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue                        # a line that a killed process left unfinished
        if isinstance(entry, dict) and isinstance(entry.get("time"), (int, float)):
            times.append(float(entry["time"]))
    if not times:
        return None
    return {"from": stamp(datetime.fromtimestamp(min(times), UTC)), "to": stamp(datetime.fromtimestamp(max(times), UTC)),
            "source": "log.jsonl, outside the manifest"}


def _test(row: Comparison) -> dict[str, Any]:
    check, verdict = row.check, row.audited
    asked = {key: check.get(key) for key in ("question", "method", "perturbation", "levels", "unit", "search", "controls",
                                             "sources")}
    return _known({"id": verdict.check, "title": row.title, "procedure": _known(asked), "metric": verdict.metric,
                   "criterion": verdict.criterion, "outcome": verdict.outcome.value, "reason": verdict.reason,
                   "result": _result(row, verdict),
                   "established": row.established and _known(_result(row, row.established))})


def _result(row: Comparison, verdict: Any) -> dict[str, Any]:
    interval = None if verdict.rate_low is None else [verdict.rate_low, verdict.rate_high]
    return _known({"system": verdict.system, "judged": verdict.n, "harmed": verdict.harmed, "harmed_share_95": interval,
                   "without_change": verdict.normal, "random_changes": verdict.average, "worst_case_found": verdict.worst,
                   "level": verdict.level, "unit": verdict.unit, "replayable_cases": verdict.witnesses})


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def annex_iv_text(material: Material) -> str:
    """The log as plain text to print, sign and file."""
    log = annex_iv(material)
    dataset = log["test_data"]["dataset"]
    lines = ["TEST LOG", f"Evidence relevant to {RELEVANT_TO}.", f"Not a statement of {log['not_a_statement_of']}.",
             "", *_block("System", log["system"], "name", "version", "task", "sha256"), *_dated(log), "",
             *_block("Test data", {**dataset, "samples": log["test_data"]["n"], "sha256": dataset["digest"]["sha256"]},
                     "id", "sha256", "licence", "samples"),
             f"Characteristics: {printable(str(log['test_data'].get('characteristics', '')))}"
             + (" (simulated measurements)" if dataset["simulated"] else ""),
             "", f"Result: {log['result']['signal']}, rule {printable(log['result']['rule'])}", log["result"]["hazard"],
             log["result"]["consequence"], "", "Tests"]
    lines += [f"  {told(row)} Criterion: {printable(row.audited.criterion)}." for row in material.rows]
    lines += ["", "Metrics", *(f"  {_metric(n)}" for n in numbers(material.label))]
    lines += ["", *log["refusal_lines"], *_impacts(log["potentially_discriminatory_impacts"]), "Not tested"]
    lines += [f"  {printable(line)}" for line in log["not_tested"]]
    lines += ["", f"Bound to: label sha256 {log['bound_to']['label_sha256']}",
              f"          audit sha256 {log['bound_to']['audit_sha256']}", "", "Signed by the responsible persons"]
    lines += [f"  {field + ':':14}{'_' * 48}" for field in _SIGNED]
    return "\n".join(lines) + "\n"


def _dated(log: dict[str, Any]) -> list[str]:
    """When, by whom and with what."""
    dates, responsible = log["dates"], log.get("responsible")
    when = dates["tested"]
    return [f"Tested: {when['from']} to {when['to']} ({when['source']})" if when else "Tested: the folder holds no times",
            f"Issued: {dates['issued']}", f"Valid until: {dates['valid_until']}{' (expired)' if dates['expired'] else ''}",
            f"Responsible: {printable(responsible['name'])} ({responsible['independence']})" if responsible
            else "Responsible: not attributed", f"Tool: assay {log['tool']['version']}, seed {log['tool']['seed']}"]


def _block(title: str, values: Any, *fields: str) -> list[str]:
    return [title, *(f"  {field}: {printable(str(values[field]))}" for field in fields if field in values)]


def _metric(number: Any) -> str:
    interval = "" if number.low is None else f", 95 % interval {number.low!r} to {number.high!r}"
    what = f"{number.name} ({number.unit or 'no unit'}), {number.system}, {number.under}"
    return printable(f"{what}: {number.value!r}{interval}, n = {number.n}")
