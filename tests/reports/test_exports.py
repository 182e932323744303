"""Exports: valid under their schemas, the label's numbers, twice the same file, and names that cannot deceive."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
import synthetic_audit
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from synthetic_audit import HOSTILE, NETWORK

from assay.records import Outcome, to_data, to_json
from assay.reports import exports, warning_label
from assay.reports.exports import Material
from assay.reports.exports.chai import NAMESPACE
from assay.reports.exports.findings_table import FORMULA
from assay.reports.exports.huggingface import FRONT, TEXT
from assay.reports.exports.material import numbers
from assay.reports.exports.material import told as sentence_of
from assay.reports.exports.yaml_text import yaml_lines
from assay.store import AuditFolder, StoreError
from assay.verdicts import judge_all
from conftest import AUDITOR, ISSUED

NASTY = ["a\nb: c", "- x", "---", "'", '"', "\\", "{{", "# assay:end", "<!-- assay:end -->", "<script>x</script>", "a | b",
         "\u2028", "\x85", "\x07", "\U0001f9e0", "é", "http://evil.example", "yes", "1e5", "null", "=1+1", "@x", "+1", "-1",
         "]]>", "&amp;", "\ufeff", "%TAG ! x", "? y", "\ud800"]


def stored(path: Path, *, network: float = 5.0, system: str = NETWORK, samples: tuple[str, ...] | None = None,
           **words: Any) -> Material:
    """A finished audit on disk, with its label; `system` renames the audited one."""
    made = synthetic_audit.make(path, network=network, samples=samples, **words)
    text = to_json(made.header).replace(f'"{NETWORK}"', json.dumps(system, ensure_ascii=False))
    made.header = json.loads(text)
    names = {NETWORK: system}
    rows = [replace(f, system=names.get(f.system, f.system), origin=names.get(f.origin, f.origin)) for f in made.rows]
    units: dict[str, list[Any]] = {}
    for row in rows:
        units.setdefault(row.check, []).append(row)
    folder = AuditFolder.create(path, made.header, {"units": [
        {"id": check, "check": check, "system": system, "samples": []} for check in units], "skipped": []})
    for check, found in units.items():
        keys = {f"{f.origin}|{f.sample}|{'-' if f.level is None else format(f.level, '.6g')}" for f in found if f.witness}
        folder.write_unit(check, found, {key: synthetic_audit.np.zeros(1) for key in keys}, {})
    folder.seal()
    folder.log(event="start", time=ISSUED.timestamp() - 60)
    folder.log(event="sealed", time=ISSUED.timestamp())
    verdicts = judge_all(folder.findings(), made.header["profile"],
                         systems={system: "audited", synthetic_audit.ESTABLISHED: "established"})
    label = warning_label.build(folder, verdicts, issued=ISSUED, auditor=AUDITOR)
    warning_label.write_all(label, path)
    return Material(folder=folder, verdicts=verdicts, label=label)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Material:
    return stored(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Material:
    """Names that a label would be refused for: an export must not rely on that."""
    clean = "".join(NASTY).replace("\ud800", "").replace("\x07", "").replace("\x85", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warning_label, "validate", lambda label: None)
        return stored(tmp_path_factory.mktemp("hostile"), system=HOSTILE + clean, description=clean,
                      samples=tuple(n for n in NASTY if n != "\ud800"))


def values(material: Material) -> set[float]:
    return {n.value for n in numbers(material.label)}


def test_the_numbers_are_the_labels(told: Material) -> None:
    results = told.label["results"]
    assert [n.value for n in numbers(told.label)] == [
        results["normal"]["value"], results["average_case"]["value"], results["worst_case"]["value"],
        results["established"]["normal"]["value"], results["established"]["worst_case"]["value"],
        results["harmed"]["count"] / results["harmed"]["n"]]
    assert [[n.low, n.high] for n in numbers(told.label)][2] == results["worst_case"]["ci95"]


def test_what_was_not_measured_is_absent(told: Material) -> None:
    assert numbers({**told.label, "results": None}) == []
    bare = {**told.label, "results": {**told.label["results"], "normal": None, "established": None}}
    assert "without change" not in {n.under for n in numbers(bare)}
    nobody = {"name": "not attributed", "independence": "self"}
    log = exports.annex_iv(replace(told, label={**told.label, "auditor": nobody}))
    assert "responsible" not in log and "null" not in json.dumps(log["tests"])


def strictly_valid(document: str) -> Any:
    """None where the document is valid under the strict schema of CycloneDX 1.7, else the first error."""
    absent = "cyclonedx-python-lib[json-validation] is not installed"
    schema = pytest.importorskip("cyclonedx.schema", reason=absent)
    validation = pytest.importorskip("cyclonedx.validation.json", reason=absent)
    return validation.JsonStrictValidator(schema.SchemaVersion.V1_7).validate_str(document)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("which", ["told", "hostile"])
def test_cyclonedx_is_valid_under_the_strict_schema(which, request) -> None:
    material = request.getfixturevalue(which)
    document = exports.FORMATS["cyclonedx"](material).decode()
    assert strictly_valid(document) is None
    assert strictly_valid(document.replace('"claims"', '"clams"')) is not None


def test_cyclonedx_claims_and_counter_claims_are_the_verdicts(told: Material) -> None:
    bom = exports.cyclonedx(told)
    declared = bom["declarations"]
    claims = {c["bom-ref"]: c for c in declared["claims"]}
    evidence = {e["bom-ref"]: e for e in declared["evidence"]}
    requirements = {r["bom-ref"]: r for r in bom["definitions"]["standards"][0]["requirements"]}
    by_check = {row.audited.check: row.audited for row in told.rows}
    seen = set()
    for entry in declared["attestations"][0]["map"]:
        verdict = by_check[requirements[entry["requirement"]]["identifier"]]
        seen.add(verdict.check)
        kinds = {k for k in ("claims", "counterClaims") if k in entry}
        assert kinds == ({"counterClaims"} if verdict.outcome is Outcome.UNSTABLE else
                         {"claims"} if verdict.outcome in (Outcome.NONE_FOUND, Outcome.CERTIFIED) else set())
        for ref in (r for k in kinds for r in entry[k]):
            (proof,) = claims[ref]["evidence"]
            stored_verdict = json.loads(evidence[proof]["data"][0]["contents"]["attachment"]["content"])["audited"]
            assert stored_verdict == json.loads(json.dumps(to_data(verdict)))
            assert evidence[proof]["expires"] == told.label["valid_until"]
    assert seen == set(by_check) and any("counterClaims" in e for e in declared["attestations"][0]["map"])
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [float(m["value"]) for m in metrics] == [n.value for n in numbers(told.label)]
    assert not re.search(r"complies|certified AI|\bsafe\b|robust", json.dumps(bom), flags=re.I)


def loaded(text: str) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(text)


def test_yaml_is_read_as_it_was_meant() -> None:
    value = [{"name": text, "value": number, "ok": True, "none": [], "of": [{"n": 1}, text]}
             for text, number in zip(NASTY, [0.1, 1e-5, 1e22, -3.0] * 9, strict=False)]
    expected = json.loads(json.dumps(value).replace("\\ud800", "\\ufffd"))
    assert loaded("\n".join(yaml_lines(value))) == expected


README = "---\nlicense: mit\n# a comment\ntags: [a, b]\n---\n\n# My model\n\nMy *own* text.\n\n## Last\nwords"
CARDS = {
    "none": "", "text": "# My model\n", "front matter": README, "windows": README.replace("\n", "\r\n"),
    "mixed": README.replace("text.\n", "text.\r\n"), "mark": "\ufeff" + README,
    "own index": README.replace("tags", "model-index:\n- name: mine\n  results:\n  - task:\n      type: x\n    dataset:\n"
                                "      type: d\n      name: d\n    metrics:\n    - type: accuracy\n      value: 0.5\ntags"),
    "own index, indented, last": README.replace("tags: [a, b]", "model-index:\n  - name: mine\n    results: []"),
}


@pytest.mark.parametrize("which", ["told", "hostile"])
@pytest.mark.parametrize("case", CARDS)
def test_a_card_keeps_what_is_the_users_and_twice_gives_the_same(case, which, request) -> None:
    material, card = request.getfixturevalue(which), CARDS[case]
    once = exports.readme(material, card)
    assert exports.readme(material, once) == once
    other = replace(material, label={**material.label, "issued": "2030-01-01T00:00:00Z"})
    assert exports.readme(material, exports.readme(other, once)) == once
    pattern = f"{re.escape(TEXT[0])}.*{re.escape(TEXT[1])}"
    kept = re.sub(rf"[ ]*{FRONT[0]}.*{FRONT[1]}\r?\n", "", re.sub(pattern, "", once, flags=re.S), flags=re.S)
    assert kept.replace("---\n---\n", "", 1).rstrip() == card.rstrip()


@pytest.mark.parametrize("which", ["told", "hostile"])
@pytest.mark.parametrize("case", CARDS)
def test_the_front_matter_is_read_with_the_users_entries_and_ours(case, which, request) -> None:
    material = request.getfixturevalue(which)
    once = exports.readme(material, CARDS[case])
    front = loaded(once.lstrip("\ufeff").split("---")[1]) if which == "told" else loaded(
        re.match(r"\ufeff?---\r?\n(.*?)^---\r?$", once, flags=re.S | re.M)[1])
    mine = front["model-index"][-1]
    assert mine["name"] == material.label["subject"]["name"]
    assert {m["value"] for m in mine["results"][0]["metrics"]} <= values(material)
    if "own index" in case:
        assert front["model-index"][0]["name"] == "mine" and len(front["model-index"]) == 2
    if case == "front matter":
        assert front["license"] == "mit" and front["tags"] == ["a", "b"]


def test_a_hostile_name_ends_no_block_and_starts_no_markup(hostile: Material) -> None:
    _, front, card = exports.readme(hostile, "").split("---\n", 2)
    assert card.count(TEXT[1]) == 1 and front.count("\n" + FRONT[1]) == 1
    body = card[card.index(TEXT[0]) + len(TEXT[0]):card.index(TEXT[1])]
    assert "<" not in body and not re.search(r"(?<!\\)\[", body) and "://" not in body.replace("\\://", "")


PIECES = ["---\n", "---\r\n", "license: mit\n", "model-index:\n", "model-index: []\n", "- name: mine\n", "  - name: mine\n",
          "  results: []\n", "# a comment\n", "\n", "# My model\n", "words", "\ufeff", *(f"{m}\n" for m in (*TEXT, *FRONT))]


def outside(lines: list[str]) -> list[str]:
    """The lines that are not between a pair of markers: what stands there is Assay's, and is replaced."""
    for begin, end in (TEXT, FRONT):
        words = [line.strip() for line in lines]
        if begin in words and end in words[words.index(begin):]:
            first = words.index(begin)
            lines = lines[:first] + outside(lines[words.index(end, first) + 1:])
    return lines


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("---\n---\n<!-- assay:begin -->\nlicense: mit\n<!-- assay:end -->\nmine\n")
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=14).map("".join))
def test_any_card_is_the_same_twice_or_refused(told: Material, card: str) -> None:
    try:
        once = exports.readme(told, card)
    except StoreError as error:
        assert str(error).startswith("README: ")
        return
    assert exports.readme(told, once) == once
    body = once[once.index("## Warning label") - len(TEXT[0]) - 2:]
    assert [line.strip() for line in body.splitlines() if line.strip() in TEXT] == list(TEXT)
    for line in filter(str.strip, outside(card.lstrip("\ufeff").splitlines())):
        assert line.strip() in (*TEXT, *FRONT, "---") or line in once       # nothing of the user's is lost


