"""Checks a signed warning label without Assay: signature, statement, label, manifest, every file, dates, and the model.

    python verify_label.py FOLDER --public-key FILE.pub [--model PATH]

Needs Python 3.11 and cryptography, and shares no code with Assay, so that neither has to be taken at its word. A line for
each claim; ends with 0 if all hold, 1 if one fails, 2 if called wrongly. The numbers are for `assay verify` to replay.
"""

import argparse
import base64
import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

HASHED = ("audit.json", "plan.json", "fitted", "parts", "witnesses", "exhibits")
GIT = (".git", ".gitattributes", ".github", ".gitignore")
LISTS = {"unstable": "failedTests", "inconclusive": "warnedTests", "none found": "passedTests", "certified": "passedTests"}


def strict(content):
    """JSON with one meaning: no key twice, no NaN, no infinity."""
    def once(pairs):
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key is given twice")
        return dict(pairs)
    return json.loads(json.dumps(json.loads(content, object_pairs_hook=once), allow_nan=False))


def plain(path, most=1 << 28):
    """The bytes of an ordinary file that is not too long to be read."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > most:
        raise ValueError(f"{path.name} is missing, a link, a device, or too long")
    return path.read_bytes()


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def decoded(text):
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def signed_by(folder, key_file):
    """The statement, and by whom: `ValueError` unless a signature over type and payload (DSSE v1) is by the key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_public_key(plain(key_file))
    mine = hashlib.sha256(key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    envelope = strict(plain(folder / "warning_label.dsse.json", 1 << 20))
    kind = b"application/vnd.in-toto+json"
    if set(envelope) != {"payload", "payloadType", "signatures"} or envelope["payloadType"].encode() != kind:
        raise ValueError("not an envelope of an in-toto statement, or one with more in it")
    body = decoded(envelope["payload"])
    for one in envelope["signatures"]:
        try:
            key.verify(decoded(one["sig"]), b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
        except InvalidSignature:
            continue
        if set(one) - {"sig", "keyid"} or one.get("keyid", mine) != mine:
            raise ValueError("the signature is by the key, and names another or has more in it")
        return strict(body), f"the signature is by key {mine[:16]}"
    raise ValueError(f"no signature is by key {mine[:16]}")


def statement(label, folder):
    """The statement (in-toto v1, test-result v0.1) that follows from the label and the manifest."""
    checks, signal = label["evidence"]["checks"], label["headline"]["signal"]
    tests = {name: [c["id"] for c in checks if LISTS.get(c["outcome"]) == name] for name in set(LISTS.values())}
    found = signal in ("WARNING", "CAUTION") or tests["failedTests"]
    nothing = signal in ("NONE FOUND", "BOUND PROVED") and not tests["warnedTests"]
    profile, data = label["profile"], label["scope"]["dataset"]
    asked = {"name": f"profile {profile['id']} {profile['version']}", "digest": profile["digest"]}
    files = [{"name": n, "digest": {"sha256": sha256(folder / n)}} for n in ("warning_label.json", "manifest.json")]
    result = "FAILED" if found else "PASSED" if nothing else "WARNED"
    return {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
            "subject": [{"name": f"model {label['subject']['name']}", "digest": label["subject"]["digest"]}, *files, asked,
                        {"name": f"data {data['id']}", "digest": data["digest"]}],
            "predicate": {"result": result, "configuration": [asked], **tests}}


def files(folder, listed):
    """What is not as the manifest says: every listed file is there unchanged, none besides, and no link or device."""
    paths = [path for name in HASHED for path in (folder / name, *(folder / name).rglob("*"))]
    odd = [p.name for p in paths if p.is_symlink() or (p.exists() and not p.is_file() and not p.is_dir())]
    found = {p.relative_to(folder).as_posix(): sha256(p) for p in paths if p.is_file() and not p.is_symlink()}
    return odd + [n for n in {*found, *listed} if found.get(n) != listed.get(n)]


def model(path, record, wanted):
    """What is wrong with the model at the path: its OMS digest, or its files one by one, must be those that were audited."""
    inner = [path] if path.is_file() else [p for p in path.rglob("*") if p.relative_to(path).parts[0] not in GIT]
    odd = any(p.is_symlink() or not (p.is_file() or p.is_dir()) for p in inner)
    found = {p.relative_to(path).as_posix(): sha256(p) for p in inner if p.is_file()}
    recorded = {n: d for n, d in record["files"].items() if n != "settings.json"}       # settings are no file of the model
    same = recorded == found or [*recorded.values()] == [*found.values()]               # a file alone may have any name
    right = not odd and (root(found) == wanted or (found and same and root(record["files"]) == wanted))
    return [] if right else ["not the files that were audited" if recorded else "it has no files; only a replay can tell"]


def root(digests):
    """OpenSSF model signing v1.0: sha256 over the files' digests, paths compared folder by folder."""
    order = sorted(digests, key=lambda name: PurePosixPath(name).parts)
    return hashlib.sha256(b"".join(bytes.fromhex(digests[name]) for name in order)).hexdigest()


def claims(folder, key_file, model_path):
    """Each claim, with what is wrong: [] where it holds."""
    signed, told = signed_by(folder, key_file)
    yield told, []
    label, manifest, audit = (strict(plain(folder / f"{n}.json")) for n in ("warning_label", "manifest", "audit"))
    system = {s["name"]: s for s in audit["systems"]}[label["subject"]["name"]]
    meant = statement(label, folder)
    yield "what was signed is this label", [k for k in {*meant, *signed} if meant.get(k) != signed.get(k)]
    yield "the files are those of the manifest, and none besides", files(folder, manifest["files"])
    pairs = {"profile": (label["profile"], audit["profile"]["digest"]), "model": (label["subject"], system["digest"]),
             "data": (label["scope"]["dataset"], audit["data"]["digest"])}
    yield "profile, model and data are the audit's", [n for n, (a, b) in pairs.items() if a["digest"]["sha256"] != b]
    begun, ends = (datetime.fromisoformat(label[name]) for name in ("issued", "valid_until"))
    today = begun - timedelta(days=1) <= datetime.now(UTC) <= ends
    yield f"the label is valid until {ends:%Y-%m-%d}", [] if today else [f"issued {begun:%Y-%m-%d}; not valid today"]
    if model_path:
        yield "the model is the one that was audited", model(model_path, system, label["subject"]["digest"]["sha256"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--public-key", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    asked, failed = parser.parse_args(), 0
    if missing := [str(p) for p in (asked.folder, asked.public_key, asked.model) if p and not p.exists()]:
        parser.error(f"{missing[0]} does not exist")
    try:
        for claim, wrong in claims(asked.folder, asked.public_key, asked.model):
            print(f"FAIL  {claim}: {'; '.join(ascii(w) for w in wrong[:3])}" if wrong else f"PASS  {claim}")
            failed += bool(wrong)
    except Exception as error:          # whatever a hostile file raises is a reason to refuse it
        print(f"FAIL  it can be read: {type(error).__name__}, {str(error)[:300]!a}")
        failed += 1
    print("FAIL: do not rely on this label" if failed else "PASS: every claim that was checked holds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
