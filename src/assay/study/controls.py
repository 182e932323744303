"""The two controls of every verdict: would the study see the structure if it were there, and does it see it where it is
not?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, Structure
from assay.study.judgement import threshold
from assay.study.learner import fit
from assay.study.material import Material, decisions
from assay.study.small_net import accuracy, trained
from assay.study.statistics import accuracy_draws, balanced_accuracy
from assay.study.use import Use, use

PERMUTED = 20
PLANTED_STEPS = 300
MIDDLE = 0.2            # of a part
ALPHA = 0.05


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
    followed = use(g, partial(decisions, net), fit(g.features(sown), z, data.classes), replace(data, x=inputs, y=labels),
                   seed=seed, sure=False)
    return followed, accuracy(net, tested, tz)


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


def permuted(g: Structure, decide: Callable[[Tensor], Tensor], own: Tensor, data: Material, *, seed: int) -> dict[str, Any]:
    """False alarms: classes exchanged at random, twenty times; how often success, and use where it can be asked, is
    positive.

    `own` are the system's decisions on the judged half. Its accuracy and the threshold are those of the exchanged classes,
    so nothing but chance is asked to pass.
    """
    alarms = 0
    for k in range(PERMUTED):
        order = torch.randperm(len(data.y), generator=stream(seed, "permuted", k))
        mixed = data.relabelled(data.y[order])
        learner = fit(g.features(mixed.x[mixed.fit]), mixed.y[mixed.fit], data.classes)
        x, y = mixed.part(mixed.judged)
        goal = threshold(1 / data.classes, accuracy_draws(own == y, y, seed, "permuted", k))
        success = balanced_accuracy(learner(g.features(x)).argmax(1) == y, y, goal, seed, "permuted", k)
        positive = success.p <= ALPHA
        if positive and isinstance(g, Editable):
            positive = use(g, decide, learner, mixed, seed=seed).preference.p <= ALPHA
        alarms += positive
    return {"alarms": int(alarms), "of": PERMUTED}
