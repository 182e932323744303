"""Non-robust features: do changes nobody sees, by themselves, teach what a network needs?

Ilyas, Santurkar, Tsipras, Engstrom, Tran and Madry, NeurIPS 2019. D_rand: images changed towards a random class, labelled
with it; D_det: towards the class after their own, labelled with that. A network trained on these alone is tested on ordinary
images. The control has random changes of the same size. D_R and D_NR: images made to have the features of others under a
robust, or an ordinary, network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.searches.gradient_ascent import gradient_ascent
from assay.study.material import Material
from assay.study.small_net import SmallNet, accuracy, trained
from assay.study.statistics import Estimate, preference

SIZE = 0.16             # ℓ2, share of the mean norm of the inputs
STEPS, TRAINING = 20, 600
ROBUST_STEPS, ROBUST_TRAINING = 3, 300
FEATURE_STEPS, FEATURE_INPUTS = 50, 500
TESTED = 400

Scores = Callable[[Tensor], Tensor]


def changed(scores: Scores, x: Tensor, target: Tensor, radius: float, box: tuple[float, float] | None, *words: object,
            steps: int = STEPS, towards: bool = True) -> Tensor:
    """Inputs changed within ℓ2 `radius` towards (or away from) the classes `target`: cross-entropy, projected ascent."""
    examples = Examples(ids=tuple(map(str, range(len(x)))), inputs=x, box=box)
    within = InputBall(ball=Ball(norm="l2", radius=radius, relative=False, box=box))
    sign = -1.0 if towards else 1.0
    found = gradient_ascent(lambda p: sign * F.cross_entropy(scores(x + p), target, reduction="none"), within, x=examples,
                            generators=[stream("changed", *words, i) for i in range(len(x))], steps=steps, restarts=1)
    return x + found.parameters


def radius_for(x: Tensor) -> float:
    return SIZE * float(x.flatten(1).norm(dim=1).mean())


def learnt_from_changes(scores: Scores, data: Material, *, seed: int) -> dict[str, Any]:
    """D_rand, D_det and the control, made with the system's own gradients."""
    x, y = data.part(data.fit)
    tx, ty = (v[:TESTED] for v in data.part(data.judged))
    radius, generator = radius_for(x), stream(seed, "targets")
    drawn = torch.randint(data.classes, (len(x),), generator=generator)
    after = (y + 1) % data.classes
    noise = torch.randn(x.shape, generator=generator)
    noise *= (radius / noise.flatten(1).norm(dim=1)).reshape(-1, *[1] * (x.ndim - 1))
    control = x + noise if data.box is None else (x + noise).clamp(*data.box)
    sets = {"random direction, random class (control)": (control, drawn),
            "towards a random class (D_rand)": (changed(scores, x, drawn, radius, data.box, seed, "rand"), drawn),
            "towards the class after (D_det)": (changed(scores, x, after, radius, data.box, seed, "det"), after)}
    rows = []
    for name, (inputs, label) in sets.items():
        net = trained(inputs, label, data.classes, seed, name, steps=TRAINING)
        rows.append({"trained_on": name, **tested(net, tx, ty, data, radius, seed),
                     "reached": float((scores(inputs).argmax(1) == label).double().mean())})
    return {"rows": rows, "size": SIZE, "chance": 1 / data.classes, "ordinary": accuracy(_Called(scores), tx, ty)}


def tested(net: SmallNet, tx: Tensor, ty: Tensor, data: Material, radius: float, seed: int) -> dict[str, Any]:
    """Right on ordinary inputs, following the class after, and right under the worst found change of half the radius."""
    with torch.no_grad():
        decided = net(tx).argmax(1)
    right, shifted = int((decided == ty).sum()), int((decided == (ty + 1) % data.classes).sum())
    worst = changed(net, tx, ty, radius / 2, data.box, seed, "worst", towards=False)
    with torch.no_grad():
        robust = int(((net(worst).argmax(1) == ty) & (decided == ty)).sum())
    return {name: _told(preference(k, len(ty) - k, 1 / data.classes)) for name, k in (
        ("right", right), ("class_after", shifted), ("under_change", robust))}


def feature_sets(data: Material, *, seed: int) -> dict[str, Any]:
    """D_R and D_NR: inputs that start from others and are led to the same 64 features, under a robust and an ordinary
    net."""
    x, y = (v[:FEATURE_INPUTS] for v in data.part(data.fit[torch.randperm(len(data.fit), generator=stream(seed, "led"))]))
    tx, ty = (v[:TESTED] for v in data.part(data.judged))
    radius = radius_for(x)

    def harder(net: SmallNet, batch: Tensor, label: Tensor) -> Tensor:
        return changed(net, batch, label, radius / 2, data.box, seed, "harder", steps=ROBUST_STEPS, towards=False)

    nets = {"robust features (D_R)": trained(x, y, data.classes, seed, "robust", steps=ROBUST_TRAINING, harder=harder),
            "ordinary features (D_NR)": trained(x, y, data.classes, seed, "ordinary", steps=TRAINING)}
    rows = []
    for name, net in nets.items():
        start = x[torch.randperm(len(x), generator=stream(seed, "starts", name))]
        made = led(net, start, net.penultimate(x).detach(), data.box)
        rows.append({"trained_on": name, **tested(trained(made, y, data.classes, seed, name, steps=TRAINING), tx, ty, data,
                                                  radius, seed)})
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


def _told(e: Estimate) -> dict[str, float]:
    return {"value": e.value, "low": e.low, "high": e.high, "n": e.n, "p": e.p}


class _Called(torch.nn.Module):
    def __init__(self, scores: Scores) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x)
