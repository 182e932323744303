"""What will run, and what will not and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay.audits.session import Session
from assay.checks.asked_once import FITTED, asked_positions
from assay.checks.catalogue import METHODS
from assay.checks.certificate import unprovable
from assay.checks.check import PER_CLASS, Check, class_rows
from assay.checks.hallucination import cannot_ask
from assay.checks.operator_norm import not_linear
from assay.checks.searching import ONE_BY_ONE, TRANSFER
from assay.metrics import protocol as metrics
from assay.operators.fourier import MaskedFourier
from assay.perturbations.protocol import ChoiceSet
from assay.perturbations.registry import MAY_NOT_FIT, NEED_TRUTH, build, unfit
from assay.records import Access
from assay.systems.protocol import SystemFamily

LOOKED_AT = 200         # records in which a place to change is looked for


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
        asked, per_class = sample_positions(check, session), check.method in PER_CLASS
        shard = len(asked) if per_class else session.shard
        for loaded in order:
            reason = not_applicable(check, loaded.system, session)
            if reason:
                skipped.append({"check": check.id, "system": loaded.record.name, "reason": reason})
                continue
            for start in range(0, len(asked), shard):
                name = f"{check.id}~{loaded.record.name}~{start // shard:05d}"
                units.append(Unit(id=name.replace("/", "_"), check=check.id, system=loaded.record.name,
                                  positions=asked[start: start + shard],
                                  rows=class_rows(session.data.record.classes) if per_class else ()))
    return Plan(units=tuple(units), skipped=tuple(skipped))


def sample_positions(check: Check, session: Session) -> tuple[int, ...]:
    """The samples of the session's data that the check is asked of."""
    return asked_positions(check, len(session.data.ids), labelled=bool(session.data.record.classes), groups=session.grouped)


def not_applicable(check: Check, system: Any, session: Session) -> str:
    """Why the check cannot be asked of the system, or ""."""
    if check.method not in METHODS:
        return f"unknown method {check.method!r}"
    said = next(item for item in session.profile["checks"] if item["id"] == check.id)
    if said.get("relative_to") == "noise":          # nobody made sizes of the multiples
        return "its sizes are multiples of the noise level, and the noise of these data is not known"
    if check.criterion.get("kind") == "worse-than-established" and "established" not in session.roles.values():
        return "it asks whether the system does worse than an established method, and there is none; say --established NAME"
    if system.access < Access[check.needs]:
        return f"needs {check.needs.lower()}s, and the system gives {Access(system.access).name.lower()}s only"
    if check.search.get("kind") == TRANSFER and not _any_lender(system, session):
        return "no second system gives gradients to find changes on; name one with --surrogate or --established"
    if check.method == "sampling":
        if not isinstance(system, SystemFamily):
            return "the system serves one forward model only"
        if system.one_operator:
            return "its weights belong to one mask for ever"
        if not isinstance(session.data.operator, MaskedFourier):
            return "the data are not Fourier samples"
    if not session.data.record.truth and _needs_truth(check):
        return "the true images are not known"
    kind = check.perturbation.get("kind")
    if kind in MAY_NOT_FIT and (reason := unfit(check.perturbation, session.data.fetch((0,)))):
        return reason
    if metrics.find(check.metric).two_classes and len(session.data.record.classes) != 2:
        return f"it asks about the score of class 1 of two, and the data have {len(session.data.record.classes)} classes"
    if check.search.get("kind") == ONE_BY_ONE and not _any_place(check, session):
        return f"none of the first {LOOKED_AT} records has a place where it may be changed"
    if check.method in PER_CLASS and not session.data.record.classes:
        return "it asks about classes, and the data have none"
    if check.method == "certificate" and (reason := unprovable(check, system, session.data.fetch((0,)))):
        return reason
    if check.method == "operator-norm" and (reason := not_linear(
            system.bind(session.data.operator) if isinstance(system, SystemFamily) else system, session.data.fetch((0,)))):
        return reason
    if check.method == "hallucination" and (reason := cannot_ask(
            check, session.data.fetch((0,)), len(session.data.ids), session.grouped)):
        return reason
    if check.method == "transfer" and len(session.data.ids) < 2:
        return "one sample only: there is no other image to transfer to"
    if check.method in FITTED and len(session.data.ids) < 2:
        return "one sample only: there is none to fit the change on and another to lay it on"
    return ""


def _any_lender(system: Any, session: Session) -> bool:
    """Whether the audit has another system with gradients."""
    return any(loaded.system is not system and loaded.system.access >= Access.GRADIENT
               for loaded in (*session.systems, *session.surrogates))


def _any_place(check: Check, session: Session) -> bool:
    """Whether some record has a place where a member of the check's finite set differs from it."""
    x = session.data.fetch(sample_positions(check, session)[:LOOKED_AT])
    within = build(check.perturbation, max(check.levels), x)
    return isinstance(within, ChoiceSet) and bool(within.choices(x).any())


def _needs_truth(check: Check) -> bool:
    kind = check.perturbation.get("kind", "")
    return check.method == "sampling" or kind in NEED_TRUTH or metrics.find(check.metric).needs_truth
