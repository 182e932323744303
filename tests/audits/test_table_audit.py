"""An audit of decisions on rows from a table to a verified label: what is found by exhaustion, and what is refused."""

from __future__ import annotations

import json
import re
import time

import pytest
import torch
from click.testing import CliRunner

from assay.api import audit, verify
from assay.arrays import InputError
from assay.audits.cost import forecast
from assay.audits.executors.serial import Serial
from assay.audits.plan import make_plan
from assay.audits.prepare import session_from
from assay.audits.run import run_audit
from assay.cli import cli
from assay.datasets.applications import DISTRICTS, GRANTED, REFUSED, points
from assay.datasets.applications import FIELDS as APPLICATION
from assay.datasets.tables import bundled_applications, labelled_rows
from assay.perturbations import registry
from assay.perturbations.field_changes import FieldChanges
from assay.perturbations.fields import fields_from
from assay.perturbations.protocol import ChoiceSet, stream
from assay.records import Outcome
from assay.searches.substitution import count
from assay.store import AuditFolder
from assay.systems import catalogue
from assay.systems.tables import RowSystem
from recipe_modules import recipe

FIELDS = fields_from({"fields": {
    "sex": {"kind": "category", "values": ["f", "m", "x"], "irrelevant": True},
    "ward": {"kind": "category", "values": ["a", "b"], "irrelevant": True},
    "age": {"kind": "whole", "range": [0, 100], "monotone": "up"},
    "fitness": {"kind": "whole", "range": [0, 9], "monotone": "down"},
    "dose": {"kind": "number", "range": [0, 10], "step": 0.1, "may_change": True, "within": 0.2}}})
#       sex ward age fitness dose
ROWS = [(0.0, 0.0, 70.0, 2.0, 5.0), (1.0, 1.0, 70.0, 2.0, 5.0), (0.0, 1.0, 30.0, 2.0, 5.0), (1.0, 0.0, 61.0, 5.0, 9.0)]
DATA = labelled_rows(ROWS, [1, 1, 0, 0], fields=FIELDS, classes=("low", "high"))


def rule(score, name: str, fields=FIELDS) -> RowSystem:
    return RowSystem(lambda rows: [[0.0, score(row)] for row in rows], fields=fields, name=name)


def fair(row):
    return row["age"] - 60 - row["fitness"]


def biased(row):
    """As fair, but a man on ward b is always high: two irrelevant fields must be what they are."""
    return 9.0 if row["sex"] == "m" and row["ward"] == "b" else fair(row)


def crooked(row):
    """Not monotone in either: very old counts as young, and the fittest as unfit."""
    return (row["age"] - 60 if row["age"] < 90 else -50.0) + (50.0 if row["fitness"] == 9 else 0.0)


def of(found, check: str, system: str):
    return next(v for v in found.verdicts if (v.check, v.system) == (check, system))


