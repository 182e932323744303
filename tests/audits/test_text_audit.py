"""A text classifier's audit from a table to a verified label, and a system's faults on the way."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.api import Audit, audit, verify
from assay.arrays import InputError
from assay.audits.prepare import session_from
from assay.datasets.texts import checked_claims, labelled_texts
from assay.perturbations import phrases
from assay.profiles.load import digest_holds
from assay.records import Outcome
from assay.store import FINDINGS, AuditFolder
from assay.systems.points import points_score
from assay.systems.texts import TextSystem
from replay_table import undeclared_in

NOTES = [("Back pain and headache.", 0), ("Fever and back pain.", 1), ("Heart attack.", 1), ("Nothing to note.", 0),
         ("Lumbago, no fever.", 0), ("Denies back pain.", 0)]
DATA = labelled_texts([t for t, _ in NOTES], [y for _, y in NOTES], classes=("low", "high"))


def keyword(word: str):
    """High where the word is in the text: flips exactly where the word can be replaced."""
    def scores(texts):
        return [[0.0, 1.0 if word in text.lower() else -1.0] for text in texts]
    return TextSystem(scores, name=f"has-{word.replace(' ', '-')}")


def deaf():
    return TextSystem(lambda texts: [[0.0, -1.0] for _ in texts], name="deaf")


def test_records_decided_differently_are_counted_by_hand(tmp_path):
    found = audit(keyword("back pain"), DATA, established=[deaf()], out=tmp_path / "a", budget="demo")
    verdicts = {(v.check, v.system): v for v in found.verdicts}
    mine = verdicts["synonyms", "has-back-pain"]
    # 0 and 1 hold "back pain", which can go; 4 says "lumbago", which can become it; 5 denies it and stays as it is
    assert (mine.outcome, mine.harmed, mine.n) == (Outcome.UNSTABLE, 3, 6)
    rows = {f.sample: f for f in list(AuditFolder(found.folder).findings()) if f.check == "synonyms" and f.level == 1.0
            and f.system == f.origin == "has-back-pain"}
    assert [rows[s].worst for s in DATA.ids] == [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    assert [rows[s].size for s in DATA.ids][1:3] == [1.0, 0.0] and rows[DATA.ids[3]].size == 0.0
    assert all(f.gain is None and "already-wrong" not in f.extra for f in rows.values())
    wrong = verdicts["synonyms-wrong", "has-back-pain"]
    # right without change are 1 (high, has it), 3 and 4 (low, have it not); of these 1 and 4 can be reworded
    assert (wrong.harmed, wrong.n) == (2, 3)
    other = verdicts["synonyms", "deaf"]
    assert other.outcome is Outcome.INCONCLUSIVE and other.harmed == 0 and "constant-decision" in other.reason


def test_records_without_a_place_to_change_are_told_and_a_set_without_any_is_left_out(tmp_path):
    found = audit(keyword("back pain"), DATA, established=[], out=tmp_path / "a", budget="demo")
    mine = next(v for v in found.verdicts if v.check == "synonyms")
    assert mine.reason == "3 of 6 samples met the criterion; 2 have no place where they may be changed"   # 3 and 5
    plain = labelled_texts(["One.", "Two."], [0, 1], classes=("low", "high"))
    other = audit(keyword("one"), plain, established=[], out=tmp_path / "b", budget="demo")
    reasons = {v.check: v for v in other.verdicts}
    assert reasons["synonyms"].outcome is Outcome.NOT_APPLICABLE and "has a place" in reasons["synonyms"].reason


def test_where_every_member_was_tried_the_verdict_says_so(tmp_path):
    found = audit(keyword("nothing"), DATA, established=[keyword("fever")], out=tmp_path / "a", budget="demo")
    mine = next(v for v in found.verdicts if (v.check, v.system) == ("synonyms", "has-nothing"))
    assert mine.outcome is Outcome.NONE_FOUND and "and every member of the set was tried" in mine.reason
    assert {f.stop.value for f in list(AuditFolder(found.folder).findings()) if f.check == "synonyms"} == {"exhausted"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return audit("notes-cnn", out=tmp_path_factory.mktemp("text") / "audit", budget="demo", limit=25)


def test_a_folder_verifies_and_a_changed_witness_is_seen(finished, tmp_path):
    assert all(c.holds for c in verify(finished.folder)), [c for c in verify(finished.folder) if not c.holds]
    header = AuditFolder(finished.folder).header
    assert header["data"]["task"] == "text" and [s["name"] for s in header["systems"]] == ["notes-cnn", "notes-tfidf"]
    label = json.loads((finished.folder / "warning_label.json").read_text())
    assert "text-classification" in json.dumps(label)
    assert undeclared_in(finished) == set()


def forged(finished, tmp_path, check, change) -> list[str]:
    """What fails where one part's own rows are changed and everything that follows from it is made anew."""
    folder = Path(shutil.copytree(finished.folder, tmp_path / "copy"))
    path = folder / "parts" / f"{check}~notes-cnn~00000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        if row["origin"] == row["system"]:
            extra = dict(row["extra"])
            change(row, extra)
            row["extra"] = list(extra.items())
    pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), path)
    AuditFolder(folder).seal()
    Audit(folder).write()
    assert all(c.holds for c in verify(folder, replay=False))
    return [f"{c.claim}: {c.detail}" for c in verify(folder) if not c.holds]


