"""Is what was extracted of use? Small models on the structure alone, and without it, on ordinary and on shifted inputs.

A structure that tells the class where all is as it was, and misleads where structure and truth disagree, is of no use where
these part; a model that cannot see it is what the truth alone gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from torch import Tensor

from assay.structures.protocol import Editable, Structure, neutral
from assay.study.learner import Learner
from assay.study.material import Material, decisions
from assay.study.small_net import SmallNet, trained
from assay.study.statistics import balanced_accuracy
from assay.study.use import Use

Decide = Callable[[Tensor], Tensor]         # inputs (n, …) -> classes (n,)


def usefulness(g: Structure, learner: Learner, network: SmallNet | None, data: Material, followed: Use | None, *,
               seed: int) -> dict[str, Any]:
    """Balanced accuracies by model and by inputs.

    `alone` is the learner of the structure, `without` a small network to which the structure is neutral in all inputs, in
    training and after; for `network`, trained on the inputs as they are, and the `system` stands here only what depends on
    the structure. Inputs: `ordinary` (held out), `conflict` (with the structure of another class), `shifted` (the user's).
    """
    models: dict[str, Decide] = {"alone": lambda x: learner(g.features(x)).argmax(1)}
    if isinstance(g, Editable) and network is not None:
        models["without"] = _without(g, data, seed)
    told = {name: of_settings(decide, ordinary(data), seed, g.id, name) for name, decide in models.items()}
    if followed is None or not bool(followed.found.any()):
        return told
    x, y = followed.exchanged[followed.found], data.y[data.judged][followed.found]
    if network is not None:
        models["network"] = partial(decisions, network)
    for name, decide in models.items():
        told[name] = {**told.get(name, {}), **of_settings(decide, {"conflict": (x, y)}, seed, g.id, name)}
    right = followed.decided[followed.found] == y
    return {**told, "system": {"conflict": asdict(balanced_accuracy(right, y, 1 / data.classes, seed, g.id, "system"))}}


def ordinary(data: Material) -> dict[str, tuple[Tensor, Tensor]]:
    """The inputs that do not depend on a structure: those held out, and the user's of another time, site or device."""
    return {"ordinary": data.part(data.judged), **({} if data.shifted is None else {"shifted": data.shifted})}


def of_settings(decide: Decide, settings: Mapping[str, tuple[Tensor, Tensor]], *words: object) -> dict[str, Any]:
    """The balanced accuracy on each of the named sets of inputs."""
    return {name: asdict(balanced_accuracy(decide(x) == y, y, 0.0, *words, name)) for name, (x, y) in settings.items()}


def _without(g: Editable, data: Material, seed: int) -> Decide:
    x, y = data.part(data.fit)
    network = trained(neutral(g, x, x), y, data.classes, seed, "without", g.id)
    return lambda inputs: decisions(network, neutral(g, inputs, x))
