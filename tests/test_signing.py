"""Signed labels: statement, envelope, keys and commands, each beside an independent reading and a broken twin."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import small_audit
from assay.api import Audit, verify
from assay.signing import envelope, keys
from assay.signing.statement import differences, result, statement
from assay.strict_json import StrictJsonError, parse
from command_line import run

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Path:
    """A signed audit beside the keys k.pem and other.pem. Read only."""
    top = tmp_path_factory.mktemp("signed")
    audit = small_audit.run(small_audit.profile(top, "noise"), top / "audit")
    audit.write()
    for name in ("k.pem", "other.pem"):
        keys.make_pair(top / name)
    assert run("sign", top / "audit", "--key", top / "k.pem")[0] == 0
    return top


@pytest.fixture
def copy(signed, tmp_path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "copy"))


# --- the statement ---

def test_the_statement_says_what_label_and_manifest_say(signed):
    label_bytes, manifest = ((signed / "audit" / name).read_bytes() for name in ("warning_label.json", "manifest.json"))
    label = json.loads(label_bytes)
    made = statement(label, label_bytes, manifest)
    assert set(made) == {"_type", "subject", "predicateType", "predicate"}
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    digests = {s["name"].split()[0]: s["digest"]["sha256"] for s in made["subject"]}
    assert digests == {"model": label["subject"]["digest"]["sha256"], "data": label["scope"]["dataset"]["digest"]["sha256"],
                       "profile": label["profile"]["digest"]["sha256"],
                       "warning_label.json": hashlib.sha256(label_bytes).hexdigest(),
                       "manifest.json": hashlib.sha256(manifest).hexdigest()}
    assert len({s["name"] for s in made["subject"]}) == len(made["subject"])        # in-toto: names are unique
    predicate = made["predicate"]
    assert set(predicate) == {"result", "configuration", "passedTests", "warnedTests", "failedTests"}
    assert predicate["configuration"][0]["digest"] == label["profile"]["digest"]
    outcomes = {c["id"]: c["outcome"] for c in label["evidence"]["checks"]}
    listed = {"unstable": "failedTests", "inconclusive": "warnedTests", "none found": "passedTests"}
    assert all(name in predicate[listed[outcome]] for name, outcome in outcomes.items() if outcome in listed)


@pytest.mark.parametrize(("signal", "failed", "warned", "word"), [
    ("WARNING", ["a"], [], "FAILED"), ("CAUTION", ["a"], ["b"], "FAILED"), ("NOTICE", [], ["b"], "WARNED"),
    ("NOTICE", [], [], "WARNED"), ("NOTICE", ["a"], [], "FAILED"), ("NONE FOUND", [], [], "PASSED"),
    ("NONE FOUND", [], ["b"], "WARNED"), ("BOUND PROVED", [], [], "PASSED")])
def test_nothing_passes_but_what_the_label_calls_none_found_or_proved(signal, failed, warned, word):
    assert result(signal, {"failedTests": failed, "warnedTests": warned, "passedTests": []}) == word


def test_every_difference_of_a_statement_is_seen():
    one = {"a": [{"b": 1}, "x"], "c": None}
    assert differences(one, json.loads(json.dumps(one))) == []
    for other in ({"a": [{"b": 2}, "x"], "c": None}, {"a": [{"b": 1}], "c": None}, {"a": [{"b": 1}, "x"]},
                  {**one, "d": 0}, {"a": [{"b": True}, "x"], "c": None}, []):
        assert differences(other, one), other


# --- the envelope ---

def test_the_pre_authentication_encoding_is_that_of_the_specification():
    """The test vector of DSSE's protocol.md, and lengths in bytes, not in characters."""
    assert envelope.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")
    assert envelope.pae("é", "é".encode()) == "DSSEv1 2 é 2 é".encode()
    assert envelope.pae("a", b"") == b"DSSEv1 1 a 0 "


