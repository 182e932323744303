"""The two controls of every verdict: would the study see the structure if it were there, and does it see it where it is
not?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, Structure
from assay.study.judgement import ALPHA, threshold
from assay.study.learner import fit
from assay.study.material import Material, decisions
from assay.study.small_net import accuracy, trained
from assay.study.statistics import accuracy_draws, balanced_accuracy
from assay.study.use import Use, followed, use

PERMUTED = 100          # times the classes are exchanged at random: a learner is fitted each time, few questions asked
PLANTED_STEPS = 300
MIDDLE = 0.2            # of a part


def planted(g: Editable, data: Material, *, seed: int) -> tuple[Use, float]:
    """Power: what the study says of a small network that could learn nothing but the structure.

    Each input of the fitting half is given a class at random, the structure of that class, and the class as its label: what
    the input shows says nothing. The network, and the learner, learn from these; use is then asked on the judged half as it
    is.
    Returns the use, and the network's accuracy on inputs of the judged half that were given a class likewise.
    """
    generator = stream(seed, "planted", g.id)
    x, tx = data.x[data.fit], data.x[data.judged]
    z, tz = (torch.randint(data.classes, (len(v),), generator=generator) for v in (x, tx))
    sown = given_classes(g, x, x, z, data.classes, generator)
    tested = given_classes(g, tx, x, tz, data.classes, generator)
    net = trained(sown, z, data.classes, seed, "planted", g.id, steps=PLANTED_STEPS)

    inputs, labels = data.x.clone(), data.y.clone()
    inputs[data.fit], labels[data.fit] = sown, z
    decide = partial(decisions, net)
    found = use(g, decide, fit(g.features(sown), z, data.classes), replace(data, x=inputs, y=labels), decide(tx), seed=seed,
                sure=False)
    return found, accuracy(net, tested, tz)


def given_classes(g: Editable, x: Tensor, reference: Tensor, z: Tensor, classes: int, generator: torch.Generator,
                  middle: float = MIDDLE) -> Tensor:
    """Inputs with the structure of class z: the content of a reference from the middle of the z-th of `classes` equal parts.

    The parts are in the order of that number of g which varies most beside its size, and the middle fifth of each serves (or
    the share `middle`; with 0 one content a class): as strong as the data themselves vary, and no stronger.
    """
    features = g.features(reference).double()
    varies = features.std(0) / features.abs().mean(0).clamp_min(1e-12)
    order = features[:, int(varies.argmax())].argsort()
    drawn = 0.5 + middle * (torch.rand(len(z), generator=generator, dtype=torch.float64) - 0.5)
    places = order[((z + drawn) / classes * len(reference)).long().clamp_max(len(reference) - 1)]
    return g.given(x, g.content(reference[places]))


def permuted(g: Structure, decide: Callable[[Tensor], Tensor], own: Tensor, data: Material, *,
             seed: int) -> dict[str, list[float]]:
    """False alarms: p of success, and of use where it can be asked, for classes exchanged at random a hundred times.

    `own` are the system's decisions on the judged half. Its accuracy and the threshold are those of the exchanged classes,
    so nothing but chance is asked to pass. The orders are the same for every structure, so that `judgement.alarms` can judge
    all of one order together, as the data's own are. Use is asked where success is positive, and counts as not shown (p = 1)
    elsewhere: both are needed.
    """
    features, tested = g.features(data.x[data.fit]), g.features(data.x[data.judged])
    told: dict[str, list[float]] = {"success": [], "use": []}
    for k in range(PERMUTED):
        mixed = data.relabelled(data.y[torch.randperm(len(data.y), generator=stream(seed, "permuted", k))])
        y = mixed.y[mixed.judged]
        learner = fit(features, mixed.y[mixed.fit], data.classes)
        goal = threshold(1 / data.classes, accuracy_draws(own == y, y, seed, "permuted", k))
        success = balanced_accuracy(learner(tested).argmax(1) == y, y, goal, seed, "permuted", k).p
        told["success"].append(success)
        told["use"].append(followed(g, decide, learner, mixed, own, seed=seed).p
                           if success <= ALPHA and isinstance(g, Editable) else 1.0)
    return told
