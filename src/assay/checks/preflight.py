"""Before anything is believed: is the system deterministic, finite, independent of the batch, differentiable?"""

from __future__ import annotations

import torch

from assay.checks.asked_again import changed_with_use, remember
from assay.checks.check import Bench, Check, UnitResult, method
from assay.checks.preflight_classifier import classifier_flags
from assay.metrics import protocol as metrics
from assay.metrics.protocol import Response
from assay.numerics.norms import norm
from assay.perturbations.protocol import Examples
from assay.records import Access, Finding, Flag, Stop
from assay.systems.metered import Metered

REPEATABLE, SAME_IN_BATCH = 1e-6, 1e-3


@method("preflight")
def preflight(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """One row per sample: `normal` the metric, `worst` the change between two identical calls; flags say what is wrong."""
    target, metric = bench.systems[system], metrics.find(check.metric)
    asked = target.examples
    if x.labelled:
        remember(system, bench, x)
    with torch.no_grad():
        first, second = target(x.inputs), target(x.inputs)
        alone = torch.cat([target(x.only(i).inputs) for i in range(len(x))])
    scale = norm(first).clamp_min(1e-30)
    repeat, batch = norm(second - first) / scale, norm(alone - first) / scale
    values = metric.compute(Response(output=first, changed=x, normal=first, original=x))
    more: list[list[Flag]] = [[] for _ in x.ids]
    flat = torch.zeros(len(x), dtype=torch.bool)
    if x.labelled:
        more = classifier_flags(target, x, first, seed=bench.seed, check=check.id)
        more = [[*some, *used] for some, used in zip(more, changed_with_use(system, bench, x), strict=True)]
    elif target.access >= Access.GRADIENT:
        flat = _flat_gradient(target, x)
    rows = []
    for i, sample in enumerate(x.ids):
        flags = [*more[i]]
        if not bool(torch.isfinite(first[i].abs()).all()):
            flags.append(Flag(id="non-finite", detail="output without any perturbation"))
        elif float(repeat[i]) > REPEATABLE:
            flags.append(Flag(id="not-deterministic", detail=f"relative change {float(repeat[i]):.1e}"))
        elif float(batch[i]) > SAME_IN_BATCH:
            flags.append(Flag(id="batch-dependent", detail=f"relative change {float(batch[i]):.1e}"))
        if bool(flat[i]):
            flags.append(Flag(id="zero-gradient", detail="gradient of the output with respect to the input"))
        value, change = float(values[i]), float(repeat[i])
        rows.append(Finding(
            check=check.id, system=system, role=bench.roles[system], sample=sample, origin=system, origin_sample=sample,
            level=None, unit="", metric=metric.id, better=metric.better, normal=value if value == value else None,
            average=None, average_low=None, average_high=None, worst=None, size=None, control_size=None, controls=0,
            forward=(target.examples - asked) // len(x), backward=1, stop=Stop.EXHAUSTED, flags=tuple(flags),
            extra={"repeatability": change} if change == change else {}))
    return UnitResult(findings=tuple(rows))


def _flat_gradient(target: Metered, x: Examples) -> torch.Tensor:
    inputs = x.inputs.detach().requires_grad_(True)
    output = target(inputs)
    if not output.requires_grad:
        return torch.ones(len(x), dtype=torch.bool)
    weights = torch.ones_like(output)
    (gradient,) = torch.autograd.grad(output, inputs, weights, allow_unused=True)
    if gradient is None:
        return torch.ones(len(x), dtype=torch.bool)
    return gradient.abs().flatten(1).amax(1) == 0
