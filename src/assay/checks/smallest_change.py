"""Smallest change: how far is the nearest input that the system decides otherwise, beside how far chance must go?

Otherwise: in any other way, or as one other class, drawn for each sample, where the metric asks for a hidden word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.asked_again import changed_with_use, remember
from assay.checks.check import STOP_FLAGS, Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.checks.written import with_texts, written_texts
from assay.metrics import protocol as metrics
from assay.metrics.classification import confidence, decision, input_scale, wrong
from assay.metrics.sound import HEARD_DISTANCE, heard_as, hidden_word, signal_to_noise
from assay.numerics.norms import norm
from assay.numerics.order import censored_median
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.sounds import decibels, playable, stored
from assay.records import Finding, Flag
from assay.searches.boundary import radius_along
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.result import Smallest
from assay.searches.smallest.shrinking import shrinking
from assay.systems.metered import Metered

CROSSED = 1e-3              # stored changes go this share beyond the boundary, so that another machine crosses it too
FIRST_BOUND = -10.0         # dB of the bound with which a search that shrinks it begins, unless the check says
SHORTEST = 2.0 ** -8        # of the sizes tried along a random direction; they double eleven times, up to 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What counts as flipped, and how sizes are told.

    `goal` (batch,) is the class to leave, or with `towards` to reach; `scale` (batch,) what a size is a share of in the norm
    `kind`; `told` makes the number of a share that rows hold: itself, or decibels.
    """

    goal: Tensor
    towards: bool
    kind: str
    scale: Tensor
    told: Callable[[Tensor], Tensor]

    def reached(self, scores: Tensor) -> Tensor:
        """Whether the scores are a flip, (batch,)."""
        return (heard_as(scores, self.goal) if self.towards else wrong(scores, self.goal)).bool()


def asked(check: Check, x: Examples, classes: int) -> Asked:
    """What the check asks of these examples."""
    if x.truth is None or not x.labelled:
        raise InputError("a smallest change of a decision needs the right classes")
    kind = str(check.perturbation.get("norm", "l2"))
    towards = check.metric == HEARD_DISTANCE.id
    if towards and not (kind == "linf" and x.decibels):
        raise InputError(f"check {check.id!r}: the softest sound that hides a word is asked of sounds, with norm = \"linf\"")
    scale = norm(x.inputs, kind).double() if towards else input_scale(x, kind)
    return Asked(goal=hidden_word(x, classes) if towards else x.truth, towards=towards, kind=kind, scale=scale,
                 told=decibels if towards else lambda share: share)


