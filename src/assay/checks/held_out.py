"""Stickers judged on views held out from the search: the same views for every sticker, system and random control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench, Check
from assay.metrics.classification import decision
from assay.metrics.physical import success_rate
from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Masks, Sticker, octagon, rectangles
from assay.perturbations.viewing import Views, ViewSampler, grid, look
from assay.systems.metered import Metered


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Views that judge, `count` of each image, one cell of (distance, angle) after another; no search has seen them."""

    views: Views
    count: int
    cells: tuple[tuple[float, float], ...]

    def cell(self, values: Tensor, number: int) -> Tensor:
        """The columns of (batch, count) that belong to one distance and angle."""
        each = self.count // len(self.cells)
        return values[:, number * each:(number + 1) * each]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One system on the held-out views: decisions without a sticker, (batch, views), against which each sticker counts."""

    target: Metered
    x: Examples
    held: HeldOut
    within: Sticker
    clean: Tensor

    def decisions(self, p: Tensor) -> Tensor:
        with torch.no_grad():
            scores = self.target(self.within.seen(self.x, p, self.held.views))
        return decision(scores).unflatten(0, (len(self.x), self.held.count))

    def rate(self, decisions: Tensor, goal: Tensor | None = None) -> Tensor:
        """Success of each example, (batch,); NaN where no view counts."""
        return success_rate(decisions, self.clean, labels(self.x), goal)[0]

    def counted(self) -> Tensor:
        return (self.clean == labels(self.x)[:, None]).sum(1)

    def controls(self, check: Check, bench: Bench, level: float, goal: Tensor | None = None) -> Tensor:
        """Success of `check.controls` random stickers of the same mask, (draws, batch)."""
        generators = [stream(bench.seed, check.id, level, sample, "control") for sample in self.x.ids]
        rates = [self.rate(self.decisions(self.within.sample(self.x, generators)), goal) for _ in range(check.controls)]
        return torch.stack(rates) if rates else torch.zeros(0, len(self.x), dtype=torch.float64)

    def interval(self, rate: Tensor, i: int) -> dict[str, float]:
        """Of example i: how many views count, and the exact interval of its success (Clopper and Pearson, 95 %)."""
        count = int(self.counted()[i])
        if not count:
            return {"views.counted": 0.0}
        low, high = clopper_pearson(round(float(rate[i]) * count), count)
        return {"views.counted": float(count), "success.low": low, "success.high": high}

    def by_cell(self, decisions: Tensor, i: int) -> dict[str, float]:
        """Success by distance and angle, where a view counts."""
        found = {}
        for number, (distance, angle) in enumerate(self.held.cells):
            rate, count = success_rate(self.held.cell(decisions, number), self.held.cell(self.clean, number), labels(self.x))
            if count[i] > 0:
                found[f"success.distance-{distance:g}.angle-{angle:g}"] = float(rate[i])
        return found


def judge(check: Check, target: Metered, bench: Bench, x: Examples, level: float, within: Sticker) -> Judge:
    """The held-out views of the examples, and what the system decides on them without a sticker."""
    held = held_out(check, bench, x, level)
    images = x.inputs.repeat_interleave(held.count, dim=0)
    with torch.no_grad():
        scores = target(look(images, held.views, box=within.box, fill=within.fill))
    clean = decision(scores).unflatten(0, (len(x), held.count))
    return Judge(target=target, x=x, held=held, within=within, clean=clean)


def held_out(check: Check, bench: Bench, x: Examples, level: float) -> HeldOut:
    """`draws` views at each distance and angle of `perturbation.held_out`, from the samples' own held-out seeds."""
    spec = dict(check.perturbation.get("held_out", {}))
    near = ViewSampler(**spec.get("views", check.perturbation.get("views", {})))
    cells = grid(near, spec.get("distances", [1.0]), spec.get("angles", [0.0]))
    each = int(spec.get("draws", 10))
    generators = [stream(bench.seed, check.id, level, sample, "held-out") for sample in x.ids]
    drawn = [sampler.draw(x.inputs, generators, each) for sampler in cells.values()]

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([part.unflatten(0, (len(x), each)) for part in parts], dim=1).flatten(0, 1)

    views = Views(table=joined([d.table for d in drawn]), gain=joined([d.gain for d in drawn]),
                  offset=joined([d.offset for d in drawn]))
    return HeldOut(views=views, count=each * len(cells), cells=tuple(cells))


def sticker_set(check: Check, x: Examples, mask: Masks) -> Sticker:
    """The check's stickers on the given mask."""
    options = {name: check.perturbation[name] for name in ("mode", "fill") if name in check.perturbation}
    return Sticker(mask=mask, box=x.box or (0.0, 1.0), **options)


def mask_of(check: Check, x: Examples, level: float) -> Masks:
    """"octagon", or the check's rectangles in shares of the sides, cut to `level` of the image; "auto": all of it."""
    height, width = x.inputs.shape[2:]
    spec = check.perturbation.get("mask", "octagon")
    if spec == "auto":
        return torch.ones(1, height, width, dtype=torch.bool)
    if spec == "octagon":
        return octagon(height, width, level)
    if isinstance(spec, str):
        raise InputError(f"check {check.id!r}: mask {spec!r}; known: auto, octagon, or a list of rectangles")
    return Sticker(mask=rectangles(height, width, spec)).resized(level).mask


def labels(x: Examples) -> Tensor:
    """The right classes, which a sticker's success is counted by."""
    if x.truth is None or not x.labelled:
        raise InputError("a sticker is judged by decisions and needs the right classes")
    return x.truth
