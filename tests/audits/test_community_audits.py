"""A real small audit with each community's profile: what label, report and JSON say, and that it still verifies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assay.api import Audit, audit, verify
from assay.profiles import load as profiles
from assay.reports import exports

FORBIDDEN = re.compile(r"\b(complies|compliant|compliance|conforms|safe|robust|passed|DANGER)\b", re.IGNORECASE)


def everything_said(found: Audit) -> str:
    """Label in text and JSON, JSON of the audit, and the report without its style."""
    report = (found.folder / "report.html").read_text(encoding="utf-8")
    told = json.dumps(exports.json_object(found.store, found.verdicts), ensure_ascii=False)
    return "\n".join([(found.folder / "warning_label.txt").read_text(encoding="utf-8"),
                      (found.folder / "warning_label.json").read_text(encoding="utf-8"), told,
                      re.sub(r"<style>.*?</style>", "", report, flags=re.S)])


def holds(found: Audit) -> None:
    """Everything verifies, and no output claims what a test cannot."""
    assert all(claim.holds for claim in verify(found.folder)), [c for c in verify(found.folder) if not c.holds]
    text = everything_said(found)
    assert not FORBIDDEN.search(text), FORBIDDEN.search(text)
    label = found.warning_label
    assert label["profile"]["thresholds"]["proposal"] > 0
    drawn = " ".join((found.folder / "warning_label.txt").read_text(encoding="utf-8").split())
    assert f"{label['profile']['thresholds']['proposal']} of its" in drawn
    assert label["profile"]["clauses"] and "vidence relevant to" in text


def child(folder: Path, name: str, task: str, *without: str, more: str = "") -> str:
    """A profile made from a community's, with fewer checks."""
    listed = ", ".join(f'"{check}"' for check in without)
    path = folder / "child.toml"
    path.write_text(f'extends = "{name}"\ntask = "{task}"\nid = "small-{name}"\nversion = "1"\nwithout = [{listed}]\n{more}')
    return str(path)


def test_healthcare_compares_with_the_established_method(tmp_path):
    found = audit("zero-filled", established=("tikhonov",), size=48, limit=4, profile="healthcare", budget="demo",
                  out=tmp_path / "a")
    holds(found)
    assert found.header["profile"]["community"] == "healthcare"
    row = next(v for v in found.verdicts if v.check == "within-noise" and v.role == "audited")
    assert row.level == pytest.approx(0.01)                             # once the noise of these data
    assert "worse than tikhonov on" in row.reason and "exact sign test" in row.reason
    assert found.warning_label["refusal"] == []                         # a reconstruction has no line of its own


def test_public_sector_tells_its_refusal_line(tmp_path):
    profile = child(tmp_path, "public_sector", "text", "spelling", "typing-errors", "synonyms-wide")
    found = audit("notes-cnn", limit=30, profile=profile, budget="demo", out=tmp_path / "a")
    holds(found)
    (line,) = found.warning_label["refusal"]
    verdict = next(v for v in found.verdicts if v.check == "synonyms" and v.role == "audited")
    assert (line["n"], line["value"]) == (verdict.n, pytest.approx(verdict.harmed / verdict.n))
    assert line["state"] in ("crossed", "cannot be told")               # 30 records cannot show less than 1 %
    assert exports.json_object(found.store, found.verdicts)["refusal"]["notes-cnn"] == [line]
    assert line["state"] in (found.folder / "report.html").read_text(encoding="utf-8")


def test_an_audit_of_ours_does_not_need_our_profile_again(tmp_path, monkeypatch):
    """The stored profile is whole: judged, told and labelled again where no profile can be read."""
    profile = child(tmp_path, "public_sector", "text", "spelling", "typing-errors", "synonyms-wide")
    found = audit("notes-cnn", limit=6, profile=profile, budget="demo", out=tmp_path / "a")
    before = found.warning_label

    def gone(*args, **words):
        raise AssertionError("a stored audit asked for a profile")

    monkeypatch.setattr(profiles, "_read", gone)
    Path(profile).unlink()
    again = Audit(found.folder)
    assert again.verdicts == found.verdicts
    assert {k: v for k, v in again.warning_label.items() if k not in ("issued", "valid_until", "digest")} == {
        k: v for k, v in before.items() if k not in ("issued", "valid_until", "digest")}