def test_the_signature_is_over_type_and_payload_and_openssl_agrees(signed, tmp_path):
    """Checked by the program openssl, which shares no code with `cryptography`'s Python; a bare payload is no message."""
    made = json.loads((signed / "audit" / "warning_label.dsse.json").read_text())
    body, sig = base64.b64decode(made["payload"]), base64.b64decode(made["signatures"][0]["sig"])
    message = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(body)).encode() + b" " + body
    der = base64.b64decode("".join((signed / "k.pem.pub").read_text().splitlines()[1:-1]))
    assert made["signatures"][0]["keyid"] == hashlib.sha256(der).hexdigest()
    assert made["payloadType"] == "application/vnd.in-toto+json" and shutil.which("openssl")
    (tmp_path / "sig").write_bytes(sig)
    for content, good in ((message, True), (body, False), (message + b" ", False)):
        (tmp_path / "message").write_bytes(content)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", signed / "k.pem.pub", "-rawin", "-in",
                               tmp_path / "message", "-sigfile", tmp_path / "sig"], capture_output=True, check=False)
        assert (done.returncode == 0) is good, done


def test_both_alphabets_of_base64_are_read(signed):
    path = signed / "audit" / "warning_label.dsse.json"
    one, text = envelope.read(path.read_bytes()), path.read_text()
    data = json.loads(text)
    data["signatures"][0]["sig"] = data["signatures"][0]["sig"].translate(str.maketrans("+/", "-_"))
    data["payload"] = data["payload"].translate(str.maketrans("+/", "-_"))
    assert envelope.read(json.dumps(data).encode()) == one == envelope.read(one.to_bytes())


GOOD = {"payloadType": envelope.PAYLOAD_TYPE, "payload": "e30=",
        "signatures": [{"keyid": "a", "sig": base64.b64encode(bytes(64)).decode()}]}


@pytest.mark.parametrize(("change", "words"), [
    ({"payloadType": "text/plain"}, "payloadType"), ({"payload": "e30"}, "payload: not base64"),
    ({"payload": 3}, "payload: not base64"), ({"payload": "é"}, "payload: not base64"),
    ({"more": 1}, "unknown field 'more'"),
    ({"signatures": []}, "signatures"), ({"signatures": {}}, "signatures"), ({"signatures": [3]}, "signatures.0"),
    ({"signatures": GOOD["signatures"] * 2}, "name the same key"), ({"signatures": [{"keyid": "a"}]}, "missing field 'sig'"),
    ({"signatures": [{"sig": "AA=="}]}, "1 bytes"),
    ({"signatures": [{**GOOD["signatures"][0], "keyid": "\u202e"}]}, "keyid"),
])
def test_an_envelope_that_is_not_as_it_must_be_is_named(change, words):
    assert envelope.read(json.dumps(GOOD).encode()).payload == b"{}"
    with pytest.raises(envelope.EnvelopeError, match=re.escape(words)):
        envelope.read(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":NaN}', "[-Infinity]", "[1e999]", "[" * 100_000,
                                  "[" + "1" * 5000 + "]", b"\xff", "", "{", '"\\ud800"', '{"\\udc00": 1}', "1 2"])
def test_json_that_can_be_read_in_two_ways_is_refused(text):
    with pytest.raises(StrictJsonError):
        parse(text)


def test_json_that_can_be_read_in_one_way_is_read():
    assert parse('{"a": [1, -0.5, true, null, "\\ud83d\\ude00é"]}') == {"a": [1, -0.5, True, None, "😀é"]}


# --- keys ---

def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(tmp_path):
    public, identity = keys.make_pair(tmp_path / "new" / "lab.pem")
    private = tmp_path / "new" / "lab.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600 and public.name == "lab.pem.pub"
    assert "BEGIN PRIVATE KEY" in private.read_text() and "BEGIN PUBLIC KEY" in public.read_text()
    assert keys.key_id(keys.read_public(public)) == identity == keys.key_id(keys.read_private(private).public_key())
    before = private.read_bytes()
    for spared in (private, public):
        with pytest.raises(keys.KeyFileError, match="never overwritten"):
            keys.make_pair(private)
        spared.rename(tmp_path / spared.name)
    assert (tmp_path / "lab.pem").read_bytes() == before


def test_a_password_is_needed_and_must_be_right(tmp_path, monkeypatch):
    code, _ = run("key", tmp_path / "k.pem", "--encrypt", input="secret\nsecret\n")
    assert code == 0 and "ENCRYPTED" in (tmp_path / "k.pem").read_text()
    with pytest.raises(keys.PasswordNeededError):
        keys.read_private(tmp_path / "k.pem")
    with pytest.raises(keys.KeyFileError, match="another password"):
        keys.read_private(tmp_path / "k.pem", b"guess")
    assert keys.read_private(tmp_path / "k.pem", b"secret")


