"""How far equivalent records lie apart: over all members by hand, in money by a tariff, never which is worth most."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch

from assay.api import audit, verify
from assay.arrays import InputError
from assay.datasets.tables import labelled_rows
from assay.metrics.spread import Spread, Tariff, load_tariff, tariff_from
from assay.numerics.texts import encode
from assay.perturbations.fields import fields_from
from assay.profiles.load import digest_holds
from assay.store import AuditFolder
from assay.systems.tables import RowSystem

FIELDS = fields_from({"fields": {
    "sex": {"kind": "category", "values": ["f", "m", "x"], "irrelevant": True},
    "ward": {"kind": "category", "values": ["a", "b"], "irrelevant": True},
    "age": {"kind": "whole", "range": [0, 100]}}})
ROWS = [(0.0, 0.0, 30.0), (1.0, 1.0, 50.0), (2.0, 0.0, 70.0)]
DATA = labelled_rows(ROWS, [0, 1, 1], fields=FIELDS, classes=("low", "high"))
TARIFF = 'currency = "EUR"\n[decisions]\nlow = 0\nhigh = 250.5\n'


def z(row) -> float:
    return (row["age"] - 50) / 20 + {"f": 0.0, "m": 1.5, "x": -0.25}[row["sex"]] + (row["ward"] == "b") * 0.5


def by_hand(age: float) -> tuple[float, int]:
    """Greatest minus least probability, and the decisions, over all three times two members."""
    values = [z({"age": age, "sex": sex, "ward": ward}) for sex, ward in itertools.product("fmx", "ab")]
    shares = [1 / (1 + math.exp(-v)) for v in values]
    return max(shares) - min(shares), len({v > 0 for v in values})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spread")
    (folder / "tariff.toml").write_text(TARIFF)
    system = RowSystem(lambda rows: [[0.0, z(row)] for row in rows], fields=FIELDS, name="rule")
    return audit(system, DATA, established=[], out=folder / "a", budget="demo", tariff=str(folder / "tariff.toml"))


def test_the_spread_is_that_of_all_members_as_counted_by_hand(finished):
    rows = [f for f in AuditFolder(finished.folder).findings()
            if f.check == "irrelevant-fields" and f.level == 3.0 and f.origin == f.system]
    assert len(rows) == 3
    for row, made in zip(sorted(rows, key=lambda f: f.sample), ROWS, strict=True):
        wanted, decisions = by_hand(made[2])
        assert math.isclose(row.extra["spread.score"], wanted, rel_tol=1e-6)
        assert row.extra["spread.decisions"] == decisions
        assert row.extra["spread.money"] == (250.5 if decisions == 2 else 0.0)
        worst = abs(row.extra["confidence.worst"] - row.extra["confidence.normal"])
        assert wanted > worst - 1e-9                # of one member alone, a twin would tell less


def test_report_and_json_tell_the_distance_and_never_the_member(finished):
    page = (finished.folder / "report.html").read_text()
    section = page.split('id="spreads"')[1].split("</section>")[0]
    assert "EUR" in section and "3 of 3" in section and "never which of them scores or pays most" in section
    assert "sex" not in section and "ward" not in section
    assert "250.5" not in json.dumps([f.extra for f in AuditFolder(finished.folder).findings()
                                      if "spread.money" not in f.extra])


def test_an_audit_with_a_tariff_is_verified_and_a_stored_tariff_is_no_other_question(finished):
    header = AuditFolder(finished.folder).header
    assert "tariff" in json.dumps(header["profile"]) and digest_holds(header["profile"], options=header["data"]["options"])
    assert all(c.holds for c in verify(finished.folder, replay=False))


def test_what_is_left_out_and_what_is_not_finite_does_not_count():
    seen = Spread(torch.tensor([[1.0, 0.0]]))
    seen.look(torch.tensor([[1.0, 0.0], [float("nan"), 9.0]]))
    assert seen.told() == {"spread.score": 0.0, "spread.decisions": 1.0}
    assert Spread(torch.tensor([[1.0, 0.0]])).told() == {}


def test_codes_are_paid_where_the_decision_pays_them():
    tariff = Tariff(currency="EUR", decisions=(0.0, 100.0), paid=(1,), codes={"401.9": 5.0, "272.4": 2.5})
    records = torch.from_numpy(encode(["401.9\n272.4 Other", "401.9", "277.7"]))
    assert tariff.amounts(torch.tensor([1, 0, 1]), records).tolist() == [107.5, 0.0, 100.0]
    seen = Spread(torch.tensor([[0.0, 1.0]]), tariff)
    seen.look(torch.tensor([[0.0, 1.0], [0.0, 2.0]]), records[[0, 2]])
    assert seen.told()["spread.money"] == 7.5 and seen.told()["spread.decisions"] == 1.0


def test_a_tariff_is_read_by_class_number(tmp_path):
    (tmp_path / "t.toml").write_text('currency = "EUR"\npaid = ["yes"]\n[decisions]\nyes = 9\nno = 1\n[codes]\n"I10" = 2\n')
    said = load_tariff(tmp_path / "t.toml", ("no", "yes"))
    assert said == {"currency": "EUR", "decisions": [1.0, 9.0], "paid": [1], "codes": {"I10": 2.0}}
    assert tariff_from(json.loads(json.dumps(said))) == Tariff(currency="EUR", decisions=(1.0, 9.0), paid=(1,),
                                                               codes={"I10": 2.0})


@pytest.mark.parametrize(("content", "words"), [
    ("currency = 3", "currency is 3; give its name"),
    ('currency = "EUR"', "decisions is missing"),
    ('currency = "EUR"\nprice = 2', "key 'price' is unknown"),
    ('currency = "EUR"\n[decisions]\nno = 1', "no amount for 'yes'"),
    ('currency = "EUR"\n[decisions]\nno = 1\nyes = inf', "'yes' is inf; give a finite number"),
    ('currency = "EUR"\n[decisions]\nno = 1\nyes = 2\nmaybe = 3', "'maybe' is no decision; they are no, yes"),
    ('currency = "EUR"\npaid = ["yes"]\n[decisions]\nno = 1\nyes = 2', "codes and paid go together"),
    ('currency = "EUR"\npaid = ["yes"]\n[decisions]\nno = 1\nyes = 2\n[codes]\n277.7 = 20',
     "'277' is a table; a dot outside quotes"),
    ("currency = ", "not a TOML file"),
])
def test_a_bad_tariff_is_refused_by_key(tmp_path, content, words):
    (tmp_path / "t.toml").write_text(content)
    with pytest.raises(InputError, match=words):
        load_tariff(tmp_path / "t.toml", ("no", "yes"))


def test_a_tariff_belongs_to_records(tmp_path):
    from assay.audits.prepare import session_from

    (tmp_path / "t.toml").write_text(TARIFF)
    with pytest.raises(InputError, match="the task is classification"):
        session_from({"systems": ("lenet",), "tariff": str(tmp_path / "t.toml")})
    with pytest.raises(InputError, match="cannot be read"):
        session_from({"systems": ("claims-net",), "tariff": str(tmp_path / "missing.toml")})


def with_codes(tmp_path, codes: str) -> str:
    told = 'currency = "EUR"\npaid = ["approved"]\n[decisions]\ndenied = 0\napproved = 9\n[codes]\n'
    (tmp_path / "t.toml").write_text(told + codes)
    return str(tmp_path / "t.toml")


def tariff_asked(path: str) -> dict[str, float]:
    """The codes of the tariff as the audit's searches have them."""
    from assay.audits.prepare import session_from

    made = session_from({"systems": ("claims-net",), "tariff": path, "established": ("none",), "limit": 20})
    found = [check["search"]["tariff"]["codes"] for check in made.profile["checks"] if "tariff" in check.get("search", {})]
    assert found and all(each == found[0] for each in found)
    return found[0]


def test_codes_of_a_tariff_get_their_dot_and_match(tmp_path):
    """Written without dots, as many tariffs are, they used to match no record, silently."""
    plain = tariff_asked(with_codes(tmp_path, '"277.7" = 20\n"278.00" = 5\n'))
    assert tariff_asked(with_codes(tmp_path, '"2777" = 20\n"27800" = 5\n')) == plain == {"277.7": 20.0, "278.00": 5.0}


@pytest.mark.parametrize(("codes", "words"), [
    ('"277.7" = 20\n"E11.9" = 5\n', r"t.toml, line 8: codes: 'E11.9' is written like no code of ICD-9-CM"),
    ("'27.77' = 20\n", r"t.toml, line 7: codes: '27.77' is written like no code"),
    ('"2777" = 20\n"277.7" = 5\n', r"line 8: codes: '277.7' is 277.7, which stands above already"),
    ('"V85.4" = 20\n', r"none of the 1 codes, such as 'V85.4', is in a record or in a rewrite of one; the records have "),
])
def test_a_tariff_of_other_codes_is_refused_by_line(tmp_path, codes, words):
    with pytest.raises(InputError, match=words):
        tariff_asked(with_codes(tmp_path, codes))
