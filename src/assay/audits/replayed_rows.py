"""Rows of an audit made again from their stored perturbations, and whether their numbers are the recorded ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.audits.plan import sample_positions
from assay.audits.session import Session
from assay.checks import (
    certificate,
    fooling,
    hallucination,
    manitest,
    operator_norm,
    over_the_air,
    patch,
    physical,
    sampling,
    second_systems,
)
from assay.checks.asked_once import FITTED
from assay.checks.check import PER_CLASS, Bench, Check, loan_key
from assay.checks.searching import ONE_BY_ONE, TRANSFER, search
from assay.checks.smallest_change import by_chance
from assay.checks.universal import laid_on
from assay.checks.worst_case import Rung, rows
from assay.checks.written import with_texts
from assay.metrics import protocol as metrics
from assay.metrics.classification import confidence, decision, wrong
from assay.metrics.protocol import Response
from assay.metrics.sound import signal_to_noise
from assay.metrics.stability import GAIN, input_unit
from assay.numerics.norms import norm
from assay.perturbations import registry
from assay.perturbations.protocol import ChoiceSet, Examples, stream
from assay.records import Finding, digest_of
from assay.searches.power_iteration import linearised
from assay.store import AuditFolder, StoreError, witness_key
from assay.verdicts import harm

LEAST_GAIN = 1e-2           # below it a gain is compared absolutely: of an output that did not move it is rounding alone
TOLERANCE = 2e-3            # declared: float32, other thread counts and other processors move the last digits
OF_THEIR_OWN = {"certificate": certificate.replayed, "fooling": fooling.replayed, "hallucination": hallucination.replayed,
                "manitest": manitest.replayed, "operator-norm": operator_norm.replayed,
                "over-the-air": over_the_air.replayed, "patch": patch.replayed, "physical": physical.replayed,
                "sampling": sampling.replayed}               # what is not one change of one input
NUMBERS = ("normal", "average", "average_low", "average_high", "worst", "size", "control_size", "gain", "control_gain")
OF_THE_SEARCH = ("spread.", "lent.", "span.", "fit-fooled", "dominant-share")      # entries that only another search makes
COLUMNS = frozenset(f.name for f in fields(Finding))     # no entry of `extra` stands for one of them
PER_HEADLINE = 4            # rows replayed of the headline check, for each system; of the others one
# What a row tells and no replay repeats, by method: it takes another search, or a thing that is not stored. No verdict rests
# on it, nor on the counts of evaluations and the reason to stop. Flags cannot be repeated without the search that raised
# them.
LEFT = {
    "certificate": {"bound."},
    "fooling": {"label", "ascent.", "cppn.", "direct.", "noise.", "nearest-scores.", "confidence.", "decision."},
    "manitest": {"across", "degrees", "down", "horizon", "random-never", "confidence."},
    "local-gain": {"residual"}, "over-the-air": {"still.", "decision.worst", "signal-to-noise."},
    "physical": {"still.", "barely.", "decision.worst", "non-printability."},
    "universal": {"span.", "fit-fooled", "dominant-share"},
}


def differing(row: Finding, numbers: Mapping[str, float]) -> list[str]:
    """Which replayed numbers are not those of the row.

    Equal is relative to the number; of a metric with both signs, whose numbers near 0 are not small ones, relative to the
    greatest it has in the row.
    """
    found = []
    for field, value in numbers.items():
        recorded = getattr(row, field) if field in COLUMNS else row.extra.get(field)
        if recorded is None and math.isinf(value) and field not in ("size", "control_size"):
            continue                                    # beyond the range: what a missing number means
        name, _, when = field.partition(".")
        signed = when and name in metrics.METRICS and metrics.find(name).least < 0
        beside = [v for f, v in row.extra.items() if f.startswith(f"{name}.")] if signed else []
        least = LEAST_GAIN if field in ("gain", "control_gain") else 1e-6
        if field in ("size", "control_size") and row.unit == "dB":
            least = 1.0                                 # whose 0 is as good a size as any
        if recorded is None or not abs(value - recorded) <= TOLERANCE * max(map(abs, (recorded, least, *beside))):
            found.append(f"{field} recorded {recorded}, replayed {value:.6g}")
    return found


def undeclared(row: Finding, method: str, numbers: Mapping[str, float]) -> set[str]:
    """What a system's own row tells that is neither replayed nor said to be left (`LEFT`)."""
    known = tuple(LEFT.get(method, ()))
    return {name for name in row.extra if name not in numbers and not (known and name.startswith(known))}


