"""Decides from diagnosis codes whether a patient with diabetes comes back: `readmission_codes.py --data FILE.zip`.

The data of `readmission.py` (UCI 296, CC BY 4.0; its first encounters and label) as records of codes: up to three ICD-9-CM
codes, principal diagnosis first, then what is documented: what the codes themselves say, and facts as a word and a number.
The data give categories (428), and five digits of diabetes alone, so the rewrites of `rewrites.csv` are between those. What
a code says, and which rewrites it supports, is an example of this recipe and no coding guideline. No column can replace it:
none tells of hypertension, kidneys, lungs or the type of diabetes, and of "uncontrolled" the two laboratory results say too
little (a fifth of the patients has one; see benchmarks/README.md). The label says so among what was not tested.

A fifth of the patients is held out, an eighth of the rest chooses. Written to `--out`: held_out_codes.csv, rewrites.csv,
codes.toml (a profile that names them), an embedding network and logistic regression (shipped as `readmission-net` and
`readmission-logistic`), and gradient boosting as arrays of its trees. In that folder, with the folder of this file on
PYTHONPATH, and the extra icd, which knows the codes of the data:

    assay audit readmission-net held_out_codes.csv --labels readmitted --task codes --profile codes.toml --limit 2000 \
        --established readmission-logistic

and so for readmission_codes:boosting and readmission_codes:points.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.numpy import save_file as save_arrays
from torch import Tensor, nn

from assay.file_digests import file_digest
from assay.numerics import binary
from assay.perturbations.codes import COLUMNS, read_claim
from assay.systems.code_classifiers import EncounterLogistic, EncounterNetwork, build_encounter_logistic
from assay.systems.text_classifiers import as_bytes, read_words
from assay.systems.texts import TextSystem
from assay.systems.weights import fill, read_weights
from choosing import best_pass, best_regression, put_into, write_whole
from readmission import arrays_of, first_encounters, log_odds, worded

PASSES, BATCH, RATE, DECAY = 12, 256, 1e-3, 1e-4
DIAGNOSES = ("diag_1", "diag_2", "diag_3")
SEEN = 30                       # encounters that a code must be in to have a vector
CS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FACTS = ("age", "days", "lab_tests", "procedures", "medications", "diagnoses", "outpatient", "emergency", "inpatient",
         "acute")
KINDS = {"1": "ketoacidosis", "2": "hyperosmolar state", "3": "diabetic coma", "4": "diabetic kidney disease",
         "5": "diabetic eye disease", "6": "diabetic neuropathy", "7": "diabetic circulatory disorder",
         "8": "other diabetic complication"}
SAYS = {"401": "hypertension", "402": "hypertension; hypertensive heart disease",
        "403": "hypertension; chronic kidney disease",
        "404": "hypertension; hypertensive heart disease; chronic kidney disease", "585": "chronic kidney disease",
        "584": "acute kidney failure", "491": "chronic bronchitis", "492": "emphysema", "481": "pneumococcal pneumonia",
        "482": "bacterial pneumonia", "434": "occlusion of cerebral arteries", "590": "kidney infection",
        "595": "cystitis", "531": "gastric ulcer", "532": "duodenal ulcer", "280": "iron deficiency anemia",
        "281": "deficiency anemia", "283": "hemolytic anemia", "714": "rheumatoid arthritis", "715": "osteoarthritis",
        "440": "atherosclerosis of the extremities"}
ROWS = (("404", "402 403", SAYS["404"], "near", "ICD-9-CM 404 combines 402 and 403"),
        ("403", "401 585", SAYS["403"], "near", "ICD-9-CM 403: a relation is presumed"),
        *((vague, exact, SAYS[exact], "near", f"ICD-9-CM {vague}: unspecified, or ill-defined") for vague, exact in (
            ("586", "585"), ("586", "584"), ("496", "491"), ("496", "492"), ("486", "481"), ("486", "482"), ("436", "434"),
            ("599", "590"), ("599", "595"), ("533", "531"), ("533", "532"), ("285", "280"), ("285", "281"), ("285", "283"),
            ("716", "714"), ("716", "715"))),
        ("443", "440", SAYS["440"], "disputed", "ICD-9-CM 443.9 and 440: categories of more than the extremities"))
PROFILE = """\
# Readmission by codes: the checks of research, with the rewrites that these data allow.
extends = "research"
id = "readmission-codes"
title = "Readmission by diagnosis codes"
community = "research"
version = "0.1.0"
description = "Encounters decided differently when the same findings are coded otherwise."
not_tested = [
  "Whether the chart documents what a code says: these data hold no findings, so what is documented was read off the codes",
]

[override.equivalent-codes]
perturbation = { table = "rewrites.csv" }

[override.equivalent-codes-wrong]
perturbation = { table = "rewrites.csv" }