@pytest.mark.parametrize(("check", "change", "told"), [
    ("synonyms", lambda row, extra: None, ""), ("synonyms-wrong", lambda row, extra: None, ""),
    ("synonyms-wrong", lambda row, extra: extra.update({"already-wrong": 1.0}), "decided rightly without change"),
    ("synonyms-wrong", lambda row, extra: (row.update(worst=None, witness=None), extra.update({"already-wrong": 1.0})),
     "decided rightly without change, and the row"),
    ("synonyms-wrong", lambda row, extra: extra.pop("already-wrong"), "already-wrong recorded None, replayed 0"),
    ("synonyms-wrong", lambda row, extra: extra.update(label=1.0 - extra["label"]), "its label is"),
    ("synonyms", lambda row, extra: (row.update(worst=None, witness=None), extra.update({"already-wrong": 1.0})),
     "its check counts nothing apart"),
    ("synonyms", lambda row, extra: extra.update({"spread.score": extra["spread.score"] / 2}), "spread.score recorded"),
    ("synonyms", lambda row, extra: extra.update({"spread.decisions": 1 + extra["spread.decisions"]}),
     "spread.decisions recorded"),
    ("synonyms", lambda row, extra: extra.update(places=0.0 if extra["places"] else 1.0), "places recorded"),
    ("synonyms", lambda row, extra: extra.update({"confidence.average": extra["confidence.average"] / 2}),
     "confidence.average recorded"),
    ("synonyms", lambda row, extra: row.update(average_high=(row["average_high"] or 0.0) + 1), "average_high recorded"),
    ("synonyms", lambda row, extra: extra.update({"certainty.worst": 0.0}), "certainty.worst recorded 0.0, replayed nan"),
])
def test_a_word_beside_the_numbers_cannot_be_forged(finished, tmp_path, check, change, told):
    failed = forged(finished, tmp_path, check, change)
    assert any(told in line for line in failed) if told else failed == [], failed


def test_the_report_shows_both_texts_with_the_changed_words_marked(finished):
    page = (finished.folder / "report.html").read_text()
    assert "In other words" in page and re.search(r"<mark>[^<]*</mark>", page)
    assert "<img" not in page.split('id="pictures"')[1]


def test_a_table_of_ones_own_is_bound_to_the_audit(tmp_path):
    table, profile = tmp_path / "mine.csv", tmp_path / "mine.toml"
    table.write_text("phrase,alternative,grade,source\nback pain,dorsalgia,same,ICD-10-CM M54\n")
    text = (resources.files("assay.profiles") / "research" / "text.toml").read_text()
    profile.write_text(text.replace('table = "clinical"', f'table = "{table}"').replace('id = "research"', 'id = "mine"', 1))
    found = audit("notes-cnn", out=tmp_path / "a", budget="demo", limit=10, profile=str(profile))
    claims = {c.claim: c for c in verify(found.folder)}
    bound = claims["the tables of phrases, codes and fields are those that were used"]
    assert bound.holds and str(table) in bound.detail and all(c.holds for c in claims.values())
    table.write_text(table.read_text() + "headache,cephalgia,same,x\n")
    phrases.load_table.cache_clear()
    assert [c.claim for c in verify(found.folder) if not c.holds] == [
        "the tables of phrases, codes and fields are those that were used"]


