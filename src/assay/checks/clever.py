"""CLEVER: the smallest flip, estimated from the greatest slopes met near an input; never a bound, never a verdict.

Masked gradients make it too large, since the slopes that are met are not those that matter; a flip found below it says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.certificate import ball
from assay.checks.check import Bench, Check, UnitResult, method
from assay.metrics import protocol as metrics
from assay.metrics.classification import wrong
from assay.numerics.norms import norm
from assay.numerics.weibull import End, upper_end
from assay.perturbations.balls import Ball
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Stop
from assay.systems.metered import Metered

BATCHES, DRAWS, RADIUS, RIVALS = 50, 64, 0.2, 3         # the paper takes 500 batches of 1,024, and every rival
AT_ONCE = 512


@method("clever")
def clever(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is min over rivals k of (f_y − f_k)(x) / L_k, at most the radius; L_k the fitted end of the slopes' law.

    L_k ends the reverse Weibull law of the greatest dual norms ‖∇(f_y − f_k)‖ in `batches` batches of `draws` points,
    uniform in the ball of the `radius`, within the box. For a linear system every slope is the same and the number the
    exact distance. `fit.distance` is Kolmogorov and Smirnov's of the rival that decides, `fit.good` whether the fit holds
    (5 %). Source: Weng et al., ICLR 2018 (arXiv 1801.10578), algorithm 1.
    """
    target = bench.systems[system]
    with torch.no_grad():
        scores = target(x.inputs)
    assert x.truth is not None
    right = ~wrong(scores, x.truth).bool()
    within = ball(check, x)
    scale = within.scale(x.inputs).double()
    rows = [_row(check, system, bench, x, i, target, scores[i], within, float(scale[i]), bool(right[i]))
            for i in range(len(x))]
    return UnitResult(findings=tuple(rows))


def _row(check: Check, system: str, bench: Bench, x: Examples, i: int, target: Metered, scores: Tensor, within: Ball,
         scale: float, right: bool) -> Finding:
    label = int(x.truth[i]) if x.truth is not None else -1
    spec = check.search
    batches, draws = int(spec.get("batches", BATCHES)), int(spec.get("draws", DRAWS))
    radius = float(spec.get("radius", RADIUS)) * scale
    rivals = [k for k in scores.argsort(descending=True).tolist() if k != label][: int(spec.get("rivals", RIVALS))]
    extra = {"already-wrong": float(not right), "label": float(label)}
    worst = None
    if right:
        ends = slopes(target, x.only(i), label, rivals, within.norm, radius, batches, draws,
                      stream(bench.seed, check.id, x.ids[i]))
        sizes = [float(scores[label] - scores[k]) / max(end.end, 1e-300) for k, end in zip(rivals, ends, strict=True)]
        first = min(range(len(rivals)), key=lambda j: sizes[j])
        worst = min(sizes[first], radius) / scale
        extra |= {"fit.distance": ends[first].distance, "fit.good": float(ends[first].fits), "slope": ends[first].end,
                  "reached": float(sizes[first] >= radius)}
    return Finding(
        check=check.id, system=system, role=bench.roles[system], sample=x.ids[i], origin=system, origin_sample=x.ids[i],
        level=None, unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=None,
        average=None, average_low=None, average_high=None, worst=worst, size=None, control_size=None, controls=0,
        forward=batches * draws if right else 1, backward=len(rivals) * batches * draws if right else 0, stop=Stop.BUDGET,
        extra=extra, notes="" if right else "wrong without any change; nothing is estimated of it")


def slopes(target: Metered, x: Examples, label: int, rivals: Sequence[int], kind: str, radius: float, batches: int,
           draws: int, generator: torch.Generator) -> list[End]:
    """The fitted end of the slopes of f_y − f_k for each rival, over the ball around one example."""
    if kind not in ("l2", "linf"):
        raise InputError(f"no slopes over balls of norm {kind!r}; known: l2, linf")
    points = _drawn(x, kind, radius, batches * draws, generator)
    found = []
    for k in rivals:
        sizes = []
        for part in points.split(AT_ONCE):
            z = part.clone().requires_grad_(True)
            scores = target(z)
            (g,) = torch.autograd.grad((scores[:, label] - scores[:, k]).sum(), z)
            sizes.append(norm(g, "l2") if kind == "l2" else g.flatten(1).abs().sum(1))
        found.append(upper_end(torch.cat(sizes).double().reshape(batches, draws).amax(1).tolist()))
    return found


def _drawn(x: Examples, kind: str, radius: float, n: int, generator: torch.Generator) -> Tensor:
    """Points uniform in the ball, those beyond the box brought back to it."""
    shape, dtype = x.inputs.shape[1:], x.inputs.dtype
    if kind == "linf":
        p = radius * (2 * torch.rand(n, *shape, dtype=dtype, generator=generator) - 1)
    else:
        direction = torch.randn(n, *shape, dtype=dtype, generator=generator)
        length = radius * torch.rand(n, dtype=dtype, generator=generator) ** (1 / x.inputs[0].numel())
        p = direction * per_example(length / norm(direction), direction)
    points = x.inputs + p
    return points if x.box is None else points.clamp(*x.box)
