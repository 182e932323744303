"""Is what was extracted of use? Small models on the structure alone, and without it, on ordinary and on shifted inputs.

A structure that tells the class where all is as it was, and misleads where structure and truth disagree, is of no use where
these part; a model that cannot see it is what the truth alone gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from assay.structures.protocol import Editable, Structure, neutral
from assay.study.learner import Learner
from assay.study.material import Material, decisions
from assay.study.small_net import SmallNet, trained
from assay.study.statistics import balanced, balanced_accuracy, balanced_difference
from assay.study.use import Use

Decide = Callable[[Tensor], Tensor]         # inputs (n, …) -> classes (n,)
Settings = dict[str, tuple[Tensor, Tensor, "Tensor | None"]]       # inputs, classes, groups that hang together
SEEDS = 3               # trainings of each small network


def small_networks(x: Tensor, data: Material, seed: int) -> tuple[SmallNet, ...]:
    """Trainings on inputs (n, …) of the fitting half, as they are or without a structure: the k-th of either has the same
    first weights and batches, so that they differ by what the inputs show."""
    y = data.y[data.fit]
    return tuple(trained(x, y, data.classes, seed, "useful", k) for k in range(SEEDS))


def usefulness(g: Structure, learner: Learner, networks: Sequence[SmallNet], data: Material, followed: Use | None, *,
               seed: int) -> dict[str, Any]:
    """Balanced accuracies by model and by inputs.

    `alone` is the learner of the structure, `without` small networks to which the structure is neutral in all inputs, in
    training and after; of `network`, trained on the inputs as they are, and the `system` stands here only what depends on
    the structure; `difference` is without less as they are, training by training. Inputs: `ordinary` (held out), `conflict`
    (with the structure of another class, those of one donor a group), `shifted` (the user's). Of `alone` no conflict is
    asked: donors are those whose class it takes from the structure, so that it is wrong there by what they were chosen for.
    """
    settings = ordinary(data)
    alone: list[Decide] = [lambda inputs: learner(g.features(inputs)).argmax(1)]
    told: dict[str, Any] = {"alone": of_settings(alone, settings, seed, g.id, "alone")}
    conflict: Settings = {}
    if followed is not None and bool(followed.found.any()):
        there = followed.found
        y, donor = data.y[data.judged][there], followed.donor[there]
        conflict = {"conflict": (followed.exchanged[there], y, donor)}
        right = balanced_accuracy(followed.decided[there] == y, y, 1 / data.classes, seed, g.id, "system", groups=donor)
        told["system"] = {"conflict": asdict(right)}
    if not networks or not isinstance(g, Editable):
        return told
    as_they_are: list[Decide] = [partial(decisions, network) for network in networks]
    blind = _without(g, data, seed)
    told |= {"without": of_settings(blind, {**settings, **conflict}, seed, g.id, "without"),
             "network": of_settings(as_they_are, conflict, seed, g.id, "network"),
             "difference": {name: asdict(balanced_difference(
                 _right(blind, x, y), _right(as_they_are, x, y), y, torch.arange(len(y)) if groups is None else groups))
                 for name, (x, y, groups) in {**settings, **conflict}.items()}}
    return told


def ordinary(data: Material) -> Settings:
    """The inputs that do not depend on a structure: those held out, and the user's of another time, site or device."""
    shifted = {} if data.shifted is None else {"shifted": (*data.shifted, None)}
    return {"ordinary": (*data.part(data.judged), None), **shifted}


def of_settings(models: Sequence[Decide], settings: Settings, *words: object) -> dict[str, Any]:
    """The balanced accuracy on each of the named sets of inputs, the mean of trainings, with the least and most of them."""
    told = {}
    for name, (x, y, groups) in settings.items():
        right = _right(models, x, y)
        each = [balanced(row, y) for row in right]
        spread = {"least": min(each), "most": max(each)} if len(each) > 1 else {}
        told[name] = {**asdict(balanced_accuracy(right.double().mean(0), y, 0.0, *words, name, groups=groups)), **spread}
    return told


def _right(models: Sequence[Decide], x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([decide(x) == y for decide in models])


def _without(g: Editable, data: Material, seed: int) -> list[Decide]:
    x = data.x[data.fit]

    def blind(network: SmallNet, inputs: Tensor) -> Tensor:
        return decisions(network, neutral(g, inputs, x))

    return [partial(blind, network) for network in small_networks(neutral(g, x, x), data, seed)]
