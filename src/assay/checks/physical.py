"""Physical change: a sticker, searched for under random views and judged on views that the search never saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from assay.checks.check import STOP_FLAGS, Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.checks.held_out import FEWEST, Judge, judge, labels, mask_of, sticker_set, under_others
from assay.metrics.classification import decision, wrong
from assay.metrics.losses import log_odds, margin
from assay.numerics.printability import non_printability
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Sticker
from assay.perturbations.viewing import STILL, ViewSampler
from assay.records import Access, Finding, Flag
from assay.searches.expectation import RandomObjective, drawn_back, expectation_ascent, l1_mask
from assay.searches.random_search import random_search
from assay.searches.result import Score, SearchResult
from assay.systems.metered import Metered

DRAWS = 8                   # views of each image in a step of the search, unless the check says


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the searches of one level found: the set, its sticker, and per name the stickers that are told beside it."""

    within: Sticker
    found: SearchResult
    still: Tensor | None                # searched under no views, with the whole budget
    barely: Tensor | None               # the same, drawn back until it only just works on the image as it is
    targeted: Tensor | None             # searched for one class each
    goal: Tensor


@method("physical")
def physical(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the success on held-out views of a sticker searched under random views, `average` that of random stickers.

    Success is a wrong decision on a view that is decided rightly without a sticker; other views do not count, so `normal`
    is 0. Held-out views are drawn at each distance and angle of `perturbation.held_out`. In `extra`: the interval of
    Clopper and Pearson, success by distance and angle, the same of a sticker searched on the image as it is, with the whole
    budget (`still.worst`) and drawn back until it only just works there (`barely.worst`: what ends at its first success
    and must lose most of it elsewhere), and with `search.targeted` how often a sticker for one other class, drawn at
    random, is taken for it, beside random stickers. Sources: Eykholt et al. (CVPR 2018); Athalye et al. (ICML 2018).
    """
    target = bench.systems[system]
    findings: list[Finding] = []
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    with torch.no_grad():
        normal = target(x.inputs)
    for level in check.levels:
        made = _make(check, target, bench, x, level, classes=normal.shape[1])
        judged, p = judge(check, target, bench, x, level, made.within), made.found.parameters
        decided = judged.decisions(p)
        findings += _rows(check, system, bench, level, made, judged, decided, normal)
        others = {name: judge(check, other, bench, x, level, made.within)
                  for name, other in bench.systems.items() if name != system}
        findings += under_others(check, system, bench, level, p, made.found.stop, others)
        order = judged.rate(decided).nan_to_num(nan=-1.0).argsort(descending=True, stable=True)[: bench.keep].tolist()
        masks = made.within.at(x).expand(len(x), 1, *x.inputs.shape[2:]).to(p.dtype)
        stored = torch.cat([p, masks, *([] if made.targeted is None else [made.targeted])], 1)
        witnesses |= {key(system, x.ids[i], level): stored[i].clone() for i in sorted(order)}
        pictures = {"original": x.inputs, "changed": made.within.apply(x, p).inputs}
        exhibits |= exhibit(pictures, bench, system, x, level, worst=order[0])
    return UnitResult(findings=tuple(findings), witnesses=witnesses, exhibits=exhibits)


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, witness: Tensor) -> dict[str, float]:
    """The numbers of a row again, from the stored stickers and the seeds.

    The channels of a witness are the sticker's, the mask, and those of the sticker for one class where it was searched.
    """
    level, channels = row.level or 0.0, x.inputs.shape[1]
    p, mask, targeted = witness.tensor_split((channels, channels + 1), 1)
    within = sticker_set(check, x, mask[:, 0] > 0.5)
    judged = judge(check, bench.systems[row.system], bench, x, level, within)
    decided = judged.decisions(p)
    rate = judged.rate(decided)
    found = {"worst": float(rate), "size": float(within.size(x, witness)), **judged.interval(rate, 0)}
    if row.origin == row.system:
        found |= judged.by_cell(decided, 0)
    if row.origin == row.system and "targeted.worst" in row.extra:
        found |= _targeted(check, bench, judged, level, targeted)
    if check.controls and row.origin == row.system:
        found["average"] = float(judged.controls(check, bench, level).mean())
    return found


def _targeted(check: Check, bench: Bench, judged: Judge, level: float, p: Tensor) -> dict[str, float]:
    """How often the sticker for one class is taken for it, beside random ones; NaN, as no row has, where none is stored."""
    with torch.no_grad():
        goal = _goals(check, bench, judged.x, judged.target(judged.x.inputs).shape[1])
    if p.shape[1] != judged.x.inputs.shape[1]:
        return {"targeted.worst": math.nan}
    return {"targeted.worst": float(judged.rate(judged.decisions(p), goal)),
            "targeted.average": float(judged.controls(check, bench, level, goal).mean())}


def _make(check: Check, target: Metered, bench: Bench, x: Examples, level: float, *, classes: int) -> Made:
    """The mask, then one search each: under views, under none, and for one class; all with the same steps."""
    views, spec = ViewSampler(**check.perturbation.get("views", {})), check.search
    steps, draws = int(spec["steps"]), int(spec.get("draws", DRAWS))
    goal = _goals(check, bench, x, classes)
    within = sticker_set(check, x, mask_of(check, x, level))

    def generators(purpose: str) -> list[torch.Generator]:
        return [stream(bench.seed, check.id, level, sample, purpose) for sample in x.ids]

    if target.access < Access.GRADIENT:
        harm = _repeated(_harm(target, within, x, views, draws), generators("views"))
        found = random_search(harm, within, x=x, generators=generators("search"), draws=int(spec.get("query", steps)))
        return Made(within=within, found=found, still=None, barely=None, targeted=None, goal=goal)
    if check.perturbation.get("mask") == "auto":
        masks = l1_mask(_harm(target, within, x, views, draws), within, x=x, generators=generators("mask"), area=level,
                        count=int(check.perturbation.get("count", 2)), steps=max(2, steps // 2))
        within = replace(within, mask=masks)

    def climb(purpose: str, sampler: ViewSampler, count: int, aim: Tensor | None = None) -> SearchResult:
        return expectation_ascent(_harm(target, within, x, sampler, count, aim), within, x=x, steps=steps,
                                  generators=generators(purpose))

    still = climb("still", STILL, 1).parameters
    barely = drawn_back(lambda p: margin(target(within.apply(x, p).inputs), labels(x)), within, x=x, parameters=still)
    targeted = climb("targeted", views, draws, goal).parameters if spec.get("targeted") else None
    return Made(within=within, found=climb("search", views, draws), still=still, barely=barely, targeted=targeted, goal=goal)


def _harm(target: Metered, within: Sticker, x: Examples, sampler: ViewSampler, count: int,
          goal: Tensor | None = None) -> RandomObjective:
    """Mean over `count` fresh views of log P(not the label), or log P(goal): it saturates on views that are won.

    The log odds, which do not, would be raised further and further on the easy views and leave the hard ones.
    """
    sought = (labels(x) if goal is None else goal).repeat_interleave(count)
    sign = -1.0 if goal is None else 1.0

    def harm(p: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        scores = target(within.seen(x, p, sampler.draw(x.inputs, generators, count)))
        return -softplus(sign * log_odds(scores, sought)).unflatten(0, (len(x), count)).mean(1)

    return harm


def _repeated(harm: RandomObjective, generators: Sequence[torch.Generator]) -> Callable[[Tensor], Tensor | Score]:
    """The objective on the same views every time, so that queries can be compared."""
    return lambda p: harm(p, [g.clone_state() for g in generators])


def _goals(check: Check, bench: Bench, x: Examples, classes: int) -> Tensor:
    """Another class for each example, drawn by its own seed."""
    generators = [stream(bench.seed, check.id, sample, "target") for sample in x.ids]
    return (labels(x) + torch.cat([1 + torch.randint(classes - 1, (1,), generator=g) for g in generators])) % classes


def _rows(check: Check, system: str, bench: Bench, level: float, made: Made, judged: Judge, decided: Tensor,
          normal: Tensor) -> list[Finding]:
    """The system's own stickers, one row for each sample."""
    x, p, target = judged.x, made.found.parameters, bench.systems[system]
    rate, controls, size = judged.rate(decided), judged.controls(check, bench, level), made.within.size(judged.x, p)
    beside = _beside(check, bench, level, made, judged, normal)
    draws, asked = int(check.search.get("draws", DRAWS)), (2 + len(controls)) * judged.held.count
    return [judged.row(
        check, bench, i, system=system, origin=system, level=level, rate=rate, size=size, stop=made.found.stop[i],
        controls=controls, forward=made.found.forward * draws + asked, backward=made.found.backward * draws,
        flags=held_out_flags(target, made.found, i, judged, rate, controls),
        extra=judged.by_cell(decided, i) | {k: float(v[i]) for k, v in beside.items()}) for i in range(len(x))]


def _beside(check: Check, bench: Bench, level: float, made: Made, judged: Judge, normal: Tensor) -> dict[str, Tensor]:
    """What is told beside the rate, (batch,) each: decisions, printability, the sticker without views, the targeted one."""
    x, p = judged.x, made.found.parameters
    with torch.no_grad():
        near = judged.target(made.within.apply(x, p).inputs)
    found = {"already-wrong": wrong(normal, labels(x)), "label": labels(x), "decision.normal": decision(normal),
             "decision.worst": decision(near)}
    if x.inputs.shape[1] in (1, 3):
        found["non-printability.worst"] = non_printability(p, mask=made.within.at(x)[:, 0])
    for name, other in (("still", made.still), ("barely", made.barely)):
        if other is not None:
            found[f"{name}.worst"] = judged.rate(judged.decisions(other))
    if made.targeted is not None:
        found["targeted.worst"] = judged.rate(judged.decisions(made.targeted), made.goal)
        found["targeted.average"] = judged.controls(check, bench, level, made.goal).mean(0)
    return found


def beaten(controls: Tensor, rate: float, views: float) -> bool:
    """Whether a random sticker's rate is above the searched one's by more than the views' own chance explains.

    By two standard errors of the difference of two shares of so many views, 2 √(2 p (1 − p) / views), p their mean.

    >>> beaten(torch.tensor([0.6]), 0.55, 90.0), beaten(torch.tensor([0.9]), 0.1, 90.0)
    (False, True)
    """
    if not len(controls):
        return False
    best = float(controls.amax())
    share = (best + rate) / 2
    return best - rate > 2 * math.sqrt(max(2 * share * (1 - share), 0.0) / max(views, 1.0))


def held_out_flags(target: Metered, found: SearchResult, i: int, judged: Judge, rate: Tensor,
                   controls: Tensor) -> tuple[Flag, ...]:
    """Why the search of example i should not be believed: nothing to climb, queries alone, a random change did better."""
    stopped = found.stop[i] in STOP_FLAGS and not bool(rate[i] > 0)         # where all is won nothing can rise
    named = [STOP_FLAGS[found.stop[i]]] if stopped else []
    named += ["query-only"] if target.access < Access.GRADIENT else []
    counted = float(judged.counted()[i])
    mine = controls[:, i] if counted >= FEWEST else controls[:0, i]
    named += ["worst-below-control"] if beaten(mine, float(rate[i]), counted) else []
    return tuple(Flag(id=name) for name in named)