def replays(folder: AuditFolder, session: Session, *, everything: bool = False,
            ) -> Iterator[tuple[Finding, dict[str, float]]]:
    """Each chosen row beside its numbers recomputed from the stored perturbation."""
    bench, checks = session.bench(), _as_stored(session.checks(), folder.header)
    stored = {(check, name): value for check, tensors in folder.witnesses() for name, value in tensors.items()}
    _one_for_all(stored, checks)
    position = {sample: i for i, sample in enumerate(session.data.ids)}
    judged = {check.id: check.criterion.get("level") for check in checks.values()}
    for row in _chosen(folder.findings(), judged, everything, folder.manifest_digest, session.profile["headline"]):
        p = stored.get((row.check, witness_key(vars(row))))
        check = checks[row.check]
        of_class = check.method in PER_CLASS
        if p is None or not (of_class or row.sample in position):
            raise StoreError(f"finding {row.check}, {row.sample}: its witness is missing from the folder")
        x = session.data.fetch(sample_positions(check, session) if of_class else (position[row.sample],))
        numbers = _numbers(check, row, bench, x, torch.from_numpy(p.copy())[None])
        if row.origin == row.system:
            numbers |= _of_lenders(check, row, bench, x, stored)
        yield row, numbers if of_class else {**_unchanged(row, bench, x), **numbers}


def _of_lenders(check: Check, row: Finding, bench: Bench, x: Examples,
                stored: Mapping[tuple[str, str], Any]) -> dict[str, float]:
    """What the changes do to the second systems that they were made for, where any were lent."""
    beside = loan_key(witness_key(vars(row)), "")
    loans = {name.removeprefix(beside): torch.from_numpy(value.copy())[None]
             for (of, name), value in stored.items() if of == row.check and name.startswith(beside)}
    if not loans and check.search.get("kind") != TRANSFER:
        return {}
    within = registry.build(check.perturbation, row.level or 0.0, x)
    return second_systems.replayed(check, row.system, bench, x, within, loans)


def _as_stored(checks: Mapping[str, Check], header: Mapping[str, Any]) -> dict[str, Check]:
    """The checks with the tariff that the audit kept: what the amounts are worth is the auditor's word, the sums are not."""
    kept = {c["id"]: c["search"]["tariff"] for c in header["profile"]["checks"] if "tariff" in c.get("search", {})}
    return {name: replace(check, search={**check.search, "tariff": kept[name]}) if name in kept else check
            for name, check in checks.items()}


def _unchanged(row: Finding, bench: Bench, x: Examples) -> dict[str, float]:
    """What the row tells of the sample without any change: its label, the decision, how sure it is, whether it is wrong."""
    if not x.labelled or x.truth is None or not {"label", "decision.normal", "already-wrong"} & row.extra.keys():
        return {}
    with torch.no_grad():
        scores = _normal(bench, row, x)
    made = {"label": float(x.truth), "decision.normal": float(decision(scores)),
            "confidence.normal": float(confidence(scores)), "already-wrong": float(wrong(scores, x.truth))}
    return {name: value for name, value in made.items() if name in row.extra}


def _decided(response: Response) -> dict[str, float]:
    """What a row of a smallest change tells of it besides its size."""
    told = {"decision.worst": float(decision(response.output)), "confidence.worst": float(confidence(response.output))}
    if response.original.decibels:
        told["signal-to-noise.worst"] = float(signal_to_noise(response.original.inputs, response.changed.inputs))
    return told


def _one_for_all(stored: Mapping[tuple[str, str], Any], checks: Mapping[str, Check]) -> None:
    """`StoreError` unless the witnesses of a universal change are one pattern for each system and level."""
    first: dict[tuple[str, str, str], Any] = {}
    for (check, name), value in stored.items():
        if checks[check].method in FITTED:
            origin, level = name.split("|")[0], name.split("|")[-1]
            one = first.setdefault((check, origin, level), value)
            if one.shape != value.shape or not np.allclose(one, value, rtol=TOLERANCE, atol=TOLERANCE * abs(one).max()):
                raise StoreError(f"finding {check}, {name}: its witness is not the one of the other samples, so it is no "
                                 "universal change")


