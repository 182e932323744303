"""Labels signed by an identity: the real client against a Sigstore on this machine, and broken twins of what it checks."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import small_audit
from assay.cli.exits import Exit
from assay.cli.signing import agreed
from assay.signing import envelope, keyless, keys
from assay.signing.statement import statement
from command_line import run

pytest.importorskip("cryptography")
needs_sigstore = pytest.mark.skipif(find_spec("sigstore") is None, reason="needs sigstore (pip install 'assay[sigstore]')")


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Path:
    """An audit signed by lab@example.org, and by a key; `trust.json` and `other.json` are of two Sigstores. Read only."""
    from fake_sigstore import LAB, serving, token

    top = tmp_path_factory.mktemp("keyless")
    small_audit.run(small_audit.profile(top, "noise"), top / "audit").write()
    keys.make_pair(top / "k.pem")
    assert run("sign", top / "audit", "--key", top / "k.pem")[0] == 0
    with serving(top / "other.json"), serving(top / "trust.json"):
        code, told = run("sign", top / "audit", "--sigstore", "--yes", "--trust-config", top / "trust.json",
                         env={"SIGSTORE_IDENTITY_TOKEN": token()})
    assert code == 0 and f"Signed by {LAB}" in told and "public and for ever" in told
    return top


@pytest.fixture
def copy(signed, tmp_path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "copy"))


def verify(top: Path, identity: str = "lab@example.org", issuer: str = "https://accounts.example.org") -> tuple[int, str]:
    return run("verify", top / "audit", "--no-replay", "--identity", identity, "--issuer", issuer,
               "--trust-config", top / "trust.json")


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@needs_sigstore
def test_nothing_is_sent_unless_somebody_agrees(copy, monkeypatch):
    """Where nobody can answer, --yes must say it; whoever is asked sees what leaves the machine, and may say no."""
    sent: list[bytes] = []
    who = keyless.Signer(identity="a", issuer="b")
    monkeypatch.setattr(keyless, "sign", lambda payload, **_: sent.append(payload) or (b"{}", who))
    code, told = run("sign", copy / "audit", "--sigstore", "--trust-config", copy / "trust.json")
    assert code == 2 and "say --yes" in told and sent == []
    said = json.loads(keyless.statement_of((copy / "audit" / keyless.FILE).read_bytes()))
    monkeypatch.setattr("sys.stdin", Terminal("n\ny\n"))
    with pytest.raises(Exit, match="nothing was sent"):
        agreed(said, yes=False)
    agreed(said, yes=False)
    agreed(said, yes=True)                  # asks nobody: there is nothing more to read
    code, told = run("sign", copy / "audit", "--sigstore", "--yes", "--trust-config", copy / "trust.json")
    assert code == 0 and len(sent) == 1, told


def test_what_would_be_sent_is_told(capsys):
    said = {"subject": [{"name": "model cascade"}, {"name": "data scans"}],
            "predicate": {"result": "FAILED", "failedTests": ["noise"], "warnedTests": ["kernel"], "passedTests": ["tiny"]}}
    agreed(said, yes=True)
    told = capsys.readouterr().err
    assert "model cascade, data scans" in told and "FAILED" in told and "noise, kernel, tiny" in told
    assert "public and for ever" in told


@needs_sigstore
def test_the_statement_is_the_one_that_a_key_signs(signed):
    folder = signed / "audit"
    label, manifest = (folder / "warning_label.json").read_bytes(), (folder / "manifest.json").read_bytes()
    payload = keyless.statement_of((folder / keyless.FILE).read_bytes())
    assert payload == envelope.read((folder / envelope.FILE).read_bytes()).payload
    assert json.loads(payload) == statement(json.loads(label), label, manifest)


@needs_sigstore
def test_the_identity_is_verified_and_both_signatures_stay(signed):
    code, told = verify(signed)
    assert code == 0 and "lab@example.org, vouched for by https://accounts.example.org" in told
    assert "signed by key" in told
    code, told = run("verify", signed / "audit", "--no-replay", "--public-key", signed / "k.pem.pub")
    assert code == 0 and "not checked against an identity you trust" in told


def refused(content: bytes, trust: Path, **other: str) -> str:
    """Why a bundle is refused for the identity that did sign, or another."""
    who = {"identity": "lab@example.org", "issuer": "https://accounts.example.org", **other}
    with pytest.raises(keyless.KeylessError) as told:
        keyless.verify(content, keyless.Signer(**who), trust_config=trust)
    return str(told.value)


@needs_sigstore
@pytest.mark.parametrize(("named", "trust", "reason"), [
    ({"identity": "eve@example.org"}, "trust.json", "SANs do not match"),
    ({"issuer": "https://accounts.example.com"}, "trust.json", "does not match"),
    ({}, "other.json", "certificate chain"), ({}, "k.pem", "no trust configuration"), ({}, "none", "no such file")])
def test_another_identity_voucher_or_sigstore_is_refused(signed, named, trust, reason):
    assert reason in refused((signed / "audit" / keyless.FILE).read_bytes(), signed / trust, **named)


@needs_sigstore
def test_sigstores_own_command_accepts_the_bundle_for_the_label_alone(signed, tmp_path):
    """An independent reading: its command asks whether the file is a subject of the signed statement."""
    def asked(file: Path) -> int:
        words = ["--trust-config", signed / "trust.json", "verify", "identity", "--bundle", signed / "audit" / keyless.FILE,
                 "--cert-identity", "lab@example.org", "--cert-oidc-issuer", "https://accounts.example.org", file]
        return subprocess.run([sys.executable, "-m", "sigstore", *words], capture_output=True,
                              env={**os.environ, "HOME": str(tmp_path)}).returncode

    assert asked(signed / "audit" / "warning_label.json") == 0
    assert asked(signed / "audit" / "warning_label.txt") == 1


def _another_statement(data: dict) -> None:
    statement = json.loads(base64.b64decode(data["dsseEnvelope"]["payload"]))
    statement["predicate"]["result"] = "PASSED"
    data["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


def _another_signature(data: dict) -> None:
    sig = bytearray(base64.b64decode(data["dsseEnvelope"]["signatures"][0]["sig"]))
    sig[-1] ^= 1
    data["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(bytes(sig)).decode()


def _another_root(data: dict) -> None:
    data["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] = [base64.b64encode(bytes(32)).decode()]


def _no_proof(data: dict) -> None:
    del data["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]


def _later(data: dict) -> None:
    entry = data["verificationMaterial"]["tlogEntries"][0]
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 86400)


@needs_sigstore
@pytest.mark.parametrize(("change", "reason"), [
    (_another_statement, "invalid signature"), (_another_signature, "invalid signature"),
    (_another_root, "inclusion proof"), (_no_proof, "inclusionProof"), (_later, "valid"),
    (lambda data: data.update(mediaType="x"), "mediaType"),
    (lambda data: data.pop("verificationMaterial"), "failed to load bundle"),
    (lambda data: data["dsseEnvelope"].update(payloadType="text/plain"), "no envelope of")])
def test_an_altered_bundle_is_refused(signed, change, reason):
    data = json.loads((signed / "audit" / keyless.FILE).read_text())
    change(data)
    assert reason in refused(json.dumps(data).encode(), signed / "trust.json")


@needs_sigstore
def test_a_later_label_needs_a_new_signature(copy):
    from assay.api import Audit

    Audit(copy / "audit").write(auditor="Someone")
    (copy / "audit" / envelope.FILE).unlink()
    code, told = verify(copy)
    assert code == 1 and "FAILS  what was signed is this label" in told


@needs_sigstore
def test_the_command_says_whom_it_refuses(signed):
    code, told = verify(signed, identity="eve@example.org")
    assert code == 1 and "FAILS  the signature is by the identity you trust" in told and "lab@example.org" in told


@needs_sigstore
def test_a_verifier_that_asks_nobodys_name_is_caught(signed, monkeypatch):
    """The broken twin: whoever accepts any certificate of the authority accepts a signature of anyone."""
    from sigstore.verify import policy

    content = (signed / "audit" / keyless.FILE).read_bytes()
    eve = keyless.Signer(identity="eve@example.org", issuer="https://accounts.example.org")
    with monkeypatch.context() as patch:
        patch.setattr(policy, "Identity", lambda **named: policy.UnsafeNoOp())
        keyless.verify(content, eve, trust_config=signed / "trust.json")                # what the twin accepts
    assert "SANs do not match" in refused(content, signed / "trust.json", identity="eve@example.org")


@needs_sigstore
@pytest.mark.parametrize(("given", "reason"), [("no.token", "malformed"), (None, "validity")])
def test_a_token_that_is_none_signs_nothing(copy, given, reason):
    from fake_sigstore import token

    before = (copy / "audit" / keyless.FILE).read_bytes()
    code, told = run("sign", copy / "audit", "--sigstore", "--yes", "--trust-config", copy / "trust.json",
                     "--identity-token", given or token(minutes=-5))
    assert code == 2 and "Sigstore did not sign" in told and (reason in told or "missing claims" in told)
    assert (copy / "audit" / keyless.FILE).read_bytes() == before


@needs_sigstore
def test_a_sigstore_that_does_not_answer_is_told(copy):
    from fake_sigstore import token

    code, told = run("sign", copy / "audit", "--sigstore", "--yes", "--trust-config", copy / "trust.json",
                     "--identity-token", token())
    assert code == 2 and "Sigstore did not sign" in told                       # it no longer serves


def test_the_ways_to_sign_exclude_each_other_and_an_identity_needs_its_voucher(tmp_path):
    (tmp_path / "audit").mkdir()
    assert "and not both" in run("sign", tmp_path / "audit")[1]
    assert "and not both" in run("sign", tmp_path / "audit", "--sigstore", "--key", tmp_path / "k.pem")[1]
    assert "belong together" in run("verify", tmp_path / "audit", "--identity", "lab@example.org")[1]


def test_an_identity_that_is_demanded_must_have_signed(tmp_path):
    small_audit.run(small_audit.profile(tmp_path, "noise"), tmp_path / "audit").write()
    code, told = verify(tmp_path)
    assert code == 1 and "warning_label.sigstore.json is missing" in told


def test_without_sigstore_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sigstore", None)
    with pytest.raises(keyless.KeylessError, match=r"pip install 'assay\[sigstore\]'"):
        keyless.needed()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"dsseEnvelope": 1}', b'{"dsseEnvelope": {"payloadType": 1}}',
                                     b'{"dsseEnvelope": {"payloadType": "application/vnd.in-toto+json"}}',
                                     b'{"dsseEnvelope": {"payloadType": "application/vnd.in-toto+json", "payload": "%%"}}',
                                     b'{"a": 1, "a": 2}'])
def test_what_is_no_bundle_is_named(content):
    with pytest.raises(keyless.KeylessError, match="bundle"):
        keyless.statement_of(content)