def own(found, check: str, system: str, level: float):
    return {f.sample: f for f in AuditFolder(found.folder).findings()
            if (f.check, f.system, f.origin, f.level) == (check, system, system, level)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return audit(rule(biased, "biased"), DATA, established=[rule(fair, "fair")], out=tmp_path_factory.mktemp("rows") / "a")


def test_a_rule_on_irrelevant_fields_is_found_with_the_fewest_changes(finished):
    mine = of(finished, "irrelevant-fields", "biased")
    # at fair's scores 8, 8, −32, −4: "low" turns where both fields become m and b; rows 0 and 1 are high anyway
    assert (mine.outcome, mine.harmed, mine.n) == (Outcome.UNSTABLE, 2, 4)
    changes = {level: own(finished, "irrelevant-fields", "biased", level) for level in (1.0, 2.0, 3.0)}
    assert [changes[1.0][s].worst for s in DATA.ids] == [0, 0, 1, 1]        # one field is missing: sex, and the ward
    assert [changes[3.0][s].size for s in DATA.ids[2:]] == [1, 1]           # of equal harm the fewest changes
    assert {f.stop.value for rows in changes.values() for f in rows.values()} == {"exhausted"}
    assert all(f.gain is None and "already-wrong" not in f.extra for f in changes[3.0].values())


def test_two_fields_that_must_change_together_are_found_together(tmp_path):
    data = labelled_rows([(0.0, 0.0, 30.0, 2.0, 5.0), ROWS[0]], [0, 1], fields=FIELDS, classes=("low", "high"))
    found = audit(rule(biased, "biased"), data, established=[], out=tmp_path / "a", budget="demo")
    worst = {level: own(found, "irrelevant-fields", "biased", level)[data.ids[0]] for level in (1.0, 2.0, 3.0)}
    assert [worst[k].worst for k in (1.0, 2.0, 3.0)] == [0, 1, 1] and [worst[k].size for k in (2.0, 3.0)] == [2, 2]


def test_a_rule_that_keeps_to_what_matters_is_cleared_by_exhaustion(finished):
    theirs = of(finished, "irrelevant-fields", "fair")
    assert theirs.outcome is Outcome.NONE_FOUND
    assert theirs.reason == "none of 4 samples met the criterion, and every member of the set was tried"
    for check in ("monotone-up", "monotone-down"):
        assert of(finished, check, "fair").outcome is Outcome.NONE_FOUND
        assert "every member of the set was tried" in of(finished, check, "fair").reason


def test_a_score_that_moves_against_its_direction_is_found(tmp_path):
    found = audit(rule(crooked, "crooked"), DATA, established=[], out=tmp_path / "a", budget="demo")
    up, down = (of(found, f"monotone-{way}", "crooked") for way in ("up", "down"))
    assert (up.outcome, up.harmed, up.n) == (Outcome.UNSTABLE, 4, 4)        # from 10, 10, −30 and 1 to −50
    assert (down.outcome, down.harmed) == (Outcome.UNSTABLE, 4)
    falls = own(found, "monotone-up", "crooked", 2.0)
    assert [falls[s].worst for s in DATA.ids] == [60.0, 60.0, 20.0, 51.0]
    assert [falls[s].normal for s in DATA.ids] == [0.0] * 4


def test_a_field_within_its_tolerance_turns_a_rule_at_its_threshold(tmp_path):
    edge = rule(lambda row: 1.0 if row["dose"] >= 5.1 else -1.0, "edge")
    found = audit(edge, DATA, established=[], out=tmp_path / "a", budget="demo")
    assert (of(found, "changeable-fields", "edge").harmed, of(found, "changeable-fields", "edge").n) == (3, 4)
    # right without change is row 2 alone: low, 5.0 < 5.1
    assert (of(found, "changeable-wrong", "edge").harmed, of(found, "changeable-wrong", "edge").n) == (1, 1)


def test_what_is_not_declared_is_not_applicable_with_its_reason(tmp_path):
    bare = fields_from({"fields": {"age": {"kind": "whole", "range": [0, 100]}}})
    data = labelled_rows([(70.0,), (30.0,)], [1, 0], fields=bare, classes=("low", "high"))
    session = session_from({"systems": ("old",), "data": "in memory"}, data=data, systems={"old": loaded(bare)})
    reasons = {s["check"]: s["reason"] for s in make_plan(session).skipped}
    assert reasons == {"irrelevant-fields": "fields declares no field with irrelevant = true",
                       "changeable-fields": "fields declares no field with may_change = true",
                       "changeable-wrong": "fields declares no field with may_change = true",
                       "changeable-numbers": "needs gradients, and the system gives scores only",
                       "monotone-up": 'fields declares no field with monotone = "up"',
                       "monotone-down": 'fields declares no field with monotone = "down"'}


def loaded(fields):
    from assay.systems.catalogue import adopt

    return adopt(rule(lambda row: row["age"] - 50.0, "old", fields), role="audited")


def test_monotone_scores_are_asked_of_two_classes_alone(tmp_path):
    data = labelled_rows(ROWS, [1, 2, 0, 0], fields=FIELDS, classes=("low", "middle", "high"))
    three = RowSystem(lambda rows: [[0.0, r["age"] - 50.0, r["age"] - 65.0] for r in rows], fields=FIELDS, name="three")
    found = audit(three, data, established=[], out=tmp_path / "a", budget="demo")
    assert of(found, "monotone-up", "three").reason == ("it asks about the score of class 1 of two, and the data have 3 "
                                                        "classes")
    assert of(found, "irrelevant-fields", "three").outcome is Outcome.NONE_FOUND


def test_the_report_shows_rows_line_by_line_with_what_changed_marked(finished):
    page = (finished.folder / "report.html").read_text()
    shown = page.split('id="pictures"')[1]
    assert "<h2>Rows" in page or ">Rows<" in page
    assert re.search(r"<mark>ward: a\n?</mark>", shown) and re.search(r"<mark>ward: b\n?</mark>", shown)
    assert "<img" not in shown and "With other values" in shown and "gain" not in shown
    label = json.loads((finished.folder / "warning_label.json").read_text())
    assert '"decision"' in json.dumps(label) and '"table"' in json.dumps(label)


MODULE = """
from assay.perturbations.fields import load_fields
from assay.systems.tables import RowSystem

def make(bonus=0.0):
    def score(row):
        return row["age"] - 60.0 + (bonus if row["sex"] == "m" else 0.0)
    return RowSystem(lambda rows: [[0.0, score(row)] for row in rows], fields=load_fields(FIELDS), name=f"rule-{bonus:g}")

def unfair():
    return make(20.0)
"""
TOML = """
[fields.sex]
kind = "category"
values = ["f", "m"]
irrelevant = true
[fields.age]
kind = "whole"
range = [0, 100]
monotone = "up"
"""


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    (tmp_path / "fields.toml").write_text(TOML)
    (tmp_path / "rows.csv").write_text("id,sex,age,risk\na,f,50,low\nb,m,70,high\nc,f,90,high\nd,m,20,low\n")
    (tmp_path / "row_rules.py").write_text(f"FIELDS = {str(tmp_path / 'fields.toml')!r}\n" + MODULE)
    (tmp_path / "classes.txt").write_text("low\nhigh\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "row_rules", raising=False)
    return tmp_path


def test_the_command_audits_a_table_and_a_changed_declaration_is_refused(on_disk):
    words = ["audit", "row_rules:unfair", str(on_disk / "rows.csv"), "--fields", str(on_disk / "fields.toml"),
             "--labels", "risk", "--classes", str(on_disk / "classes.txt"), "--established", "row_rules:make",
             "--out", str(on_disk / "run")]
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    assert result.return_value == 1, result.output                  # a finding
    claims = verify(on_disk / "run", trust_code=True)
    assert all(c.holds for c in claims), [c for c in claims if not c.holds]
    bound = next(c for c in claims if c.claim == "the tables of phrases, codes and fields are those that were used")
    assert "fields.toml: sha256" in bound.detail
    (on_disk / "fields.toml").write_text(TOML + "step = 2\n")         # another set of alternatives, the same rows
    failed = [c.claim for c in verify(on_disk / "run", trust_code=True) if not c.holds]
    assert failed == ["the tables of phrases, codes and fields are those that were used"]


def test_what_is_missing_or_misplaced_is_told(on_disk):
    rows, fields = str(on_disk / "rows.csv"), str(on_disk / "fields.toml")
    with pytest.raises(InputError, match=r"give --fields FILE\.toml"):
        session_from({"systems": ("row_rules:make",), "data": rows, "task": "table"})
    with pytest.raises(InputError, match="no table is given"):
        session_from({"systems": ("row_rules:make",), "task": "table"})
    with pytest.raises(InputError, match="bundled:applications has its own fields"):
        session_from({"systems": ("applications-net",), "fields": fields, "task": "table"})
    with pytest.raises(InputError, match="bundled:tables': unknown bundled set; known: bundled:applications"):
        session_from({"systems": ("applications-net",), "data": "bundled:tables"})
    with pytest.raises(InputError, match="declares the columns of a table, and the task is text"):
        session_from({"systems": ("notes-cnn",), "data": "bundled:notes", "fields": fields})
    with pytest.raises(InputError, match="do not go together"):
        session_from({"systems": ("lenet",), "data": rows, "fields": fields})
    with pytest.raises(InputError, match="field 'age': 70 is outside the range"):
        (on_disk / "fields.toml").write_text(TOML.replace("100]", "60]"))
        session_from({"systems": ("row_rules:make",), "data": rows, "labels": "risk", "fields": fields})


def test_the_demo_of_tables_is_listed():
    told = CliRunner().invoke(cli, ["demo", "--help"])
    assert told.exit_code == 0 and re.search(r"\[[^\]]*table[^\]]*\]", told.output, re.DOTALL)
    assert "applications for an allowance" in " ".join(told.output.split())


def test_the_shipped_network_is_audited_beside_logistic_regression_and_verified(tmp_path):
    found = audit("applications-net", limit=12, profile="public_sector", budget="demo", out=tmp_path / "a")
    assert {v.system for v in found.verdicts} == {"applications-net", "applications-logistic"}
    assert of(found, "irrelevant-fields", "applications-net").n == 12
    claims = verify(tmp_path / "a")
    assert all(c.holds for c in claims), [c for c in claims if not c.holds]


def test_the_rule_of_the_applications_never_reads_who_applies():
    data = bundled_applications("held-out")
    rule = RowSystem(lambda rows: [[0.0, points(row) - GRANTED + 0.5] for row in rows], fields=APPLICATION, name="rule")
    x = data.fetch(range(200))
    assert bool((rule(x.inputs).argmax(1) == x.truth).all())
    within = FieldChanges(fields=APPLICATION, which="irrelevant", most=3)
    changed = within.apply(x, within.sample(x, [stream("who", i) for i in range(200)]))
    assert bool((changed.inputs != x.inputs).any(1).all()) and bool((rule(changed.inputs).argmax(1) == x.truth).all())
    past = bundled_applications("train")
    y = past.fetch(range(len(past.ids)))
    wrong = rule(y.inputs).argmax(1) != y.truth
    districts = {APPLICATION.fields[1].values[int(d)] for d in y.inputs[wrong][:, 1].tolist()}
    assert districts == set(REFUSED)                    # the history was unfair where it says so, and nowhere else
    assert 0.2 < float(wrong.sum() / (rule(y.inputs).argmax(1).bool() & torch.isin(
        y.inputs[:, 1], torch.tensor([float(DISTRICTS.index(d)) for d in REFUSED]))).sum()) < 0.4


def test_the_shipped_weights_are_those_of_the_recipe(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    module = recipe("applications")
    monkeypatch.setattr(module, "PASSES", 1)
    module.main(["--out", str(tmp_path)])
    x = bundled_applications().fetch(range(20)).inputs
    for name in ("applications_net", "applications_logistic"):
        made = catalogue.load(name.replace("_", "-"), role="audited", weights=tmp_path / f"{name}.safetensors").system
        shipped = catalogue.load(name.replace("_", "-"), role="audited").system
        assert made(x).shape == (20, 2)
        if name.endswith("logistic"):               # a convex fit: the same anywhere, to rounding
            assert torch.allclose(made(x), shipped(x), atol=1e-2)


@pytest.fixture
def slow_audit(tmp_path, monkeypatch):
    """Session, plan and the seconds of the units, where a system takes 4 ms whenever it is called, and all else none.

    By a clock of the test's own, so that a busy machine changes nothing.
    """
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(rows):
        clock[0] += 0.004
        return [[0.0, fair(row)] for row in rows]

    made = catalogue.adopt(RowSystem(slow, fields=FIELDS, name="slow"), role="audited")
    session = session_from({"systems": ("slow",), "established": ("none",), "budget": "demo"}, systems={"slow": made},
                           data=DATA)
    folder, plan = tmp_path / "a", make_plan(session)
    run_audit(session, folder, executor=Serial(), plan=plan)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return session, plan, sum(entry["seconds"] for entry in log if entry["event"] == "unit")


def test_what_a_plan_says_it_will_take_is_about_what_it_takes(slow_audit):
    """Sets of rows are asked one by one, so a pass over a shard says little of what they cost."""
    session, plan, spent = slow_audit
    assert spent / 2 < forecast(session, plan, session.bench()) < 2 * spent
    assert by_passes(session, plan, session.bench()) < spent / 2


def by_passes(session, plan, bench) -> float:
    """The cost of a row in a pass over all, times the members asked."""
    x = session.data.fetch(range(len(session.data.ids)))
    start = time.perf_counter()
    for system in bench.systems.values():
        system(x.inputs)
    each, total = (time.perf_counter() - start) / len(x), 0.0
    for unit in plan.units:
        check = session.checks()[unit.check]
        sets = [registry.build(check.perturbation, level, x) for level in check.levels] if check.perturbation else []
        total += each * sum(count(row, s.most) for s in sets if isinstance(s, ChoiceSet) for row in s.choices(x))
    return total
