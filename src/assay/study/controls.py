"""The two controls of every verdict: would the study see the structure if it were there, and does it see it where it is
not?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, Structure
from assay.study.learner import fit
from assay.study.material import Material
from assay.study.small_net import accuracy, trained
from assay.study.statistics import balanced_accuracy
from assay.study.use import Use, use

PERMUTED = 20
PLANTED_STEPS = 300
ALPHA = 0.05


def planted(g: Editable, data: Material, *, seed: int) -> tuple[Use, float]:
    """Power: a small network trained where every input has the structure of its class; what the study says of its use.

    The content of class c is that of the input at quantile (c + ½)/classes of the structure's first number: as strong as the
    data themselves vary. Returns the use, and the network's accuracy on inputs planted likewise.
    """
    sown = plant(g, data)
    x, y = sown.part(sown.fit)
    net = trained(x, y, data.classes, seed, "planted", g.id, steps=PLANTED_STEPS)

    def decide(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return net(inputs).argmax(1)

    return use(g, decide, fit(g.features(x), y, data.classes), sown, seed=seed), accuracy(net, *sown.part(sown.judged))


def plant(g: Editable, data: Material) -> Material:
    """The data with each input's structure replaced by that of its class."""
    x = data.x[data.fit]
    order = g.features(x)[:, 0].argsort()
    places = order[((torch.arange(data.classes) + 0.5) / data.classes * len(x)).long()]
    content = g.content(x[places])[data.y]
    return replace(data, x=g.given(data.x, content))


def permuted(g: Structure, decide: Callable[[Tensor], Tensor], data: Material, threshold: float, *,
             seed: int) -> dict[str, Any]:
    """False alarms: classes exchanged at random, twenty times; how often success, and use where it can be asked, is
    positive."""
    alarms = 0
    for k in range(PERMUTED):
        order = torch.randperm(len(data.y), generator=stream(seed, "permuted", k))
        mixed = data.relabelled(data.y[order])
        learner = fit(g.features(mixed.x[mixed.fit]), mixed.y[mixed.fit], data.classes)
        x, y = mixed.part(mixed.judged)
        success = balanced_accuracy(learner(g.features(x)).argmax(1) == y, y, threshold, seed, "permuted", k)
        positive = success.p <= ALPHA
        if positive and isinstance(g, Editable):
            positive = use(g, decide, learner, mixed, seed=seed).preference.p <= ALPHA
        alarms += positive
    return {"alarms": int(alarms), "of": PERMUTED}
