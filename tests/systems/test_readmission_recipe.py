"""The recipe of readmission on a made-up zip of the data set's form: what it keeps, writes and can be audited."""

from __future__ import annotations

import csv
import io
import random
import zipfile

import numpy as np
import pytest

from assay.api import audit
from assay.datasets.tables import load_rows
from assay.records import Outcome
from recipe_modules import recipe

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("skops", reason="skops is not installed")


def encounter(r: random.Random, number: int, patient: int) -> dict[str, str]:
    """A made-up encounter; who was in hospital before comes back more often."""
    before, gender = r.randint(0, 3), r.choice(["Female", "Male"])
    back = r.random() < 0.2 + 0.2 * before
    return {"encounter_id": str(number), "patient_nbr": str(patient), "race": r.choice(["Caucasian", "?", "Asian"]),
            "gender": gender, "age": r.choice(["[50-60)", "[90-100)"]), "admission_type_id": r.choice("1235"),
            "discharge_disposition_id": r.choice(["1", "3"]), "time_in_hospital": str(r.randint(1, 14)),
            "payer_code": r.choice(["?", "MC", "HM"]), "num_lab_procedures": str(r.randint(1, 100)), "num_procedures": "0",
            "num_medications": str(r.randint(1, 40)), "number_outpatient": "0", "number_emergency": "0",
            "number_inpatient": str(before), "number_diagnoses": str(r.randint(1, 16)),
            "A1Cresult": r.choice(["None", ">7"]), "insulin": "No", "diabetesMed": r.choice(["Yes", "No"]),
            "readmitted": r.choice(["<30", ">30"]) if back else "NO"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, r = tmp_path_factory.mktemp("readmission"), random.Random(0)
    rows = [encounter(r, i, i) for i in range(600)]
    rows += [{**rows[0], "encounter_id": "9000"},                                       # a second stay of the first patient
             {**encounter(r, 601, 601), "discharge_disposition_id": "11"},              # died
             {**encounter(r, 602, 602), "gender": "Unknown/Invalid"}]
    r.shuffle(rows)
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("dataset_diabetes/diabetic_data.csv", text.getvalue())
    module = recipe("readmission")
    module.main(["--data", str(folder / "data.zip"), "--out", str(folder / "out")])
    return module, folder / "out"


def test_each_patient_counts_once_and_a_fifth_is_held_out(made):
    module, out = made
    data = load_rows(out / "held_out.csv", fields=out / "fields.toml", label_key="readmitted")
    assert len(data.ids) == 120 and not {"9000", "601", "602"} & set(data.ids) and set(data.labels) == {0, 1}
    assert data.fields.digest == module.FIELDS.digest


def test_the_trees_that_are_stored_are_the_trees(made, monkeypatch):
    module, out = made
    monkeypatch.chdir(out)
    x = load_rows("held_out.csv", fields="fields.toml", label_key="readmitted").fetch(range(5))
    trees = module.load_file("boosting.safetensors")
    scores = module.boosting()(x.inputs)
    for row, got in zip(x.inputs.numpy(), scores[:, 1].tolist(), strict=True):       # node by node, by hand
        columns, total = module.indicated(row[None])[0], trees["baseline"][0]
        for t in range(len(trees["column"])):
            node = 0
            while not trees["leaf"][t, node]:
                low = columns[trees["column"][t, node]] <= trees["threshold"][t, node]
                node = trees["left" if low else "right"][t, node]
            total += trees["value"][t, node]
        assert np.isclose(got, total)


def test_built_in_directions_are_cleared_by_exhaustion_and_points_never_read_race(made, monkeypatch, tmp_path):
    module, out = made
    monkeypatch.chdir(out)
    data = load_rows("held_out.csv", fields="fields.toml", label_key="readmitted", limit=12)
    found = audit(module.boosting_monotone(), data, established=[module.points()], out=tmp_path / "a", budget="demo")
    verdicts = {(v.check, v.system): v for v in found.verdicts}
    for check, system in (("monotone-up", "boosting-monotone"), ("irrelevant-fields", "points"), ("monotone-up", "points")):
        verdict = verdicts[check, system]
        assert verdict.outcome in (Outcome.NONE_FOUND, Outcome.INCONCLUSIVE) and verdict.harmed == 0, verdict.reason
