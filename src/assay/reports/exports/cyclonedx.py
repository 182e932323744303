"""CycloneDX 1.7 bill of materials of a machine-learning model: model card, and declarations with counter-claims.

A check that found nothing is a claim; a check that demonstrated harm is a counter-claim to the same requirement; a check
that could not be judged is neither, and its rationale says why. No scores of conformance are given: Assay has none.
Source: CycloneDX specification 1.7 (ECMA-424), `declarations`, `definitions.standards`, `modelCard`.
"""

from __future__ import annotations

import uuid
from typing import Any

from assay.records import Outcome, to_data, to_json
from assay.reports.comparison import Comparison
from assay.reports.exports.material import Material, numbers, told
from assay.reports.wording import printable

_SUBJECT = "subject"
_CLAIMED = (Outcome.NONE_FOUND, Outcome.CERTIFIED)


def cyclonedx(material: Material) -> dict[str, Any]:
    """The bill of materials as plain data; equal labels give equal documents."""
    label = material.label
    return {"$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.7",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, label['digest']['sha256'])}", "version": 1,
            "metadata": {
                "timestamp": label["issued"], "component": _component(material),
                "tools": {"components": [{"type": "application", "name": "assay",
                                          "version": label["provenance"]["tool_version"]}]}},
            "declarations": _declarations(material), "definitions": {"standards": [_standard(material)]},
            "properties": _properties({
                "assay:signal": label["headline"]["signal"], "assay:rule": label["headline"]["rule"],
                "assay:hazard": label["headline"]["hazard"], "assay:consequence": label["headline"]["consequence"],
                "assay:label:sha256": label["digest"]["sha256"],
                "assay:audit:sha256": label["provenance"]["audit_digest"]["sha256"]})}


def _component(material: Material) -> dict[str, Any]:
    label, header = material.label, material.folder.header
    subject, dataset = label["subject"], label["scope"]["dataset"]
    system = next(s for s in header["systems"] if s["name"] == subject["name"])
    files = [{"type": "file", "name": printable(name), "hashes": [{"alg": "SHA-256", "content": digest}]}
             for name, digest in sorted(system["files"].items())]
    return {"type": "machine-learning-model", "bom-ref": _SUBJECT, "name": printable(subject["name"]),
            "version": printable(subject["version"]), "description": printable(str(system["description"])),
            **({"components": files} if files else {}),
            "properties": _properties({"assay:model:sha256": subject["digest"]["sha256"],
                                       "assay:preprocessing:sha256": subject["preprocessing"]["digest"]["sha256"],
                                       "assay:access": subject["access"]}),
            "modelCard": {
                "modelParameters": {"task": subject["task"], "datasets": [{
                    "type": "dataset", "name": dataset["id"], "contents": {"properties": _properties({
                        "assay:use": "testing", "assay:data:sha256": dataset["digest"]["sha256"],
                        "assay:licence": dataset["licence"], "assay:samples": str(label["scope"]["n"])})}}]},
                "quantitativeAnalysis": {"performanceMetrics": [_metric(n) for n in numbers(label)]},
                "considerations": {"technicalLimitations": [f"Not tested: {line}" for line in label["not_tested"]]},
                "properties": _properties([("assay:evidence-relevant-to", f"{c['id']} ({c['status']})")
                                           for c in label["profile"]["clauses"]])}}


def _metric(number: Any) -> dict[str, Any]:
    """A metric as the schema wants it: numbers are texts. Digits are those of the label."""
    unit = f", {number.unit}" if number.unit else ""
    found = {"type": number.metric, "value": repr(number.value),
             "slice": printable(f"{number.system}, {number.under} (n = {number.n}{unit})")}
    if number.low is not None:
        found["confidenceInterval"] = {"lowerBound": repr(number.low), "upperBound": repr(number.high)}
    return found


def _standard(material: Material) -> dict[str, Any]:
    profile = material.label["profile"]
    return {"bom-ref": "profile", "name": printable(f"Assay profile {profile['id']}"),
            "version": printable(profile["version"]),
            "requirements": [{"bom-ref": f"requirement-{i}", "identifier": printable(row.audited.check),
                              "text": printable(str(row.check.get("question") or row.title))}
                             for i, row in enumerate(material.rows, start=1)]}


def _declarations(material: Material) -> dict[str, Any]:
    label, rows = material.label, list(enumerate(material.rows, start=1))
    assessor: dict[str, Any] = {"bom-ref": "assessor", "thirdParty": label["auditor"]["independence"] == "third-party"}
    if label["auditor"]["name"] != "not attributed":
        assessor["organization"] = {"name": printable(label["auditor"]["name"])}
    claims = [_claim(i, row) for i, row in rows if _claims(row)]
    return {"assessors": [assessor],
            "attestations": [{"summary": f"{label['headline']['signal']}: {label['headline']['hazard']}",
                              "assessor": "assessor", "map": [_mapped(i, row) for i, row in rows]}],
            "claims": claims, "evidence": [_evidence(material, i, row) for i, row in rows],
            "targets": {"components": [{"type": "machine-learning-model", "bom-ref": "target",
                                        "name": printable(label["subject"]["name"]),
                                        "version": printable(label["subject"]["version"])}]}}


def _claims(row: Comparison) -> bool:
    return row.audited.outcome in (*_CLAIMED, Outcome.UNSTABLE)


def _claim(i: int, row: Comparison) -> dict[str, Any]:
    limits = "No proof of safety: a worse case can exist that the search did not reach."
    if row.audited.outcome is Outcome.CERTIFIED:
        limits = f"Proved: {row.audited.criterion}. It holds for the stated size of change and share of inputs only."
    return {"bom-ref": f"claim-{i}", "target": "target", "predicate": told(row), "evidence": [f"evidence-{i}"],
            "reasoning": printable(row.audited.criterion if row.audited.outcome is Outcome.UNSTABLE else limits)}


def _mapped(i: int, row: Comparison) -> dict[str, Any]:
    kind = "counterClaims" if row.audited.outcome is Outcome.UNSTABLE else "claims"
    return {"requirement": f"requirement-{i}", **({kind: [f"claim-{i}"]} if _claims(row) else {}),
            "conformance": {"rationale": printable(f"{row.audited.outcome.value}: {row.audited.reason}")}}


def _evidence(material: Material, i: int, row: Comparison) -> dict[str, Any]:
    """One check's verdicts as an attachment, dated, with the day on which the label expires."""
    both = {"audited": to_data(row.audited), "established": to_data(row.established) if row.established else None}
    return {"bom-ref": f"evidence-{i}", "description": told(row), "created": material.label["issued"],
            "expires": material.label["valid_until"],
            "data": [{"name": f"verdicts of check {printable(row.audited.check)}", "contents": {"attachment": {
                "contentType": "application/json", "content": printable(to_json(both))}}}]}


def _properties(pairs: Any) -> list[dict[str, str]]:
    return [{"name": name, "value": printable(str(value))}
            for name, value in (pairs.items() if isinstance(pairs, dict) else pairs)]