SCALARS = st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["name", "value"]), SCALARS | st.lists(SCALARS, max_size=2), min_size=1),
                max_size=3))
def test_any_data_are_read_back_from_yaml(value: Any) -> None:
    if value:
        assert loaded("\n".join(yaml_lines(value))) == value


@pytest.mark.parametrize("card", [f"{TEXT[0]}\n", f"{TEXT[1]}\n{TEXT[0]}", "\n".join([*TEXT, *TEXT]),
                                  "---\nlicense: mit\n", "---\nmodel-index: [{name: x, results: []}]\n---\n",
                                  f"---\n{FRONT[0]}\n---\n"])
def test_a_torn_card_is_refused_with_the_remedy(told: Material, card: str) -> None:
    with pytest.raises(StoreError, match=r"README: .*; "):
        exports.readme(told, card)


# Order of the required elements of mc-schema v0.2 (schema.xsd), a line for each type.
CHAI = {
    "AppliedModelCard": "BasicInfo ReleaseInfo ModelSummary UsesAndDirections Warnings TrustIngredients KeyMetrics "
                        "Resources Bibliography",
    "BasicInfo": "ModelName ModelDeveloper DeveloperContact",
    "ReleaseInfo": "ReleaseStage ReleaseDate ReleaseVersion GlobalAvailability",
    "ModelSummary": "Summary Keywords",
    "UsesAndDirections": "IntendedUseAndWorkflow PrimaryIntendedUsers HowToUse TargetedPatientPopulation "
                         "CautionedOutOfScopeSettings",
    "Warnings": "KnownRisksAndLimitations KnownBiasesOrEthicalConsiderations ClinicalRiskLevel",
    "TrustIngredients": "AISystemFacts TransparencyInformation",
    "AISystemFacts": "OutcomesAndOutputs ModelType InputDataSource OutputAndInputDataTypes DevelopmentDataCharacterization "
                     "BiasMitigationApproaches OngoingMaintenance",
    "TransparencyInformation": "FundingSource StakeholdersConsulted",
    "KeyMetrics": "UsefulnessUsabilityEfficacy FairnessEquity SafetyReliability",
    **dict.fromkeys(("UsefulnessUsabilityEfficacy", "FairnessEquity", "SafetyReliability"),
                    "MetricGoal Results Interpretation TestType TestingDataDescription ValidationProcessAndJustification"),
    "MetricResult": "Label ValueJson",
    "Resources": "EvaluationReferences PeerReviewedPublications PatientConsentOrDisclosure",
}


