"""The statement that is signed: in-toto Statement v1 with the predicate `test-result/v0.1`, computed from the label.

It binds the audited model, the label, the manifest of the evidence, the profile and the data, each by its sha256. Source:
in-toto attestation framework, spec/v1/statement.md and spec/predicates/test-result.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
LABEL, MANIFEST = "warning_label.json", "manifest.json"
_LISTS = {"unstable": "failedTests", "inconclusive": "warnedTests", "none found": "passedTests", "certified": "passedTests"}


def statement(label: Mapping[str, Any], label_bytes: bytes, manifest_bytes: bytes) -> dict[str, Any]:
    """The statement about a label whose file has these bytes, on evidence whose manifest has these.

    `failedTests` are the checks that found harm, `warnedTests` those that could not be judged, `passedTests` those that
    found nothing within their budget or proved a bound; what was not applicable was not tested and stands in none.
    """
    profile, data = label["profile"], label["scope"]["dataset"]
    asked = {"name": f"profile {profile['id']} {profile['version']}", "digest": dict(profile["digest"])}
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for check in label["evidence"]["checks"]:
        if check["outcome"] in _LISTS:
            tests[_LISTS[check["outcome"]]].append(check["id"])
    return {"_type": TYPE,
            "subject": [{"name": f"model {label['subject']['name']}", "digest": dict(label["subject"]["digest"])},
                        {"name": LABEL, "digest": _sha256(label_bytes)},
                        {"name": MANIFEST, "digest": _sha256(manifest_bytes)},
                        asked,
                        {"name": f"data {data['id']}", "digest": dict(data["digest"])}],
            "predicateType": PREDICATE,
            "predicate": {"result": result(str(label["headline"]["signal"]), tests), "configuration": [asked], **tests}}


def result(signal: str, tests: Mapping[str, list[str]]) -> str:
    """PASSED, WARNED or FAILED: the word for programs that know no other.

    FAILED wherever harm was demonstrated (WARNING, CAUTION, or a check that found some), WARNED wherever something could
    not be concluded. PASSED says what the label says by NONE FOUND or BOUND PROVED, and no more: it is no proof of safety.

    >>> result("NONE FOUND", {"failedTests": [], "warnedTests": []}), result("CAUTION", {"failedTests": ["noise"]})
    ('PASSED', 'FAILED')
    """
    if signal in ("WARNING", "CAUTION") or tests["failedTests"]:
        return "FAILED"
    return "PASSED" if signal in ("NONE FOUND", "BOUND PROVED") and not tests["warnedTests"] else "WARNED"


def differences(signed: Any, expected: Any, where: str = "statement") -> list[str]:
    """Where a signed statement says something else than the one computed again.

    >>> differences({"a": [1, 2]}, {"a": [1, 3], "b": 4})
    ['statement.a.1', 'statement.b']
    """
    if isinstance(signed, Mapping) and isinstance(expected, Mapping):
        return [line for key in sorted({*signed, *expected}) for line in (
            differences(signed[key], expected[key], f"{where}.{key}") if key in signed and key in expected
            else [f"{where}.{key}"])]
    if isinstance(signed, list) and isinstance(expected, list) and len(signed) == len(expected):
        return [line for i, pair in enumerate(zip(signed, expected, strict=True))
                for line in differences(*pair, f"{where}.{i}")]
    return [] if type(signed) is type(expected) and signed == expected else [where]


def _sha256(content: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(content).hexdigest()}