[override.disputed-codes]
perturbation = { table = "rewrites.csv" }
"""
Part = tuple[list[str], Tensor]         # records, and whether the patient came back
CHARLSON = ((6, "196 197 198 199"), (4, "042"), (4, "572"), (3, "290"), (3, "710 714 725"), (2, "428"), (2, "490 491 492 "
            "493 494 496"), (2, "582 583 585 586 588 571"), (2, " ".join(map(str, range(140, 195))) + " 200 201 202 203 204 "
            "205 206 207 208"), (1, "410 412"), (1, "430 431 432 433 434 435 436 437 438"), (1, "440 441 443"))


def coded(code: str) -> str:
    """A code as the classification writes it: the data lost zeros at both ends.

    >>> coded("38"), coded("250"), coded("250.6"), coded("428")
    ('038', '250.00', '250.60', '428')
    """
    head, _, rest = code.partition(".")
    if head.isdigit():
        head = head.zfill(3)
    return f"250.{rest:0<2}" if head == "250" else f"{head}.{rest}" if rest else head


def says(code: str) -> list[str]:
    """What the code itself documents.

    >>> says("250.41"), says("404")[0]
    (['diabetes', 'type 1 diabetes', 'diabetic kidney disease'], 'hypertension')
    """
    if not code.startswith("250."):
        return SAYS[code[:3]].split("; ") if code[:3] in SAYS else []
    kind, form = code[4:6]
    found = ["diabetes", "type 1 diabetes" if form in "13" else "", "uncontrolled diabetes" if form in "23" else "",
             KINDS.get(kind, "")]
    return list(filter(None, found))


def rewrites() -> Iterator[tuple[str, str, str, str, str]]:
    """The rows of the table: fifth digits, fourth digits, and categories."""
    for kind in "0123456789":
        for one, other, needs in (("0", "2", "uncontrolled diabetes"), ("1", "3", "uncontrolled diabetes; type 1 diabetes"),
                                  ("0", "1", "type 1 diabetes"), ("2", "3", "uncontrolled diabetes; type 1 diabetes")):
            yield f"250.{kind}{one}", f"250.{kind}{other}", f"diabetes; {needs}", "same", "ICD-9-CM 250: fifth digit"
    for form in "0123":
        for kind in "45678":
            yield f"250.9{form}", f"250.{kind}{form}", f"diabetes; {KINDS[kind]}", "near", "ICD-9-CM 250.9: unspecified"
        yield (f"250.4{form}", f"250.0{form} 585", f"diabetes; {KINDS['4']}; chronic kidney disease", "near",
               "ICD-9-CM 250.4: use additional code for the manifestation")
    yield from ROWS


def records(path: Path) -> list[dict[str, str]]:
    """The encounters that have a code, as id, record, label; in the data's order."""
    found = []
    for row in first_encounters(path):
        codes = list(dict.fromkeys(coded(row[column]) for column in DIAGNOSES if row[column] != "?"))
        if codes:
            facts = worded(row)
            facts["acute"] = str(int(facts["admission"] == "emergency"))
            said = [*dict.fromkeys(finding for code in codes for finding in says(code)),
                    *(f"{name} {facts[name]}" for name in FACTS)]
            found.append({"id": facts["id"], "text": "\n".join((*codes, f"Documented: {', '.join(said)}")),
                          "readmitted": facts["readmitted"]})
    return found


def network(seed: int, fit: Part, choose: Part, words: tuple[Tensor, Tensor]) -> EncounterNetwork:
    """Adam on the cross-entropy; the pass of least loss on what chooses."""
    torch.manual_seed(seed)
    module = standardised(EncounterNetwork(vocabulary=words[0], facts=words[1], classes=2), fit)
    x, held = module.columns(fit[0]), module.columns(choose[0])
    optimiser = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=DECAY)
    best_pass(module, module.of_columns, optimiser, (x, fit[1]), (held, choose[1]), passes=PASSES, batch=BATCH)
    return module


def logistic(fit: Part, choose: Part, words: tuple[Tensor, Tensor]) -> EncounterLogistic:
    """Ridge logistic regression by scikit-learn, C of least loss on what chooses."""
    module = standardised(EncounterLogistic(vocabulary=words[0], facts=words[1], classes=2), fit)
    x, held = module.columns(fit[0]), module.columns(choose[0])
    put_into(module.linear, best_regression(x, fit[1], held, choose[1], CS, max_iter=2000))
    return module.eval()


def standardised(module: EncounterNetwork | EncounterLogistic, fit: Part) -> Any:
    """The module with the facts' means and standard deviations."""
    numbers = module.numbers(fit[0])
    module.centre.copy_(numbers.mean(0))
    module.spread.copy_(numbers.std(0).clamp_min(1e-6))
    return module


