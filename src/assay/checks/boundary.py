"""Geometry of the boundary: do random changes reach it where a flat one would be, and how does it bend?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import STOP_FLAGS, Bench, Check, UnitResult, method
from assay.metrics import protocol as metrics
from assay.metrics.boundary import boundary_ratio
from assay.metrics.classification import input_scale, wrong
from assay.numerics.fawzi import flat_ratio, zeta1, zeta2
from assay.numerics.order import censored_median
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Flag
from assay.searches.boundary import Radius, curvature, doublings_for, random_radius, random_subspace, semi_random_radius
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.result import Smallest
from assay.systems.metered import Metered

SLACK = 0.01                # how much smaller a flip within a subspace counts against the search of all dimensions
BENT_OVER = 0.25            # share of the smallest flip's size over which curvature is measured: kinks are smaller


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What was measured around the examples of `index`: distances in the unit of the inputs, one row of `radii` per draw."""

    index: list[int]
    worst: Tensor                       # (batch,) smallest flip, infinite where none was found
    radii: Mapping[int, Tensor]         # m -> (draws, batch) distance within m random dimensions
    clipped: Tensor                     # (draws, batch) along the same lines, the input cut to its range
    bend: Tensor                        # (batch,) median curvature times `worst`
    beaten: Tensor                      # (batch,) whether a subspace held a smaller flip than the search of all dimensions
    forward: Tensor
    backward: Tensor
    search: Smallest


