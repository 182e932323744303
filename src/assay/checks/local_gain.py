"""Local gain: the greatest magnification of an infinitely small change of the data, ‖J_f(y)‖₂."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.metrics.stability import input_unit
from assay.numerics.norms import norm
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Flag, Stop
from assay.searches.power_iteration import lanczos, linearised
from assay.systems.metered import Metered


@method("local-gain")
def local_gain(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` = ‖J v‖ at the v that Lanczos found, `average` = ‖J v‖ over random unit v; the other systems at v.

    All times ‖A‖, so that the unit of the data does not matter. A lower bound of the local Lipschitz constant, and the
    worst linear prediction for tiny changes; infinite precision is not needed, since J is exact by automatic
    differentiation. Exact (to the residual) for linear systems.
    """
    start = torch.stack([torch.randn(x.inputs.shape[1:], dtype=x.inputs.dtype,
                                     generator=stream(bench.seed, check.id, sample)) for sample in x.ids])
    apply, adjoint = linearised(bench.systems[system], x.inputs)
    unit = input_unit(x)
    iterations = int(check.search.get("iterations", 15))
    found = lanczos(apply, adjoint, start, iterations=iterations)
    generators = [stream(bench.seed, check.id, sample, "control") for sample in x.ids]
    random = []
    for _ in range(check.controls):
        v = torch.stack([torch.randn(x.inputs.shape[1:], dtype=x.inputs.dtype, generator=g) for g in generators])
        random.append(unit * norm(apply(v)) / norm(v))
    stack = torch.stack(random) if random else torch.zeros(0, len(x))
    rows = [_row(check, system, system, bench, sample, unit * float(found.value[i]), stack[:, i], found.forward,
                 found.backward, float(found.residual[i])) for i, sample in enumerate(x.ids)]
    for name, other in bench.systems.items():
        if name != system:
            gains = unit * _gain_along(other, x.inputs, found.vector)
            rows += [_row(check, name, system, bench, sample, float(gains[i]), torch.zeros(0), 1, 1, None)
                     for i, sample in enumerate(x.ids)]
    witnesses = {key(system, sample, None): found.vector[i].clone() for i, sample in enumerate(x.ids)}
    return UnitResult(findings=tuple(rows), witnesses=witnesses)


def _gain_along(system: Metered, at: Tensor, v: Tensor) -> Tensor:
    """‖J v‖ / ‖v‖ of the system linearised at `at`."""
    apply, _ = linearised(system, at)
    return norm(apply(v / per_example(norm(v), v)))


def _row(check: Check, name: str, origin: str, bench: Bench, sample: str, value: float, controls: Tensor, forward: int,
         backward: int, residual: float | None) -> Finding:
    settled = residual is not None and residual < 0.1
    flags = () if abs(value) < float("inf") and (residual is None or residual == residual) else (Flag(id="non-finite"),)
    if not flags and residual is not None and value == 0:
        flags = (Flag(id="zero-gradient"),)
    return Finding(
        check=check.id, system=name, role=bench.roles[name], sample=sample, origin=origin, origin_sample=sample,
        level=None, unit=check.unit, metric="gain", better="lower", normal=None,
        average=float(controls.mean()) if len(controls) else None,
        average_low=float(controls.amin()) if len(controls) else None,
        average_high=float(controls.amax()) if len(controls) else None, worst=value, size=None, control_size=None,
        controls=len(controls), gain=value, forward=forward, backward=backward, flags=flags,
        stop=Stop.CONVERGED if settled else Stop.BUDGET, extra={} if residual is None else {"residual": residual})
