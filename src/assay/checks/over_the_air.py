"""Over the air: a word hidden in a sound, searched for under random rooms and judged in rooms held out from the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from assay.arrays import InputError
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.checks.held_out import HeldOut, Judge, under_others
from assay.checks.physical import held_out_flags
from assay.checks.written import with_texts, written_texts
from assay.metrics.classification import decision, wrong
from assay.metrics.losses import log_odds
from assay.metrics.sound import hidden_word, signal_to_noise
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.rooms import PlayedSound, Rooms, RoomSampler, grid
from assay.records import Access, Finding
from assay.searches.expectation import RandomObjective, expectation_ascent
from assay.searches.random_search import random_search
from assay.searches.result import SearchResult
from assay.systems.metered import Metered

DRAWS, EACH = 4, 5          # rooms of each sound in a step of the search, and in each cell of the judging, unless it says


@dataclass(frozen=True, kw_only=True)
class Made:
    """One level: the set, the sound searched for under rooms, and the one searched for without any."""

    within: PlayedSound
    found: SearchResult
    still: Tensor | None


@method("over-the-air")
def over_the_air(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the share of held-out rooms in which the hidden word is heard, `average` that under noise as loud.

    A room counts where the unchanged sound is heard rightly in it, so `normal` is 0. `perturbation.rooms` says how rooms are
    drawn, the judging ones at each reverberation time and noise of `perturbation.held_out`. In `extra`: the interval of
    Clopper and Pearson, success by room, and that of a sound searched for without rooms with as many steps
    (`still.worst`), which loses most of its success where rooms matter. Sources: Yakura and Sakuma (IJCAI 2019); Athalye
    et al. (ICML 2018).
    """
    target = bench.systems[system]
    findings: list[Finding] = []
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    with torch.no_grad():
        normal = target(x.inputs)
    goal = hidden_word(x, normal.shape[1])
    below: Tensor | None = None
    for level in sorted(check.levels):                      # a softer sound is a member of the louder set, and a start there
        made = _make(check, target, bench, x, level, goal, below)
        below = made.found.parameters
        judged, p = judge_in_rooms(check, target, bench, x, level, made.within), made.found.parameters
        decided = judged.decisions(p)
        findings += _rows(check, system, bench, level, made, judged, decided, normal, goal)
        others = {name: judge_in_rooms(check, other, bench, x, level, made.within)
                  for name, other in bench.systems.items() if name != system}
        findings += under_others(check, system, bench, level, p, made.found.stop, others, goal=goal)
        order = judged.rate(decided, goal).nan_to_num(nan=-1.0).argsort(descending=True, stable=True)[: bench.keep].tolist()
        witnesses |= {key(system, x.ids[i], level): p[i].clone() for i in sorted(order)}
        changed = made.within.apply(x, p).inputs
        pictures = {"original": x.inputs, "changed": changed, **written_texts(bench.systems, x.inputs, changed)}
        exhibits |= exhibit(pictures, bench, system, x, level, worst=order[0])
    return UnitResult(findings=tuple(findings), witnesses=witnesses, exhibits=exhibits)


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, witness: Tensor) -> dict[str, float]:
    """The numbers of a row again, from the stored sound and the seeds of rooms and controls."""
    level, target = row.level or 0.0, bench.systems[row.system]
    within = _set(check, level, x)
    judged = judge_in_rooms(check, target, bench, x, level, within)
    with torch.no_grad():
        goal = hidden_word(x, target(x.inputs).shape[1])
    decided = judged.decisions(witness)
    rate = judged.rate(decided, goal)
    found = {"worst": float(rate), "size": float(within.size(x, witness)), **judged.interval(rate, 0)}
    if row.origin == row.system:
        found |= judged.by_cell(decided, 0, goal)
    if check.controls and row.origin == row.system:
        found["average"] = float(judged.controls(check, bench, level, goal).mean())
    return found


def judge_in_rooms(check: Check, target: Metered, bench: Bench, x: Examples, level: float, within: PlayedSound) -> Judge:
    """The held-out rooms of the sounds, and what the system hears of them unchanged."""
    spec = dict(check.perturbation.get("held_out", {}))
    cells = grid(_sampler(check), spec.get("reverberations", [0.3]), spec.get("noises", [-30.0]))
    each = int(spec.get("draws", EACH))
    generators = [stream(bench.seed, check.id, level, sample, "held-out") for sample in x.ids]
    drawn = [sampler.draw(x.inputs, generators, each) for sampler in cells.values()]
    table = torch.cat([d.table.unflatten(0, (len(x), each)) for d in drawn], dim=1).flatten(0, 1)
    rooms = Rooms(table=table, band=drawn[0].band, longest=max(d.longest for d in drawn))
    held = HeldOut(views=rooms, count=each * len(cells), cells=tuple(cells),
                   names=("reverberation", "noise"))
    with torch.no_grad():
        heard = target(within.seen(x, torch.zeros_like(x.inputs), held.views))
    return Judge(target=target, x=x, held=held, within=within, clean=decision(heard).unflatten(0, (len(x), held.count)))


