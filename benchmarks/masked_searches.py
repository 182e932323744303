"""Two searches for words hidden below a masking threshold, with as many gradients each: in the set, and from outside it.

    python benchmarks/masked_searches.py --data FOLDER --weights res8.pt --bound coefficient [--clips 100] [--levels 0 -10]

Per level (dB beside the threshold): of the clips heard rightly, how many each search makes to be heard as the word drawn for
them, and how many one of the two does. `bounded` is APGD in the set, the search of the profile `research`; `two-stage` comes
from sounds 10 dB louder (Qin et al. 2019). Both climb the log odds from one random start at each level by itself.
"""

from __future__ import annotations

import argparse

import torch

import assay.metrics.sound
from assay.checks.searching import BEYOND, objective_of
from assay.datasets.sounds import LabelledSounds
from assay.metrics.classification import wrong
from assay.numerics.intervals import wilson
from assay.perturbations.masking import MaskedSound
from assay.perturbations.protocol import Examples, stream
from assay.searches.auto_pgd import auto_pgd
from assay.searches.two_stage import two_stage
from assay.systems.metered import Metered
from listening import each, evenly, loaded, parser

BATCH = 20


def found_by(system: Metered, x: Examples, within: MaskedSound, steps: int) -> dict[str, list[bool]]:
    """Which of the examples that are heard rightly each search turns."""
    with torch.no_grad():
        normal = system(x.inputs)
    assert x.truth is not None
    right = (~wrong(normal, x.truth).bool()).tolist()
    ask = objective_of(assay.metrics.sound.HEARD_AS, system, within, x, normal, "log-odds")
    searches = {
        "bounded": lambda generators: auto_pgd(ask, within, x=x, generators=generators, steps=steps, done=lambda v: v > 0.5),
        "two-stage": lambda generators: two_stage(ask, within, larger=within.resized(within.level + BEYOND), x=x,
                                                  generators=generators, steps=steps, done=lambda v: v > 0.5)}
    hits = {name: (search([stream(0, "masked", within.level, sample) for sample in x.ids]).value > 0.5).tolist()
            for name, search in searches.items()}
    return {name: [hit for hit, kept in zip(mine, right, strict=True) if kept] for name, mine in hits.items()}


def rows(name: str, data: LabelledSounds, options: argparse.Namespace) -> None:
    system, places = Metered(loaded(name, options), name=name), evenly(data, options.clips)
    print(f"\n{name}: {len(places)} clips, {options.steps} gradients a search, threshold of each {options.bound}\n")
    print("| beside the threshold | bounded | two-stage | either |\n|---|---|---|---|")
    for level in options.levels:
        within, hits = MaskedSound(level=level, bound=options.bound), {"bounded": [], "two-stage": []}
        for start in range(0, len(places), BATCH):
            for search, mine in found_by(system, data.fetch(places[start: start + BATCH]), within, options.steps).items():
                hits[search] += mine
        hits["either"] = [one or other for one, other in zip(hits["bounded"], hits["two-stage"], strict=True)]
        told = []
        for mine in hits.values():
            low, high = wilson(sum(mine), len(mine))
            told.append(f"{sum(mine) / len(mine):.0%} ({low:.0%}–{high:.0%}) of {len(mine)}")
        print(f"| {level:+.0f} dB | {' | '.join(told)} |", flush=True)


def main() -> None:
    words = parser(__doc__ or "", clips=100)
    words.add_argument("--steps", type=int, default=40)
    words.add_argument("--levels", type=float, nargs="+", default=[0.0, -10.0, -20.0])
    words.add_argument("--bound", default="band")
    torch.set_num_threads(1)
    each(rows, words.parse_args())


if __name__ == "__main__":
    main()