@method("boundary")
def boundary(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """A row per sample and per m in `levels`: r_S √(m/d)/r* over `controls` random m-dimensional subspaces S.

    `average` is the median over the subspaces, which a flat boundary puts at `flat.median` (1.483 at m = 1, about 1 above);
    `worst` the least of them. r* is the smallest change that flips, r_S the smallest within S, both ℓ2 and not cut to the
    range of the inputs; `clipped` is the median at m = 1 with the input cut to it. `band.low` and `band.high` are the
    factors √ζ₁, √ζ₂ of Fawzi et al. at `delta`; `curvature` is the median, over random directions, of the boundary's
    curvature times r*: 0 where it is flat, 1 for a sphere around the input. Nothing is judged: it is a measurement.
    """
    if x.truth is None or not x.labelled:
        raise InputError("the geometry of a decision's boundary needs the right classes")
    if check.perturbation.get("norm", "l2") != "l2":
        raise InputError(f"check {check.id!r}: the theory of random subspaces is for the norm l2")
    if any(level != int(level) or level < 1 for level in check.levels):
        raise InputError(f"check {check.id!r}: levels are numbers of dimensions, whole and at least 1")
    target = bench.systems[system]
    with torch.no_grad():
        right = ~wrong(target(x.inputs), x.truth).bool()
    index = right.nonzero()[:, 0].tolist()
    found = _measured(check, target, bench, x, index) if index else None
    place = {i: k for k, i in enumerate(index)}
    return UnitResult(findings=tuple(_row(check, system, bench, x, i, place.get(i), int(m), found)
                                     for m in check.levels for i in range(len(x))))


def _measured(check: Check, target: Metered, bench: Bench, x: Examples, index: list[int]) -> Geometry:
    """Smallest flip, distances within random subspaces and curvature of the examples of `index`, all decided rightly."""
    assert x.truth is not None
    inputs, label = x.inputs[index], x.truth[index]
    ids = [x.ids[i] for i in index]
    options = {k: v for k, v in check.search.items() if k not in ("kind", "delta")}
    search = smallest_change(target, inputs, label, norm="l2",
                             generators=[stream(bench.seed, check.id, sample) for sample in ids], **options)
    reached = search.found.nonzero()[:, 0]
    worst, clipped = search.size.double(), torch.full((check.controls, len(index)), torch.inf, dtype=torch.float64)
    radii = {int(m): clipped.clone() for m in check.levels if m <= inputs[0].numel()}
    forward, backward = search.forward.clone(), search.backward.clone()
    if len(reached):
        around = (inputs[reached], label[reached], [ids[i] for i in reached.tolist()], worst[reached])
        for k in range(check.controls):
            for m, rows in radii.items():
                drawn = _drawn(check, target, bench, *around, m=m, draw=k)
                rows[k, reached] = drawn.size
                forward[reached] += drawn.forward
                backward[reached] += drawn.backward
            cut = _drawn(check, target, bench, *around, m=1, draw=k, box=x.box)
            clipped[k, reached] = cut.size
            forward[reached] += cut.forward
    least = torch.stack([rows.amin(0) for rows in radii.values()]).amin(0) if radii and check.controls else worst
    bend = _bend(check, target, bench, inputs, label, ids, search)
    return Geometry(index=index, worst=torch.minimum(worst, least), radii=radii, clipped=clipped, bend=bend,
                    beaten=least < (1 - SLACK) * worst, forward=forward, backward=backward, search=search)


def _drawn(check: Check, target: Metered, bench: Bench, inputs: Tensor, label: Tensor, ids: list[str], worst: Tensor, *,
           m: int, draw: int, box: tuple[float, float] | None = None) -> Radius:
    """The distance within one random subspace of each example; a line is followed both ways, as far as chance must go."""
    generators = [stream(bench.seed, check.id, m, draw, sample) for sample in ids]
    if m > 1:
        return semi_random_radius(target, inputs, label, m=m, generators=generators)
    return random_radius(target, inputs, label, first=worst, generators=generators, box=box,
                         doublings=doublings_for(inputs[0].numel()))


def _bend(check: Check, target: Metered, bench: Bench, inputs: Tensor, label: Tensor, ids: list[str],
          search: Smallest) -> Tensor:
    """Median over random directions of the curvature at the smallest flip, in units of one over its size; NaN without."""
    bend = torch.full((len(inputs),), torch.nan, dtype=torch.float64)
    at = search.found.nonzero()[:, 0]
    if len(at) == 0 or not check.controls:
        return bend
    size, edge = search.size[at].double(), inputs[at] + search.perturbation[at]
    seen = []
    for k in range(check.controls):
        generators = [stream(bench.seed, check.id, "bend", k, ids[i]) for i in at.tolist()]
        direction = random_subspace(edge, 1, generators).reshape(edge.shape)
        seen.append(size * curvature(target, edge, label[at], search.decision[at], direction, step=BENT_OVER * size))
    bend[at] = torch.stack(seen).median(0).values
    return bend


def _row(check: Check, system: str, bench: Bench, x: Examples, i: int, k: int | None, m: int,
         found: Geometry | None) -> Finding:
    """The finding of example i, which is the k-th of those measured (None: wrong already)."""
    empty = Finding.empty(check=check.id, system=system, role=bench.roles[system], sample=x.ids[i], unit=check.unit,
                          metric=check.metric, better=metrics.find(check.metric).better, level=float(m))
    assert x.truth is not None
    label, d = {"label": float(x.truth[i])}, x.inputs[i].numel()
    if k is None or found is None:
        return replace(empty, extra={**label, "already-wrong": 1.0}, notes="wrong without any change; not measured")
    empty = replace(empty, forward=int(found.forward[k]), backward=int(found.backward[k]), stop=found.search.stop[k])
    extra = {**label, "already-wrong": 0.0}
    if m > d:
        return replace(empty, extra=extra, notes=f"the inputs have {d} dimensions only")
    if not bool(found.search.found[k]):
        named = [Flag(id=STOP_FLAGS[found.search.stop[k]])] if found.search.stop[k] in STOP_FLAGS else []
        return replace(empty, extra=extra, flags=(*named, Flag(id="not-reached", detail="no change flips it")))
    ratios = boundary_ratio(found.radii[m][:, k], found.worst[k], m, d)
    seen = ratios[torch.isfinite(ratios)]
    extra |= _extras(check, x, i, k, m, found, len(seen) / max(len(ratios), 1))
    middle = censored_median(ratios)
    return replace(empty, extra=extra, controls=len(ratios), average=middle if math.isfinite(middle) else None,
                    average_low=float(seen.min()) if len(seen) else None,
                    average_high=float(seen.max()) if len(seen) and len(seen) == len(ratios) else None,
                    worst=float(seen.min()) if len(seen) else None,
                    notes="" if len(seen) else "no random subspace drawn reached the boundary",
                    flags=(Flag(id="worst-below-control", detail="a random subspace held a smaller flip"),)
                    if bool(found.beaten[k]) else ())


def _extras(check: Check, x: Examples, i: int, k: int, m: int, found: Geometry, reached: float) -> dict[str, float]:
    delta, d = float(check.search.get("delta", 0.05)), x.inputs[i].numel()
    extra = {"flat.median": flat_ratio(m, d), "band.low": math.sqrt(zeta1(m, delta)),
             "band.high": math.sqrt(zeta2(m, delta)), "random-never": 1.0 - reached, "curvature": float(found.bend[k]),
             "distance": float(found.worst[k] / input_scale(x, "l2")[i])}
    if m == 1 and x.box is not None and len(found.clipped):
        cut = boundary_ratio(found.clipped[:, k], found.worst[k], 1, d)
        extra["clipped-never"] = float(cut.isinf().double().mean())
        extra["clipped"] = censored_median(cut)
    return {name: value for name, value in extra.items() if math.isfinite(value)}