@method("smallest-change")
def smallest(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the size of the smallest change found that flips a right decision, `average` how far chance must go.

    Sizes are relative, ‖r‖/‖x‖ (ℓ∞: shares of the range of grey levels; of sounds dB_x(r)). `average` is the median over
    `controls` random directions of the least size at which the decision flips; where most never flip it within the range, it
    is missing, and `random-flips` (the share of random changes of the size found that flip) says the rest. Examples
    that are wrong without any change are not searched and counted apart (`already-wrong`).
    """
    target = bench.systems[system]
    remember(system, bench, x)
    with torch.no_grad():
        normal = target(x.inputs)
    what = asked(check, x, normal.shape[1])
    assert x.truth is not None
    right = ~wrong(normal, x.truth).bool()
    found = _found(check, what, target, x, bench)
    size = what.told(found.size.double() / what.scale)
    radii = random_radii(check, target, bench, x, right)
    flips = _same_size(check, what, target, bench, x, right, found)
    with torch.no_grad():
        changed = target(x.inputs + found.perturbation)
    used = changed_with_use(system, bench, x)
    rows = [_row(check, system, bench, x, i, normal, changed, found, size, radii[:, i], flips[:, i], bool(right[i]), used[i])
            for i in range(len(x))]
    keep = [i for i in size.argsort().tolist() if math.isfinite(float(size[i])) and bool(right[i])][: bench.keep]
    witnesses = {key(system, x.ids[i], None): found.perturbation[i].clone() for i in sorted(keep)}
    pictures: dict[str, Tensor | None] = {"original": x.inputs, "changed": x.inputs + found.perturbation}
    pictures |= written_texts(bench.systems, x.inputs, x.inputs + found.perturbation)
    shown = exhibit(pictures, bench, system, x, None, worst=keep[0] if keep else None)
    told = with_texts(rows, target, x.inputs, x.inputs + found.perturbation)
    return UnitResult(findings=tuple(told), witnesses=witnesses, exhibits=shown)


def _found(check: Check, what: Asked, target: Metered, x: Examples, bench: Bench) -> Smallest:
    """The search, and then a little beyond the boundary; examples that are wrong already keep a change of size 0."""
    options = {k: v for k, v in check.search.items() if k not in ("kind", "bound")}
    common: dict[str, Any] = {"norm": what.kind, "box": x.box, "towards": what.towards}

    def system(inputs: Tensor) -> Tensor:
        return target(stored(inputs) if x.decibels else inputs)

    if check.search["kind"] == "shrinking":
        bound = 10 ** (float(check.search.get("bound", FIRST_BOUND)) / 20) * what.scale
        found = shrinking(system, x.inputs, what.goal, radius=bound, **common, **options)
    else:
        found = smallest_change(system, x.inputs, what.goal, **common, **options,
                                generators=[stream(bench.seed, check.id, sample) for sample in x.ids])
    if x.decibels:
        p, works = in_steps(what.reached, target, x, found)
        return replace(found, perturbation=p, found=works, size=torch.where(works, norm(p.double(), what.kind), torch.inf))
    p = _beyond(what, found, x, target)
    return replace(found, perturbation=p, size=torch.where(found.found, norm(p.double(), what.kind), found.size))


def _beyond(what: Asked, found: Smallest, x: Examples, target: Metered) -> Tensor:
    """The change a little longer, where that is still another decision."""
    further = found.perturbation * (1 + CROSSED)
    if x.box is not None:
        further = (x.inputs + further).clamp(*x.box) - x.inputs
    with torch.no_grad():
        kept = what.reached(target(x.inputs + further)) & found.found
    return torch.where(per_example(kept, further), further, found.perturbation)


def in_steps(reached: Callable[[Tensor], Tensor], system: Callable[[Tensor], Tensor], x: Examples,
             found: Smallest) -> tuple[Tensor, Tensor]:
    """What was found, as a file holds it, and where it works so: a search that asks of stored sounds loses little."""
    p = playable(stored(x.inputs + found.perturbation) - x.inputs)
    with torch.no_grad():
        works = found.found & reached(system(x.inputs + p))
    return torch.where(per_example(works, p), p, torch.zeros_like(p)), works


def random_radii(check: Check, target: Metered, bench: Bench, x: Examples, right: Tensor) -> Tensor:
    """(draws, batch): the least relative size at which each random direction flips the decision; inf where none does.

    The size is that of the change as it is, ‖clip(x + t v) − x‖, as the size of the smallest change is.
    """
    with torch.no_grad():
        what = asked(check, x, target(x.inputs[:1]).shape[1])
    found = []
    for direction in _directions(check, bench, x, what.kind):
        t = radius_along(target, x.inputs, what.goal, direction, first=SHORTEST * what.scale, box=x.box,
                         towards=what.towards).size
        flips = torch.isfinite(t)
        moved = _scaled(direction, torch.where(flips, t, 0.0))
        if x.box is not None:
            moved = (x.inputs + moved).clamp(*x.box) - x.inputs
        found.append(torch.where(flips & right, what.told(norm(moved.double(), what.kind) / what.scale), torch.inf))
    return torch.stack(found) if found else torch.zeros(0, len(x), dtype=torch.float64)


def _same_size(check: Check, what: Asked, target: Metered, bench: Bench, x: Examples, right: Tensor,
               found: Smallest) -> Tensor:
    """(draws, batch): whether random changes of the size found, within the range, flip the decision."""
    return _flips_of_size(check, what, target, bench, x, right, found.size.nan_to_num(posinf=0.0))


def _flips_of_size(check: Check, what: Asked, target: Metered, bench: Bench, x: Examples, right: Tensor,
                   size: Tensor) -> Tensor:
    flips = [(_flips_at(what, target, x, p) & right).double() for p in _directions(check, bench, x, what.kind, size)]
    return torch.stack(flips) if flips else torch.zeros(0, len(x), dtype=torch.float64)


def by_chance(check: Check, target: Metered, bench: Bench, x: Examples, p: Tensor) -> dict[str, float]:
    """What a row of one example tells of random changes, drawn again: how far they must go, and those of the size of p."""
    right = torch.ones(1, dtype=torch.bool)
    radii = random_radii(check, target, bench, x, right)[:, 0]
    with torch.no_grad():
        what = asked(check, x, target(x.inputs).shape[1])
    size = norm(p.double(), what.kind)
    flips = _flips_of_size(check, what, target, bench, x, right, size)[:, 0]
    return {"average": censored_median(radii), "average_low": float(radii.min()), "average_high": float(radii.max()),
            "random-flips": float(flips.mean()), "random-never": float(radii.isinf().double().mean())}


def _directions(check: Check, bench: Bench, x: Examples, kind: str, size: Tensor | None = None) -> list[Tensor]:
    """`check.controls` random directions of norm 1 per sample, the same for whoever asks; or changes of that size."""
    generators = [stream(bench.seed, check.id, sample, "control") for sample in x.ids]
    ball = InputBall(ball=Ball(norm=kind, radius=1.0, relative=False, box=None if size is None else x.box))
    return [ball.sample(x, generators, size) for _ in range(check.controls)]


def _scaled(direction: Tensor, size: Tensor) -> Tensor:
    return direction * per_example(size.to(direction.dtype), direction)


def _flips_at(what: Asked, target: Metered, x: Examples, p: Tensor) -> Tensor:
    inputs = x.inputs + p if x.box is None else (x.inputs + p).clamp(*x.box)
    with torch.no_grad():
        return what.reached(target(inputs))


def _row(check: Check, system: str, bench: Bench, x: Examples, i: int, normal: Tensor, changed: Tensor, found: Smallest,
         size: Tensor, radii: Tensor, flips: Tensor, right: bool, used: Sequence[Flag]) -> Finding:
    seen = right and math.isfinite(float(size[i]))
    extra = {"decision.normal": float(decision(normal)[i]), "confidence.normal": float(confidence(normal)[i]),
             "already-wrong": float(not right), "label": float(x.truth[i]) if x.truth is not None else -1.0}
    if seen:
        extra |= {"decision.worst": float(decision(changed)[i]), "confidence.worst": float(confidence(changed)[i])}
        if x.decibels:
            one = x.inputs[i:i + 1]
            extra["signal-to-noise.worst"] = float(signal_to_noise(one, one + found.perturbation[i:i + 1]))
    if right and len(flips):
        extra["random-flips"] = float(flips.mean())
        extra["random-never"] = float(radii.isinf().double().mean())
    middle = censored_median(radii) if right else math.inf
    known = radii[~radii.isinf()].tolist() if right else []
    return Finding(
        check=check.id, system=system, role=bench.roles[system], sample=x.ids[i], origin=system, origin_sample=x.ids[i],
        level=None, unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=None,
        average=middle if math.isfinite(middle) else None, average_low=min(known, default=None),
        average_high=max(known, default=None) if len(known) == len(radii) else None,
        worst=float(size[i]) if seen else None, size=float(size[i]) if seen else None,
        control_size=float(size[i]) if seen and len(flips) else None, controls=len(radii),
        forward=int(found.forward[i]), backward=int(found.backward[i]), stop=found.stop[i], extra=extra,
        flags=(*_flags(found, i, right), *used), notes="" if right else "wrong without any change; not searched")


def _flags(found: Smallest, i: int, right: bool) -> tuple[Flag, ...]:
    if not right:
        return ()
    named: Sequence[str] = [STOP_FLAGS[found.stop[i]]] if found.stop[i] in STOP_FLAGS else []
    censored = [] if bool(found.found[i]) else [Flag(id="not-reached", detail="no change within the range flips it")]
    return (*(Flag(id=name) for name in named), *censored)
