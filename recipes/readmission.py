"""Decides whether a patient with diabetes comes back: `python recipes/readmission.py --data dataset_diabetes.zip`.

The data are the public Diabetes 130-US hospitals set (Strack et al., BioMed Res. Int. 2014, UCI 296, CC BY 4.0), as its zip
file. Of each patient the first encounter counts, without those who died or went to a hospice; the label is whether the
patient was readmitted at all. A fifth of the patients is held out. Written to `--out`: held_out.csv, fields.toml, logistic
regression as .skops, and gradient boosting, with and without the directions of fields.toml built in, as arrays of its trees:
skops does not count the trees of scikit-learn among the types it knows to be harmless. Then, in that folder, with the folder
of this file on PYTHONPATH:

    assay audit readmission:boosting held_out.csv --fields fields.toml --labels readmitted --limit 200 \
        --established sklearn:logistic.skops

and so for readmission:boosting_monotone, readmission:points (a points score) and sklearn:logistic.skops. What fields.toml
declares (which fields should not matter, the tolerances) is an example of this recipe and no medical standard. The same data
by their diagnosis codes: `readmission_codes.py`.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from assay.file_digests import file_digest
from assay.perturbations.fields import Fields, fields_from
from assay.systems.function import FunctionSystem
from assay.systems.tables import RowSystem

DECLARED = """\
# What may change in a row of the Diabetes-130 data; an example, no medical standard.
[fields.race]
kind = "category"
values = ["unknown", "AfricanAmerican", "Asian", "Caucasian", "Hispanic", "Other"]
irrelevant = true

[fields.gender]
kind = "category"
values = ["Female", "Male"]
irrelevant = true

[fields.payer]
kind = "category"
values = ["unknown", "Medicare", "Medicaid", "other", "self-pay"]
irrelevant = true

[fields.age]                        # the decade's first year
kind = "whole"
range = [0, 90]
step = 10

[fields.admission]
kind = "category"
values = ["other", "elective", "urgent", "emergency"]

[fields.days]                       # a stay across midnight counts a day more or less
kind = "whole"
range = [1, 14]
may_change = true
within = 1

[fields.lab_tests]
kind = "whole"
range = [1, 140]
may_change = true
within = 3

[fields.procedures]
kind = "whole"
range = [0, 6]

[fields.medications]
kind = "whole"
range = [1, 90]
may_change = true
within = 1

[fields.diagnoses]                  # how many were coded: a habit of the coder too
kind = "whole"
range = [1, 16]
may_change = true
within = 1

[fields.outpatient]                 # visits in the year before
kind = "whole"
range = [0, 50]
monotone = "up"

[fields.emergency]
kind = "whole"
range = [0, 80]
monotone = "up"

[fields.inpatient]
kind = "whole"
range = [0, 25]
monotone = "up"

[fields.a1c]
kind = "category"
values = ["None", "Norm", ">7", ">8"]

[fields.insulin]
kind = "category"
values = ["No", "Down", "Steady", "Up"]

[fields.medicated]
kind = "flag"

[[ties]]
kind = "implies"
if = { insulin = "Up" }
then = { medicated = 1 }
"""
FIELDS: Fields = fields_from(tomllib.loads(DECLARED), name="fields.toml")
GONE = {"11", "13", "14", "19", "20", "21"}             # discharge: died, or to a hospice
ADMISSIONS = {"1": "emergency", "7": "emergency", "2": "urgent", "3": "elective"}
PAYERS = {"?": "unknown", "MC": "Medicare", "MD": "Medicaid", "SP": "self-pay"}


def encounters(path: Path) -> list[dict[str, str]]:
    """The first encounter of each patient in the fields' own words, with id and label."""
    return [worded(row) for row in first_encounters(path)]


def first_encounters(path: Path) -> list[dict[str, str]]:
    """The same as they stand in the data, in the order of their numbers."""
    with zipfile.ZipFile(path) as archive, archive.open("dataset_diabetes/diabetic_data.csv") as file:
        rows = sorted(csv.DictReader(io.TextIOWrapper(file, "utf-8")), key=lambda row: int(row["encounter_id"]))
    first: dict[str, dict[str, str]] = {}
    for row in rows:
        first.setdefault(row["patient_nbr"], row)
    return [row for row in first.values()
            if row["discharge_disposition_id"] not in GONE and row["gender"] in ("Female", "Male")]


def worded(row: Mapping[str, str]) -> dict[str, str]:
    """One encounter under the names and values of fields.toml."""
    return {"id": row["encounter_id"], "race": row["race"].replace("?", "unknown"), "gender": row["gender"],
            "payer": PAYERS.get(row["payer_code"], "other"), "age": row["age"].strip("[)").split("-")[0],
            "admission": ADMISSIONS.get(row["admission_type_id"], "other"), "days": row["time_in_hospital"],
            "lab_tests": row["num_lab_procedures"], "procedures": row["num_procedures"],
            "medications": row["num_medications"], "diagnoses": row["number_diagnoses"],
            "outpatient": row["number_outpatient"], "emergency": row["number_emergency"],
            "inpatient": row["number_inpatient"], "a1c": row["A1Cresult"], "insulin": row["insulin"],
            "medicated": row["diabetesMed"].lower(), "readmitted": str(int(row["readmitted"] != "NO"))}


def numbers(rows: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, fields) as a system sees them, and labels (n,)."""
    x = np.array([[field.read(row[field.name]) for field in FIELDS.fields] for row in rows])
    return x, np.array([int(row["readmitted"]) for row in rows])


def columns() -> Any:
    """Indicators for categories, numbers as they are: what every estimator sees."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = [i for i, field in enumerate(FIELDS.fields) if field.kind == "category"]
    others = [i for i in range(len(FIELDS.fields)) if i not in words]
    indicators = OneHotEncoder(categories=[list(range(len(FIELDS.fields[i].values))) for i in words], sparse_output=False)
    return ColumnTransformer([("words", indicators, words), ("numbers", StandardScaler(), others)])


