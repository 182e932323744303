"""The applied model card of the Coalition for Health AI as XML, version 0.2 of its schema.

An audit knows the worst case and little else, so most elements, which the schema requires, stay empty for the developer to
fill in. Source: github.com/coalition-for-health-ai/mc-schema, v0.2/schema.xsd; numbers as in its examples
(`{"kind": "estimate_ci", …}`, `{"kind": "single", …}`).
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from assay.reports.exports.material import Material, Number, numbers, told
from assay.reports.wording import printable

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"
_NOTE = ("Computed by Assay from an audit. Elements without text are required by the schema and not known to an audit: the "
         "developer fills them in.")


def chai(material: Material) -> str:
    """The `AppliedModelCard` element."""
    root = _element("AppliedModelCard", {
        "BasicInfo": {"ModelName": material.label["subject"]["name"], "ModelDeveloper": "", "DeveloperContact": ""},
        "ReleaseInfo": {"ReleaseStage": "", "ReleaseDate": "", "ReleaseVersion": _version(material),
                        "GlobalAvailability": ""},
        "ModelSummary": {"Summary": "", "Keywords": {}},
        "UsesAndDirections": dict.fromkeys(("IntendedUseAndWorkflow", "PrimaryIntendedUsers", "HowToUse",
                                            "TargetedPatientPopulation", "CautionedOutOfScopeSettings"), ""),
        "Warnings": {"KnownRisksAndLimitations": _risks(material), "KnownBiasesOrEthicalConsiderations": "",
                     "ClinicalRiskLevel": ""},
        "TrustIngredients": _trust(),
        "KeyMetrics": {"UsefulnessUsabilityEfficacy": _key_metric(material, changed=False),
                       "FairnessEquity": _groups(material), "SafetyReliability": _key_metric(material, changed=True)},
        "Resources": {"EvaluationReferences": _evidence(material), "PeerReviewedPublications": "",
                      "PatientConsentOrDisclosure": ""},
        "Bibliography": ""})
    root.set("xmlns", NAMESPACE)
    root.insert(0, ElementTree.Comment(f" {_NOTE} "))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _element(name: str, content: Any) -> ElementTree.Element:
    """An element of text, of named children in order, or of children of one name."""
    element = ElementTree.Element(name)
    if isinstance(content, str):
        element.text = "\n".join(printable(line) for line in content.split("\n")) or None
        return element
    pairs = content.items() if isinstance(content, dict) else content
    element.extend(_element(child, value) for child, value in pairs)
    return element


def _version(material: Material) -> str:
    version = material.label["subject"]["version"]
    return "" if version == "unversioned" else str(version)


def _risks(material: Material) -> str:
    label = material.label
    head = label["headline"]
    lines = [f"{head['signal']}. {head['hazard']} {head['consequence']}", *map(told, material.rows),
             *(line["words"] for line in label["refusal"]),
             *(f"Not tested: {line}." for line in label["not_tested"]), *label["actions"]]
    return "\n".join(lines)


def _trust() -> dict[str, Any]:
    facts = ("OutcomesAndOutputs", "ModelType", "InputDataSource", "OutputAndInputDataTypes",
             "DevelopmentDataCharacterization", "BiasMitigationApproaches", "OngoingMaintenance")
    return {"AISystemFacts": dict.fromkeys(facts, ""), "TransparencyInformation": {"FundingSource": "",
                                                                                  "StakeholdersConsulted": ""}}


def _key_metric(material: Material, *, changed: bool) -> dict[str, Any]:
    """The numbers without change, or those of the worst and the average case with the share of harmed samples."""
    label, results = material.label, material.label["results"]
    chosen = [n for n in numbers(label) if (n.under != "without change") == changed]
    if not chosen or results is None:
        return _not_tested()
    scope = label["scope"]
    simulated = " Simulated measurements." if scope["dataset"]["simulated"] else ""
    goal = f"{results['metric']['name']}, {results['metric']['better']} is better"
    return {"MetricGoal": f"{results['title']}: {results['criterion']}" if changed else f"{goal}, without change",
            "Results": [("MetricResult", {"Label": f"{n.name}, {n.system}, {n.under}", "ValueJson": _value(n)})
                        for n in chosen],
            "Interpretation": f"{label['headline']['hazard']} A worse case can exist than was found." if changed else "",
            "TestType": f"Assay {label['provenance']['tool_version']}, {label['evidence']['kind']}",
            "TestingDataDescription": f"{scope['n']} {scope['noun']} of {scope['dataset']['id']}; {scope['sampling']}."
            + simulated,
            "ValidationProcessAndJustification": _evidence(material)}


def _groups(material: Material) -> dict[str, Any]:
    """The worst group of samples, as the label names it; not tested where the label names none."""
    label, told = material.label, material.label.get("groups")
    if told is None:
        return _not_tested()
    worst, scope = told["worst"], label["scope"]
    low, high = worst["ci95"]
    number = Number(metric="harmed-share", name="Share of samples on which the criterion fired", unit="share",
                    under=f"worst of {told['count']} groups: {worst['name']}", system=label["subject"]["name"],
                    value=worst["harmed"] / worst["n"], low=low, high=high, n=worst["n"])
    sure = "Its interval lies above another group's." if told["told_apart"] else "Not told apart from the other groups."
    return {"MetricGoal": f"{told['title']}: harm in each group of samples, with intervals that hold for all together",
            "Results": [("MetricResult", {"Label": f"{number.name}, {number.system}, {number.under}",
                                          "ValueJson": _value(number)})],
            "Interpretation": f"{sure} Groups that were not given were not compared.",
            "TestType": f"Assay {label['provenance']['tool_version']}, {label['evidence']['kind']}",
            "TestingDataDescription": f"{scope['n']} {scope['noun']} of {scope['dataset']['id']}; {scope['sampling']}.",
            "ValidationProcessAndJustification": _evidence(material)}


def _not_tested() -> dict[str, Any]:
    return {"MetricGoal": "", "Results": [("MetricResult", {"Label": "Not tested", "ValueJson": "null"})],
            **dict.fromkeys(("Interpretation", "TestType", "TestingDataDescription",
                             "ValidationProcessAndJustification"), "")}


def _value(number: Number) -> str:
    unit = {"unit": number.unit} if number.unit else {}
    if number.low is None:
        return json.dumps({"kind": "single", "value": number.value, **unit}, ensure_ascii=False)
    return json.dumps({"kind": "estimate_ci", "estimate": number.value, "lower": number.low, "upper": number.high,
                       "level": 95, **unit}, ensure_ascii=False)


def _evidence(material: Material) -> str:
    label = material.label
    return (f"Warning label of {label['issued'][:10]}, valid until {label['valid_until'][:10]}, sha256 "
            f"{label['digest']['sha256']}; audit sha256 {label['provenance']['audit_digest']['sha256']}.")
