"""What a plan will cost: evaluations of each system, and the seconds they are expected to take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from assay.audits.plan import Plan
from assay.audits.session import Session
from assay.checks.asked_once import FIT
from assay.checks.check import Bench, Check, run_check
from assay.checks.manitest import STEPS
from assay.checks.over_the_air import DRAWS, EACH
from assay.checks.patch import BATCH, PLACES
from assay.checks.preflight_classifier import LOOKS
from assay.checks.searching import ONE_BY_ONE, TRANSFER, blind, carries_over
from assay.checks.second_systems import all_lenders, lenders
from assay.perturbations import acoustics, hidden_cues, registry
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.corruptions import NAMES
from assay.perturbations.geometric import GRID
from assay.perturbations.protocol import ChoiceSet, Examples, stream
from assay.records import Access
from assay.searches.auto_pgd import auto_pgd
from assay.searches.hill_climb import DISTANCES
from assay.searches.substitution import WHOLE, count
from assay.systems.metered import Metered

PREFLIGHT = (150, 45)   # of a classifier; other systems are asked a few times only
PREFLIGHT_BLIND = (20, 0)       # of a classifier that gives no gradients
VIEWS = 90              # held-out views of a sticker
ASKED_AGAIN = 3         # questions about each sample alone: before the search, and twice after it
STEPS_TIMED = 10
ENOUGH = 0.2            # seconds of timing that are enough
FEW, MEMBERS = 6, 2000  # samples whose own sets are searched for a forecast, and how many members one of these has at most
AT_ONCE = 32            # members asked together to learn what one costs

Cost = tuple[int, int]          # forward, forward + backward


def evaluations(check: Check) -> Cost:
    """(forward, forward + backward) evaluations of the system per sample that the check is planned to spend.

    >>> evaluations(Check(id="c", title="", question="", method="sampling", metric="", criterion={}, sources=(),
    ...                   levels=(0.3, 0.5), controls=2))
    (7, 0)
    """
    return _BY_METHOD.get(check.method, _worst_case)(check, dict(check.search), max(1, len(check.levels)))


def _worst_case(check: Check, spec: dict[str, Any], rungs: int) -> Cost:
    after = rungs * (1 + check.controls)
    kind = spec.get("kind")
    if kind == "bounded":
        starts = rungs * int(spec.get("restarts", 1)) + rungs - 1           # each level but the first also starts warm
        runs = starts * len(spec.get("climbs", ("margin",)))
        return after + rungs * (int(spec.get("query", 0)) + LOOKS), runs * int(spec["steps"])
    if kind == "exhaustive":
        return after + rungs * _members(check.perturbation), 0
    if kind == ONE_BY_ONE:
        return after, 0                             # the rest depends on the texts: `_members_of`
    if kind == TRANSFER:
        return after, 0                             # the rest is asked of the second systems: `of_each_system`
    if kind == "two-stage":
        return after + rungs * (int(spec.get("query", 0)) + int(spec["steps"])), rungs * int(spec["steps"])
    if kind in ("gradient", "penalised"):
        runs = rungs * max(1, int(spec.get("restarts", 1)))
        share = 1 if check.method != "transfer" else 0
        return after + rungs * (int(spec.get("query", 0)) + 1), share * runs * int(spec["steps"])
    draws = int(spec.get("draws", 1)) + (8 * len(spec.get("distances", DISTANCES)) if kind == "places" else 0)
    draws = max(draws, int(spec.get("whole", 0)))
    return after + rungs * draws, 0


def _members(words: Mapping[str, Any]) -> int:
    """Of a set whose every member is tried."""
    kinds = {"corruption": NAMES, "acoustics": acoustics.NAMES, "hidden-cue": hidden_cues.NAMES}.get(str(words.get("kind")))
    return math.prod(words.get("grid", GRID)) if kinds is None else len(words.get("names", kinds))


def _universal(check: Check, spec: dict[str, Any], rungs: int) -> Cost:
    share = int(check.perturbation.get("fit", FIT)) / (check.samples or FIT)     # the fit, spread over audited samples
    climbed = rungs * (int(spec.get("restarts", 4)) + 1) * int(spec.get("passes", 10))
    looked = climbed + rungs * int(spec.get("query", 0))
    return 2 * rungs * (1 + check.controls) + math.ceil(share * looked), math.ceil(share * climbed)


def _patch(check: Check, spec: dict[str, Any], rungs: int) -> Cost:
    fitted = rungs * BATCH * int(spec["steps"]) / (check.samples or FIT)
    return rungs * 2 * (1 + check.controls) * int(check.perturbation.get("places", PLACES)), math.ceil(fitted)


def _over_the_air(check: Check, spec: dict[str, Any], rungs: int) -> Cost:
    held = dict(check.perturbation.get("held_out", {}))
    rooms = int(held.get("draws", EACH)) * len(held.get("reverberations", (0,))) * len(held.get("noises", (0,)))
    return rungs * (check.controls + 4) * rooms, rungs * int(spec["steps"]) * (int(spec.get("draws", DRAWS)) + 1)


def _smallest_change(check: Check, spec: dict[str, Any], rungs: int) -> Cost:
    if spec["kind"] == "shrinking":
        return 21 * check.controls, int(spec.get("steps", 1000))
    runs = int(spec.get("refine_steps", 40)) + int(spec.get("fresh_steps", 40)) + 2 * int(spec.get("check_steps", 20)) + 40
    return runs + 21 * check.controls, runs


def _physical(check: Check, spec: dict[str, Any], rungs: int) -> Cost:
    runs = 5 if spec.get("targeted") else 3         # with views, without, barely; the automatic mask takes half a run more
    return rungs * ((check.controls + 6) * VIEWS + int(spec.get("query", 0))), \
        rungs * runs * int(spec["steps"]) * int(spec.get("draws", 8))


_BY_METHOD: dict[str, Callable[[Check, dict[str, Any], int], Cost]] = {
    "boundary": lambda check, spec, rungs: (150 + 30 * check.controls * (rungs + 1), 60 + 40 * check.controls * (rungs - 1)),
    "certificate": lambda check, spec, rungs: (int(spec.get("draws", 30 * int(spec.get("halvings", 20)))), 0),
    "clever": lambda check, spec, rungs: (1, 3 * int(spec.get("batches", 50)) * int(spec.get("draws", 64))),
    "hallucination": lambda check, spec, rungs: (3, 0),        # twice for its pair, once beside another system
    "fooling": lambda check, spec, rungs: (1, 0),      # the rest is for all samples together: `shared_evaluations`
    "local-gain": lambda check, spec, rungs: (2 * check.controls + 1, 2 * int(spec.get("iterations", 15)) + 2),
    "manitest": lambda check, spec, rungs: (2 * _members(check.perturbation) + STEPS * check.controls, 0),
    "operator-norm": lambda check, spec, rungs: (200, 0),
    "over-the-air": _over_the_air,
    "patch": _patch,
    "physical": _physical,
    "preflight": lambda check, spec, rungs: PREFLIGHT if check.metric == "error-rate" else (3, 1),
    "rare-event": lambda check, spec, rungs: (rungs * 6 * int(spec.get("particles", 500)) * int(spec.get("moves", 3)), 0),
    "sampling": lambda check, spec, rungs: (rungs * (1 + check.controls) + 1, 0),
    "smallest-change": _smallest_change,
    "universal": _universal,
}


def of_each_system(check: Check, system: str, bench: Bench) -> dict[str, Cost]:
    """(forward, forward + backward) evaluations per sample of every system that a unit of this one is planned to ask.

    Beside the system itself: those that changes are found on, those whose worst cases it borrows where it gives no
    gradients, and those that are shown its worst cases.
    """
    spent = {system: evaluations(check)}
    if check.method == "preflight" and bench.systems[system].access < Access.GRADIENT:
        spent[system] = min(spent[system], PREFLIGHT_BLIND)
    if check.method != "worst-case":
        return spent

    def add(name: str, forward: int, both: int) -> None:
        plain, graded = spent.get(name, (0, 0))
        spent[name] = plain + forward, graded + both

    spec, rungs = dict(check.search), max(1, len(check.levels))
    if blind(check, bench.systems[system]):
        draws = max(int(spec.get("query", 0)), 2 * int(spec["steps"]))
        spent[system] = rungs * (1 + check.controls + draws), 0
        for name in lenders(system, bench.systems):
            for asked, (forward, both) in of_each_system(check, name, bench).items():
                add(asked, forward, both)
    if carries_over(spec):
        steps = int(spec["steps"] if spec["kind"] == TRANSFER else spec["transfer"])
        for name in all_lenders(system, bench):
            add(name, 4 * rungs, rungs * steps)     # as it is, twice; under the change; at the end of the run
            add(system, rungs, 0)
    for name in bench.systems:
        if name != system:
            add(name, 1 + rungs, 0)
    return spent


def shared_evaluations(check: Check, classes: int) -> Cost:
    """(forward, forward + backward) evaluations that a unit is planned to spend for all its samples together."""
    if check.method != "fooling":
        return 0, 0
    born = int(check.search.get("generations", 200)) * int(check.search.get("children", 200))
    encodings = len(check.search.get("encodings", ("direct", "cppn")))
    return 2 * check.controls + born * encodings, classes * int(check.search.get("ascent", 0))


def forecast(session: Session, plan: Plan, bench: Bench) -> float:
    """Seconds the plan is expected to take in one process, from timing each system once on one shard."""
    x = session.data.fetch(tuple(range(min(session.shard, len(session.data.ids)))))
    with session.threading():
        asked = {**bench.surrogates, **bench.systems}
        costs = {name: _seconds(system, x.inputs) for name, system in asked.items() if _answers(system, x.inputs)}
        around = _around(x)
        again = [name for name in costs if name in bench.systems and x.labelled]
        alone = {name: _seconds(bench.systems[name], x.inputs[:1])[0] for name in again}
    checks, total = session.checks(), 0.0
    own: dict[tuple[str, str], float] = {}
    for unit in plan.units:
        if unit.system not in costs:
            continue
        check, n = checks[unit.check], len(unit.positions)
        if check.search.get("kind") == ONE_BY_ONE:
            if (unit.check, unit.system) not in own:
                with session.threading():
                    own[unit.check, unit.system] = _one_by_one(check, unit.system, bench, x)
            total += own[unit.check, unit.system] * n
            continue
        forward, both = costs[unit.system]
        shared, shared_graded = shared_evaluations(check, len(unit.rows))
        total += shared * forward + shared_graded * both
        total += n * ASKED_AGAIN * alone.get(unit.system, 0.0) * (check.method == "worst-case")
        total += n * sum(plain * (costs[name][0] + around) + graded * (costs[name][1] + around)
                         for name, (plain, graded) in of_each_system(check, unit.system, bench).items() if name in costs)
    return total


def _one_by_one(check: Check, system: str, bench: Bench, x: Examples) -> float:
    """Seconds for each sample where each has a set of its own: the check itself on a few of x, and what larger sets add.

    Members are made in Python, phrase by phrase or field by field, and asked one sample at a time, so a pass over a shard
    costs none of it. The few are spread over the samples by the number of members asked, as far as these are not many; each
    member that the others have more is added at what a member costs of the largest of the few.
    """
    asked = [0] * len(x)
    for level in check.levels:
        within = registry.build(check.perturbation, level, x)
        assert isinstance(within, ChoiceSet)
        most = int(check.search.get("whole", WHOLE))
        asked = [n + min(count(row, within.most), most) for n, row in zip(asked, within.choices(x), strict=True)]
    order = sorted((i for i in range(len(x)) if asked[i] <= MEMBERS), key=lambda i: asked[i])
    order = order or [min(range(len(x)), key=lambda i: asked[i])]
    few = [order[(2 * k + 1) * len(order) // (2 * min(FEW, len(order)))] for k in range(min(FEW, len(order)))]
    for _ in range(2):                          # the first fills what is kept of a sample and warms the system up
        start = time.perf_counter()
        run_check(check, system, bench, bench.fetch(tuple(few)))        # together, as a unit asks its samples
        spent = time.perf_counter() - start
    tried = sum(asked[i] for i in few)
    more = sum(asked) / len(asked) - tried / len(few)
    return max(spent / len(few) + more * _each_member(check, bench.systems[system], x.only(few[-1])), 0.0)


def _each_member(check: Check, target: Metered, x: Examples) -> float:
    """Seconds to make and to ask of a member of the one sample's set, a batch of random ones at a time."""
    within, many = registry.build(check.perturbation, check.levels[-1], x), x.repeated(AT_ONCE)
    members = within.sample(many, [stream("forecast", draw) for draw in range(AT_ONCE)])
    start = time.perf_counter()
    with torch.no_grad():
        target(within.apply(many, members).inputs)
    return (time.perf_counter() - start) / AT_ONCE