def _chosen(findings: list[Finding], judged: Mapping[str, float | None], everything: bool, salt: str,
            headline: str) -> list[Finding]:
    """Rows with a witness; unless `everything`, few of each check, system and origin, from the level that is judged.

    The most harmful one, then rows drawn by the manifest's digest: whoever changes a row cannot know which are replayed.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for row in findings:
        if row.witness is not None and row.worst is not None:
            groups.setdefault((row.check, row.system, row.origin), []).append(row)

    def order(row: Finding) -> tuple[bool, str]:
        level = judged.get(row.check)
        elsewhere = level is not None and row.level is not None and abs(row.level - level) > 1e-12
        return elsewhere, digest_of([salt, *row.key])

    chosen = []
    for group in groups.values():
        drawn = sorted(group, key=order)
        first = max((r for r in drawn if order(r)[0] == order(drawn[0])[0]), key=lambda r: harm(r.worst or 0.0, r))
        few = PER_HEADLINE if first.check == headline and first.origin == first.system else 1
        chosen += [first, *(r for r in drawn if r is not first)][: None if everything else few]
    return chosen


def _numbers(check: Check, row: Finding, bench: Bench, x: Examples, p: Tensor) -> dict[str, float]:
    """What a verdict rests on, recomputed at the stored perturbation: worst, size, normal, gains, extras and controls.

    The random changes of the same size are drawn again from their seeds, for the rows of a system's own search.
    """
    target, metric = bench.systems[row.system], metrics.find(check.metric)
    if check.method in OF_THEIR_OWN:
        return OF_THEIR_OWN[check.method](check, row, bench, x, p)
    if check.method == "local-gain":
        apply, _ = linearised(target, x.inputs)
        return {"worst": input_unit(x) * float(norm(apply(p / norm(p))))}
    within = registry.build(check.perturbation, row.level or 0.0, x)
    if isinstance(within, ChoiceSet):
        p = within.of_one(x, p)
    if check.method == "universal":
        p = laid_on(within, x, p[0])  # type: ignore[arg-type]  # the pattern; the check refuses other sets
    with torch.no_grad():
        changed, normal = within.apply(x, p), _normal(bench, row, x)
        response = Response(output=target(changed.inputs), changed=changed, normal=normal, original=x)
        rung = Rung.at(row.level or 0.0, within, p)
        if row.origin == row.system and check.method != "smallest-change":
            return _own_row(check, row, bench, x, rung, response)
        found = {"worst": float(metric.compute(response)), "size": float(within.size(x, p))}
        if row.gain is not None:
            found["gain"] = float(GAIN.compute(response))
        unchanged = Response(output=normal, changed=x, normal=normal, original=x)
        found |= {f"{m}.{when}": float(metrics.find(m).compute(seen)) for m in check.extra_metrics
                  for when, seen in (("worst", response), ("normal", unchanged)) if f"{m}.{when}" in row.extra}
        if check.method == "smallest-change":
            found |= {name: value for name, value in _decided(response).items() if name in row.extra}
        if row.origin == row.system and check.controls:
            found |= {**by_chance(check, target, bench, x, p), "control_size": found["size"]}
        if metric.has_normal:
            found["normal"] = float(metric.compute(unchanged))
        return found


def _own_row(check: Check, row: Finding, bench: Bench, x: Examples, rung: Rung, response: Response) -> dict[str, float]:
    """Every number of a system's own row, made again as the check makes it, random changes from their seeds too.

    NaN, which no number is, stands for what the row has and the check does not make. What the search saw besides is found by
    searching again where each sample has a finite set of its own, and else left (`OF_THE_SEARCH`).
    """
    made_again = rows(check, row.system, bench, x, rung, response)
    (again,) = with_texts(made_again, bench.systems[row.system], x.inputs, response.changed.inputs)
    made: dict[str, float | None] = {name: getattr(again, name) for name in NUMBERS}
    made |= again.extra
    if check.search.get("kind") == ONE_BY_ONE:
        made |= _searched_again(check, row, bench, x, rung, response.normal)
    told = {name: getattr(row, name) for name in NUMBERS} | dict(row.extra)
    missing = {name: math.nan for name, value in told.items() if value is not None and made.get(name) is None
               and not name.startswith(OF_THE_SEARCH)}
    missing |= {name: math.nan for name in {*row.texts, *again.texts} if row.texts.get(name) != again.texts.get(name)}
    return {name: value for name, value in made.items() if value is not None} | missing


def _searched_again(check: Check, row: Finding, bench: Bench, x: Examples, rung: Rung, normal: Tensor) -> dict[str, float]:
    """How far the members that the search asks lie apart."""
    found, _ = search(check, bench.systems[row.system], metrics.find(check.metric), rung.within, x, normal,
                      [stream(bench.seed, check.id, rung.level, row.sample)], [])
    return dict(found.beside[0])


def _normal(bench: Bench, row: Finding, x: Examples) -> Tensor:
    """The system's output without change, computed once per sample."""
    stored = ("normal", row.system, row.sample)
    if stored not in bench.cache:
        bench.cache[stored] = bench.systems[row.system](x.inputs)
    output: Tensor = bench.cache[stored]
    return output
