"""The label holds, refuses what is false, and can be computed again from its audit."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import synthetic_audit
from synthetic_audit import SyntheticFolder

from assay.reports import warning_label
from assay.reports.warning_label import LabelError

Data = dict[str, Any]


def resealed(label: Data, change: Callable[[Data], Any]) -> Data:
    """The label after a change, with a fresh digest: only the schema is left to object."""
    changed = copy.deepcopy(label)
    change(changed)
    changed["digest"]["sha256"] = warning_label._digest(changed)
    return changed


def put(path: str, value: Any) -> Callable[[Data], None]:
    def change(label: Data) -> None:
        *parents, last = path.split(".")
        for name in parents:
            label = label[name]
        label[last] = value
    return change


def test_the_label_says_what_the_findings_say(label: Data) -> None:
    assert label["headline"]["signal"] == "WARNING"
    assert "6 of 6 images" in label["headline"]["hazard"]
    assert label["perturbation"]["relative_to_noise"] == 2.0
    assert label["results"]["metric"]["range"] == [0.0, 0.5]
    worst, established = label["results"]["worst_case"], label["results"]["established"]["worst_case"]
    assert worst["value"] > 2 * established["value"]
    assert worst["ci95"][0] <= worst["value"] <= worst["ci95"][1] and worst["bound"] == "lower"
    assert label["evidence"]["kind"] == "demonstrated" and label["evidence"]["replayable"]
    assert label["valid_until"] == "2027-11-23T12:00:00Z"


def test_means_are_those_of_the_rows(label: Data, folder: SyntheticFolder) -> None:
    own = [f for f in folder.rows if f.check == "tiny-data" and f.system == f.origin == synthetic_audit.NETWORK
           and f.level == 0.02]
    for name, field in (("normal", "normal"), ("average_case", "average"), ("worst_case", "worst")):
        expected = sum(getattr(f, field) for f in own) / len(own)
        assert label["results"][name]["value"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("path", "value", "named"), [
    ("evidence.replayable", False, "evidence.replayable"),
    ("evidence.witnesses", 0, "evidence.witnesses"),
    ("evidence.kind", "searched-none-found", "evidence.kind"),
    ("evidence.kind", "incomplete", "evidence.kind|headline.signal"),
    ("results", None, "results"),
    ("results.established", None, "results.established"),
    ("results.established.same_budget", False, "results.established.same_budget"),
    ("results.harmed.count", 0, "results.harmed.count"),
    ("headline.signal", "DANGER", "headline.signal"),
    ("headline.signal", "BOUND PROVED", "evidence"),
    ("headline.signal", "NONE FOUND", "evidence"),
    ("headline.hazard", "x" * 181, "headline.hazard"),
    ("perturbation.human_reference.basis", "none", "perturbation.human_reference.basis"),
    ("not_tested", [], "not_tested"),
    ("actions", ["a"] * 5, "actions"),
    ("subject.digest.sha256", "A" * 64, "subject.digest.sha256"),
    ("profile.community", "astrology", "profile.community"),
    ("grade", "A", "warning label"),
])
def test_the_schema_refuses_a_false_warning(label: Data, path: str, value: Any, named: str) -> None:
    with pytest.raises(LabelError, match=rf"^({named})"):
        warning_label.validate(resealed(label, put(path, value)))


@pytest.mark.parametrize(("path", "value"), [
    ("evidence.kind", "incomplete"),
    ("evidence.parts.complete", False),
    ("evidence.checks", []),
    ("headline.signal", "WARNING"),
    ("headline.signal", "BOUND PROVED"),
])
def test_the_schema_refuses_a_false_none_found(stable_label: Data, path: str, value: Any) -> None:
    assert stable_label["headline"]["signal"] == "NONE FOUND"
    with pytest.raises(LabelError):
        warning_label.validate(resealed(stable_label, put(path, value)))


@pytest.mark.parametrize("outcome", ["unstable", "inconclusive"])
def test_none_found_needs_every_check_judged(stable_label: Data, outcome: str) -> None:
    def change(label: Data) -> None:
        label["evidence"]["checks"][3]["outcome"] = outcome
    with pytest.raises(LabelError, match=r"^evidence\.checks\.3\.outcome"):
        warning_label.validate(resealed(stable_label, change))


def test_a_true_label_is_accepted_after_resealing(label: Data, stable_label: Data) -> None:
    for true in (label, stable_label):
        warning_label.validate(resealed(true, lambda _: None))


def test_no_field_can_be_missing(label: Data) -> None:
    for name in set(label) - {"supersedes"}:
        with pytest.raises(LabelError, match=name):
            warning_label.validate({k: v for k, v in label.items() if k != name})


def test_one_changed_byte_is_refused(label: Data) -> None:
    text = warning_label.canonical(label)
    assert warning_label.read(text) == label
    for position in range(0, len(text), 17):
        changed = bytearray(text)
        changed[position] = ord("7") if changed[position] != ord("7") else ord("3")
        with pytest.raises(LabelError):
            warning_label.read(bytes(changed))


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b'{"a":NaN}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_label_is_refused_with_words(text: bytes) -> None:
    with pytest.raises(LabelError, match=r"warning label|a: "):
        warning_label.read(text)


def test_canonical_form_is_rfc_8785(label: Data) -> None:
    text = warning_label.canonical(label)
    assert text == warning_label.canonical(dict(reversed(label.items())))
    assert b": " not in text.replace(b": ", b"", 0)[:40] and json.loads(text) == label
    with pytest.raises(LabelError, match="2\\^53"):
        warning_label.canonical({"seed": 2**60})
    with pytest.raises(LabelError):
        warning_label.canonical({"x": float("nan")})


def test_the_label_can_be_computed_again(label: Data, folder: SyntheticFolder) -> None:
    assert warning_label.differences(label, folder, folder.verdicts()) == []
    forged = resealed(label, put("results.worst_case.value", 0.07))
    warning_label.validate(forged)                      # well formed and sealed, and still found out
    assert warning_label.differences(forged, folder, folder.verdicts()) == ["results.worst_case.value"]


def test_unfinished_audits_do_not_soften_harm(folder: SyntheticFolder, stable_folder: SyntheticFolder) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    harmed = warning_label.build(replace(folder, done=(3, 20)), folder.verdicts(), issued=now)
    quiet = warning_label.build(replace(stable_folder, done=(3, 20)), stable_folder.verdicts(), issued=now)
    assert harmed["headline"]["signal"] == "WARNING" and "unfinished" in harmed["headline"]["reason"]
    assert quiet["headline"]["signal"] == "NOTICE" and quiet["evidence"]["kind"] == "incomplete"


def test_nothing_judged_is_a_notice(folder: SyntheticFolder) -> None:
    empty = replace(folder, rows=[])
    made = warning_label.build(empty, [], issued=datetime(2026, 1, 1, tzinfo=UTC))
    assert made["headline"]["signal"] == "NOTICE" and made["results"] is None
    assert any("no result" in line for line in made["not_tested"])


def test_an_established_method_searched_less_is_no_witness_against(folder: SyntheticFolder) -> None:
    rows = [replace(f, backward=1) if f.role == "established" else f for f in folder.rows]
    made = warning_label.build(replace(folder, rows=rows), folder.verdicts(), issued=datetime(2026, 1, 1, tzinfo=UTC))
    assert made["results"]["check"] != "tiny-data" or made["headline"]["signal"] != "WARNING"


def test_what_the_plan_left_out_is_on_the_label(stable_folder: SyntheticFolder) -> None:
    left_out = ({"check": "local-gain", "system": synthetic_audit.NETWORK, "reason": "the system gives no gradients"},)
    folder = replace(stable_folder, skipped=left_out, rows=[f for f in stable_folder.rows if f.check != "local-gain"])
    made = warning_label.build(folder, folder.verdicts(), issued=datetime(2026, 1, 1, tzinfo=UTC))
    assert "Local gain: the system gives no gradients" in made["not_tested"]


def test_time_needs_a_zone_and_validity_ends(label: Data, folder: SyntheticFolder) -> None:
    with pytest.raises(LabelError, match=r"^issued"):
        warning_label.build(folder, folder.verdicts(), issued=datetime(2026, 1, 1))
    until = datetime.fromisoformat(label["valid_until"])
    assert not warning_label.expired(label, until) and warning_label.expired(label, until + timedelta(seconds=1))


def test_writing_makes_four_whole_files(label: Data, tmp_path: Path) -> None:
    written = warning_label.write_all(label, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"warning_label.{s}" for s in ("json", "png", "svg", "txt")]
    assert written[0].read_bytes() == warning_label.canonical(label)
    first = [p.read_bytes() for p in written]
    assert [p.read_bytes() for p in warning_label.write_all(label, tmp_path)] == first


def test_a_false_label_is_never_written(label: Data, tmp_path: Path) -> None:
    with pytest.raises(LabelError):
        warning_label.write_all({**label, "not_tested": []}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_forbidden_words_stay_away(label: Data, stable_label: Data) -> None:
    for made in (label, stable_label):
        text = warning_label.render_text(made)
        assert not re.search(r"\b(DANGER|safe|robust|certified AI|complies|passed|score|grade)\b", text)
        assert "Not tested" in text