def out_of_order(root: ElementTree.Element) -> list[str]:
    """Elements whose children are not those of the schema, in its order."""
    wrong = []
    for element in root.iter():
        name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        children = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]
        expected = ["MetricResult"] * max(len(children), 1) if name == "Results" else CHAI.get(name, "").split()
        wrong += [name] * (children != expected)
    return wrong


@pytest.mark.parametrize("which", ["told", "hostile"])
def test_the_applied_model_card_follows_its_schema(which, request) -> None:
    material = request.getfixturevalue(which)
    root = ElementTree.fromstring(exports.chai(material).encode())
    assert root.tag == f"{{{NAMESPACE}}}AppliedModelCard" and out_of_order(root) == []
    root.remove(root[1])
    assert out_of_order(root) == ["AppliedModelCard"]


def test_the_applied_model_card_holds_the_labels_numbers(told: Material) -> None:
    root = ElementTree.fromstring(exports.chai(told))
    found = [json.loads(e.text) for e in root.iter(f"{{{NAMESPACE}}}ValueJson")]
    assert {v.get("estimate", v.get("value")) for v in found if v} == values(told) and None in found
    risks = next(root.iter(f"{{{NAMESPACE}}}KnownRisksAndLimitations")).text
    assert told.label["headline"]["hazard"] in risks and all(line in risks for line in told.label["not_tested"])