@pytest.mark.slow
def test_healthcare_tells_the_sensitivity_that_is_left(tmp_path):
    profile = child(tmp_path, "healthcare", "text", "spelling", "typing-errors", "synonyms-wide")
    found = audit("notes-cnn", limit=60, profile=profile, budget="demo", out=tmp_path / "a")
    holds(found)
    (line,) = found.warning_label["refusal"]
    told = next(t for t in exports.json_object(found.store, found.verdicts)["as_test"] if t["check"] == "synonyms-wrong")
    assert line["value"] == pytest.approx(told["system"]["worst_case"]["sensitivity"]["value"])
    assert line["n"] == told["positives"]


@pytest.mark.slow
def test_defence_asks_by_gradients_and_by_queries_alone(tmp_path):
    profile = child(tmp_path, "defence", "classification", "universal", "fooling", "patch", "corruptions")
    found = audit("lenet", limit=6, profile=profile, budget="demo", out=tmp_path / "a")
    holds(found)
    rows = [f for f in found.store.findings() if f.check == "by-queries" and f.origin == f.system == "lenet"]
    assert rows and all(f.backward == 0 and f.forward > 0 for f in rows)
    strong = {(f.sample, f.level): f.worst for f in found.store.findings()
              if f.check == "tiny-pixels" and f.origin == f.system == "lenet"}
    assert all(f.worst <= strong[f.sample, f.level] for f in rows)      # who knows more does no less
    (line,) = found.warning_label["refusal"]
    assert line["state"] == "cannot be told" and "72 samples" in line["why"]


@pytest.mark.slow
def test_public_sector_on_pictures(tmp_path):
    found = audit("lenet", limit=6, profile="public_sector", budget="demo", out=tmp_path / "a")
    holds(found)
    assert [line["id"] for line in found.warning_label["refusal"]] == ["drop-position", "inconsistent-saved"]
    skipped = {s["check"]: s["reason"] for s in found.store.skipped}
    assert "24 pixels" in skipped["one-pixel"]                          # why a check is not applicable, on the label too
    assert any("24 pixels" in text for text in found.warning_label["not_tested"])


def test_replay_uses_the_stored_profile_where_ours_has_changed(tmp_path):
    """Also one whose sizes are multiples of the noise: its digest can be taken again from what is stored."""
    profile = child(tmp_path, "healthcare", "reconstruction", "structure", "structure-lines", "sampling")
    found = audit("zero-filled", established=("tikhonov",), size=48, limit=2, profile=profile, budget="demo",
                  out=tmp_path / "a")
    first = {claim.claim: claim for claim in verify(found.folder)}
    assert all(claim.holds for claim in first.values())
    path = Path(profile)
    text = path.read_text(encoding="utf-8")
    edited = text + "[override.within-noise]\nlevels = [1.0, 9.0]\n"
    newer = edited.replace('version = "1"', 'version = "2"')
    assert text not in (newer, "") and edited != newer
    asked = "the profile is the one that was asked"
    for step, told in ((lambda: path.write_text(newer, encoding="utf-8"), "2, so the stored one is used"),
                       (path.unlink, "not here, so the stored one is used")):
        step()
        claims = {claim.claim: claim for claim in verify(found.folder)}
        assert all(claim.holds for claim in claims.values()) and claims.keys() == first.keys()
        assert told in claims[asked].detail and "stored" not in first[asked].detail
    path.write_text(edited, encoding="utf-8")           # other content under the same version: here or in the folder
    last = verify(found.folder)[-1]
    assert last.claim == asked and not last.holds and "other content" in last.detail


@pytest.mark.parametrize("change", [
    lambda p, c: p.update(rate=0.5), lambda p, c: c["criterion"].update(margin=0.5), lambda p, c: p["not_tested"].pop(),
    lambda p, c: c["multiples"].update(level=3.0), lambda p, c: c["criterion"].update(level=0.5),
    lambda p, c: c["levels"].append(0.9),
    lambda p, c: c["perturbation"].update(fields={"age": 1}), lambda p, c: c["thresholds"][0].update(status="published"),
    lambda p, c: p["checks"].reverse(), lambda p, c: p["refusal"].pop() if "refusal" in p else p.update(refusal=[])])
def test_a_stored_profile_that_was_changed_is_noticed(change):
    profile = json.loads(json.dumps(profiles.at_noise(profiles.load("healthcare", budget="demo"), 0.01)))
    assert profiles.digest_holds(profile, noise=0.01) and not profiles.digest_holds(profile, noise=0.02)
    change(profile, next(check for check in profile["checks"] if check["id"] == "within-noise"))
    assert not profiles.digest_holds(profile, noise=0.01)
