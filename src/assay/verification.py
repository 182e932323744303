"""What can be checked about an audit's folder without torch: its files, its header and plan, and the label's signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import strict_json
from assay.file_digests import root_digest
from assay.profiles.load import digest_holds
from assay.records import FORMAT_VERSION, DataRecord, Provenance, SystemRecord, from_data
from assay.signing import envelope, keys
from assay.signing.statement import differences, statement
from assay.store import AuditFolder, StoreError, read_plain

Say = Callable[[str, bool, str], bool]      # claim, whether it holds, detail -> whether it holds
_HEX = re.compile(r"[0-9a-f]{64}")
# What hostile values raise where code trusts their shape: of the wrong kind, absent, or beyond every number.
SHAPE_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, StopIteration, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that was checked."""

    claim: str
    holds: bool
    detail: str


def check_files(folder: AuditFolder, say: Say) -> bool:
    """Hash every file again and compare with the manifest; also that every planned unit is there."""
    odd = folder.odd_entries() if folder.path.is_dir() else []
    broken = [f"{name}: a link, a device or hidden; take the folder from its audit again" for name in odd]
    if not broken:
        expected, found = folder.manifest, folder.hash_files()
        broken += [f"{name}: bytes differ" for name in expected if name in found and found[name] != expected[name]]
        broken += [f"{name}: missing" for name in expected if name not in found]
        broken += [f"{name}: not in the manifest" for name in found if name not in expected]
    told = "" if broken or not folder.unbound() else f"; bound by nothing: {', '.join(folder.unbound()[:5])}"
    if not say("files are those of the manifest", not broken, "; ".join(broken[:3]) or f"{len(found)} files{told}"):
        return False
    wrong = wrong_in(folder)
    if not say("header and plan are whole", not wrong, wrong or "systems, data, profile and units"):
        return False
    done, planned = folder.done
    return say("every planned unit was run", done == planned, f"{done} of {planned}")


def wrong_in(folder: AuditFolder) -> str:
    """What is wrong with audit.json or plan.json, or "": fields, digests that can be computed again, names of units."""
    try:
        return _wrong_header(folder.header) or _wrong_plan(folder)
    except StoreError as error:
        return str(error)
    except SHAPE_ERRORS as error:
        return f"audit.json or plan.json: {type(error).__name__}: {error}"


def _wrong_header(header: Mapping[str, Any]) -> str:
    if header["format"] != FORMAT_VERSION:
        return f"audit.json: format {header['format']!r}, and this version of Assay reads format {FORMAT_VERSION}"
    systems = [from_data(SystemRecord, system) for system in (*header["systems"], *header.get("surrogates", ()))]
    data = from_data(DataRecord, header["data"])
    from_data(Provenance, header["provenance"])
    if len({s.name for s in systems}) < len(systems):
        return "audit.json: two systems share a name"
    for system in systems:
        if not _HEX.fullmatch(system.digest) or (system.files and root_digest(system.files) != system.digest):
            return f"audit.json: the digest of {system.name!r} is not that of its files"
    if not digest_holds(header["profile"], options=data.options, noise=data.noise):
        return "audit.json: the profile is not the one of its digest; it was edited after the audit"
    return ""


def _wrong_plan(folder: AuditFolder) -> str:
    names = [unit["id"] for unit in folder.plan["units"]]
    for name in names:
        if not isinstance(name, str) or not name or name.startswith(".") or "/" in name or "\\" in name:
            return f"plan.json: unit {str(name)[:80]!r} is no name of a file"
    if len(set(names)) < len(names):
        return "plan.json: a unit is planned twice"
    stray = [f for f in folder.manifest if f.startswith("parts/") and f[6:].removesuffix(".parquet") not in set(names)]
    return f"plan.json: {stray[0]} belongs to no planned unit" if stray else ""


def check_signature(label_path: Path, folder: AuditFolder, trusted: Path | None, say: Say) -> bool:
    """Whether the envelope beside a label that holds has the statement that follows from it, signed by the trusted key.

    Without such a key a signature that is there is told, and only what it is about is checked; with one it must be there.
    """
    path = label_path.with_name(envelope.FILE)
    if not path.exists():
        return trusted is None or say("the label is signed", False, f"{path.name} is missing; ask the auditor for it")
    public = None if trusted is None else keys.read_public(trusted)
    try:
        read = envelope.read(read_plain(path, envelope.MOST_BYTES))
        signed = envelope.payload_of(read)
    except (envelope.EnvelopeError, StoreError) as error:
        return say("the signature can be read", False, f"{path.name}: {error}")
    label = read_plain(label_path)
    expected = statement(strict_json.parse(label), label, read_plain(folder.path / "manifest.json"))
    wrong = differences(signed, expected)
    if not say("what was signed is this label", not wrong, f"{'; '.join(wrong[:3])}: of another label or audit, or altered; "
               "the auditor signs with `assay sign`" if wrong else "model, label, manifest, profile and data"):
        return False
    if public is None:
        told = ", ".join(s.keyid[:16] or "without a name" for s in read.signatures)
        return say("a signature is there", True, f"signed by key {told}, not checked against a key you trust (--public-key)")
    mine = keys.key_id(public)
    valid = [s for s in read.signatures if keys.is_by(public, s.sig, read.signed)]
    if valid and valid[0].keyid not in ("", mine):
        return say("the signature is by the key you trust", False, f"it is, but names another key, {valid[0].keyid[:16]}…")
    named = any(s.keyid == mine for s in read.signatures)
    others = ", ".join(s.keyid[:16] or "without a name" for s in read.signatures)
    return say("the signature is by the key you trust", bool(valid), f"key {mine[:16]}…" if valid else (
        f"it names key {mine[:16]}… and is not by it" if named else f"it is by key {others}, and you trust {mine[:16]}…"))