def test_the_test_log_is_dated_and_asks_for_signatures(told: Material) -> None:
    log, text = exports.annex_iv(told), exports.FORMATS["annex-iv"](told).decode()
    assert log["dates"]["tested"] == {"from": "2026-11-23T11:59:00Z", "to": "2026-11-23T12:00:00Z",
                                      "source": "log.jsonl, outside the manifest"}
    assert log["responsible"]["name"] == AUDITOR["name"] in text and "Signature:    ____" in text
    assert {m["value"] for m in log["metrics"]} == values(told)
    by_check = {row.audited.check: row.audited for row in told.rows}
    for test in log["tests"]:
        verdict = by_check[test["id"]]
        assert (test["result"].get("worst_case_found"), test["result"]["harmed"]) == (verdict.worst, verdict.harmed)
    assert "Evidence relevant to Regulation (EU) 2024/1689" in text and "complies" not in (text + json.dumps(log)).lower()
    assert all(repr(v) in text for v in values(told))


def test_groups_reach_the_test_log(told: Material, tmp_path) -> None:
    assert "no groups were compared" in exports.annex_iv(told)["potentially_discriminatory_impacts"]
    shutil.copytree(told.folder.path, tmp_path / "a")
    header = json.loads((tmp_path / "a" / "audit.json").read_text())
    samples = dict.fromkeys(f.sample for f in told.folder.findings())
    groups = {sample: f"scanner {'AB'[i % 2]}" for i, sample in enumerate(samples)}
    (tmp_path / "a" / "audit.json").write_text(json.dumps({**header, "groups": groups}))
    grouped = replace(told, folder=AuditFolder(tmp_path / "a"))
    found = exports.annex_iv(grouped)["potentially_discriminatory_impacts"]
    assert {g["name"] for one in found for g in one["groups"]} == {"scanner A", "scanner B"}
    text = exports.annex_iv_text(grouped)
    assert "the worst of each check" in text and "no groups were compared" not in text
    assert all(f"  {one['check']}, {one['system']}: {one['worst']}," in text for one in found)


@pytest.mark.parametrize("form", ["annex-iv", "annex-iv-json", "huggingface", "chai"])
def test_refusal_lines_stand_beside_what_they_are_about(form: str, told: Material) -> None:
    line = {"words": "Refusal line of this profile (proposal), so much: crossed. Found: 40 %"}
    with_line = replace(told, label={**told.label, "refusal": [line]})
    said = ["so much: crossed" in exports.FORMATS[form](m).decode() for m in (told, with_line)]
    assert told.label["refusal"] == [] and said == [False, True]


