"""Decision inconsistency of texts and codes, exhaustive beside greedy, beam and genetic search, and chance.

    python benchmarks/rewording.py [--notes 500] [--claims 2000] [--table FOLDER|FILE.csv --grades near,disputed]

Held-out records of `assay.datasets`, made up, the same grades as the profiles' headline checks. Per system and number of
changes: the share of records for which some equivalent record is decided differently, with Wilson's interval, by trying
every member; what share of those each other search finds; members asked per record; and the share under random changes of
as many places (the mean of 8 draws).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

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


def row(name: str, texts: list[str], within: ChoiceSet, draws: int = 8) -> str:
    system = catalogue.load(name, role="audited").system
    flips: dict[str, list[bool]] = {search: [] for search in SEARCHES}
    asked = dict.fromkeys(SEARCHES, 0)
    chance, largest = 0.0, 0
    with torch.no_grad():
        for i, text in enumerate(texts):
            x = Examples(ids=(str(i),), inputs=torch.from_numpy(encode([text])))
            choices = within.choices(x)[0]
            largest = max(largest, count(choices, within.most))
            usual = int(system(x.inputs).argmax(1))

            def ask(members: torch.Tensor, x: Examples = x, usual: int = usual) -> torch.Tensor:
                scores = system(within.apply(x.repeated(len(members)), members).inputs)
                others = scores.clone()
                others[:, usual] = -math.inf
                return others.amax(1) - scores[:, usual]

            for search, run in SEARCHES.items():
                found = run(ask, choices, within.most)
                flips[search].append(found.value > 0)
                asked[search] += found.asked
            drawn = torch.cat([within.sample(x, [stream(i, draw)]) for draw in range(draws)])
            chance += float((ask(drawn) > 0).double().mean())
    n, harmed = len(texts), sum(flips["exhaustive"])
    low, high = wilson(harmed, n)
    missed = " | ".join(f"{sum(f) / max(harmed, 1):.1%} ({asked[s] / n:.0f})" for s, f in flips.items() if s != "exhaustive")
    return (f"| {name} | {within.most} | {harmed / n:.1%} ({low:.1%}–{high:.1%}) | {asked['exhaustive'] / n:.0f}, at most "
            f"{largest} | {missed} | {chance / n:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=500)
    parser.add_argument("--claims", type=int, default=2000)
    parser.add_argument("--table", default="clinical")
    parser.add_argument("--grades", default="same")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| system | changes | inconsistent | asked | greedy finds (asked) | beam 1 | beam 8 | genetic | chance |")
    print("|" + "---|" * 9)
    table, codes = load_table(options.table), load_codes("icd9")
    sets = (([note.text for note in notes("held-out")][: options.notes], ("notes-cnn", "notes-tfidf"),
             lambda most: Substitutions(table=table, most=most, grades=tuple(options.grades.split(",")))),
            ([claim.text for claim in claims("held-out")][: options.claims], ("claims-net", "claims-logistic"),
             lambda most: CodeRewrites(table=codes, most=most, grades=("same", "near"))))
    for texts, names, within_of in sets:
        for name in names:
            for most in (1, 2, 3):
                print(row(name, texts, within_of(most)), flush=True)


if __name__ == "__main__":
    main()
