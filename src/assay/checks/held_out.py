"""Changes judged under conditions held out from the search: the same for every change, system and random control.

A sticker is judged on views, an added sound in rooms; both are conditions here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench, Check
from assay.metrics import protocol as metrics
from assay.metrics.classification import decision
from assay.metrics.physical import success_rate
from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Masks, Sticker, octagon, rectangles
from assay.perturbations.viewing import Views, ViewSampler, grid, look
from assay.records import Finding, Flag, Stop
from assay.systems.metered import Metered

FEWEST = 10                 # counted views below which a rate is not judged


class Seen(Protocol):
    """What a change under conditions must offer: how the changed inputs look or sound under them, random members, sizes."""

    @property
    def unit(self) -> str: ...

    def seen(self, x: Examples, p: Tensor, views: Any) -> Tensor: ...

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: Tensor | None = None) -> Tensor: ...

    def size(self, x: Examples, p: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Views that judge, `count` of each example, one cell after another; no search has seen them.

    `cells` are values of the two quantities that `names` calls by name: distance and angle of an image.
    """

    views: Any
    count: int
    cells: tuple[tuple[float, float], ...]
    names: tuple[str, str] = ("distance", "angle")

    def cell(self, values: Tensor, number: int) -> Tensor:
        """The columns of (batch, count) that belong to one cell."""
        each = self.count // len(self.cells)
        return values[:, number * each:(number + 1) * each]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One system on the held-out views: decisions without a change, (batch, views), against which each change counts."""

    target: Metered
    x: Examples
    held: HeldOut
    within: Seen
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
        """Success of `check.controls` random members of the set, (draws, batch)."""
        generators = [stream(bench.seed, check.id, level, sample, "control") for sample in self.x.ids]
        rates = [self.rate(self.decisions(self.within.sample(self.x, generators)), goal) for _ in range(check.controls)]
        return torch.stack(rates) if rates else torch.zeros(0, len(self.x), dtype=torch.float64)

    def control_size(self, check: Check, bench: Bench, level: float) -> Tensor:
        """Mean measured size of those random members, (batch,)."""
        generators = [stream(bench.seed, check.id, level, sample, "control") for sample in self.x.ids]
        sizes = [self.within.size(self.x, self.within.sample(self.x, generators)) for _ in range(check.controls)]
        return torch.stack(sizes).mean(0) if sizes else torch.full((len(self.x),), math.nan)

    def interval(self, rate: Tensor, i: int) -> dict[str, float]:
        """Of example i: how many views count, and the exact interval of its success (Clopper and Pearson, 95 %)."""
        count = int(self.counted()[i])
        if not count:
            return {"views.counted": 0.0}
        low, high = clopper_pearson(round(float(rate[i]) * count), count)
        return {"views.counted": float(count), "success.low": low, "success.high": high}

    def by_cell(self, decisions: Tensor, i: int, goal: Tensor | None = None) -> dict[str, float]:
        """Success in each cell, where a view counts."""
        found = {}
        one, two = self.held.names
        for number, (first, second) in enumerate(self.held.cells):
            rate, count = success_rate(self.held.cell(decisions, number), self.held.cell(self.clean, number), labels(self.x),
                                       goal)
            if count[i] > 0:
                found[f"success.{one}-{first:g}.{two}-{second:g}"] = float(rate[i])
        return found

    def row(self, check: Check, bench: Bench, i: int, *, system: str, origin: str, level: float, rate: Tensor, size: Tensor,
            stop: Stop, controls: Tensor | None = None, control_size: Tensor | None = None, forward: int,
            backward: int = 0, flags: Sequence[Flag] = (), extra: Mapping[str, float] | None = None) -> Finding:
        """The finding of example i: its success `rate` (batch,), beside that of the `controls` (draws, batch) if it has any.

        A rate on fewer than `FEWEST` counted views is not judged.
        """
        metric, told = metrics.find(check.metric), self.interval(rate, i) | dict(extra or {})
        enough = told["views.counted"] >= FEWEST
        mine = controls[:, i] if controls is not None and enough else torch.zeros(0)
        told_size = float(size[i])
        return Finding(
            check=check.id, system=system, role=bench.roles[system], sample=self.x.ids[i], origin=origin,
            origin_sample=self.x.ids[i], level=level, unit=self.within.unit, metric=metric.id, better=metric.better,
            normal=0.0 if enough else None, average=float(mine.mean()) if len(mine) else None,
            average_low=float(mine.amin()) if len(mine) else None, average_high=float(mine.amax()) if len(mine) else None,
            worst=float(rate[i]) if enough else None, size=told_size,
            control_size=None if not len(mine) else told_size if control_size is None else float(control_size[i]),
            controls=len(mine), forward=forward, backward=backward, stop=stop, flags=tuple(flags),
            extra={name: value for name, value in told.items() if math.isfinite(value)},
            notes="" if enough or system != origin else (
                f"only {int(told['views.counted'])} of {self.held.count} held-out views are decided rightly without a "
                f"change; {FEWEST} are needed"))


def under_others(check: Check, origin: str, bench: Bench, level: float, p: Tensor, stop: Sequence[Stop],
                 others: Mapping[str, Judge], *, goal: Tensor | None = None) -> list[Finding]:
    """The other systems, by name, under the changes p that were made for `origin`, on the same held-out views."""
    rows = []
    for name, judged in others.items():
        rate, size = judged.rate(judged.decisions(p), goal), judged.within.size(judged.x, p)
        rows += [judged.row(check, bench, i, system=name, origin=origin, level=level, rate=rate, size=size, stop=stop[i],
                            forward=2 * judged.held.count) for i in range(len(judged.x))]
    return rows


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