def test_claims_are_audited_and_shown_with_their_codes_names(tmp_path):
    found = audit("claims-net", out=tmp_path / "a", budget="demo", limit=25)
    assert all(c.holds for c in verify(found.folder)), [c for c in verify(found.folder) if not c.holds]
    page = (found.folder / "report.html").read_text()
    assert "Coded otherwise" in page and "277.7 Dysmetabolic syndrome X" in page
    rows = [f for f in AuditFolder(found.folder).findings() if f.check == "equivalent-codes" and f.system == f.origin]
    assert {f.stop.value for f in rows} == {"exhausted"} and all(f.size <= f.level for f in rows)


def test_a_table_of_claims_is_read_as_such_or_refused(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_text('text,label\n"277.7\nDocumented: hypertension",denied\n"401.9",approved\n')
    assert session_from({"systems": ("claims-net",), "data": str(path)}).data.record.task == "codes"
    path.write_text('text,label\n"277.7",denied\n"I10 hypertension",approved\n')
    with pytest.raises(InputError, match="sample 'row-2' is coded in ICD-9-CM and sample 'row-3' in ICD-10-CM"):
        session_from({"systems": ("claims-net",), "data": str(path)})
    path.write_text('text,label\n"277.7",denied\n"hypertension",approved\n')
    with pytest.raises(InputError, match=r"sample 'row-3': .*neither a code \(with its dot"):
        session_from({"systems": ("claims-net",), "data": str(path)})


def test_records_of_icd10_are_rewritten_by_their_own_table_and_verified(tmp_path):
    texts = ["E11.9\nN18.9\nDocumented: type 2 diabetes, chronic kidney disease", "I10\nDocumented: hypertension"]
    data = checked_claims(labelled_texts(texts, [0, 1], classes=("denied", "approved")))
    system = points_score({"E11.22": 2}, 2)
    with pytest.raises(InputError, match="'claims-logistic' knows 0% of the codes in these records"):
        audit(system, data, out=tmp_path / "a")
    found = audit(system, data, established=("none",), out=tmp_path / "a", budget="demo")
    header = AuditFolder(found.folder).header
    assert list(header["tables"]) == ["icd10"]
    rows = {f.sample: f for f in AuditFolder(found.folder).findings() if f.check == "equivalent-codes" and f.level == 1.0}
    assert [rows[s].worst for s in data.ids] == [1.0, 0.0]              # two codes become one, and I10 stays
    assert digest_holds(header["profile"], options=header["data"]["options"])         # the revision is the data's to fill in
    assert not digest_holds(header["profile"], options={"revision": "icd9"})
    assert all(c.holds for c in verify(found.folder, replay=False))
    nines = tmp_path / "nines.toml"
    nines.write_text('extends = "research"\nid = "n"\ntitle = "N"\nversion = "1"\ncommunity = "research"\n'
                     'description = "Codes."\n[override.equivalent-codes]\nperturbation = { table = "icd9" }\n')
    with pytest.raises(InputError, match="its table icd9 is of ICD-9-CM, and the records are coded in ICD-10-CM"):
        audit(system, data, established=("none",), out=tmp_path / "b", profile=str(nines))


def test_another_number_of_classes_is_refused(tmp_path):
    path = tmp_path / "three.csv"
    path.write_text("text,label\na,0\nb,1\nc,2\n")
    with pytest.raises(InputError, match="scores 2 classes, and the audited data have 3"):
        session_from({"systems": ("notes-cnn",), "data": str(path)})


@pytest.mark.parametrize("scores", [1, 3])
def test_a_system_of_another_number_of_classes_is_refused_before_anything_runs(tmp_path, scores):
    system = TextSystem(lambda texts: [[0.0] * scores for _ in texts], name="mine")
    with pytest.raises(InputError, match=rf"'mine' scores {scores} classes, and the audited data have 2 \(low, high\)"):
        audit(system, DATA, established=[], out=tmp_path / "a", budget="demo")
    assert not (tmp_path / "a").exists()


def test_texts_given_to_an_image_classifier_are_refused(tmp_path):
    with pytest.raises(InputError, match="do not go together"):
        session_from({"systems": ("lenet",), "data": "bundled:notes"})


def test_a_hostile_text_is_shown_and_not_run(tmp_path):
    texts = ["<script>alert(1)</script> back pain & \u202eevil\x1b[31m", "Fever <img src=x onerror=alert(2)>\nline two"]
    data = labelled_texts(texts, [0, 1], classes=("low", "high"))
    found = audit(keyword("back pain"), data, established=[], out=tmp_path / "a", budget="demo")
    page = (found.folder / "report.html").read_text()
    assert "<script>" not in page and "<img src=x" not in page and "\u202e" not in page and "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page and "\\u202eevil\\x1b[31m" in page
