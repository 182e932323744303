"""TextAttack's searches beside ours: the same text model, the same set of members, queries counted.

    python benchmarks/text_peers.py [--notes 200] [--most 3] [--table FOLDER|FILE.csv --grades near]

Needs textattack (0.3.11), installed apart from Assay; importing it needs NLTK's list of stop words on disk, which nothing
here uses. A record is given to TextAttack as one token for each place of the set (`p3c0`, its third place as it is), whose
alternatives are the tokens of the place's alternatives; the model's wrapper turns tokens into the record again. So both
search exactly the same set, of at most `--most` changes, and deleting a token leaves the phrase out. Goal: another decision.
Per search: records flipped, of all; queries of all records together, up to and with the first that flips (TextAttack stops
there, so ours are counted to there; a record that is not flipped counts in full); flips for 100 queries.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence

import torch
from textattack import Attack
from textattack.attack_results import SuccessfulAttackResult
from textattack.constraints.overlap import MaxWordsPerturbed
from textattack.constraints.pre_transformation import RepeatModification
from textattack.goal_functions import UntargetedClassification
from textattack.models.wrappers import ModelWrapper
from textattack.search_methods import AlzantotGeneticAlgorithm, BeamSearch, GreedySearch, GreedyWordSwapWIR
from textattack.transformations import WordSwap
from torch import Tensor

from assay.datasets.notes import notes
from assay.numerics.texts import encode
from assay.perturbations.phrases import load_table
from assay.perturbations.protocol import Examples
from assay.perturbations.substitutions import Substitutions
from assay.systems import catalogue
from rewording import SEARCHES

PEERS = {
    "greedy": ("GreedyWordSwapWIR, delete (TextFooler's)", lambda: GreedyWordSwapWIR(wir_method="delete")),
    "beam 1": ("GreedySearch", GreedySearch),
    "beam 8": ("BeamSearch, 8", lambda: BeamSearch(beam_width=8)),
    "genetic": ("AlzantotGeneticAlgorithm, 10 × 5", lambda: AlzantotGeneticAlgorithm(pop_size=10, max_iters=5)),
}


class Tokens(ModelWrapper):
    """The model asked of tokens: they name a member of the record's set, and a token that is gone a phrase left out."""

    def __init__(self, scores: Callable[[Tensor], Tensor], places: int) -> None:
        self.model, self.scores, self.places = None, scores, places

    def __call__(self, texts: Sequence[str], **_: object) -> Tensor:
        members = torch.full((len(texts), self.places), -1)
        for row, text in enumerate(texts):
            for token in text.split():
                place, choice = token[1:].split("c")
                members[row, int(place)] = int(choice)
        return self.scores(members).softmax(1)


class Choices(WordSwap):
    """The alternatives of a place."""

    def __init__(self, choices: Sequence[int]) -> None:
        super().__init__(letters_to_insert="")
        self.choices = choices

    def _get_replacement_words(self, word: str) -> list[str]:
        place = word[1:].split("c")[0]
        return [f"p{place}c{j}" for j in range(1, self.choices[int(place)] + 1)]


def theirs(search: Callable[[], object], scores: Callable[[Tensor], Tensor], choices: list[int], label: int,
           most: int) -> tuple[bool, int]:
    goal = UntargetedClassification(Tokens(scores, len(choices)), use_cache=False)
    attack = Attack(goal, [RepeatModification(), MaxWordsPerturbed(max_num_words=most)], Choices(choices), search())
    result = attack.attack(" ".join(f"p{i}c0" for i in range(len(choices))), label)
    return isinstance(result, SuccessfulAttackResult), int(result.num_queries)


def ours(name: str, scores: Callable[[Tensor], Tensor], choices: Tensor, label: int, most: int) -> tuple[bool, int]:
    harms: list[Tensor] = []

    def ask(members: Tensor) -> Tensor:
        found = scores(members)
        others = found.clone()
        others[:, label] = -math.inf
        lead = others.amax(1) - found[:, label]
        harms.append(torch.where((members >= 0).all(1), lead, -math.inf))       # a phrase left out is no member
        return lead

    found = SEARCHES[name](ask, choices, most)
    asked = torch.cat(harms)
    first = int((asked > 0).double().argmax()) + 1 if bool((asked > 0).any()) else len(asked)
    return found.value > 0, first


def row(system_name: str, name: str, texts: Sequence[str], within: Substitutions) -> str:
    system = catalogue.load(system_name, role="audited").system
    told, search = PEERS[name]
    totals = {"ours": [0, 0], "theirs": [0, 0]}
    for i, text in enumerate(texts):
        x = Examples(ids=(str(i),), inputs=torch.from_numpy(encode([text])))
        choices = within.choices(x)[0]
        if not bool(choices.any()):
            continue

        def scores(members: Tensor, x: Examples = x) -> Tensor:
            with torch.no_grad():
                return system(within.apply(x.repeated(len(members)), members).inputs)

        label = int(scores(torch.zeros(1, len(choices), dtype=torch.long)).argmax(1))
        runs = {"ours": ours(name, scores, choices, label, within.most),
                "theirs": theirs(search, scores, choices.tolist(), label, within.most)}
        for who, (flipped, queries) in runs.items():
            totals[who][0] += flipped
            totals[who][1] += queries
    cells = [f"{flipped} | {queries} | {100 * flipped / queries:.2f}" for flipped, queries in totals.values()]
    return f"| {system_name} | {name} | {cells[0]} | {told} | {cells[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=200)
    parser.add_argument("--most", type=int, default=3)
    parser.add_argument("--table", default="clinical")
    parser.add_argument("--grades", default="same")
    options = parser.parse_args()
    torch.set_num_threads(1)
    within = Substitutions(table=load_table(options.table), most=options.most, grades=tuple(options.grades.split(",")))
    texts = [note.text for note in notes("held-out")][: options.notes]
    print("| system | search | flipped | queries | flips in 100 | TextAttack's | flipped | queries | flips in 100 |")
    print("|" + "---|" * 9)
    for system in ("notes-cnn", "notes-tfidf"):
        for name in PEERS:
            print(row(system, name, texts, within), flush=True)


if __name__ == "__main__":
    main()
