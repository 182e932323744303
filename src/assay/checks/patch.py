"""Universal patch: one round picture, fitted on some images, put at random places of all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from assay.checks.asked_once import asked_once, fit_positions
from assay.checks.check import STOP_FLAGS, Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.checks.held_out import labels
from assay.checks.physical import beaten
from assay.checks.second_systems import lenders
from assay.metrics import protocol as metrics
from assay.metrics.classification import confidence, decision, wrong
from assay.metrics.losses import log_odds
from assay.metrics.physical import success_rate
from assay.metrics.universal import dominant
from assay.numerics.intervals import clopper_pearson
from assay.perturbations.patches import Placing, placed
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Sticker
from assay.records import Access, Finding, Flag, Stop
from assay.searches.expectation import expectation_ascent
from assay.searches.random_search import random_search
from assay.systems.metered import Metered

PLACES = 20                 # where the patch is put on each audited image, unless the check says
BATCH = 32                  # images of the fit set in a step, each with the patch at a place of its own
SMALLEST = 5                # pixels of the patch itself
UNIT = "share of the shorter side"


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One level: the picture (channels, side, side) and what the search for it cost in all."""

    picture: Tensor
    stop: Stop
    flags: tuple[Flag, ...]
    forward: int
    backward: int


@method("patch")
def patch(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the share of places at which one and the same patch turns a right decision wrong; `average` random ones'.

    `perturbation` = { kind = "patch", fit = 100, fit_from = "even", places = 20, rotation = 22.5 }: the patch is fitted on
    the samples that the audit leaves out, under random places and turns, and put at other places of the audited ones. Its
    diameter is the level, a share of the shorter side. Controls are discs of the same size at the same places, each value
    the least or the greatest by chance. A patch made for all images may be printed once and used by anyone: it needs
    neither the image nor the place. Sources: Brown et al. (2017, arXiv 1712.09665); Finlayson et al., Science 363 (2019).
    """
    target = bench.systems[system]
    findings: list[Finding] = []
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    with torch.no_grad():
        normal = target(x.inputs)
    found = _fitted(check, system, bench)
    for level in check.levels:
        made = found[level]
        pictures = {"original": x.inputs, "changed": _shown(check, bench, x, level, made.picture)[0]}
        rows = _rows(check, system, bench, x, level, made, normal)
        findings += rows
        findings += _others(check, system, bench, x, level, made)
        order = sorted(range(len(rows)), key=lambda i: -(rows[i].worst or 0.0))[: bench.keep]
        witnesses |= {key(system, x.ids[i], level): made.picture.clone() for i in sorted(order)}
        exhibits |= exhibit(pictures, bench, system, x, level, worst=order[0])
    return UnitResult(findings=tuple(findings), witnesses=witnesses, exhibits=exhibits)


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, picture: Tensor) -> dict[str, float]:
    """The row's numbers again, from the stored picture and the seeds of places and controls."""
    target, level = bench.systems[row.system], row.level or 0.0
    with torch.no_grad():
        normal = target(x.inputs)
    rate = _rate(check, target, bench, x, level, picture, normal)
    found = {"worst": float(rate), "size": level}
    if check.controls and row.origin == row.system:
        found["average"] = float(_controls(check, target, bench, x, level, normal).mean())
    return found


def _fitted(check: Check, system: str, bench: Bench) -> dict[float, Patch]:
    """The patch of each level, computed once per process."""
    return asked_once(("patch", check.id, system, bench.seed), bench, lambda: _fit_all(check, system, bench))


def _fit_all(check: Check, system: str, bench: Bench) -> dict[float, Patch]:
    x, target = bench.fetch(fit_positions(check, bench.count)), bench.systems[system]
    others = lenders(system, bench.systems) if target.access < Access.GRADIENT else ()
    lent = [_fitted(check, name, bench) for name in others]
    return {level: _fit(check, target, bench, x, level, [found[level].picture for found in lent]) for level in check.levels}


def _fit(check: Check, target: Metered, bench: Bench, x: Examples, level: float, lent: Sequence[Tensor]) -> Patch:
    """Ascent of the mean over images and places of log P(not the label); by random discs where there are no gradients."""
    spec, blank = check.search, _blank(x, level)
    within, placing = _pixels(x, blank), _placing(check, level)

    def harm(p: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        (g,) = generators
        chosen = torch.randint(len(x), (BATCH,), generator=g)
        images = x.inputs[chosen]
        scores = target(placed(images, p, placing.draw(images, [g] * BATCH)))
        return -softplus(-log_odds(scores, labels(x)[chosen])).mean()[None]

    def stream_for(purpose: str) -> torch.Generator:
        return stream(bench.seed, check.id, level, purpose)

    steps = int(spec["steps"])
    if target.access >= Access.GRADIENT:
        found = expectation_ascent(harm, within, x=blank, generators=[stream_for("search")], steps=steps)
        flags = [Flag(id=STOP_FLAGS[found.stop[0]])] if found.stop[0] in STOP_FLAGS else []
    else:
        same = stream_for("places")
        found = random_search(lambda p: harm(p, [same.clone_state()]), within, x=blank, generators=[stream_for("search")],
                              draws=int(spec.get("query", steps)))
        flags = [Flag(id="query-only", detail=f"{found.forward + len(lent)} patches tried")]
        tried = [found.parameters, *(p[None] for p in lent)]
        with torch.no_grad():
            harms = [float(harm(p, [same.clone_state()])) for p in tried]
        return Patch(picture=tried[harms.index(max(harms))][0], stop=found.stop[0], flags=tuple(flags),
                     forward=found.forward * BATCH, backward=0)
    return Patch(picture=found.parameters[0], stop=found.stop[0], flags=tuple(flags), forward=found.forward * BATCH,
                 backward=found.backward * BATCH)


def _blank(x: Examples, level: float) -> Examples:
    """The grey picture that the search begins with, as an example of its own; its pixels are about those of the image."""
    side = max(SMALLEST, math.ceil(level * min(x.inputs.shape[2:])))
    low, high = x.box or (0.0, 1.0)
    grey = torch.full((1, x.inputs.shape[1], side, side), (low + high) / 2, dtype=x.inputs.dtype)
    return Examples(ids=("patch",), inputs=grey, box=(low, high))


def _pixels(x: Examples, blank: Examples) -> Sticker:
    """Every picture of that size whose values lie in the range of the inputs."""
    return Sticker(mask=torch.ones(1, *blank.inputs.shape[2:], dtype=torch.bool), box=x.box or (0.0, 1.0))


def _placing(check: Check, level: float) -> Placing:
    return Placing(scale=(level, level), rotation=float(check.perturbation.get("rotation", Placing.rotation)))


def _shown(check: Check, bench: Bench, x: Examples, level: float, picture: Tensor) -> list[Tensor]:
    """The images with the patch at each held-out place; every system and control sees the same places."""
    generators = [stream(bench.seed, check.id, level, sample, "held-out") for sample in x.ids]
    p = picture.to(x.inputs.dtype).reshape(1, *picture.shape[-3:])
    return [placed(x.inputs, p, _placing(check, level).draw(x.inputs, generators))
            for _ in range(int(check.perturbation.get("places", PLACES)))]


def _decisions(check: Check, target: Metered, bench: Bench, x: Examples, level: float, picture: Tensor) -> Tensor:
    """(batch, places)"""
    with torch.no_grad():
        return torch.stack([decision(target(images)) for images in _shown(check, bench, x, level, picture)], 1)


def _rate(check: Check, target: Metered, bench: Bench, x: Examples, level: float, picture: Tensor,
          normal: Tensor) -> Tensor:
    """(batch,): the share of places decided wrongly; NaN for an image that is decided wrongly without a patch."""
    decided = _decisions(check, target, bench, x, level, picture)
    return success_rate(decided, decision(normal)[:, None].expand_as(decided), labels(x))[0]


def _controls(check: Check, target: Metered, bench: Bench, x: Examples, level: float, normal: Tensor) -> Tensor:
    """(draws, batch): the same for random discs, one for all images like the patch."""
    blank, g = _blank(x, level), stream(bench.seed, check.id, level, "control")
    discs = [_pixels(x, blank).sample(blank, [g])[0] for _ in range(check.controls)]
    rates = [_rate(check, target, bench, x, level, disc, normal) for disc in discs]
    return torch.stack(rates) if rates else torch.zeros(0, len(x), dtype=torch.float64)


def _rows(check: Check, system: str, bench: Bench, x: Examples, level: float, made: Patch,
          normal: Tensor) -> list[Finding]:
    target, metric = bench.systems[system], metrics.find(check.metric)
    decided = _decisions(check, target, bench, x, level, made.picture)
    places, already = decided.shape[1], wrong(normal, labels(x)).bool()
    rate = _rate(check, target, bench, x, level, made.picture, normal)
    controls = _controls(check, target, bench, x, level, normal)
    most = dominant(decision(normal).repeat_interleave(places), decided.flatten())
    counted = ~already
    weak = bool(counted.any()) and beaten(controls[:, counted].mean(1), float(rate[counted].mean()),
                                          float(places * counted.sum()))     # one patch for all: together, not one by one
    flags = (*made.flags, *([Flag(id="worst-below-control")] if weak else []))
    rows = []
    for i, sample in enumerate(x.ids):
        extra = {"label": float(labels(x)[i]), "already-wrong": float(already[i]),
                 "decision.normal": float(decision(normal)[i]), "confidence.normal": float(confidence(normal)[i])}
        if bool(already[i]):
            empty = Finding.empty(check=check.id, system=system, role=bench.roles[system], sample=sample, unit=UNIT,
                                  metric=metric.id, better=metric.better, level=level)
            rows.append(replace(empty, extra=extra, notes="wrong without any change; not counted"))
            continue
        low, high = clopper_pearson(round(float(rate[i]) * places), places)
        extra |= {"decision.worst": float(decided[i, 0]), "success.low": low, "success.high": high}
        extra |= {} if most is None else {"dominant-share": most.share}
        mine = controls[:, i]
        rows.append(Finding(
            check=check.id, system=system, role=bench.roles[system], sample=sample, origin=system, origin_sample=sample,
            level=level, unit=UNIT, metric=metric.id, better=metric.better, normal=0.0,
            average=float(mine.mean()) if len(mine) else None, average_low=float(mine.amin()) if len(mine) else None,
            average_high=float(mine.amax()) if len(mine) else None, worst=float(rate[i]), size=level,
            control_size=level if len(mine) else None, controls=len(mine),
            forward=made.forward // len(x) + places * (1 + len(mine)), backward=made.backward // len(x), stop=made.stop,
            flags=flags, extra=extra))
    return rows


def _others(check: Check, origin: str, bench: Bench, x: Examples, level: float, made: Patch) -> list[Finding]:
    """Every other system under the same patch, at the same places."""
    metric, rows = metrics.find(check.metric), []
    for name, target in bench.systems.items():
        if name == origin:
            continue
        with torch.no_grad():
            normal = target(x.inputs)
        rate = _rate(check, target, bench, x, level, made.picture, normal)
        for i, sample in enumerate(x.ids):
            known = bool(rate[i] == rate[i])
            rows.append(Finding(
                check=check.id, system=name, role=bench.roles[name], sample=sample, origin=origin, origin_sample=sample,
                level=level, unit=UNIT, metric=metric.id, better=metric.better, normal=0.0 if known else None, average=None,
                average_low=None, average_high=None, worst=float(rate[i]) if known else None, size=level, control_size=None,
                controls=0, forward=int(check.perturbation.get("places", PLACES)), extra={}, stop=made.stop))
    return rows
