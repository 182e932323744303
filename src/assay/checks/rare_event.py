"""Rare wrong decisions: how likely does Gaussian noise turn a right decision, where plain draws would never see it?"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench, Check, UnitResult, method
from assay.metrics import losses
from assay.metrics import protocol as metrics
from assay.metrics.classification import wrong
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Stop
from assay.searches.splitting import Splitting, splitting
from assay.systems.metered import Metered

PARTICLES, MOVES = 500, 3


@method("rare-event")
def rare_event(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is P(the decision at clip(x + σ z) is wrong), z ~ N(0, I), by multilevel splitting on the margin.

    σ is the level's share of the range of the inputs. `variation` is the estimate's coefficient of variation as it estimates
    itself; `reached` is 0 where no wrong decision was met at all: nothing below the number can then be told.
    """
    if x.box is None or x.truth is None or not x.labelled:
        raise InputError(f"check {check.id!r}: noise that turns decisions is asked of labelled inputs with a range")
    target = bench.systems[system]
    with torch.no_grad():
        right = ~wrong(target(x.inputs), x.truth).bool()
    rows = [_row(check, system, bench, x, i, level, _probability(check, target, bench, x.only(i), level)
                 if bool(right[i]) else None) for level in check.levels for i in range(len(x))]
    return UnitResult(findings=tuple(rows))


def _probability(check: Check, target: Metered, bench: Bench, x: Examples, level: float) -> Splitting:
    assert x.box is not None and x.truth is not None
    low, high = x.box
    label = x.truth

    def margin(z: Tensor) -> Tensor:
        with torch.no_grad():
            noisy = (x.inputs + level * (high - low) * z.to(x.inputs.dtype)).clamp(low, high)
            return losses.margin(target(noisy), label.expand(len(z)))

    return splitting(margin, tuple(x.inputs.shape[1:]), particles=int(check.search.get("particles", PARTICLES)),
                     moves=int(check.search.get("moves", MOVES)), generator=stream(bench.seed, check.id, level, x.ids[0]))


def _row(check: Check, system: str, bench: Bench, x: Examples, i: int, level: float, found: Splitting | None) -> Finding:
    extra = {"already-wrong": float(found is None), "label": float(x.truth[i]) if x.truth is not None else -1.0}
    if found is not None:
        extra |= {"variation": found.variation, "reached": float(found.stop is Stop.EXHAUSTED),
                  "levels": float(found.levels)}
    notes = "wrong without any change; nothing is estimated of it" if found is None else \
        "" if found.stop is Stop.EXHAUSTED else "no wrong decision was met; nothing below this can be told"
    return Finding(
        check=check.id, system=system, role=bench.roles[system], sample=x.ids[i], origin=system, origin_sample=x.ids[i],
        level=level, unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=None,
        average=None, average_low=None, average_high=None, worst=None if found is None else found.probability, size=None,
        control_size=None, controls=0, forward=1 if found is None else found.evaluations,
        stop=Stop.NOT_RUN if found is None else found.stop,
        extra={k: v for k, v in extra.items() if abs(v) != float("inf")}, notes=notes)
