"""Universal: one change, fitted on some samples, laid on all the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.asked_once import asked_once, fit_positions
from assay.checks.check import STOP_FLAGS, Bench, Check, UnitResult, method
from assay.checks.second_systems import lenders
from assay.checks.worst_case import Rung, report
from assay.metrics import protocol as metrics
from assay.metrics.classification import decision
from assay.metrics.protocol import Response
from assay.metrics.universal import directions_for, dominant, leading_span, singular_values, unit_normals
from assay.numerics.projections import steepest
from assay.perturbations import registry
from assay.perturbations.balls import InputBall
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Flag, Stop
from assay.searches.smallest.deepfool import deepfool
from assay.searches.universal.batched import batched, best_of
from assay.systems.metered import Metered

ENERGY = 0.9                # of the normals, held by the span that random patterns are drawn from


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One level: the pattern (…) in the unit of the level, what it does on the fit set, and what it cost per input."""

    pattern: Tensor
    rate: float
    dominant: float | None          # share of the changed decisions that end in one class
    stop: Stop
    flags: tuple[Flag, ...]
    forward: int
    backward: int


@method("universal")
def universal(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the metric under one pattern per level, the same for every sample and fitted on others.

    `perturbation` = { kind = "inputs", norm, relative, fit = 100, fit_from = "end" }: the pattern is fitted on the last
    `fit` samples of the data set (at most half of it; `fit_from = "even"` takes them at even distances, for data sorted
    by class), and the audited rows are the others. It is computed once per process. Laid on a sample it has the level's
    size there, less what the box cuts off; the controls have the size that is left, drawn per sample. Extras:
    `span.average`, the mean of the metric over as many patterns drawn from the span of the leading singular vectors of
    the fit set's unit normals; `dominant-share` and `fit-fooled` on the fit set. The stored witness is the pattern. The
    other systems' rows under it make the transfer matrix. Source: Moosavi-Dezfooli, Fawzi, Fawzi and Frossard, CVPR 2017.
    """
    target, metric = bench.systems[system], metrics.find(check.metric)
    levels, span = fitted(check, system, bench)
    with torch.no_grad():
        normal = target(x.inputs)
    rungs, drawn = [], {}
    for level in sorted(levels, reverse=True):
        within, found = _ball(check, level, x), levels[level]
        rung = Rung.at(level, within, laid_on(within, x, found.pattern))
        with torch.no_grad():
            rung.harm = metric.harm(_response(target, rung, x, normal, rung.parameters))
        rung.stop, rung.flags = [found.stop] * len(x), [list(found.flags) for _ in x.ids]
        rung.forward, rung.backward = found.forward + 2, found.backward
        rungs.append(rung)
        drawn[level] = _span_average(check, bench, target, rung, x, normal, span)
    result = report(check, system, bench, x, normal, rungs)
    findings = []
    for row in result.findings:
        if row.origin == row.system == system and row.level is not None:
            found, i = levels[row.level], x.ids.index(row.sample)
            more = {"fit-fooled": found.rate}
            more |= {} if found.dominant is None else {"dominant-share": found.dominant}
            more |= {} if (chance := drawn[row.level]) is None else {"span.average": float(chance[i])}
            row = replace(row, extra={**row.extra, **more})
        findings.append(row)
    names = {name: rung.level for rung in rungs for name in result.witnesses if name.endswith(f"|{rung.level:.6g}")}
    return UnitResult(findings=tuple(findings), exhibits=result.exhibits,
                      witnesses={name: levels[level].pattern.clone() for name, level in names.items()})


def laid_on(within: InputBall, x: Examples, pattern: Tensor) -> Tensor:
    """The pattern (…), whose unit is the level's, as a change of each input: in the input's own unit, cut to its box."""
    p = pattern.to(x.inputs.dtype).expand_as(x.inputs)
    return within.project(x, p * per_example(within.ball.scale(x.inputs), p))


def _ball(check: Check, level: float, x: Examples) -> InputBall:
    within = registry.build(check.perturbation, level, x)
    if not isinstance(within, InputBall):
        raise InputError(f"check {check.id!r}: a universal change is one of the inputs; write kind = \"inputs\"")
    return within


def fitted(check: Check, system: str, bench: Bench) -> tuple[dict[float, Fitted], Tensor | None]:
    """The patterns by level, and the span of the leading normals; computed once per process, and so is a failure."""
    return asked_once(("universal", check.id, system, bench.seed), bench, lambda: _fit_all(check, system, bench))


def _fit_all(check: Check, system: str, bench: Bench) -> tuple[dict[float, Fitted], Tensor | None]:
    """Upwards: what is found at a level is a start at the next, as it is and scaled up, so the rate cannot fall."""
    positions = fit_positions(check, bench.count)
    if not positions:
        raise InputError("a universal change is fitted on samples that are not audited, and this data set has none to spare")
    x, target = bench.fetch(positions), bench.systems[system]
    lent = [] if target.access >= Access.GRADIENT else _of_lenders(check, system, bench)
    levels: dict[float, Fitted] = {}
    for level in sorted(check.levels):
        below = [level / last * levels[last].pattern for last in list(levels)[-1:]]
        below += [found.pattern for found in levels.values()]
        below += [patterns[level].pattern for patterns in lent]
        levels[level] = _fit(check, target, bench, x, level, below, climb=target.access >= Access.GRADIENT)
    return levels, _span(target, x) if target.access >= Access.GRADIENT else None


def _of_lenders(check: Check, system: str, bench: Bench) -> list[dict[float, Fitted]]:
    """The patterns of the systems that give gradients; one that raises lends nothing, and its own rows say so."""
    lent = []
    for name in lenders(system, bench.systems):
        try:
            lent.append(fitted(check, name, bench)[0])
        except (MemoryError, OSError):
            raise
        except Exception:
            continue
    return lent


def _fit(check: Check, target: Metered, bench: Bench, x: Examples, level: float, below: Sequence[Tensor], *,
         climb: bool) -> Fitted:
    """The batched search, and then random patterns by queries alone: the one that changes most decisions is kept."""
    ball = _ball(check, level, x).ball
    scale = float(ball.scale(x.inputs).median())
    spec = {k: v for k, v in check.search.items() if k not in ("kind", "query")}
    options: dict[str, Any] = {"norm": ball.norm, "radius": level * scale, "box": x.box}
    ask = int(check.search.get("query", 0))
    draw, own = (stream(bench.seed, check.id, level, what) for what in ("query", "search"))
    queries = [_random_pattern(x, ball.norm, level * scale, draw) for _ in range(ask)]
    known = [pattern * scale for pattern in below]
    flags = []
    if climb:
        found = batched(target, x.inputs, generator=own, starts=known, **options, **spec)
        flags = [Flag(id=STOP_FLAGS[found.stop])] if found.stop in STOP_FLAGS else []
        if queries:
            asked = best_of(target, x.inputs, queries, generator=draw, **options)
            if asked.rate > found.rate:
                flags.append(Flag(id="query-beats-gradient", detail=f"{asked.rate:.3g} > {found.rate:.3g} of the fit set"))
                found = replace(found, perturbation=asked.perturbation, rate=asked.rate)
            found = replace(found, forward=found.forward + asked.forward)
    else:
        found = best_of(target, x.inputs, [*known, *queries], generator=draw, **options)
        flags.append(Flag(id="query-only", detail=f"{len(known) + ask} queries"))
    with torch.no_grad():
        moved = x.inputs + found.perturbation
        before, after = (decision(target(inputs)) for inputs in (x.inputs, moved if x.box is None else moved.clamp(*x.box)))
    most = dominant(before, after)
    return Fitted(pattern=found.perturbation / scale, rate=found.rate, dominant=None if most is None else most.share,
                  stop=found.stop, flags=tuple(flags), forward=found.forward // len(x), backward=found.backward // len(x))


def _random_pattern(x: Examples, norm: str, radius: float, generator: torch.Generator) -> Tensor:
    """A random pattern (…) of that norm: random signs (ℓ∞) or a random direction (ℓ2)."""
    return radius * steepest(torch.randn(x.inputs[:1].shape, dtype=x.inputs.dtype, generator=generator), norm)[0]


def _span(target: Metered, x: Examples) -> Tensor | None:
    """An orthonormal basis (m, d) of the leading singular vectors of the fit set's unit normals; None without normals."""
    with torch.no_grad():
        right = decision(target(x.inputs))
    normals = unit_normals(deepfool(target, x.inputs, right).perturbation)
    return leading_span(normals, directions_for(singular_values(normals), ENERGY)) if len(normals) else None


def _span_average(check: Check, bench: Bench, target: Metered, rung: Rung, x: Examples, normal: Tensor,
                  span: Tensor | None) -> Tensor | None:
    """(batch,) mean of the metric under random members of the span, drawn per sample: of the level's norm (ℓ2), or the
    signs of such a member (ℓ∞)."""
    if span is None or not check.controls:
        return None
    within, metric = rung.within, metrics.find(check.metric)
    assert isinstance(within, InputBall)
    generators = [stream(bench.seed, check.id, rung.level, sample, "span") for sample in x.ids]
    values = []
    with torch.no_grad():
        for _ in range(check.controls):
            weights = torch.stack([torch.randn(len(span), dtype=x.inputs.dtype, generator=g) for g in generators])
            p = within.project(x, within.uphill(x, (weights @ span.to(x.inputs.dtype)).reshape(x.inputs.shape)))
            values.append(metric.compute(_response(target, rung, x, normal, p)))
    return torch.stack(values).mean(0)


def _response(target: Metered, rung: Rung, x: Examples, normal: Tensor, p: Tensor) -> Response:
    changed = rung.within.apply(x, p)
    return Response(output=target(changed.inputs), changed=changed, normal=normal, original=x)