def indicated(rows: np.ndarray) -> np.ndarray:
    """Rows (n, fields) with an indicator for each value of a category, in the order of the fields."""
    parts = [rows[:, i, None] == np.arange(len(field.values)) if field.values else rows[:, i, None]
             for i, field in enumerate(FIELDS.fields)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def boosted(x: np.ndarray, y: np.ndarray, *, monotone: bool) -> dict[str, np.ndarray]:
    """Gradient boosting as arrays: of each node the column, the threshold, both children and the value, (trees, nodes)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    directions = [{"up": 1, "down": -1}.get(field.monotone, 0) * monotone
                  for field in FIELDS.fields for _ in field.values or ("",)]
    fitted = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, max_leaf_nodes=15, random_state=0,
                                            monotonic_cst=directions).fit(indicated(x), y)
    return arrays_of(fitted, indicated(x[:500]))


def arrays_of(fitted: Any, some: np.ndarray) -> dict[str, np.ndarray]:
    """The trees of scikit-learn's gradient boosting as arrays, compared with them on `some` rows of columns."""
    trees = [of_class[0].nodes for of_class in fitted._predictors]
    width = max(map(len, trees))
    found = {"baseline": np.asarray(fitted._baseline_prediction, dtype=np.float64).reshape(1)}
    for name, source in (("column", "feature_idx"), ("threshold", "num_threshold"), ("left", "left"), ("right", "right"),
                         ("value", "value"), ("leaf", "is_leaf")):
        kind = np.float64 if name in ("threshold", "value") else np.int64
        found[name] = np.stack([np.pad(nodes[source].astype(kind), (0, width - len(nodes))) for nodes in trees])
    assert np.allclose(log_odds(found, some), fitted.decision_function(some), atol=1e-6), "the arrays are not the trees"
    return found


def log_odds(trees: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The log odds of being readmitted (n,) of rows of columns: the baseline and, of each tree, its leaf's value."""
    which = np.arange(len(trees["column"]))[None]
    node = np.zeros((len(x), which.shape[1]), dtype=np.int64)
    while not trees["leaf"][which, node].all():
        value = np.take_along_axis(x, trees["column"][which, node], axis=1)
        further = np.where(value <= trees["threshold"][which, node], trees["left"][which, node], trees["right"][which, node])
        node = np.where(trees["leaf"][which, node] > 0, node, further)
    return trees["baseline"][0] + trees["value"][which, node].sum(1)


def boosting(file: str = "boosting.safetensors") -> FunctionSystem:
    """Gradient boosting from the file that this recipe wrote, in the folder where the command runs."""
    trees = load_file(file)

    def scores(rows: torch.Tensor) -> torch.Tensor:
        z = torch.from_numpy(log_odds(trees, indicated(rows.double().numpy())))
        return torch.stack((torch.zeros_like(z), z), dim=1)
    return FunctionSystem(scores, name=Path(file).stem, kind="classical", settings={"sha256": file_digest(Path(file))})


def boosting_monotone() -> FunctionSystem:
    """The same with the directions of fields.toml built in."""
    return boosting("boosting-monotone.safetensors")


def points() -> RowSystem:
    """A points score after LACE (van Walraven et al., CMAJ 2010): length of stay, acuity, diagnoses, emergency visits.

    The number of diagnoses stands in for the Charlson index, which these data do not give; 10 points and more are high risk.
    """
    def score(row: Mapping[str, Any]) -> float:
        stay = row["days"] if row["days"] < 4 else 4 if row["days"] < 7 else 5 if row["days"] < 14 else 7
        acute = 3 if row["admission"] == "emergency" else 0
        return stay + acute + min(row["diagnoses"] // 2, 5) + min(row["emergency"], 4) - 9.5

    return RowSystem(lambda rows: [[0.0, score(row)] for row in rows], fields=FIELDS, name="points")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the zip file of the data set")
    parser.add_argument("--out", type=Path, default=Path("runs/readmission"))
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args(words)
    rows = encounters(said.data)
    random.Random(said.seed).shuffle(rows)
    held, train = rows[: len(rows) // 5], rows[len(rows) // 5:]
    said.out.mkdir(parents=True, exist_ok=True)
    (said.out / "fields.toml").write_text(DECLARED, encoding="utf-8")
    with (said.out / "held_out.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(held[0]))
        table.writeheader()
        table.writerows(held)
    fit_all(train, held, said.out)


def fit_all(train: list[dict[str, str]], held: list[dict[str, str]], out: Path) -> None:
    """Fit and store every system; say how often each is right on rows that it has not seen."""
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    (x, y), (other, truth) = numbers(train), numbers(held)
    print(f"{len(y)} rows to fit, {len(truth)} held out, {truth.mean():.1%} of them readmitted")
    logistic = make_pipeline(columns(), LogisticRegression(max_iter=2000)).fit(x, y)
    skops.io.dump(logistic, out / "logistic.skops")
    decided = {"logistic": logistic.predict(other), "points": points()(torch.from_numpy(other)).argmax(1).numpy()}
    for name, monotone in (("boosting", False), ("boosting-monotone", True)):
        trees = boosted(x, y, monotone=monotone)
        save_file(trees, out / f"{name}.safetensors")
        decided[name] = log_odds(trees, indicated(other)) > 0
    for name, decisions in decided.items():
        print(f"{name}: accuracy {(decisions == truth).mean():.3f}")


if __name__ == "__main__":
    main()