def test_the_worst_group_stands_under_fairness(told: Material) -> None:
    groups = {"check": "tiny-data", "title": "Tiny", "count": 3, "told_apart": False,
              "worst": {"name": "scanner <B>", "harmed": 9, "n": 10, "ci95": [0.5, 0.99]}}
    for label, value in (({**told.label, "groups": groups}, 0.9), (told.label, None)):
        root = ElementTree.fromstring(exports.chai(replace(told, label=label)))
        (fairness,) = root.iter(f"{{{NAMESPACE}}}FairnessEquity")
        (number,) = (json.loads(e.text) for e in fairness.iter(f"{{{NAMESPACE}}}ValueJson"))
        assert (number and number["estimate"]) == value
        assert ("scanner <B>" in "".join(fairness.itertext())) == (value is not None)


def test_a_proof_is_not_told_as_a_search(told: Material) -> None:
    results = {**told.label["results"], "metric": {**told.label["results"]["metric"], "id": "certified-radius"}}
    found = numbers({**told.label, "results": results})
    assert "harmed-share" not in {n.metric for n in found} and not any("found" in n.under for n in found)
    assert sum("size proved harmless" in n.under for n in found) == 2
    row = told.rows[0]
    reason = "a bound of 0.1 was proved for 3 of 4"
    proof = replace(row, audited=replace(row.audited, outcome=Outcome.CERTIFIED, reason=reason))
    assert reason in sentence_of(proof) and "harmful case" not in sentence_of(proof)
    assert "harmed" not in exports.junit([replace(row.audited, metric="certified-radius", outcome=Outcome.NOT_APPLICABLE)])


def test_csv_and_parquet_hold_every_finding(told: Material) -> None:
    rows = list(csv.DictReader(io.StringIO(exports.FORMATS["csv"](told).decode(), newline="")))
    findings = told.folder.findings()
    assert [(r["check"], r["sample"], float(r["worst"])) for r in rows] == [(f.check, f.sample, f.worst) for f in findings]
    assert all((r["normal"] == "") == (f.normal is None) for r, f in zip(rows, findings, strict=True))
    assert [json.loads(r["extra"]) or {} for r in rows] == [dict(f.extra) or {} for f in findings] or all(
        dict(json.loads(r["extra"]) or {}) == dict(f.extra) for r, f in zip(rows, findings, strict=True))
    table = pq.read_table(io.BytesIO(exports.FORMATS["parquet"](told)))
    assert table.equals(told.folder.table())


def test_a_spreadsheet_sees_no_formula(hostile: Material) -> None:
    rows = list(csv.reader(io.StringIO(exports.FORMATS["csv"](hostile).decode(), newline="")))
    names = {f.sample for f in hostile.folder.findings()}
    assert any(n.startswith(FORMULA) for n in names)
    for row in rows[1:]:
        assert not any(cell.startswith(FORMULA) and not re.fullmatch(r"-?[\d.e+-]+", cell) for cell in row)
    assert len({row[3] for row in rows[1:]}) == len(names)


@pytest.mark.parametrize("form", exports.FORMATS)
def test_every_format_is_the_same_twice_and_survives_hostile_names(form, told: Material, hostile: Material) -> None:
    for material in (told, hostile):
        once = exports.FORMATS[form](material)
        assert once == exports.FORMATS[form](material)
        if form != "parquet":
            assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", once.decode())


def test_a_label_that_the_findings_do_not_bear_out_is_not_exported(tmp_path) -> None:
    material = stored(tmp_path)
    assert exports.material_of(material.folder, material.verdicts) == material
    label = json.loads((tmp_path / "warning_label.json").read_text())
    label["results"]["worst_case"]["value"] = 0.01
    label["digest"]["sha256"] = warning_label._digest(label)
    (tmp_path / "warning_label.json").write_bytes(warning_label.canonical(label))
    with pytest.raises(StoreError, match=r"results\.worst_case\.value is not what the findings say"):
        exports.material_of(material.folder, material.verdicts)
    (tmp_path / "warning_label.json").unlink()
    with pytest.raises(StoreError, match="assay report"):
        exports.material_of(material.folder, material.verdicts)


def test_an_expired_label_is_called_so(told: Material) -> None:
    assert "(expired)" in exports.annex_iv_text(replace(told, expired=True))