def boosted(fit: Part, columns: EncounterLogistic) -> dict[str, np.ndarray]:
    """Gradient boosting on the same columns, as arrays."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = columns.columns(fit[0]).double().numpy()
    made = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, max_leaf_nodes=15, random_state=0)
    return arrays_of(made.fit(x, fit[1].numpy()), x[:500])


def boosting(file: str = "codes-boosting.safetensors", weights: str = "readmission_logistic.safetensors") -> TextSystem:
    """Gradient boosting from the files that this recipe wrote, in the folder where the command runs."""
    trees = load_file(file)
    columns = build_encounter_logistic(read_weights(Path(weights))[0])
    fill(columns, read_weights(Path(weights))[0], Path(weights))

    def scores(texts: Sequence[str]) -> list[list[float]]:
        return [[0.0, z] for z in log_odds(trees, columns.columns(texts).double().numpy()).tolist()]
    return TextSystem(scores, name="boosting", kind="classical", settings={"sha256": file_digest(Path(file))})


def points() -> TextSystem:
    """LACE (van Walraven et al., CMAJ 2010): length of stay, acuity, Charlson's index of the codes, emergency visits.

    The index is Charlson's in the weights of that paper, from categories alone; 10 points and more are high risk.
    """
    def score(text: str) -> float:
        claim = read_claim(text)
        said = dict(finding.rsplit(" ", 1) for finding in claim.findings if finding[-1].isdigit())
        days, index = int(said["days"]), charlson(claim.codes)
        stay = days if days < 4 else 4 if days < 7 else 5 if days < 14 else 7
        return stay + 3 * int(said["acute"]) + (index if index < 4 else 5) + min(int(said["emergency"]), 4) - 9.5

    return TextSystem(lambda texts: [[0.0, score(text)] for text in texts], name="points", kind="classical")


def charlson(codes: Sequence[str]) -> int:
    """The index of categories of codes: diabetes 1, or 2 with damage to an organ, and the rows of CHARLSON.

    >>> charlson(["250.00", "428"]), charlson(["250.41"])
    (3, 2)
    """
    heads = {code[:3] for code in codes}
    diabetes = 2 if any(code[:5] in ("250.4", "250.5", "250.6", "250.7") for code in codes) else int("250" in heads)
    return diabetes + sum(worth for worth, group in CHARLSON if heads & set(group.split()))


def write(module: nn.Module, file: Path, held: Part, how: str) -> None:
    with torch.no_grad():
        scores = module(held[0])
    margin = scores[:, 1] - scores[:, 0]
    accuracy, auroc = float(((margin > 0) == held[1].bool()).double().mean()), binary.auroc(margin, held[1])
    write_whole(module, file, {
        "recipe": "recipes/readmission_codes.py", "how": how, "data": "UCI 296, Diabetes 130-US hospitals, first encounters",
        "data_licence": "CC BY 4.0; Strack et al., BioMed Research International 2014", "accuracy": f"{accuracy:.4f}",
        "held_out": f"{len(held[1])} patients", "held_out_auroc": f"{auroc:.4f}",
        "use": "to be audited; not a medical device", "held_out_prevalence": f"{float(held[1].double().mean()):.4f}"})


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the zip file of the data set")
    parser.add_argument("--out", type=Path, default=Path("runs/readmission-codes"))
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args(words)
    torch.set_num_threads(1)
    rows = records(said.data)
    random.Random(said.seed).shuffle(rows)
    held, rest = rows[: len(rows) // 5], rows[len(rows) // 5:]
    said.out.mkdir(parents=True, exist_ok=True)
    (said.out / "codes.toml").write_text(PROFILE, encoding="utf-8")
    for name, header, lines in (("held_out_codes.csv", tuple(held[0]), [tuple(row.values()) for row in held]),
                                ("rewrites.csv", COLUMNS, list(rewrites()))):
        with (said.out / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((header, *lines))
    fit_all(part(rest[len(rest) // 8:]), part(rest[: len(rest) // 8]), part(held), said.out, said.seed)


def part(rows: Sequence[Mapping[str, str]]) -> Part:
    return [row["text"] for row in rows], torch.tensor([int(row["readmitted"]) for row in rows])


def fit_all(fit: Part, choose: Part, held: Part, out: Path, seed: int) -> None:
    """Fit and store every system; say how well each tells on patients that it has not seen."""
    seen = Counter(code for text in fit[0] for code in read_claim(text).codes)
    words = as_bytes(sorted(code for code, count in seen.items() if count >= SEEN)), as_bytes(FACTS)
    print(f"{len(fit[0])} records to fit, {len(choose[0])} to choose, {len(held[0])} held out; "
          f"{len(read_words(words[0]))} codes")
    net, line = network(seed, fit, choose, words), logistic(fit, choose, words)
    write(net, out / "readmission_net.safetensors", held, f"AdamW, at most {PASSES} passes, seed {seed}")
    write(line, out / "readmission_logistic.safetensors", held, "scikit-learn, C on what chooses")
    trees = boosted(fit, line)
    save_arrays(trees, out / "codes-boosting.safetensors")
    with torch.no_grad():
        found = {"readmission-net": net(held[0]), "readmission-logistic": line(held[0])}
    found["points"] = torch.tensor(points().function(held[0]))
    z = torch.from_numpy(log_odds(trees, line.columns(held[0]).double().numpy()))
    found["boosting"] = torch.stack((torch.zeros_like(z), z), 1)
    for name, scores in found.items():
        margin = (scores[:, 1] - scores[:, 0]).double()
        right = float(((margin > 0) == held[1].bool()).double().mean())
        print(f"{name}: AUROC {binary.auroc(margin, held[1]):.3f}, accuracy {right:.3f}")


if __name__ == "__main__":
    main()
