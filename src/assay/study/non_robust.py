"""Non-robust features: do small changes, by themselves, teach what a network needs?

Ilyas, Santurkar, Tsipras, Engstrom, Tran and Madry, NeurIPS 2019. D_rand: images changed towards a random class, labelled
with it; D_det: towards the class after their own, labelled with that. A network trained on these alone is tested on ordinary
images. The control has random changes of the same size. D_R and D_NR: images made to have the features of others under a
robust, or an ordinary, network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.numerics.intervals import clopper_pearson
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.searches.gradient_ascent import gradient_ascent
from assay.study.material import Material, decisions
from assay.study.small_net import SmallNet, trained

SIZES = (0.16, 0.04)     # ℓ2, shares of the mean norm of the inputs
STEPS, TRAINING = 10, 600
CONTROLS = 3            # networks trained on random changes: how far one training alone may be from chance
ROBUST_STEPS, ROBUST_TRAINING = 3, 300
FEATURE_STEPS, FEATURE_INPUTS = 50, 500
TESTED, CHUNK = 400, 128

Scores = Callable[[Tensor], Tensor]


def changed(scores: Scores, x: Tensor, target: Tensor, radius: float, box: tuple[float, float] | None, *words: object,
            steps: int = STEPS, towards: bool = True) -> Tensor:
    """Inputs changed within ℓ2 `radius` towards (or away from) the classes `target`: cross-entropy, projected ascent.

    `CHUNK` inputs at a time, each from a start of its own.
    """
    parts = []
    for i in range(0, len(x), CHUNK):
        part, goal = x[i: i + CHUNK], target[i: i + CHUNK]
        examples = Examples(ids=tuple(map(str, range(i, i + len(part)))), inputs=part, box=box)
        within = InputBall(ball=Ball(norm="l2", radius=radius, relative=False, box=box))
        climbed = partial(_climbed, scores, part, goal, -1.0 if towards else 1.0)
        found = gradient_ascent(climbed, within, x=examples, restarts=1, steps=steps,
                                generators=[stream("changed", *words, k) for k in examples.ids])
        parts.append(part + found.parameters)
    return torch.cat(parts)


def _climbed(scores: Scores, x: Tensor, goal: Tensor, sign: float, p: Tensor) -> Tensor:
    return sign * F.cross_entropy(scores(x + p), goal, reduction="none")


def mean_norm(x: Tensor) -> float:
    return float(x.flatten(1).norm(dim=1).mean())


def learnt_from_changes(scores: Scores, data: Material, *, seed: int) -> dict[str, Any]:
    """D_rand at two sizes, D_det and the control, made with the system's own gradients."""
    x, y = data.part(data.fit)
    tested_on = tuple(v[:TESTED] for v in data.part(data.judged))
    generator, radius = stream(seed, "targets"), SIZES[0] * mean_norm(x)
    drawn = torch.randint(data.classes, (len(x),), generator=generator)
    after = (y + 1) % data.classes
    sets = {"towards the class after (D_det)": (changed(scores, x, after, radius, data.box, seed, "det"), after)}
    for size in SIZES:
        inputs = changed(scores, x, drawn, size * mean_norm(x), data.box, seed, "rand", size)
        sets[f"towards a random class, {100 * size:.0f} % (D_rand)"] = (inputs, drawn)
    for k in range(CONTROLS):
        noise = torch.randn(x.shape, generator=generator)
        noise = (noise * radius / noise.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))).to(x.dtype)
        control = x + noise if data.box is None else (x + noise).clamp(*data.box)
        sets[f"random direction, random class (control {k + 1})"] = (control, torch.randint(
            data.classes, (len(x),), generator=generator))
    rows = []
    for name, (inputs, label) in reversed(sets.items()):
        net = trained(inputs, label, data.classes, seed, name, steps=TRAINING)
        reached = decisions(scores, inputs) == label
        rows.append({"trained_on": name, **tested(net, tested_on, data, radius, seed),
                     "reached": float(reached.double().mean())})
    return {"rows": rows, "size": SIZES[0], "chance": 1 / data.classes}


def tested(net: SmallNet, on: tuple[Tensor, ...], data: Material, radius: float, seed: int) -> dict[str, Any]:
    """Shares right on ordinary inputs, following the class after, and right under the worst found change of half the
    radius."""
    tx, ty = on
    with torch.no_grad():
        decided = net(tx).argmax(1)
    right, shifted = int((decided == ty).sum()), int((decided == (ty + 1) % data.classes).sum())
    worst = changed(net, tx, ty, radius / 2, data.box, seed, "worst", towards=False)
    with torch.no_grad():
        robust = int(((net(worst).argmax(1) == ty) & (decided == ty)).sum())
    return {name: _share(k, len(ty)) for name, k in (
        ("right", right), ("class_after", shifted), ("under_change", robust))}


def _share(k: int, n: int) -> dict[str, float]:
    low, high = clopper_pearson(k, n)
    return {"value": k / n, "low": low, "high": high, "n": n}


def feature_sets(data: Material, *, seed: int) -> dict[str, Any]:
    """D_R and D_NR: inputs that start from others and are led to the same 64 features, under a robust and an ordinary net.

    Both are small networks of the study, so these say something about the data, not about the audited system. Beside each
    stand the teacher's own accuracy under change, and how near the features came.
    """
    x, y = (v[:FEATURE_INPUTS] for v in data.part(data.fit[torch.randperm(len(data.fit), generator=stream(seed, "led"))]))
    on = tuple(v[:TESTED] for v in data.part(data.judged))
    radius = SIZES[0] * mean_norm(x)

    def harder(net: SmallNet, batch: Tensor, label: Tensor) -> Tensor:
        return changed(net, batch, label, radius / 2, data.box, seed, "harder", steps=ROBUST_STEPS, towards=False)

    nets = {"robust features (D_R)": trained(x, y, data.classes, seed, "robust", steps=ROBUST_TRAINING, harder=harder),
            "ordinary features (D_NR)": trained(x, y, data.classes, seed, "ordinary", steps=TRAINING)}
    rows = []
    for name, net in nets.items():
        goal = net.penultimate(x).detach()
        start = x[torch.randperm(len(x), generator=stream(seed, "starts", name))]
        made = led(net, start, goal, data.box)
        student = trained(made, y, data.classes, seed, name, steps=TRAINING)
        before, after = ((net.penultimate(v) - goal).norm(dim=1).mean() for v in (start, made))
        left = float(after / before) if float(before) > 0 else -1.0     # a teacher whose features are all 0 has none to give
        rows.append({"trained_on": name, **tested(student, on, data, radius, seed), "left": left,
                     "teacher": tested(net, on, data, radius, seed)["under_change"]})
    return {"rows": rows}


def led(net: SmallNet, start: Tensor, goal: Tensor, box: tuple[float, float] | None) -> Tensor:
    """Normalised descent on ‖features(x) − goal‖² from `start`, by steps from a twenty-fifth of its norm down, in the
    box."""
    x = start.clone()
    length = 0.04 * start.flatten(1).norm(dim=1).mean()
    for step in range(FEATURE_STEPS):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad((net.penultimate(x) - goal).square().sum(), x)
        size = gradient.flatten(1).norm(dim=1).clamp_min(1e-12).reshape(-1, *[1] * (x.ndim - 1))
        x = (x - length * (1 - step / FEATURE_STEPS) * gradient / size).detach()
        x = x if box is None else x.clamp(*box)
    return x
