"""Operator norm: how much can a change of the data, of any size, be magnified at most? Proved for linear systems."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.metrics import protocol as metrics
from assay.metrics.stability import input_unit
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Stop
from assay.systems.branches import NoChain
from assay.systems.chains import affine, chain_of
from assay.systems.classical import BoundMethod
from assay.systems.metered import Metered

LARGEST = 2048          # values of an input whose matrix is written out
PROBES = 8              # random data on which the matrix is compared with the system
LINEAR = 1e-3           # greatest residual of a system that calls itself linear
SVD = 1e-9              # relative: far more than the rounding of singular values in double precision, 10⁻¹⁶ times the size


@method("operator-norm")
def operator_norm_bound(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is (σ + ρ) ‖A‖, the same for every sample: no change of any data, of any size, is magnified more.

    f(y) = W y + b; σ = ‖W‖₂ by singular values of the matrix in double precision, written out column by column, and ρ the
    residual max ‖f(y) − W y − b‖ / ‖y‖ over the samples and random data: what the system's own rounding adds. The singular
    vector is stored, and attains σ.
    """
    target = bench.systems[system]
    bound, residual, vector = _bounded(check, target, bench, x)
    rows = tuple(Finding(
        check=check.id, system=system, role=bench.roles[system], sample=sample, origin=system, origin_sample=sample,
        level=None, unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=None,
        average=None, average_low=None, average_high=None, worst=bound, size=None, control_size=None, controls=0,
        forward=x.inputs[0].numel() + PROBES + 1, stop=Stop.CONVERGED, extra={"residual": residual, "bound.exact": 1.0})
        for sample in x.ids)
    return UnitResult(findings=rows, witnesses={key(system, sample, None): vector.clone() for sample in x.ids})


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, stored: Tensor) -> dict[str, float]:
    """The row's numbers again."""
    bound, residual, _ = _bounded(check, bench.systems[row.system], bench, x)
    return {"worst": bound} if residual <= LINEAR else {"worst": math.inf}


def not_linear(system: Any, x: Examples) -> str:
    """Why the norm of the system cannot be written out, or ""."""
    n = x.inputs[0].numel()
    if n > LARGEST:
        return f"the matrix of data of {n} values is too large to write out; at most {LARGEST}"
    if isinstance(system, Metered):
        return not_linear(system.system, x)
    if isinstance(system, BoundMethod):
        return "" if system.linear else "it is not linear, and no bound of its gain is known here"
    if x.inputs.is_complex():
        return "it is not known to be linear"
    try:
        return "" if chain_of(system, x.inputs.shape[1:]).linear else "its layers are not all linear"
    except NoChain as reason:
        return f"no bound can be proved: {reason}"


def _bounded(check: Check, target: Metered, bench: Bench, x: Examples) -> tuple[float, float, Tensor]:
    """(bound, residual, input of greatest gain), written out once for each system."""
    stored = ("operator-norm", target.name)
    if stored not in bench.cache:
        bench.cache[stored] = _norm(check, target, bench, x)
    found: tuple[float, float, Tensor] = bench.cache[stored]
    return found


def _norm(check: Check, target: Metered, bench: Bench, x: Examples) -> tuple[float, float, Tensor]:
    weight, offset = _matrix(target, x)
    _, values, right = torch.linalg.svd(weight, full_matrices=False)
    generator = stream(bench.seed, check.id, "probe")
    probes = torch.cat([x.inputs, *(torch.randn(1, *x.inputs.shape[1:], dtype=x.inputs.dtype, generator=generator)
                                    * x.inputs.abs().mean() for _ in range(PROBES))])
    with torch.no_grad():
        output = target(probes).flatten(1)
    flat = probes.flatten(1).to(weight.dtype)
    apart = (output.to(weight.dtype) - flat @ weight.T - offset).norm(dim=1)
    residual = float((apart / flat.norm(dim=1).clamp_min(1e-300)).max())
    if not residual <= LINEAR * max(float(values[0]), 1e-300):
        raise InputError(f"system {target.name!r} calls itself linear, and differs from its matrix by {residual:.2g} "
                         "of the data")
    vector = right[0].conj().reshape(x.inputs.shape[1:]).to(x.inputs.dtype)
    return (float(values[0]) * (1 + SVD) + residual) * input_unit(x), residual, vector


def _matrix(target: Metered, x: Examples) -> tuple[Tensor, Tensor]:
    """W (outputs, inputs) and b in double precision."""
    if not isinstance(target.system, BoundMethod):
        return affine(chain_of(target, x.inputs.shape[1:]))
    shape, n = x.inputs.shape[1:], x.inputs[0].numel()
    with torch.no_grad():
        offset = target(torch.zeros(1, *shape, dtype=x.inputs.dtype)).flatten(1)
        unit = torch.eye(n, dtype=x.inputs.dtype).reshape(n, *shape)
        columns = torch.cat([target(part).flatten(1) for part in unit.split(64)]) - offset
    double = torch.complex128 if columns.is_complex() else torch.float64
    return columns.T.to(double), offset[0].to(double)
