"""Replaying an audit's witnesses through the systems: are the digests and the recorded numbers true? No search."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

from safetensors.torch import load
from torch import Tensor

from assay.audits.plan import make_plan
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe, as_chosen
from assay.audits.replayed_rows import TOLERANCE, differing, replays
from assay.audits.session import Session
from assay.audits.unchanged import counted_apart_wrongly
from assay.checks.second_systems import SIZE
from assay.file_digests import file_digest, root_digest
from assay.profiles.errors import ProfileError
from assay.profiles.load import load as load_profile
from assay.profiles.load import namesake
from assay.records import DataRecord, SystemRecord, digest_of, from_data, to_data
from assay.store import AuditFolder
from assay.systems import catalogue
from assay.systems.catalogue import Loaded
from assay.verification import Say


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
    session = session_from(replace(words, groups="", tariff=""), profile=stored)   # sums take the tariff that is kept
    session = replace(session, groups=dict(header.get("groups", {})))   # as they were told: their file may have changed
    _are_audited(session, folder, say)
    wrong_data = _other_field(session.data.record, from_data(DataRecord, header["data"]))
    if not say("the data are those that were audited", not wrong_data,
               f"sha256 {session.data.record.digest[:16]}…" + (f", but of another {wrong_data}" if wrong_data else "")):
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
        who = f"{finding.check}, {finding.system}, {finding.sample}"
        level = None if methods[finding.check] == "sampling" else finding.level     # to which whole lines come near
        room = TOLERANCE * (abs(level or 0.0) or 1.0)                  # a level of 0 is one in decibels
        size = max((v for name, v in numbers.items() if name == "size" or name.endswith(SIZE)), default=-math.inf)
        if level is not None and size > level + room:
            wrong.append(f"{who}: a witness of size {size:.6g} at level {level:g}")
        wrong += [f"{who}: {line}" for line in differing(finding, numbers)]
    say("replayed witnesses give the recorded numbers", not wrong,
        "; ".join(wrong[:3]) or f"{count} numbers in {time.perf_counter() - start:.1f} s")
    with session.threading():
        told, otherwise = counted_apart_wrongly(folder.findings(), session, session.bench())
    if told or otherwise:
        say("rows counted apart are those that are decided wrongly without change", not otherwise,
            "; ".join(otherwise[:3]) or f"{told} rows")


def _named_profile(header: Mapping[str, Any]) -> str:
    """What became of the profile that the recipe names: "the same", "edited", "another", newer, or that it is not here.

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
    if namesake(named["id"]):           # and the stored one is not: none that ships was ever asked about under that name
        return "another"
    return f"{recipe['profile']} is now {named['id']} {named['version']}, so the stored one is used"


def _other_field(found: DataRecord | SystemRecord, told: DataRecord | SystemRecord, *, apart: tuple[str, ...] = ()) -> str:
    """The first field, but for some, in which what was loaded is not what the audit says of it, or "".

    What data and systems are called, where they come from and how they judge stands on the label, which no digest of files
    covers. Numbers are equal to within rounding.
    """
    for field in fields(found):
        ours, theirs = to_data(getattr(found, field.name)), to_data(getattr(told, field.name))
        close = isinstance(ours, float) and isinstance(theirs, float) and math.isclose(ours, theirs, rel_tol=TOLERANCE)
        if field.name not in apart and not close and digest_of(ours) != digest_of(theirs):
            return field.name
    return ""


def _as_asked(session: Session, folder: AuditFolder, say: Say) -> bool:
    """Whether profile, plan and tables of the session that was built again are those of the audit."""
    header = folder.header
    asked, found = header["profile"], _named_profile(header)
    name = f"{asked['id']} {asked['version']}"
    told = {"the same": name, "edited": f"{name} by Assay {header['provenance']['tool_version']}; the one here has that "
            "version and other content: verify with that version of Assay, or with the profile's file as it was",
            "another": f"{name} is stored, and the recipe asks for {header['recipe']['profile']!r}, which comes with Assay"}
    asked_for = found not in ("edited", "another")
    if not say("the profile is the one that was asked", asked_for, told.get(found, f"{name}; {found}")):
        return False
    tables = header.get("tables", {})
    if tables and not say("the tables of phrases, codes and fields are those that were used", session.tables() == tables,
                          ", ".join(f"{name}: sha256 {digest[:16]}…" for name, digest in tables.items())):
        return False
    planned = make_plan(session).data(session.data.ids)
    return say("the plan is what the profile asks of these systems and data", planned == folder.plan,
               f"{len(planned['units'])} units")


def _are_audited(session: Session, folder: AuditFolder, say: Say) -> None:
    """Whether each system and each surrogate is the one of the audit, and no other was there."""
    told = {r["name"]: from_data(SystemRecord, r) for r in (*folder.header["systems"], *folder.header.get("surrogates", ()))}
    for loaded in (*session.systems, *session.surrogates):
        record, audited = loaded.record, told.pop(loaded.record.name, None)
        part = "on which changes were found" if record.role == "surrogate" else "that was audited"
        same = audited is not None and _is_audited(loaded, folder, audited.digest)
        apart = ("digest", "files", *(("description", "options") if record.name in folder.fitted() else ()))
        wrong = _other_field(record, audited, apart=apart) if same and audited is not None else ""
        say(f"{record.name} is the system {part}", same and not wrong,
            f"sha256 {record.digest[:16]}…" + (f", but of another {wrong}" if wrong else ""))
    if told:
        say("every system that the audit names was built", False, f"the recipe makes none called {', '.join(sorted(told))}")


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
