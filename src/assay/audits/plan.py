"""What will run, what will not and why, and what it will cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from assay.audits.session import Session
from assay.checks.catalogue import METHODS
from assay.checks.check import PER_CLASS, Bench, Check, class_rows
from assay.metrics import protocol as metrics
from assay.operators.fourier import MaskedFourier
from assay.perturbations.registry import NEED_TRUTH
from assay.records import Access
from assay.searches.hill_climb import DISTANCES
from assay.systems.protocol import SystemFamily

PREFLIGHT = (150, 45)   # of a classifier; other systems are asked a few times only
GRID_POINTS = 775       # of a set whose every member is tried: the published grid


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One piece of work: a check on a system for a shard of samples. Its id is the name of its files.

    `rows` names the rows it will leave where they are not its samples: the classes, for a check that asks about these.
    """

    id: str
    check: str
    system: str
    positions: tuple[int, ...]
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The units in order, and what is not applicable with its reason."""

    units: tuple[Unit, ...]
    skipped: tuple[dict[str, str], ...]

    def data(self, ids: Sequence[str]) -> dict[str, Any]:
        return {"units": [{"id": u.id, "check": u.check, "system": u.system, "samples": [ids[i] for i in u.positions],
                           **({"rows": list(u.rows)} if u.rows else {})} for u in self.units],
                "skipped": list(self.skipped)}


def make_plan(session: Session) -> Plan:
    """Checks in the profile's order; within a check the audited systems first, then shards of the samples."""
    units, skipped = [], []
    order = sorted(session.systems, key=lambda loaded: loaded.record.role != "audited")
    for check in session.checks().values():
        count, per_class = sample_count(check, session), check.method in PER_CLASS
        shard = count if per_class else session.shard
        for loaded in order:
            reason = not_applicable(check, loaded.system, session)
            if reason:
                skipped.append({"check": check.id, "system": loaded.record.name, "reason": reason})
                continue
            for start in range(0, count, shard):
                positions = tuple(range(start, min(start + shard, count)))
                name = f"{check.id}~{loaded.record.name}~{start // shard:05d}"
                units.append(Unit(id=name.replace("/", "_"), check=check.id, system=loaded.record.name, positions=positions,
                                  rows=class_rows(session.data.record.classes) if per_class else ()))
    return Plan(units=tuple(units), skipped=tuple(skipped))


def sample_count(check: Check, session: Session) -> int:
    """How many samples the check is asked of, the first ones: all, or as many as its profile says."""
    return len(session.data.ids) if check.samples is None else min(check.samples, len(session.data.ids))


def not_applicable(check: Check, system: Any, session: Session) -> str:
    """Why the check cannot be asked of the system, or ""."""
    if check.method not in METHODS:
        return f"unknown method {check.method!r}"
    if system.access < Access[check.needs]:
        return f"needs {check.needs.lower()}s, and the system gives {Access(system.access).name.lower()}s only"
    if check.method == "sampling":
        if not isinstance(system, SystemFamily):
            return "the system serves one forward model only"
        if system.one_operator:
            return "its weights belong to one mask for ever"
        if not isinstance(session.data.operator, MaskedFourier):
            return "the data are not Fourier samples"
    if not session.data.record.truth and _needs_truth(check):
        return "the true images are not known"
    if check.method in PER_CLASS and not session.data.record.classes:
        return "it asks about classes, and the data have none"
    if check.method == "transfer" and len(session.data.ids) < 2:
        return "one sample only: there is no other image to transfer to"
    return ""


def _needs_truth(check: Check) -> bool:
    kind = check.perturbation.get("kind", "")
    return check.method == "sampling" or kind in NEED_TRUTH or metrics.find(check.metric).needs_truth


def evaluations(check: Check) -> tuple[int, int]:
    """(forward, forward + backward) evaluations of the system per sample that the check is planned to spend."""
    spec, rungs = dict(check.search), max(1, len(check.levels))
    after = rungs * (1 + check.controls)
    if check.method == "local-gain":
        return 2 * check.controls + 1, 2 * int(spec.get("iterations", 15)) + 2
    if check.method == "sampling":
        return rungs * (1 + check.controls) + 1, 0
    if check.method == "preflight":
        return PREFLIGHT
    if check.method == "boundary":
        return 150 + 30 * check.controls * (rungs + 1), 60 + 40 * check.controls * (rungs - 1)
    if check.method == "fooling":
        return 1, 0                                          # the rest is for all samples together: `shared_evaluations`
    if check.method == "smallest-change":
        runs = int(spec.get("refine_steps", 40)) + 2 * int(spec.get("check_steps", 20)) + 40
        return runs + 21 * check.controls, runs
    if spec.get("kind") == "bounded":
        runs = rungs * int(spec.get("restarts", 1)) * len(spec.get("climbs", ("margin",)))
        return after + rungs * int(spec.get("query", 0)), runs * int(spec["steps"])
    if spec.get("kind") == "exhaustive":
        return after + rungs * GRID_POINTS, 0
    if spec.get("kind") in ("gradient", "penalised"):
        runs = rungs * max(1, int(spec.get("restarts", 1)))
        share = 1 if check.method != "transfer" else 0
        return after + rungs * (int(spec.get("query", 0)) + 1), share * runs * int(spec["steps"])
    draws = int(spec.get("draws", 1)) + (8 * len(spec.get("distances", DISTANCES)) if spec.get("kind") == "places" else 0)
    return after + rungs * draws, 0


def shared_evaluations(check: Check, classes: int) -> tuple[int, int]:
    """(forward, forward + backward) evaluations that a unit is planned to spend for all its samples together."""
    if check.method != "fooling":
        return 0, 0
    born = int(check.search.get("generations", 200)) * int(check.search.get("children", 200))
    encodings = len(check.search.get("encodings", ("direct", "cppn")))
    return 2 * check.controls + born * encodings, classes * int(check.search.get("ascent", 0))


def forecast(session: Session, plan: Plan, bench: Bench) -> float:
    """Seconds the plan is expected to take in one process, from timing each system once on one shard."""
    x = session.data.fetch(tuple(range(min(session.shard, len(session.data.ids)))))
    costs = {}
    for name, system in bench.systems.items():
        with torch.no_grad():
            system(x.inputs)
            start = time.perf_counter()
            system(x.inputs)
        forward = time.perf_counter() - start
        both = forward
        if system.access >= Access.GRADIENT:
            inputs = x.inputs.detach().requires_grad_(True)
            start = time.perf_counter()
            output = system(inputs)
            if output.requires_grad:
                torch.autograd.grad(output.abs().square().sum(), inputs)
            both = time.perf_counter() - start
        costs[name] = (forward / len(x), both / len(x))
    checks, total = session.checks(), 0.0
    for unit in plan.units:
        plain, graded = evaluations(checks[unit.check])
        forward, both = costs[unit.system]
        shared, shared_graded = shared_evaluations(checks[unit.check], len(unit.rows))
        total += (len(unit.positions) * plain + shared) * forward + (len(unit.positions) * graded + shared_graded) * both
    return total
