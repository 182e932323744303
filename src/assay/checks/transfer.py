"""Transfer: the perturbation found for one image, applied to the others."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.checks.check import Bench, Check, UnitResult, method
from assay.checks.worst_case import Rung, climb_ladder, report
from assay.perturbations import registry
from assay.perturbations.protocol import Examples
from assay.records import Finding


@method("transfer")
def transfer(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """Rows with origin_sample ≠ sample: each image under the worst perturbations of the first `sources` images.

    The perturbation is scaled to each image's own ball, so its relative size is the level. Source: PNAS 2020, SI, and the
    systems it attacks; a perturbation that works on every image needs no knowledge of the patient.
    """
    count = int(check.perturbation.get("sources", 1))
    stored = ("transfer", check.id, system, bench.seed)
    if stored not in bench.cache:
        source = bench.fetch(tuple(range(count)))
        with torch.no_grad():
            normal = bench.systems[system](source.inputs)
        bench.cache[stored] = (source.ids, climb_ladder(check, system, bench, source, normal))
    source_ids, rungs = bench.cache[stored]
    findings: list[Finding] = []
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    with torch.no_grad():
        normal = bench.systems[system](x.inputs)
    for j, source_id in enumerate(source_ids):
        keep = [i for i, sample in enumerate(x.ids) if sample != source_id]
        if not keep:
            continue
        targets = Examples(ids=tuple(x.ids[i] for i in keep), inputs=x.inputs[keep],
                           truth=None if x.truth is None else x.truth[keep], operator=x.operator)
        moved = []
        for rung in rungs:
            within = registry.build(check.perturbation, rung.level, targets)
            p = rung.parameters[j: j + 1].expand(len(keep), *rung.parameters.shape[1:])
            grown = p * per_example(rung.level / within.size(targets, p).clamp_min(1e-38), p)
            p = within.project(targets, grown)  # type: ignore[attr-defined]  # transfer needs a convex set
            moved.append(Rung.at(rung.level, within, p))
        result = report(check, system, bench, targets, normal[keep], moved, origin_samples=(source_id,) * len(keep))
        findings += result.findings
        witnesses |= {f"{k}|{source_id}": v for k, v in result.witnesses.items()}
        exhibits |= dict(result.exhibits)
    return UnitResult(findings=tuple(findings), witnesses=witnesses, exhibits=exhibits)
