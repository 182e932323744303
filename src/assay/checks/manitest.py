"""Invariance: how far must an image be turned and shifted before the decision changes, along its orbit and by chance?"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.metrics import protocol as metrics
from assay.metrics.classification import confidence, decision, wrong
from assay.numerics.manitest import ManitestResult, manitest, path_length
from assay.numerics.order import censored_median
from assay.perturbations import registry
from assay.perturbations.geometric import Affine, transform
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Stop
from assay.systems.metered import Metered

GRID = (13, 5, 5)           # angles × shifts × shifts
STEPS, BISECTIONS = 40, 8   # of a straight way to the rim, and of the step in which the decision changes
CROSSED = 1e-3              # the place stored lies this share of its parameters beyond the change of decision


@method("manitest")
def invariance(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """A row per sample: `worst` is the Manitest distance, `average` the median length of straight ways in random directions.

    Both are lengths along the orbit over ‖x‖, up to the first change of a right decision. Where the grid holds no change,
    the row is censored (`worst` missing) and `horizon` says how far the grid would have shown one. Nothing is judged: it
    is a measurement that can be laid beside another system's. Fawzi and Frossard, BMVC 2015.
    """
    if x.truth is None or not x.labelled:
        raise InputError("the invariance of a decision needs the right classes")
    target, within = bench.systems[system], _orbit(check, x)
    with torch.no_grad():
        normal = target(x.inputs)
    right = ~wrong(normal, x.truth).bool()
    findings: list[Finding] = []
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    for i, sample in enumerate(x.ids):
        empty = Finding.empty(check=check.id, system=system, role=bench.roles[system], sample=sample, unit=check.unit,
                              metric=check.metric, better=metrics.find(check.metric).better)
        told = {"label": float(x.truth[i]), "already-wrong": float(not right[i]),
                "decision.normal": float(decision(normal)[i]), "confidence.normal": float(confidence(normal)[i])}
        if not bool(right[i]):
            findings.append(replace(empty, extra=told, notes="wrong without any change; not measured"))
            continue
        one = x.only(i)
        found = _measured(check, target, within, one)
        row = _row(empty, told, found, _by_chance(check, bench, target, within, one))
        if found.found:
            p = _beyond(within, target, one, found)
            changed = within.apply(one, p)
            with torch.no_grad():
                scores = target(changed.inputs)
            row = replace(row, extra={**row.extra, "decision.worst": float(decision(scores)),
                                      "confidence.worst": float(confidence(scores))})
            witnesses[key(system, sample, None)] = p[0]
            exhibits |= exhibit({"original": one.inputs, "changed": changed.inputs}, bench, system, one, None)
        findings.append(row)
    kept = sorted((f for f in findings if f.worst is not None), key=lambda f: f.worst or 0.0)[: bench.keep]
    names = {key(system, f.sample, None) for f in kept}
    return UnitResult(findings=tuple(findings), witnesses={k: v for k, v in witnesses.items() if k in names},
                      exhibits=exhibits)


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, place: Tensor) -> dict[str, float]:
    """The row's numbers again: the decision at the stored place, and the length, for which the orbit is walked again."""
    target, within = bench.systems[row.system], _orbit(check, x)
    with torch.no_grad():
        scores = target(within.apply(x, place).inputs)
    found = {"worst": _measured(check, target, within, x).distance, "decision.worst": float(decision(scores))}
    if check.controls and row.origin == row.system:
        found["average"] = censored_median(_by_chance(check, bench, target, within, x))
    return found


def _orbit(check: Check, x: Examples) -> Affine:
    within = registry.build({"grid": GRID, **check.perturbation}, 1.0, x)
    if not isinstance(within, Affine):
        raise InputError(f"check {check.id!r}: the orbit is that of kind = \"affine\"")
    return within


def _measured(check: Check, target: Metered, within: Affine, x: Examples) -> ManitestResult:
    """The distance on the grid of the set; axes of one point alone do not move."""
    free = [axis for axis, values in enumerate(within.axes) if len(values) > 1]
    axes = [torch.tensor(within.axes[axis], dtype=torch.float64) for axis in free]

    def moved(images: Tensor, p: Tensor) -> Tensor:
        whole = torch.zeros(len(p), len(within.limits), dtype=torch.float64)
        whole[:, free] = p.double()
        return transform(images, whole, fill=within.fill)

    found = manitest(lambda images: decision(target(images)), x.inputs[0], moved, axes,
                     reach=int(check.search.get("reach", 2)))
    place = torch.zeros(len(within.limits), dtype=torch.float64)
    place[free] = found.parameters.double()
    return replace(found, parameters=place)


def _beyond(within: Affine, target: Metered, x: Examples, found: ManitestResult) -> Tensor:
    """The place of the change (1, k), a little further out, so that another machine's rounding crosses it too."""
    p = found.parameters[None]
    further = within.project(x, p * (1 + CROSSED))
    with torch.no_grad():
        still = decision(target(within.apply(x, further).inputs)) != found.original
    return further if bool(still) else p


def _by_chance(check: Check, bench: Bench, target: Metered, within: Affine, x: Examples) -> Tensor:
    """(draws,): lengths of straight ways in random directions, up to the first change of decision; infinite without one."""
    g = stream(bench.seed, check.id, x.ids[0], "control")

    def moved(images: Tensor, p: Tensor) -> Tensor:
        return transform(images, p, fill=within.fill)

    def decided(p: Tensor) -> Tensor:
        with torch.no_grad():
            return decision(target(moved(x.inputs.expand(len(p), *x.inputs.shape[1:]), p)))

    lengths = []
    for _ in range(check.controls):
        rim = within.sample(x, [g], torch.ones(1))
        way = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)[:, None] * rim
        seen = decided(way)
        changed = (seen != seen[0]).nonzero().flatten()
        if not len(changed):
            lengths.append(math.inf)
            continue
        low, high = way[changed[0] - 1][None], way[changed[0]][None]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if bool(decided(middle)[0] == seen[0]) else (low, middle)
        lengths.append(float(path_length(x.inputs[0], moved, torch.cat((way[:changed[0]], high)))[-1]))
    return torch.tensor(lengths, dtype=torch.float64)


def _row(empty: Finding, told: dict[str, float], found: ManitestResult, by_chance: Tensor) -> Finding:
    known, middle = by_chance[by_chance.isfinite()].tolist(), censored_median(by_chance)
    extra = {**told, "horizon": found.horizon}
    if len(by_chance):
        extra["random-never"] = float(by_chance.isinf().double().mean())
    row = replace(empty, extra=extra, forward=found.decided, controls=len(by_chance), stop=Stop.EXHAUSTED,
                  average=middle if math.isfinite(middle) else None, average_low=min(known, default=None),
                  average_high=max(known, default=None) if len(known) == len(by_chance) else None)
    if not found.found:
        return replace(row, notes="no place on the grid changes the decision")
    place = dict(zip(("degrees", "across", "down"), found.parameters.tolist(), strict=False))
    return replace(row, worst=found.distance, extra={**extra, **place})