def _sampler(check: Check) -> RoomSampler:
    return RoomSampler(**check.perturbation.get("rooms", {}))


def _set(check: Check, level: float, x: Examples) -> PlayedSound:
    if not x.decibels:
        raise InputError(f"check {check.id!r} plays sounds in rooms, and the inputs are no sounds with a rate")
    return PlayedSound.at(level, x, norm=str(check.perturbation.get("norm", "linf")))


def _make(check: Check, target: Metered, bench: Bench, x: Examples, level: float, goal: Tensor,
          below: Tensor | None = None) -> Made:
    """One search under rooms, from what a softer level found, if any, and one without, both with the same steps."""
    within, sampler, spec = _set(check, level, x), _sampler(check), check.search
    steps, draws = int(spec["steps"]), int(spec.get("draws", DRAWS))

    def generators(purpose: str) -> list[torch.Generator]:
        return [stream(bench.seed, check.id, level, sample, purpose) for sample in x.ids]

    if target.access < Access.GRADIENT:
        rooms = sampler.draw(x.inputs, generators("rooms"), draws)
        found = random_search(lambda p: _heard(target, within.seen(x, p, rooms), goal, draws), within, x=x,
                              generators=generators("search"), draws=int(spec.get("query", steps)))
        return Made(within=within, found=found, still=None)

    def in_rooms(p: Tensor, streams: Sequence[torch.Generator]) -> Tensor:
        return _heard(target, within.seen(x, p, sampler.draw(x.inputs, streams, draws)), goal, draws)

    def nowhere(p: Tensor, streams: Sequence[torch.Generator]) -> Tensor:
        return _heard(target, within.apply(x, p).inputs, goal, 1)

    def climb(objective: RandomObjective, purpose: str, starts: Sequence[Tensor] = ()) -> SearchResult:
        return expectation_ascent(objective, within, x=x, steps=steps, generators=generators(purpose), starts=starts)

    found = climb(in_rooms, "search", [] if below is None else [below])
    return Made(within=within, found=found, still=climb(nowhere, "still").parameters)


def _heard(target: Metered, sounds: Tensor, goal: Tensor, count: int) -> Tensor:
    """Mean over the rooms of log P(goal), (batch,): it saturates in rooms that are won."""
    return -softplus(log_odds(target(sounds), goal.repeat_interleave(count))).unflatten(0, (len(goal), count)).mean(1)


def _rows(check: Check, system: str, bench: Bench, level: float, made: Made, judged: Judge, decided: Tensor, normal: Tensor,
          goal: Tensor) -> list[Finding]:
    """The system's own sounds, one row for each sample."""
    x, p, target = judged.x, made.found.parameters, bench.systems[system]
    assert x.truth is not None
    rate, controls = judged.rate(decided, goal), judged.controls(check, bench, level, goal)
    size, draws = made.within.size(x, p), int(check.search.get("draws", DRAWS))
    changed, control_size = made.within.apply(x, p).inputs, judged.control_size(check, bench, level)
    with torch.no_grad():
        near = target(changed)
    beside = {"already-wrong": wrong(normal, x.truth), "label": x.truth, "decision.normal": decision(normal),
              "decision.worst": decision(near), "signal-to-noise.worst": signal_to_noise(x.inputs, changed)}
    if made.still is not None:
        beside["still.worst"] = judged.rate(judged.decisions(made.still), goal)
    return with_texts([judged.row(
        check, bench, i, system=system, origin=system, level=level, rate=rate, size=size, stop=made.found.stop[i],
        controls=controls, control_size=control_size,
        forward=made.found.forward * draws + (2 + len(controls)) * judged.held.count,
        backward=made.found.backward * draws, flags=held_out_flags(target, made.found, i, judged, rate, controls),
        extra=judged.by_cell(decided, i, goal) | {k: float(v[i]) for k, v in beside.items()}) for i in range(len(x))],
        target, x.inputs, changed)
