"""Decision inconsistency of texts and codes, exhaustive beside greedy, beam and genetic search, and chance.

    python benchmarks/rewording.py [--notes 500] [--claims 2000] [--table FOLDER|FILE.csv --grades near,disputed]
    PYTHONPATH=recipes python benchmarks/rewording.py --readmission runs/readmission-codes [--claims 2000]

Held-out records of `assay.datasets`, made up, the same grades as the profiles' headline checks. Per system and number of
changes: the share of records for which some equivalent record is decided differently, with Wilson's interval, by trying
every member; what share of those each other search finds; members asked per record; and the share under random changes of
as many places (the mean of 8 draws).
"""

from __future__ import annotations

import argparse
import csv
import math
import os
from collections.abc import Callable
from pathlib import Path

import torch

from assay.datasets.claims import claims
from assay.datasets.notes import notes
from assay.numerics.intervals import wilson
from assay.numerics.texts import encode
from assay.perturbations.codes import CodeRewrites, load_codes
from assay.perturbations.phrases import load_table
from assay.perturbations.protocol import ChoiceSet, Examples, stream
from assay.perturbations.substitutions import Substitutions
from assay.searches.substitution import (
    Ask,
    Chosen,
    beam_choice,
    count,
    exhaustive_choice,
    genetic_choice,
    greedy_choice,
)
from assay.systems import catalogue

SEARCHES: dict[str, Callable[[Ask, torch.Tensor, int], Chosen]] = {
    "exhaustive": lambda ask, choices, most: exhaustive_choice(ask, choices, most=most),
    "greedy": lambda ask, choices, most: greedy_choice(ask, choices, most=most),
    "beam 1": lambda ask, choices, most: beam_choice(ask, choices, most=most, width=1),
    "beam 8": lambda ask, choices, most: beam_choice(ask, choices, most=most, width=8),
    "genetic": lambda ask, choices, most: genetic_choice(
        ask, choices, most=most, generator=stream("genetic", len(choices)), population=10, generations=5),
}


def row(name: str, texts: list[str], within: ChoiceSet, weights: Path | None = None, draws: int = 8) -> str:
    system = catalogue.load(name, role="audited", weights=weights).system
    flips: dict[str, list[bool]] = {search: [] for search in SEARCHES}
    asked = dict.fromkeys(SEARCHES, 0)
    chance, largest, rewritten = 0.0, 0, 0
    with torch.no_grad():
        for i, text in enumerate(texts):
            x = Examples(ids=(str(i),), inputs=torch.from_numpy(encode([text])))
            choices = within.choices(x)[0]
            largest = max(largest, count(choices, within.most))
            rewritten += bool((choices > 0).any())
            usual = int(system(x.inputs).argmax(1))

            known: dict[tuple[int, ...], float] = {}        # the searches ask about the same members

            def ask(members: torch.Tensor, x: Examples = x, usual: int = usual,
                    known: dict[tuple[int, ...], float] = known) -> torch.Tensor:
                wanted = [tuple(member) for member in members.tolist()]
                if new := sorted({member for member in wanted if member not in known}):
                    scores = system(within.apply(x.repeated(len(new)), torch.tensor(new)).inputs)
                    others = scores.clone()
                    others[:, usual] = -math.inf
                    known.update(zip(new, (others.amax(1) - scores[:, usual]).tolist(), strict=True))
                return torch.tensor([known[member] for member in wanted], dtype=torch.float64)

            for search, run in SEARCHES.items():
                found = run(ask, choices, within.most)
                flips[search].append(found.value > 0)
                asked[search] += found.asked
            drawn = torch.cat([within.sample(x, [stream(i, draw)]) for draw in range(draws)])
            chance += float((ask(drawn) > 0).double().mean())
    n, harmed = len(texts), sum(flips["exhaustive"])
    low, high = wilson(harmed, n)
    missed = " | ".join(f"{sum(f) / max(harmed, 1):.1%} ({asked[s] / n:.0f})" for s, f in flips.items() if s != "exhaustive")
    return (f"| {name.split(':')[-1]} | {within.most} | {rewritten / n:.1%} | {harmed / n:.1%} ({low:.1%}–{high:.1%}) | "
            f"{asked['exhaustive'] / n:.0f}, at most {largest} | {missed} | {chance / n:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=500)
    parser.add_argument("--claims", type=int, default=2000)
    parser.add_argument("--readmission", type=Path, help="folder that readmission_codes.py wrote; needs the extra icd")
    parser.add_argument("--table", default="clinical", help="phrases of the notes: a name, a .csv or a WordNet's folder")
    parser.add_argument("--grades", default="same")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| system | changes | can change | inconsistent | asked | greedy finds (asked) | beam 1 | beam 8 | genetic "
          "| chance |")
    print("|" + "---|" * 10)
    for texts, systems, within_of in of_readmission(options) if options.readmission else of_bundled(options):
        for name, weights in systems.items():
            for most in (1, 2, 3):
                print(row(name, texts, within_of(most), weights), flush=True)


Asked = tuple[list[str], dict[str, Path | None], Callable[[int], ChoiceSet]]      # records, systems with weights, their sets


def of_bundled(options: argparse.Namespace) -> list[Asked]:
    table, codes, grades = load_table(options.table), load_codes("icd9"), tuple(options.grades.split(","))
    return [([note.text for note in notes("held-out")][: options.notes], {"notes-cnn": None, "notes-tfidf": None},
             lambda most: Substitutions(table=table, most=most, grades=grades)),
            ([claim.text for claim in claims("held-out")][: options.claims], {"claims-net": None, "claims-logistic": None},
             lambda most: CodeRewrites(table=codes, most=most, grades=("same", "near")))]


def of_readmission(options: argparse.Namespace) -> list[Asked]:
    """What `recipes/readmission_codes.py` wrote to the folder; its systems look there too."""
    folder = options.readmission.resolve()
    os.chdir(folder)
    codes = load_codes("rewrites.csv")
    with Path("held_out_codes.csv").open(newline="", encoding="utf-8") as file:
        texts = [line["text"] for line in csv.DictReader(file)][: options.claims]
    systems = {f"readmission-{name}": folder / f"readmission_{name}.safetensors" for name in ("net", "logistic")}
    return [(texts, {**systems, "readmission_codes:boosting": None, "readmission_codes:points": None},
             lambda most: CodeRewrites(table=codes, most=most, grades=("same", "near")))]


if __name__ == "__main__":
    main()
