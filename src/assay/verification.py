"""What can be checked about an audit's folder without torch: its files, its header and plan, and the label's signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import strict_json
from assay.file_digests import root_digest
from assay.profiles.load import digest_holds, impostor
from assay.records import FORMAT_VERSION, DataRecord, Provenance, SystemRecord, from_data
from assay.signing import envelope, keyless, keys
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
    if reason := impostor(header["profile"], truth=data.truth):
        return f"audit.json: {reason}"
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


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """Whose signatures a label must have: a public key's file, an identity of Sigstore, both or neither."""

    public_key: Path | None = None
    signer: keyless.Signer | None = None
    trust_config: Path | None = None        # of another Sigstore than the public one

    @property
    def demanded(self) -> bool:
        return self.public_key is not None or self.signer is not None


def check_signatures(label_path: Path, folder: AuditFolder, trusted: Trusted, say: Say) -> bool:
    """Whether what was signed beside a label that holds is the statement that follows from it, by whom you trust.

    One that is there and of nobody you named is told, and only what it is about is checked; one demanded must be there.
    """
    by_key = _check_envelope(label_path, folder, trusted.public_key, say)
    return by_key and _check_bundle(label_path, folder, trusted, say)


def _is_of_this_label(signed: Any, label_path: Path, folder: AuditFolder, say: Say) -> bool:
    label = read_plain(label_path)
    wrong = differences(signed, statement(strict_json.parse(label), label, read_plain(folder.path / "manifest.json")))
    return say("what was signed is this label", not wrong, f"{'; '.join(wrong[:3])}: of another label or audit, or altered; "
               "the auditor signs with `assay sign`" if wrong else "model, label, manifest, profile and data")


def _check_envelope(label_path: Path, folder: AuditFolder, trusted: Path | None, say: Say) -> bool:
    path = label_path.with_name(envelope.FILE)
    if not path.exists():
        return trusted is None or say("the label is signed", False, f"{path.name} is missing; ask the auditor for it")
    public = None if trusted is None else keys.read_public(trusted)
    try:
        read = envelope.read(read_plain(path, envelope.MOST_BYTES))
        signed = envelope.payload_of(read)
    except (envelope.EnvelopeError, StoreError) as error:
        return say("the signature can be read", False, f"{path.name}: {error}")
    if not _is_of_this_label(signed, label_path, folder, say):
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


def _check_bundle(label_path: Path, folder: AuditFolder, trusted: Trusted, say: Say) -> bool:
    path, who = label_path.with_name(keyless.FILE), trusted.signer
    if not path.exists():
        return who is None or say("the label is signed by an identity", False,
                                  f"{path.name} is missing; ask the auditor for it")
    try:
        content = read_plain(path, keyless.MOST_BYTES)
        signed = strict_json.parse(keyless.statement_of(content))
    except (keyless.KeylessError, strict_json.StrictJsonError, StoreError) as error:
        return say("the keyless signature can be read", False, f"{path.name}: {error}")
    if not _is_of_this_label(signed, label_path, folder, say):
        return False
    if who is None:
        return say("a keyless signature is there", True, "not checked against an identity you trust (--identity, --issuer)")
    keyless.needed()
    try:
        keyless.verify(content, who, trust_config=trusted.trust_config)
    except keyless.KeylessError as error:
        return say("the signature is by the identity you trust", False, str(error))
    return say("the signature is by the identity you trust", True, f"{who.identity}, vouched for by {who.issuer}")
