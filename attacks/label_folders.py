"""Attacks on the files of an audit: changed, exchanged, hidden, endless, or of a shape that readers trip over."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.store import AuditFolder
from attacks.attack import DEEP, LABEL, MANIFEST, OTHER, Attack, attack, put, scaled, several
from attacks.forger import Forger

ATTACKS: list[Attack] = []

# --- the folder's files ---


def in_audit(change: Callable[[Any], None]) -> Callable[[Forger], None]:
    """audit.json changed, and the manifest made to agree."""
    def does(f: Forger) -> None:
        f.edit("audit.json", change)
        f.sealed()
    return does


def linked(name: str, to: str) -> Callable[[Forger], None]:
    def does(f: Forger) -> None:
        (f.folder / name).unlink(missing_ok=True)
        (f.folder / name).symlink_to(to)
    return does


def piped(name: str) -> Callable[[Forger], None]:
    def does(f: Forger) -> None:
        (f.folder / name).unlink()
        os.mkfifo(f.folder / name)
    return does


def twice(f: Forger) -> None:
    f.text("audit.json", '"seed"', '"seed": 7,\n "seed"')
    f.sealed()


ATTACKS += several("hashes", {
    "a finding changed": (lambda f: f.rows(scaled("worst", by=0.5)), "bytes differ"),
    "a part cut short": (lambda f: os.truncate(f.part(), 500), "bytes differ"),
    "a part removed": (lambda f: f.part().unlink(), "missing"),
    "a file more among the parts": (
        lambda f: shutil.copy(f.part(), f.folder / "parts" / "more.parquet"), "not in the manifest"),
    "a file more among the weights": (
        lambda f: ((f.folder / "fitted").mkdir(), (f.folder / "fitted" / "x.safetensors").write_bytes(b"")),
        "not in the manifest"),
    "a hidden file among the parts": (lambda f: shutil.copy(f.part(), f.folder / "parts" / ".more.parquet"), "hidden"),
    "the manifest's line changed": (
        lambda f: f.edit(MANIFEST, lambda d: d["files"].update({"plan.json": OTHER})), "plan.json: bytes differ"),
    "a line of the manifest removed": (
        lambda f: f.edit(MANIFEST, lambda d: d["files"].pop("plan.json")), "not in the manifest"),
    "a path out of the folder in the manifest": (
        lambda f: f.edit(MANIFEST, lambda d: d["files"].update({"../../etc/passwd": OTHER})), "missing"),
    "an absolute path in the manifest": (
        lambda f: f.edit(MANIFEST, lambda d: d["files"].update({"/etc/passwd": OTHER})), "missing"),
    "a number where the manifest has a digest": (
        lambda f: f.edit(MANIFEST, lambda d: d["files"].update({"plan.json": 1e300})), "plan.json: bytes differ"),
    "a key twice in the manifest": (
        lambda f: f.text(MANIFEST, '"files"', '"files": {},\n "files"'), "files: given twice"),
    "a manifest that is a list": (lambda f: (f.folder / MANIFEST).write_text("[]"), "expected a JSON object"),
    "a manifest nested 200,000 deep": (lambda f: (f.folder / MANIFEST).write_text(DEEP), "nested too deeply"),
    "file and manifest changed together, the label kept": (
        lambda f: (f.rows(scaled("worst", by=0.5)), f.sealed()), "the label says what the findings say"),
    "a part that is a link to the same bytes": (
        lambda f: linked(f"parts/{f.part().name}", str(f.other / "parts" / f.part().name))(f), "a link"),
    "parts that are a link to a folder elsewhere": (
        lambda f: (shutil.move(f.folder / "parts", f.top / "parts"), (f.folder / "parts").symlink_to(f.top / "parts")),
        "a link"),
    "a header that never ends": (linked("audit.json", "/dev/zero"), "a link"),
    "a label that never ends": (linked(LABEL, "/dev/zero"), "a link"),
    "a manifest that is a pipe": (piped(MANIFEST), "manifest.json: a link, a device"),
    "a label that is a pipe": (piped(LABEL), "a device"),
    "another format": (in_audit(put("format", value=999)), "format 999"),
    "a key twice in the header": (twice, "seed: given twice"),
    "an unknown field of a system": (in_audit(lambda d: d["systems"][0].update(trusted=True)), "unknown field 'trusted'"),
    "a header without its profile": (in_audit(lambda d: d.pop("profile")), "KeyError: 'profile'"),
    "a header without its data's digest": (in_audit(lambda d: d["data"].pop("digest")), "missing field 'digest'"),
    "a list where a profile is meant": (in_audit(put("profile", value=[])), "audit.json or plan.json: TypeError"),
    "two systems of one name": (in_audit(lambda d: d["systems"].append(d["systems"][0])), "share a name"),
    "a model's digest changed, its files kept": (
        in_audit(lambda d: d["systems"][0].update(digest=OTHER)), "not that of its files"),
    "a digest that is none": (in_audit(lambda d: d["systems"][1].update(digest="zero-filled")), "not that of its files"),
})


@attack(ATTACKS, "hashes", "the profile is not the one of its digest")
def a_threshold_loosened_after_the_fact(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["profile"]["checks"][0]["criterion"].update(per_level=1e6))
    f.issued()


@attack(ATTACKS, "hashes", "the profile is not the one of its digest")
def what_was_not_tested_left_out_of_the_profile(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["profile"].update(not_tested=["nothing of note"]))
    f.issued()


@attack(ATTACKS, "hashes", "is no name of a file")
def evidence_from_outside_the_hashed_files(f: Forger) -> None:
    (f.folder / "elsewhere").mkdir()
    shutil.move(f.part(), f.folder / "elsewhere" / "x.parquet")
    f.edit("plan.json", lambda d: next(u for u in d["units"] if u["id"] == f.part().stem).update(id="../elsewhere/x"))
    f.issued()


@attack(ATTACKS, "hashes", "is no name of a file")
def evidence_from_an_absolute_path(f: Forger) -> None:
    shutil.move(f.part(), f.top / "x.parquet")
    f.edit("plan.json", lambda d: next(u for u in d["units"] if u["id"] == f.part().stem).update(id=str(f.top / "x")))
    f.issued()


@attack(ATTACKS, "hashes", "a unit is planned twice")
def a_unit_counted_twice(f: Forger) -> None:
    f.edit("plan.json", lambda d: d["units"].append(d["units"][0]))
    f.issued()


@attack(ATTACKS, "hashes", "belongs to no planned unit")
def a_part_that_nobody_planned(f: Forger) -> None:
    f.edit("plan.json", lambda d: d["units"].pop(0))
    f.issued()


@attack(ATTACKS, "hashes", "every planned unit was run")
def a_part_removed_and_everything_made_anew(f: Forger) -> None:
    f.part().unlink()
    f.issued()


@attack(ATTACKS, "hashes", "expected a finite number")
def not_a_number_among_the_findings(f: Forger) -> None:
    f.rows(put("worst", value=float("nan")))
    f.sealed()


@attack(ATTACKS, "hashes", "not findings")
def findings_of_an_unknown_role(f: Forger) -> None:
    f.rows(put("role", value="approved"))
    f.sealed()


@attack(ATTACKS, "hashes", "not findings")
def a_part_with_other_columns(f: Forger) -> None:
    pq.write_table(pa.table({"check": [1]}), f.part())
    f.sealed()


@attack(ATTACKS, "hashes", "not a whole part")
def a_part_whose_footer_lies(f: Forger) -> None:
    f.part().write_bytes(b"PAR1" + b"\xff" * 64 + struct.pack("<I", 2**31) + b"PAR1")
    f.sealed()


@attack(ATTACKS, "hashes", "rows of")
def a_part_of_two_million_rows_in_a_few_bytes(f: Forger) -> None:
    columns = {field.name: pa.nulls(2_000_000, field.type) for field in pq.read_schema(f.part())}
    pq.write_table(pa.table(columns), f.part(), compression="zstd")
    f.sealed()


@attack(ATTACKS, "hashes", "not a whole safetensors file")
def a_picture_whose_header_is_longer_than_every_file(f: Forger) -> None:
    f.part(kind="exhibits").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    f.sealed()
    bound(f)


@attack(ATTACKS, "hashes", "not a whole safetensors file")
def a_picture_that_lies_outside_its_file(f: Forger) -> None:
    header = json.dumps({"a": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}).encode()
    f.part(kind="exhibits").write_bytes(struct.pack("<Q", len(header)) + header)
    f.sealed()
    bound(f)


def bound(f: Forger) -> None:
    """The label made to name the manifest as it is now, where its own maker would stumble over the evidence."""
    f.label(put("provenance", "audit_digest", "sha256", value=AuditFolder(f.folder).manifest_digest))


@attack(ATTACKS, "hashes", "report and drawings can be drawn again")
def pictures_of_another_shape(f: Forger) -> None:
    f.tensors(lambda found: {name: value.reshape(-1)[:3].copy() for name, value in found.items()}, kind="exhibits")
    f.sealed()
    bound(f)
