"""How often a study calls a structure followed where nothing is, and where it was planted.

    python benchmarks/false_structures.py [--runs 100]

Systems: small networks on bundled digits. *Permuted*: trained on digits whose classes are exchanged at random, and judged by
these. *Planted*: trained on digits of random classes that were given the structure of their class, at quantiles of the
data's own variation, so that the network can have learnt nothing else. Counted: structures that are called positive in
success and use (both p at most .05, adjusted by Holm over structures), and for the planted also "the system follows:
structure".
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from torch import Tensor

from assay.datasets.labelled import bundled_digits, one_batch
from assay.numerics.holm import holm
from assay.perturbations.protocol import stream
from assay.structures.library import fitting, of_images
from assay.structures.protocol import Editable
from assay.study.controls import given_classes
from assay.study.judgement import threshold
from assay.study.learner import fit
from assay.study.material import Material, halves
from assay.study.small_net import trained
from assay.study.statistics import accuracy_draws, balanced_accuracy
from assay.study.use import followed

STEPS, PLANTED = 600, 3         # classes of the planted runs: thirds of the data's own variation


def positives(decide, data: Material, structures, seed: int) -> dict[str, tuple[float, str]]:
    """For each editable structure: adjusted p of success and use together, and what is followed."""
    x, y = data.part(data.judged)
    fx, fy = data.part(data.fit)
    normal = decide(x)
    goal = threshold(1 / data.classes, accuracy_draws(normal == y, y, seed, "system"))
    joint, follows = {}, {}
    for g in structures:
        learner = fit(g.features(fx), fy, data.classes)
        success = balanced_accuracy(learner(g.features(x)).argmax(1) == y, y, goal, seed, g.id)
        told = followed(g, decide, learner, data, normal, seed=seed)
        joint[g.id] = max(success.p, told.p)
        follows[g.id] = "structure" if told.n and told.low > 0.5 else "other"
    adjusted = dict(zip(joint, holm(list(joint.values())), strict=True))
    return {name: (adjusted[name], follows[name]) for name in joint}


def decider(net):
    def decide(x: Tensor) -> Tensor:
        with torch.no_grad():
            return net(x).argmax(1)
    return decide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    x, y = one_batch(bundled_digits("audited"))
    kept, _ = fitting(of_images(), x)
    structures = [g for g in kept if isinstance(g, Editable)]
    alarms, found, total = 0, Counter(), Counter()
    for run in range(arguments.runs):
        generator = stream("false structures", run)
        mixed = halves(x, y[torch.randperm(len(y), generator=generator)], classes=10, box=(0.0, 1.0), seed=run)
        net = trained(*mixed.part(mixed.fit), 10, run, "permuted", steps=STEPS)
        alarms += any(p <= 0.05 for p, _ in positives(decider(net), mixed, structures, run).values())
        g = structures[run % len(structures)]
        z = torch.randint(PLANTED, (len(x),), generator=generator)
        planted = given_classes(g, x, x, z, PLANTED, generator, middle=0.0)
        sown = halves(planted, z, classes=PLANTED, box=(0.0, 1.0), seed=run)
        net = trained(*sown.part(sown.fit), PLANTED, run, "planted", steps=STEPS)
        total[g.id] += 1
        p, follows = positives(decider(net), sown, structures, run)[g.id]
        found[g.id] += p <= 0.05 and follows == "structure"
    print(f"permuted classes: {alarms} of {arguments.runs} runs with any positive")
    print(f"planted: {sum(found.values())} of {arguments.runs} found")
    for g in structures:
        print(f"  {g.id}: {found[g.id]} of {total[g.id]}")


if __name__ == "__main__":
    main()