@pytest.mark.parametrize(("name", "words"), [("rsa", "another kind"), ("text", "no public key"), ("none", "no such file"),
                                             ("private", "a private key; give the public one"), ("long", "too long")])
def test_a_file_that_is_no_public_key_of_ours_is_named(tmp_path, name, words):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    path = tmp_path / name
    if name == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        path.write_bytes(key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    elif name == "private":
        keys.make_pair(path)
    elif name != "none":
        path.write_text("x" * (10 if name == "text" else 1 << 17))
    with pytest.raises(keys.KeyFileError, match=words):
        keys.read_public(path)


def test_without_cryptography_the_message_names_the_extra(signed, tmp_path):
    code = ("import sys; sys.modules['cryptography'] = None\nfrom assay import cli\n"
            f"sys.argv = ['assay', 'verify', {str(signed / 'audit')!r}, '--no-replay', *sys.argv[1:]]\ncli.main()")
    told = subprocess.run([sys.executable, "-c", code, "--public-key", signed / "k.pem.pub"], capture_output=True, text=True)
    assert told.returncode == 2 and "pip install 'assay[sign]'" in told.stderr
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0    # needed for a check alone


# --- the commands ---

def test_a_signed_label_is_verified_by_its_key_alone(signed):
    assert run("verify", signed / "audit", "--no-replay", "--public-key", signed / "k.pem.pub")[0] == 0
    code, told = run("verify", signed / "audit" / "warning_label.json", "--no-replay")
    assert code == 0 and "not checked against a key you trust" in told
    code, told = run("verify", signed / "audit", "--no-replay", "--public-key", signed / "other.pem.pub")
    assert code == 1 and "FAILS  the signature is by the key you trust" in told


def test_two_keys_sign_one_statement_and_a_later_label_starts_anew(copy):
    folder = copy / "audit"
    assert run("sign", folder, "--key", copy / "other.pem")[0] == 0
    for name in ("k", "other"):
        assert run("verify", folder, "--no-replay", "--public-key", copy / f"{name}.pem.pub")[0] == 0
    Audit(folder).write(auditor="Someone")
    code, told = run("verify", folder, "--no-replay")
    assert code == 1 and "FAILS  what was signed is this label" in told
    assert run("sign", folder, "--key", copy / "other.pem")[0] == 0
    assert len(envelope.read((folder / envelope.FILE).read_bytes()).signatures) == 1
    assert run("verify", folder, "--no-replay", "--public-key", copy / "k.pem.pub")[0] == 1


def test_nothing_is_signed_that_does_not_hold(copy):
    folder = copy / "audit"
    before = (folder / envelope.FILE).read_bytes()
    text = folder / "warning_label.txt"
    text.write_text(text.read_text(encoding="utf-8") + " ", encoding="utf-8")
    code, told = run("sign", folder, "--key", copy / "k.pem")
    assert code == 2 and "Nothing was signed: report and drawings" in told
    (folder / "warning_label.json").unlink()
    assert "there is none" in run("sign", folder, "--key", copy / "k.pem")[1]
    assert (folder / envelope.FILE).read_bytes() == before


def test_the_signature_lies_outside_the_hashed_set(signed, copy):
    assert envelope.FILE not in Audit(signed / "audit").store.manifest
    (copy / "audit" / envelope.FILE).unlink()
    assert all(c.holds for c in verify(copy / "audit", replay=False))


def test_a_verifier_that_trusts_the_key_id_is_caught(copy):
    """The broken twin: who compares ids alone accepts a signature of nothing."""
    path = copy / "audit" / envelope.FILE
    data = json.loads(path.read_text())
    data["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    path.write_text(json.dumps(data))
    mine = keys.key_id(keys.read_public(copy / "k.pem.pub"))
    assert data["signatures"][0]["keyid"] == mine                           # all that the twin looks at
    code, told = run("verify", copy / "audit", "--no-replay", "--public-key", copy / "k.pem.pub")
    assert code == 1 and "and is not by it" in told
