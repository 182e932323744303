"""Replaying an audit's witnesses through the systems: are the digests and the recorded numbers true? No search."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor

from assay.audits.plan import make_plan, sample_positions
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe, as_chosen
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
)
from assay.checks.asked_once import FITTED
from assay.checks.check import PER_CLASS, Bench, Check
from assay.checks.smallest_change import by_chance
from assay.checks.universal import laid_on
from assay.checks.worst_case import Rung, draw_controls, each_draw
from assay.file_digests import file_digest, root_digest
from assay.metrics import protocol as metrics
from assay.metrics.protocol import Response
from assay.metrics.stability import GAIN, input_unit
from assay.numerics.norms import norm
from assay.perturbations import registry
from assay.perturbations.protocol import ChoiceSet, Examples
from assay.profiles.errors import ProfileError
from assay.profiles.load import load as load_profile
from assay.records import Finding, digest_of
from assay.searches.power_iteration import linearised
from assay.store import AuditFolder, StoreError, witness_key
from assay.systems import catalogue
from assay.systems.catalogue import Loaded
from assay.verdicts import harm
from assay.verification import Say

LEAST_GAIN = 1e-2           # below it a gain is compared absolutely: of an output that did not move it is rounding alone
TOLERANCE = 2e-3            # declared: float32, other thread counts and other processors move the last digits
OF_THEIR_OWN = {"certificate": certificate.replayed, "fooling": fooling.replayed, "hallucination": hallucination.replayed,
                "manitest": manitest.replayed, "operator-norm": operator_norm.replayed,
                "over-the-air": over_the_air.replayed, "patch": patch.replayed, "physical": physical.replayed,
                "sampling": sampling.replayed}               # what is not one change of one input
COLUMNS = frozenset(f.name for f in fields(Finding))     # no entry of `extra` stands for one of them
PER_HEADLINE = 4            # rows replayed of the headline check, for each system; of the others one


def replay_all(folder: AuditFolder, everything: bool, say: Say, *, trust_code: bool = False) -> None:
    """Build the session again, check the digests of systems and data, and compare every replayed number.

    A folder may come from anyone, so code that it names is run with `trust_code` alone.

    Regularisation and fitted weights are those that were chosen and kept, which the systems' digests cover; `everything`
    chooses and fits anew, and thereby checks the choice.
    """
    header = folder.header
    if header.get("redaction"):
        say("the stored cases can be replayed", False,
            "this is a redacted copy: only the owner of the audit can; --no-replay checks everything else")
        return
    if not header.get("recipe"):
        say("the system can be built again", False, "it was audited from memory, so only files and label were checked")
        return
    try:
        words = Recipe(**(header["recipe"] if everything else as_chosen(header, folder)))
        named = [spec for spec in (*words.systems, *words.established, *words.surrogates) if catalogue.runs_code(spec)]
    except (AttributeError, LookupError, TypeError) as error:
        say("the recipe is whole", False, f"{type(error).__name__}: {error}")
        return
    if named and not trust_code:
        say("the systems can be built without running code that the folder names", False,
            f"{', '.join(named)}: look at that code, then ask again with --trust-code")
        return
    stored = cast(Mapping[str, Any], header["profile"]) if _named_profile(header) != "the same" else None
    session = session_from(replace(words, groups="", tariff=""), profile=stored)   # no replayed number knows of tariffs
    session = replace(session, groups=dict(header.get("groups", {})))   # as they were told: their file may have changed
    digests = {r["name"]: r["digest"] for r in (*header["systems"], *header.get("surrogates", ()))}
    for loaded in (*session.systems, *session.surrogates):
        name = loaded.record.name
        part = "on which changes were found" if loaded.record.role == "surrogate" else "that was audited"
        say(f"{name} is the system {part}", _is_audited(loaded, folder, digests.get(name, "")),
            f"sha256 {loaded.record.digest[:16]}…")
    if not say("the data are those that were audited", session.data.record.digest == header["data"]["digest"],
               f"sha256 {session.data.record.digest[:16]}…"):
        return
    if not _as_asked(session, folder, say):
        return
    start, count, wrong = time.perf_counter(), 0, []
    try:
        with session.threading():
            replayed = list(replays(folder, session, everything=everything))
    except (LookupError, RuntimeError, TypeError) as error:     # of a shape or a name that the search never wrote
        say("replayed witnesses give the recorded numbers", False, f"{type(error).__name__}: {str(error)[:200]}")
        return
    methods = {name: check.method for name, check in session.checks().items()}
    for finding, numbers in replayed:
        count += 1
        wrong += [f"{finding.check}, {finding.system}, {finding.sample}: {line}" for line in differing(finding, numbers)]
        level = None if methods[finding.check] == "sampling" else finding.level     # to which whole lines come near
        room = TOLERANCE * (abs(level or 0.0) or 1.0)                  # a level of 0 is one in decibels
        if level is not None and numbers.get("size", -math.inf) > level + room:
            wrong.append(f"{finding.check}, {finding.system}, {finding.sample}: a witness of size {numbers['size']:.6g} "
                         f"at level {level:g}")
    say("replayed witnesses give the recorded numbers", not wrong,
        "; ".join(wrong[:3]) or f"{count} numbers in {time.perf_counter() - start:.1f} s")


def _named_profile(header: Mapping[str, Any]) -> str:
    """What became of the profile that the recipe names: "the same", "edited", another version, or that it is not here.

    A stored audit needs no profile that may have changed since: what is stored is replayed. But one of the same name and
    version with other content was edited, here or in the folder.
    """
    recipe, stored = header["recipe"], header["profile"]
    try:
        named = load_profile(recipe["profile"], task=stored.get("task", "reconstruction"), budget=recipe["budget"],
                             truth=bool(header["data"].get("truth", True)))
    except ProfileError:
        return "it is not here, so the stored one is used"
    if named["digest"] == stored["digest"]:
        return "the same"
    if (named["id"], named["version"]) == (stored["id"], stored["version"]):
        return "edited"
    return f"{recipe['profile']} is now {named['id']} {named['version']}, so the stored one is used"


def _as_asked(session: Session, folder: AuditFolder, say: Say) -> bool:
    """Whether profile, plan and tables of the session that was built again are those of the audit."""
    header = folder.header
    asked, found = header["profile"], _named_profile(header)
    name = f"{asked['id']} {asked['version']}"
    told = {"the same": name, "edited": f"{name} by Assay {header['provenance']['tool_version']}; the one here has that "
            "version and other content: verify with that version of Assay, or with the profile's file as it was"}
    if not say("the profile is the one that was asked", found != "edited", told.get(found, f"{name}; {found}")):
        return False
    tables = header.get("tables", {})
    if tables and not say("the tables of phrases, codes and fields are those that were used", session.tables() == tables,
                          ", ".join(f"{name}: sha256 {digest[:16]}…" for name, digest in tables.items())):
        return False
    planned = make_plan(session).data(session.data.ids)
    return say("the plan is what the profile asks of these systems and data", planned == folder.plan,
               f"{len(planned['units'])} units")


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


def _is_audited(loaded: Loaded, folder: AuditFolder, digest: str) -> bool:
    """Whether it is the system of that digest; weights fitted anew must be those of the folder to within rounding."""
    kept = folder.fitted().get(loaded.record.name)
    if loaded.weights is None or kept is None:
        return loaded.record.digest == digest
    stored, anew = load(kept.read_bytes()), load(loaded.weights)
    same = stored.keys() == anew.keys() and all(_close(anew[name], stored[name]) for name in stored)
    return same and root_digest({kept.name: file_digest(kept)}) == digest


def _close(anew: Tensor, stored: Tensor) -> bool:
    return anew.shape == stored.shape and float((anew - stored).abs().max()) <= TOLERANCE * float(stored.abs().max())


def replays(folder: AuditFolder, session: Session, *, everything: bool = False,
            ) -> Iterator[tuple[Finding, dict[str, float]]]:
    """Each chosen row beside its numbers recomputed from the stored perturbation."""
    bench, checks = session.bench(), session.checks()
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
        yield row, _numbers(check, row, bench, x, torch.from_numpy(p.copy())[None])


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
        found = {"worst": float(metric.compute(response)), "size": float(within.size(x, p))}
        if row.gain is not None:
            found["gain"] = float(GAIN.compute(response))
        unchanged = Response(output=normal, changed=x, normal=normal, original=x)
        found |= {f"{m}.{when}": float(metrics.find(m).compute(seen)) for m in check.extra_metrics
                  for when, seen in (("worst", response), ("normal", unchanged)) if f"{m}.{when}" in row.extra}
        if x.truth is not None and "label" in row.extra:
            found["label"] = float(x.truth)
        if row.origin == row.system and check.controls:
            found |= _by_chance(check, row, bench, x, Rung.at(row.level or 0.0, within, p), normal)
        if metric.has_normal:
            found["normal"] = float(metric.compute(unchanged))
        return found


def _by_chance(check: Check, row: Finding, bench: Bench, x: Examples, rung: Rung, normal: Tensor) -> dict[str, float]:
    """What random changes do, drawn again from their seeds."""
    target = bench.systems[row.system]
    if check.method == "smallest-change":
        return by_chance(check, target, bench, x, rung.parameters)
    controls = draw_controls(check, target, bench, x, rung, normal)
    return {"average": float(controls.values.mean()),
            **({"control_gain": float(controls.gains.mean())} if row.control_gain is not None else {}),
            **{name: float(values) for name, values in each_draw(controls.extras).items() if name in row.extra}}


def _normal(bench: Bench, row: Finding, x: Examples) -> Tensor:
    """The system's output without change, computed once per sample."""
    stored = ("normal", row.system, row.sample)
    if stored not in bench.cache:
        bench.cache[stored] = bench.systems[row.system](x.inputs)
    output: Tensor = bench.cache[stored]
    return output