def _answers(system: Metered, inputs: torch.Tensor) -> bool:
    """Whether the system answers at all: one that raises costs nothing here, and the audit says so row by row."""
    try:
        with torch.no_grad():
            system(inputs)
    except (MemoryError, OSError):
        raise
    except Exception:
        return False
    return True


def _seconds(system: Metered, inputs: torch.Tensor) -> tuple[float, float]:
    """Seconds per example of a forward pass, and of a forward and a backward one."""
    def graded() -> None:
        followed = inputs.detach().requires_grad_(True)
        output = system(followed)
        if output.requires_grad:
            torch.autograd.grad(output.abs().square().sum(), followed)

    with torch.no_grad():
        forward = both = _quickest(lambda: system(inputs))
    if system.access >= Access.GRADIENT:
        both = _quickest(graded)
    return forward / len(inputs), both / len(inputs)


def _around(x: Examples) -> float:
    """Seconds per example and evaluation that a search works itself: where systems are small, the most.

    Metrics and random members cost about as much as the steps of Auto-PGD that are timed here.
    """
    if not x.labelled or x.box is None or not x.inputs.is_floating_point() or x.decibels:
        return 0.0
    within = InputBall(ball=Ball(norm="linf", radius=0.01 * (x.box[1] - x.box[0]), relative=False, box=x.box))
    generators = [stream(0, sample) for sample in x.ids]
    return _quickest(lambda: auto_pgd(lambda p: p.flatten(1).sum(1), within, x=x, generators=generators, steps=STEPS_TIMED)
                     ) / STEPS_TIMED / len(x)


def _quickest(ask: Callable[[], object]) -> float:
    """The least of at most five times that fill `ENOUGH` seconds, after a first call that warms up."""
    ask()
    times: list[float] = []
    while len(times) < 5 and sum(times) < ENOUGH:
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return min(times)
