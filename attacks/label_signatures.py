"""Attacks on signatures: stripped, exchanged, of something else, by somebody else."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

from attacks.attack import DEEP, ENVELOPE, LABEL, OTHER, Attack, attack, put, scaled, several
from attacks.forger import Forger
from attacks.label_folders import piped

ATTACKS: list[Attack] = []

# --- signatures ---

def moved(signed: Any) -> None:
    tests = signed["predicate"]
    tests["passedTests"] += tests.pop("failedTests") + tests.pop("warnedTests")
    tests.update(failedTests=[], warnedTests=[], result="PASSED")


ATTACKS += several("signed", {
    "the signature stripped": (lambda f: (f.folder / ENVELOPE).unlink(), "is missing"),
    "the label removed": (lambda f: (f.folder / LABEL).unlink(), "warning_label.json is missing"),
    "signed by somebody else": (lambda f: f.sign("mallory"), "and you trust"),
    "signed by somebody else under the owner's key id": (
        lambda f: f.sign("mallory", keyid=f.key_id("owner")), "and is not by it"),
    "the owner's signature under another key id": (
        lambda f: f.envelope(lambda d: d["signatures"][0].update(keyid=f.key_id("mallory"))), "names another key"),
    "the signature of another label": (
        lambda f: shutil.copy(f.other / ENVELOPE, f.folder), "of another label or audit"),
    "label and signature of another audit": (
        lambda f: [shutil.copy(f.other / name, f.folder) for name in (LABEL, ENVELOPE)], "audit_digest"),
    "one bit of the signature": (
        lambda f: f.envelope(lambda d: d["signatures"][0].update(sig=d["signatures"][0]["sig"].translate({65: 66, 97: 98}))),
        "and is not by it"),
    "a signature of zeros": (
        lambda f: f.envelope(lambda d: d["signatures"][0].update(sig="A" * 86 + "==")), "and is not by it"),
    "a signature cut short": (lambda f: f.envelope(lambda d: d["signatures"][0].update(sig="AAAA")), "3 bytes"),
    "no signatures": (lambda f: f.envelope(put("signatures", value=[])), "a list of 1 to 16"),
    "a signature without PAE": (lambda f: f.sign("owner", encoded=False), "and is not by it"),
    "another payload type": (lambda f: f.envelope(put("payloadType", value="application/json")), "payloadType"),
    "two payloads": (
        lambda f: f.text(ENVELOPE, '"payload"', '"payload": "e30=",\n "payload"'), "payload: given twice"),
    "a second payload beside the first": (lambda f: f.envelope(put("payload2", value="e30=")), "unknown field 'payload2'"),
    "an envelope that is a list": (lambda f: (f.folder / ENVELOPE).write_text("[]"), "an object is meant"),
    "an envelope that is empty": (lambda f: os.truncate(f.folder / ENVELOPE, 0), "not JSON"),
    "an envelope nested 200,000 deep": (lambda f: (f.folder / ENVELOPE).write_text(DEEP), "nested too deeply"),
    "an envelope that is a pipe": (piped(ENVELOPE), "a device"),
    "a better result in the statement": (lambda f: f.payload(moved), "statement.predicate"),
    "another model in the statement": (
        lambda f: f.payload(lambda d: d["subject"][0]["digest"].update(sha256=OTHER)), "statement.subject.0.digest.sha256"),
    "a subject more, signed by the owner": (
        lambda f: f.sign("owner", {**f.statement(), "subject": [*f.statement()["subject"], {
            "name": "model unet", "digest": {"sha256": OTHER}}]}), "statement.subject"),
    "another predicate, signed by the owner": (
        lambda f: f.sign("owner", {**f.statement(), "predicateType": "https://slsa.dev/provenance/v1"}), "predicateType"),
    "a key twice in the statement, signed by the owner": (
        lambda f: f.sign("owner", b'{"predicate": {}, ' + json.dumps(f.statement()).encode()[1:]),
        "predicate: given twice"),
    "a statement that is no JSON, signed by the owner": (lambda f: f.sign("owner", b"\xff"), "payload: not JSON"),
    "an OpenSSF model signature's statement, signed by the owner": (
        lambda f: f.sign("owner", {"_type": "https://in-toto.io/Statement/v1", "subject": f.statement()["subject"][:1],
                                   "predicateType": "https://model_signing/signature/v1.0", "predicate": {}}), "statement."),
})


@attack(ATTACKS, "signed", "of another label or audit")
def a_better_label_with_the_old_signature(f: Forger) -> None:
    f.rows(scaled("worst", by=0.1))
    f.issued()


@attack(ATTACKS, "signed", "and you trust")
def a_whole_forgery_signed_by_the_forger(f: Forger) -> None:
    f.rows(scaled("worst", by=0.1))
    f.issued(auditor={"name": "Example Lab", "independence": "third-party", "contact": ""})
    f.sign("mallory")


@attack(ATTACKS, "signed", "of another label or audit")
def the_auditor_exchanged(f: Forger) -> None:
    f.issued(auditor={"name": "Example University Hospital", "independence": "third-party", "contact": ""})


@attack(ATTACKS, "signed", "of another label or audit")
def serious_flags_wiped_off_the_findings(f: Forger) -> None:
    f.rows(put("flags", value=[]))
    f.issued()


@attack(ATTACKS, "signed", "of another label or audit")
def pictures_exchanged_and_everything_made_anew(f: Forger) -> None:
    f.tensors(lambda found: dict(zip(found, [value.copy() for value in reversed(list(found.values()))], strict=True)),
              kind="exhibits")
    f.issued()


@attack(ATTACKS, "signed", "of another label or audit")
def a_witness_exchanged_and_everything_made_anew(f: Forger) -> None:
    f.tensors(lambda found: {name: -value for name, value in found.items()})
    f.issued()


@attack(ATTACKS, "signed", "of another label or audit")
def issued_again_to_outlive_its_date(f: Forger) -> None:
    f.issued(now=datetime.now(UTC) + timedelta(hours=12))


@attack(ATTACKS, "signed", "has not expired")
def an_old_label_with_its_own_signature(f: Forger) -> None:
    f.issued(now=datetime.now(UTC) - timedelta(days=400))
    f.sign("owner")


@attack(ATTACKS, "signed", "a private key; give the public one")
def a_private_key_where_the_public_one_is_meant(f: Forger) -> None:
    shutil.copy(f.top / "owner.pem", f.top / "owner.pem.pub")


@attack(ATTACKS, "signed", "a key of another kind")
def a_public_key_of_another_kind(f: Forger) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    made = ec.generate_private_key(ec.SECP256R1()).public_key()
    (f.top / "owner.pem.pub").write_bytes(made.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
