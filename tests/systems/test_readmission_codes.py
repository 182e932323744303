"""Readmission by diagnosis codes: what a code documents, the points, the networks by hand, the recipe on made-up rows."""

from __future__ import annotations

import csv
import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import recipe_modules
from assay.numerics import binary
from assay.numerics.texts import encode
from assay.perturbations.codes import CodeRewrites, codes_from, read_claim
from assay.perturbations.revisions import FORMS
from assay.systems import catalogue
from assay.systems.code_classifiers import EncounterLogistic, EncounterNetwork
from assay.systems.text_classifiers import as_bytes
from assay.systems.weights import SHIPPED, read_weights

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
RECORD = "250.41\n428\nDocumented: diabetes, days 5, acute 1, emergency 2, age 70"
NAMES = ("age", "days")


@pytest.fixture(scope="module")
def recipe():
    return recipe_modules.recipe("readmission_codes")


def network(kind):
    torch.manual_seed(0)
    made = kind(vocabulary=as_bytes(["250.41", "414", "428"]), facts=as_bytes(NAMES), classes=2).eval()
    made.centre.copy_(torch.tensor([60.0, 4.0]))
    made.spread.copy_(torch.tensor([10.0, 2.0]))
    return made


def test_a_record_is_its_codes_and_its_standardised_facts():
    assert network(EncounterNetwork).columns([RECORD, "414\nDocumented: diabetes, days unknown"]).tolist() == [
        [1, 0, 1, 1.0, 0.5], [0, 1, 0, 0.0, 0.0]]


def test_the_network_is_its_formula_whatever_the_order_of_the_codes():
    made = network(EncounterNetwork)
    w = {name: value.double().numpy() for name, value in made.state_dict().items()}
    summed = w["vectors.weight"][:, [0, 2]].sum(1) + w["vectors.bias"]
    z = np.concatenate((np.maximum(summed, 0), [1.0, 0.5]))
    z = w["decide.weight"] @ np.maximum(w["hidden.weight"] @ z + w["hidden.bias"], 0) + w["decide.bias"]
    turned = RECORD.replace("250.41\n428", "428\n250.41")
    with torch.no_grad():
        assert np.allclose(made([RECORD, turned]).numpy(), np.stack((z, z)), atol=1e-5)


def test_logistic_regression_is_additive():
    made = network(EncounterLogistic)
    with torch.no_grad():
        both, one, other = (made([f"{codes}\nDocumented: days 5"])[0, 1] for codes in ("250.41\n428", "250.41", "428"))
        none = made(["V45\nDocumented: days 5"])[0, 1]          # a code that is not known does not count
    assert torch.isclose(both - one, other - none, atol=1e-5)


def test_codes_get_their_zeros_back(recipe):
    assert [recipe.coded(code) for code in ("38", "8", "250", "250.6", "250.83", "365.44", "V45", "E888")] == [
        "038", "008", "250.00", "250.60", "250.83", "365.44", "V45", "E888"]


def test_the_score_by_points_by_hand(recipe):
    # LACE: 5 days → 4; emergency → 3; diabetes with an organ 2 and heart failure 2 → index 4, so 5; 2 visits → 2: 14
    scores = recipe.points()(torch.from_numpy(encode([RECORD, RECORD.replace("250.41\n428", "486")])))
    assert scores[:, 1].tolist() == [14 - 9.5, 9 - 9.5]


def test_every_rewrite_needs_only_what_its_own_codes_say(recipe):
    rows = list(recipe.rewrites())
    assert len(rows) == len({row[:2] for row in rows})
    for before, after, needs, *_ in rows:
        said = {finding for code in f"{before} {after}".split() for finding in recipe.says(code)}
        assert set(needs.split("; ")) <= said, (before, after)
    text = io.StringIO()
    csv.writer(text).writerows((recipe.COLUMNS, *rows))
    names = {code: "" for row in rows for code in f"{row[0]} {row[1]}".split()}
    within = CodeRewrites(table=codes_from(text.getvalue().encode(), "t", names, revision="icd9"), most=1)
    claim = read_claim(f"404\nDocumented: {', '.join(recipe.says('404'))}")
    assert {rule.after for rule in within.rules(claim) if rule.before == ("404",)} == {("402", "403")}
    assert not within.rules(read_claim("401\nDocumented: hypertension"))        # nothing says that a kidney is ill


def test_the_shipped_weights_say_where_they_are_from_and_what_they_are_worth():
    for name in ("net", "logistic"):
        path = Path(str(SHIPPED / f"readmission_{name}.safetensors"))
        _, facts = read_weights(path)
        assert path.stat().st_size < 5e4 and "CC BY 4.0" in facts["data_licence"]
        assert 0.6 < float(facts["held_out_auroc"]) < 0.7 and facts["use"].endswith("not a medical device")
        scores = catalogue.load(f"readmission-{name}", role="audited").system(torch.from_numpy(encode([RECORD, "414"])))
        assert scores.shape == (2, 2)


def encounter(r: random.Random, number: int) -> dict[str, str]:
    """A made-up encounter; who has heart failure comes back more often."""
    codes = [r.choice(("428", "250", "414", "486", "38")), r.choice(("401", "250.4", "?")), r.choice(("585", "V45", "?"))]
    back = r.random() < 0.1 + 0.8 * ("428" in codes)
    return {"encounter_id": str(number), "patient_nbr": str(number), "race": "?", "gender": "Female", "age": "[50-60)",
            "admission_type_id": r.choice("12"), "discharge_disposition_id": "1", "time_in_hospital": str(r.randint(1, 14)),
            "payer_code": "?", "num_lab_procedures": "9", "num_procedures": "0", "num_medications": str(r.randint(1, 40)),
            "number_outpatient": "0", "number_emergency": "0", "number_inpatient": "0", "number_diagnoses": "3",
            "A1Cresult": "None", "insulin": "No", "diabetesMed": "No", "readmitted": "<30" if back else "NO",
            **dict(zip(("diag_1", "diag_2", "diag_3"), codes, strict=True))}


def test_the_recipe_learns_and_writes_what_an_audit_reads(recipe, tmp_path, monkeypatch, capsys):
    r, text = random.Random(0), io.StringIO()
    rows = [encounter(r, i) for i in range(1500)]
    table = csv.DictWriter(text, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("dataset_diabetes/diabetic_data.csv", text.getvalue())
    monkeypatch.setattr(recipe, "CS", (0.1,))
    recipe.main(["--data", str(tmp_path / "data.zip"), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out.count("AUROC") == 4
    monkeypatch.chdir(tmp_path / "out")
    with Path("held_out_codes.csv").open(newline="") as file:
        held = list(csv.DictReader(file))
    assert len(held) == 300 and all(FORMS["icd9"].fullmatch(code) for row in held for code in read_claim(row["text"]).codes)
    x, truth = torch.from_numpy(encode([row["text"] for row in held])), torch.tensor([int(r["readmitted"]) for r in held])
    for system in (catalogue.load("readmission-net", role="audited", weights=Path("readmission_net.safetensors")).system,
                   recipe.boosting()):
        scores = system(x)
        assert binary.auroc((scores[:, 1] - scores[:, 0]).double(), truth) > 0.65


def test_the_label_says_that_what_is_documented_was_read_off_the_codes(recipe, tmp_path):
    from assay.profiles.load import load

    (tmp_path / "codes.toml").write_text(recipe.PROFILE, encoding="utf-8")
    said = load(str(tmp_path / "codes.toml"), task="codes")["not_tested"]
    assert any("read off the codes" in line for line in said) and len(said) > 3
