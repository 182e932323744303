"""Change of sampling: weights fixed, nested masks from less to more. Does more data make the image worse?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.metrics import protocol as metrics
from assay.metrics.protocol import Response
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import nested_masks
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Stop
from assay.systems.protocol import SystemFamily


@method("sampling")
def sampling(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """One row per sampled fraction: `worst` with the audit's mask grown or shrunk, `average` with unrelated masks.

    The grown masks contain the audited mask, the shrunk ones are contained in it, and the noise of each coefficient stays
    the same: that of the data where they were measured, new noise of the same power elsewhere, so that nothing but the
    mask changes. `normal` is the value at the audited mask. The witness is the mask, as numbers 0 and 1. Source: Antun,
    Renna, Poon, Adcock and Hansen, PNAS 117 (2020), "stability test with respect to subsampling".
    """
    family, operator = bench.families[system], x.operator
    if not isinstance(family, SystemFamily) or family.one_operator:
        raise InputError(f"system {system!r} serves one forward model only, so its sampling cannot be changed")
    if not isinstance(operator, MaskedFourier) or x.truth is None:
        raise InputError("a change of sampling needs Fourier data with a known true image")
    metric = metrics.find(check.metric)
    masks = nested_masks(operator.mask, check.levels, axis=check.perturbation.get("axis"),
                         generator=stream(bench.seed, check.id))
    with torch.no_grad():
        everything = _full_data(operator, x, [stream(bench.seed, check.id, "noise", sample) for sample in x.ids])
        normal = bench.systems[system](x.inputs)
        base = metric.compute(Response(output=normal, changed=x, normal=normal, original=x))
        found: list[Finding] = []
        witnesses: dict[str, Tensor] = {}
        exhibits = {}
        for level, mask in zip(check.levels, masks, strict=True):
            output, values = _at(mask, everything, family, operator, x, metric)
            others = [_at(other, everything, family, operator, x, metric)[1]
                      for other in _unrelated(check, bench, operator, level)]
            stack = torch.stack(others) if others else torch.zeros(0, len(x))
            worst = (values if metric.better == "lower" else -values).argsort(descending=True)[: bench.keep].tolist()
            witnesses |= {key(system, x.ids[i], level): mask.to(torch.uint8) for i in sorted(worst)}
            for i, sample in enumerate(x.ids):
                found.append(Finding(
                    check=check.id, system=system, role=bench.roles[system], sample=sample, origin=system,
                    origin_sample=sample, level=level, unit=check.unit, metric=metric.id, better=metric.better,
                    normal=float(base[i]), average=float(stack[:, i].mean()) if others else None,
                    average_low=float(stack[:, i].amin()) if others else None,
                    average_high=float(stack[:, i].amax()) if others else None, worst=float(values[i]),
                    size=float(mask.float().mean()), control_size=float(mask.float().mean()), controls=len(others),
                    forward=1 + len(others), stop=Stop.EXHAUSTED))
                if sample in bench.exhibits:
                    name = key(system, sample, level)
                    exhibits[f"{name}|worst:{system}"] = output[i].abs().half()
                    exhibits[f"{name}|original"] = x.truth[i].abs().half()
    return UnitResult(findings=tuple(found), witnesses=witnesses, exhibits=exhibits)


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, mask: Tensor) -> dict[str, float]:
    """The row's numbers again, from the stored mask and the seeds of noise and unrelated masks.

    The size of what is no mask grown from the audited one, nor shrunk, and of another share than the level, is infinite.
    """
    family, operator, metric = bench.families[row.system], x.operator, metrics.find(check.metric)
    assert isinstance(family, SystemFamily) and isinstance(operator, MaskedFourier)
    seen = mask.reshape(operator.mask.shape) > 0
    whole = bool(((mask == 0) | (mask == 1)).all())
    nested = bool((seen <= operator.mask).all()) or bool((seen >= operator.mask).all())
    share = float(seen.float().mean())
    near = abs(share - (row.level or 0.0)) <= 1 / min(seen.shape)          # to a whole line
    with torch.no_grad():
        everything = _full_data(operator, x, [stream(bench.seed, check.id, "noise", row.sample)])
        normal = bench.systems[row.system](x.inputs)
        found = {"worst": float(_at(seen, everything, family, operator, x, metric)[1]),
                 "size": share if whole and nested and near else math.inf,
                 "normal": float(metric.compute(Response(output=normal, changed=x, normal=normal, original=x)))}
        if check.controls:
            found["average"] = float(torch.stack([_at(other, everything, family, operator, x, metric)[1]
                                                  for other in _unrelated(check, bench, operator, row.level or 0.0)]).mean())
    return found


def _full_data(operator: MaskedFourier, x: Examples, generators: Sequence[torch.Generator]) -> Tensor:
    """What a full measurement would have given: (batch, [coils,] height · width); the audited data are part of it.

    The power of the noise is that of the median coefficient (σ² ln 2 for complex Gaussian noise): what the coil maps do
    not explain is concentrated at low frequencies, and must not be taken for noise everywhere.
    """
    truth: Tensor = x.truth  # type: ignore[assignment]
    full = replace(operator, mask=torch.ones_like(operator.mask)).forward(truth)
    noise = x.inputs - operator.forward(truth)
    deviation = (noise.abs().square().flatten(1).median(1).values / math.log(2)).sqrt()
    drawn = torch.stack([torch.randn(full.shape[1:], dtype=full.dtype, generator=g) for g in generators])
    return torch.where(operator.mask.flatten(), operator.embed(x.inputs).flatten(-2),
                       full + per_example(deviation, full) * drawn)


def _at(mask: Tensor, everything: Tensor, family: SystemFamily, operator: MaskedFourier, x: Examples,
        metric: metrics.Metric) -> tuple[Tensor, Tensor]:
    """Output and metric with the full data seen through another mask."""
    other = replace(operator, mask=mask)
    changed = x.changed(inputs=everything[..., mask.flatten()], truth=x.truth, operator=other)
    output = family.bind(other)(changed.inputs)
    return output, metric.compute(Response(output=output, changed=changed, normal=output, original=changed))


def _unrelated(check: Check, bench: Bench, operator: MaskedFourier, level: float) -> list[Tensor]:
    """`controls` masks of the same fraction and kind that are not nested in the audited one."""
    return [nested_masks(operator.mask, (level,), axis=check.perturbation.get("axis"), nested=False,
                         generator=stream(bench.seed, check.id, level, draw))[0] for draw in range(check.controls)]
