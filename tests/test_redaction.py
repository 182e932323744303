"""Redaction: nothing of the inputs in the copy, every number kept, a proof for the owner; and no DICOM identifier."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load

import assay
import small_audit
import small_classifier
from assay import api
from assay.datasets.bundled import BundledSlices
from assay.datasets.texts import labelled_texts
from assay.pseudonyms import Pseudonyms, leaks, read_key
from assay.records import digest_of
from assay.redaction import redacted, withheld_names
from assay.reports import exports
from assay.store import FINDINGS, AuditFolder, StoreError
from assay.systems.texts import TextSystem
from assay.systems.torch import TorchSystem

KEY = bytes(range(32))
NOTES = [("Zyxquartz reports back pain and headache.", 0), ("Vorpaline has fever and back pain.", 1),
         ("Heart attack of Mimsyborough.", 1), ("Nothing to note, Frumiousson.", 0), ("Lumbago, no fever.", 0),
         ("Denies back pain.", 0)]
SECRET_WORDS = ("Zyxquartz", "Vorpaline", "Mimsyborough", "Frumiousson")
AFFINE = """
[[checks]]
id = "turns"
title = "Turns"
question = "Does a turn flip the decision?"
method = "worst-case"
perturbation = { kind = "affine", rotation = 30.0, shift = 0.2, grid = [5, 3, 3] }
unit = "share of the largest turn and shift"
levels = [1.0]
search = { kind = "exhaustive" }
metric = "error-rate"
controls = 2
sources = ["a test"]
criterion = { kind = "grows", level = 1.0, absolute = 0.5, sentence = "a right decision became wrong" }
"""


class Talking(small_classifier.Linear):
    """Raises for one sample with its content in the message."""

    def spoiled(self, x: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if any(torch.equal(image, small_classifier.images()[0][5]) for image in x):
            raise RuntimeError(f"cannot read patient Snicker-Snack, whose pixels are {x.flatten()[:3].tolist()}")
        return scores


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, assay.Audit]:
    """One audit of images through a forward model, one of classified images (with turns, and an error), one of texts."""
    top = tmp_path_factory.mktemp("originals")
    images = small_audit.run(small_audit.profile(top), top / "images")
    images.write(auditor="A Laboratory", independence="third-party", version="1.2")
    toml = Path(small_classifier.profile(top))
    toml.write_text(toml.read_text(encoding="utf-8") + AFFINE, encoding="utf-8")
    classified = assay.audit(TorchSystem(Talking(), name="net"), small_classifier.data(top), profile=str(toml),
                             established=("none",), out=top / "classified")
    reader = TextSystem(lambda texts: [[0.0, 1.0 if "back pain" in t.lower() else -1.0] for t in texts], name="reader")
    notes = labelled_texts([t for t, _ in NOTES], [y for _, y in NOTES], classes=("low", "high"))
    texts = assay.audit(reader, notes, established=("none",), out=top / "texts", budget="demo")
    return {"images": images, "classified": classified, "texts": texts}


@pytest.fixture(scope="module")
def copies(originals, tmp_path_factory) -> dict[str, assay.Audit]:
    top = tmp_path_factory.mktemp("copies")
    return {name: api.redact(audit.folder, top / name, key=KEY) for name, audit in originals.items()}


CASES = ["images", "classified", "texts"]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file's name and bytes, and what tables and tensor files hold once unpacked, with their metadata."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        yield path.name, path.relative_to(folder).as_posix().encode() + b"\0" + raw
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path.name, repr((table.to_pylist(), table.schema.metadata, pq.read_metadata(path).metadata)).encode()
        if path.suffix == ".safetensors":
            yield path.name, b"".join(name.encode() + value.tobytes() for name, value in load(raw).items())


def found_in(folder: Path, secrets: list[bytes]) -> list[tuple[str, bytes]]:
    return [(name, secret) for name, data in contents(folder) for secret in secrets if secret in data]


def pixels_of(values: np.ndarray) -> list[bytes]:
    """Runs of six neighbouring values that are not all alike, in the widths in which they may be stored."""
    rows = values.reshape(-1, values.shape[-1])
    runs = [row[i:i + 6] for row in rows for i in range(0, len(row) - 5, 6) if len(set(row[i:i + 6].tolist())) > 3]
    return [run.astype(kind).tobytes() for run in runs[:200] for kind in (np.float64, np.float32, np.float16)]


def inputs(name: str) -> list[bytes]:
    if name == "texts":
        codes = [np.array([ord(c) for c in word], kind).tobytes() for word in SECRET_WORDS for kind in (np.int32, np.int64)]
        return [*(word.encode() for word in SECRET_WORDS), *codes]
    values = small_classifier.images()[0].numpy() if name == "classified" else np.stack(
        [s.numpy() for s in (BundledSlices(size=48)[i] for i in range(4))])
    return pixels_of(values)


@pytest.mark.parametrize("name", CASES)
def test_no_input_stands_in_the_copy(name, originals, copies):
    if name != "classified":                            # those pictures are not exhibited in half precision alone
        assert found_in(originals[name].folder, inputs(name))           # the search can find them
    assert found_in(copies[name].folder, inputs(name)) == []


@pytest.mark.parametrize("name", CASES)
def test_no_name_of_a_sample_or_file_stands_in_the_copy(name, originals, copies):
    names = [n.encode() for n in withheld_names(originals[name].store) if len(n) > 3]
    assert {f for f, _ in found_in(originals[name].folder, names)} or name == "texts"
    assert found_in(copies[name].folder, names) == []
    digests = [d.encode() for d in originals[name].header["data"]["samples"].values()]
    assert found_in(copies[name].folder, [*digests, originals[name].header["data"]["digest"].encode()]) == []


def test_notes_and_messages_of_errors_are_scrubbed(originals, copies):
    assert found_in(originals["classified"].folder, [b"Snicker-Snack"])
    assert found_in(copies["classified"].folder, [b"Snicker-Snack", b"cannot read"]) == []
    assert {f.notes for f in copies["classified"].store.findings()} <= {"", "withheld"}


@pytest.mark.parametrize("name", CASES)
def test_every_number_and_verdict_is_the_originals(name, originals, copies):
    names = Pseudonyms(key=KEY)

    def told(audit: assay.Audit, rename: bool) -> list[Any]:
        of = names.of if rename else (lambda s: s)
        numbers = ("level", "normal", "average", "worst", "size", "gain", "extra")
        return sorted((f.check, f.system, f.origin, of(f.sample), of(f.origin_sample), f.stop.value,
                       json.dumps([getattr(f, name) for name in numbers], sort_keys=True), [g.id for g in f.flags],
                       f.witness is not None) for f in audit.store.findings())
    assert told(originals[name], True) == told(copies[name], False)
    before, after = (exports.json_object(a.store, a.verdicts) for a in (originals[name], copies[name]))
    assert all(before[k] == after[k] for k in ("signal", "rule", "complete", "as_test"))
    assert [(c["id"], c["harmed"], c["n"], c["verdict"]) for c in before["checks"]] == [
        (c["id"], c["harmed"], c["n"], c["verdict"]) for c in after["checks"]]


@pytest.mark.parametrize("name", CASES)
def test_the_copy_verifies_and_names_the_audit_it_is_of(name, originals, copies):
    claims = api.verify(copies[name].folder, replay=False)
    assert all(c.holds for c in claims), [c for c in claims if not c.holds]
    label = json.loads((copies[name].folder / "warning_label.json").read_text(encoding="utf-8"))
    mine = json.loads((originals[name].folder / "warning_label.json").read_text(encoding="utf-8"))
    of = {"sha256": originals[name].store.manifest_digest}
    assert label["redaction"] == {"of": of} and mine["provenance"]["audit_digest"] == of
    assert (label["issued"], label["valid_until"], label["auditor"], label["headline"]["signal"]) == (
        mine["issued"], mine["valid_until"], mine["auditor"], mine["headline"]["signal"])
    assert label["not_tested"][0].startswith("Replay by whoever holds this redacted copy")
    assert label["provenance"]["replay"].endswith("--no-replay")
    text = (copies[name].folder / "warning_label.txt").read_text(encoding="utf-8")
    if label["evidence"]["replayable"]:
        assert "by the owner" in " ".join(text.split())
    assert "<img" not in (copies[name].folder / "report.html").read_text(encoding="utf-8")
    assert not any((copies[name].folder / kind).exists() for kind in ("exhibits", "fitted", "log.jsonl"))


def test_groups_stay_apart_under_pseudonyms(originals, tmp_path):
    """What a group has in common is the owner's; how many of it were harmed is a number of the audit."""
    shutil.copytree(originals["classified"].folder, tmp_path / "a")
    header = json.loads((tmp_path / "a" / "audit.json").read_text())
    samples = list(header["data"]["samples"])
    groups = {name: "Zyxquartz clinic" if i % 3 else "Vorpaline ward" for i, name in enumerate(samples)}
    (tmp_path / "a" / "audit.json").write_text(json.dumps({**header, "groups": groups}))
    audit = assay.Audit(tmp_path / "a")
    audit.store.seal()
    audit.write()
    copy = api.redact(tmp_path / "a", tmp_path / "b", key=KEY)
    assert found_in(tmp_path / "a", [b"Zyxquartz", b"Vorpaline"])
    assert found_in(copy.folder, [b"Zyxquartz", b"Vorpaline"]) == []
    told = [exports.json_object(a.store, a.verdicts)["subgroups"] for a in (audit, copy)]
    numbers = [[(s["check"], s["told_apart"], sorted((g["harmed"], g["n"]) for g in s["groups"])) for s in t] for t in told]
    assert numbers[0] == numbers[1] != []
    assert all(c.holds for c in api.verify(copy.folder, replay=False))


def test_replaying_a_copy_fails_with_the_reason(copies):
    (failed,) = (c for c in api.verify(copies["images"].folder) if not c.holds)
    assert "redacted copy" in failed.detail and "only the owner" in failed.detail


def test_of_stored_changes_only_turns_and_shifts_stay(originals, copies):
    kept = dict(copies["classified"].store.witnesses())
    assert set(kept) == {"turns"} and all(v.size <= 4 for v in kept["turns"].values())
    before = dict(next(t for c, t in originals["classified"].store.witnesses() if c == "turns"))
    names = Pseudonyms(key=KEY)
    for name, value in before.items():
        origin, sample, level = name.split("|")
        found = [t[f"{origin}|{names.of(sample)}|{level}"] for c, t in copies["classified"].store.witnesses()
                 if f"{origin}|{names.of(sample)}|{level}" in t]
        assert len(found) == 1 and np.array_equal(found[0], value)
    assert not list(copies["images"].store.witnesses()) and not list(copies["texts"].store.witnesses())
    assert {f.witness for f in copies["images"].store.findings()} <= {"withheld", None}


def test_a_changed_number_of_the_copy_is_seen(copies, tmp_path):
    shutil.copytree(copies["images"].folder, tmp_path / "a")
    part = sorted((tmp_path / "a" / "parts").iterdir())[-1]
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    assert not all(c.holds for c in api.verify(tmp_path / "a", replay=False))


def header_with(originals, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """The header of a redacted copy of the audit of images whose own header was changed so."""
    shutil.copytree(originals["images"].folder, tmp_path / "a")
    header = json.loads((tmp_path / "a" / "audit.json").read_text())
    (tmp_path / "a" / "audit.json").write_text(json.dumps({**header, **changes}))
    return redacted(AuditFolder(tmp_path / "a"), tmp_path / "b", KEY).header


def test_declared_columns_and_paths_of_tables_are_withheld(originals, tmp_path):
    profile = originals["images"].header["profile"]
    words = {"kind": "inputs", "norm": "l2", "fields": {"hiv": "yes"}, "table": "/home/me/phrases.csv"}
    first, second, *others = profile["checks"]
    changed = {**profile, "checks": [first, {**second, "perturbation": words}, *others]}
    found = header_with(originals, tmp_path, profile=changed)["profile"]
    assert found["checks"][1]["perturbation"] == {"kind": "inputs", "norm": "l2", "table": "withheld"}
    bare = {k: v for k, v in found.items() if k != "digest"}
    assert found["digest"] == digest_of(bare) != profile["digest"]


def test_a_profile_that_nothing_was_taken_from_keeps_its_digest(originals, copies):
    assert copies["images"].header["profile"] == originals["images"].header["profile"]


def test_a_system_named_like_a_file_gets_a_pseudonym_everywhere(originals, tmp_path):
    shutil.copytree(originals["images"].folder, tmp_path / "a")
    store = AuditFolder(tmp_path / "a")
    old, secret = "zero-filled", "onnx:/home/me/Zyxquartz.onnx"
    for unit in store.plan["units"]:
        path = tmp_path / "a" / "parts" / f"{unit['id']}.parquet"
        rows = [{**row, "extra": row["extra"], **{c: secret if row[c] == old else row[c] for c in ("system", "origin")}}
                for row in pq.read_table(path).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), path)
    for path in (tmp_path / "a" / "audit.json", tmp_path / "a" / "plan.json"):
        path.write_text(path.read_text().replace(f'"{old}"', f'"{secret}"'))
    header = json.loads((tmp_path / "a" / "audit.json").read_text())
    header["systems"][0] |= {"loader": secret, "files": {"Zyxquartz.onnx": "00" * 32},
                             "options": {"weights": "/x/Zyxquartz.onnx"}}
    (tmp_path / "a" / "audit.json").write_text(json.dumps(header))
    store.seal()
    copy = redacted(store, tmp_path / "b", KEY)
    assert found_in(copy.path, [b"Zyxquartz", b"onnx:"]) == []
    names = {f.system for f in copy.findings()}
    assert Pseudonyms(key=KEY).of(secret, "system", 8) in names and secret not in names
    assert copy.header["systems"][0]["files"] == copy.header["systems"][0]["options"] == {}


def test_what_a_system_wrote_is_withheld(originals, tmp_path):
    shutil.copytree(originals["images"].folder, tmp_path / "a")
    store = AuditFolder(tmp_path / "a")
    for unit in store.plan["units"]:
        path = tmp_path / "a" / "parts" / f"{unit['id']}.parquet"
        rows = [{**row, "texts": [("written.normal", "Zyxquartz has"), ("written.worst", "a fever")]}
                for row in pq.read_table(path).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), path)
    store.seal()
    assert store.findings()[0].texts == {"written.normal": "Zyxquartz has", "written.worst": "a fever"}
    assert b"Zyxquartz has" in exports.csv_of(store.table())
    copy = redacted(store, tmp_path / "b", KEY)
    assert found_in(copy.path, [b"Zyxquartz", b"a fever"]) == [] and not any(f.texts for f in copy.findings())


@pytest.mark.parametrize("task", ["text", "codes"])
def test_bundled_records_can_be_redacted(task):
    """No name of theirs is a word of the profile, which is left as it is."""
    from assay.audits.prepare import session_from
    from assay.pseudonyms import stands_in
    from assay.records import to_json

    made = session_from({"systems": ("notes-tfidf" if task == "text" else "claims-logistic",), "established": ("none",)})
    assert not stands_in(to_json(made.profile), list(made.data.ids))
    assert stands_in(to_json(made.profile), ["decisions"])


@pytest.fixture
def run(monkeypatch, capsys):
    from assay.cli import main

    def command(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        told = capsys.readouterr()
        return int(stop.value.code), told.out + told.err
    return command


def test_the_owner_can_show_that_a_copy_is_one(run, originals, copies, tmp_path):
    key, other = tmp_path / "key", tmp_path / "other"
    key.write_text(KEY.hex())
    folder, copy = originals["images"].folder, copies["images"].folder
    assert run("redact", folder, "--key", key, "--check", copy)[0] == 0
    read_key(other)
    assert run("redact", folder, "--key", other, "--check", copy)[0] == 1
    assert run("redact", originals["classified"].folder, "--key", key, "--check", copy)[0] == 1
    shutil.copytree(copy, tmp_path / "changed")
    header = tmp_path / "changed" / "audit.json"
    header.write_text(header.read_text().replace("withheld", "without", 1))
    assert run("redact", folder, "--key", key, "--check", tmp_path / "changed")[0] == 1
    assert run("redact", folder, "--key", tmp_path / "none", "--check", copy)[0] == 2
    sample = next(iter(originals["images"].header["data"]["samples"]))
    expected = hmac.new(KEY, b"sample\0" + sample.encode(), hashlib.sha256).hexdigest()[:16]
    assert f"sample-{expected}" in copies["images"].header["data"]["samples"]


def test_the_command_makes_a_key_that_stays_outside(run, originals, tmp_path):
    shutil.copytree(originals["images"].folder, tmp_path / "a")
    code, told = run("redact", tmp_path / "a")
    assert code == 0 and "Hand over:" in told and (tmp_path / "a.redaction.key").stat().st_mode & 0o777 == 0o600
    key = (tmp_path / "a.redaction.key").read_bytes().strip()
    assert found_in(tmp_path / "a-redacted", [key, bytes.fromhex(key.decode())]) == []
    assert run("verify", tmp_path / "a", "--no-replay")[0] == 0                     # the original is as it was
    code, told = run("redact", tmp_path / "a")
    assert code == 2 and "exists already" in told
    for words, said in ((["--out", tmp_path / "a" / "b"], "must lie outside"), (["--out", tmp_path], "must lie outside"),
                        (["--out", tmp_path / "c", "--key", tmp_path / "c" / "key"], "handed over with it")):
        code, told = run("redact", tmp_path / "a", *words)
        assert code == 2 and said in " ".join(told.split()), told
    assert run("redact", tmp_path / "a-redacted", "--out", tmp_path / "d")[0] == 2
    (tmp_path / "bad").write_text("00")
    code, told = run("redact", tmp_path / "a", "--out", tmp_path / "d", "--key", tmp_path / "bad")
    assert code == 2 and "64 hexadecimal digits" in told and not (tmp_path / "d").exists()


def test_copies_under_one_key_can_be_compared(run, originals, copies, tmp_path):
    code, told = run("compare", copies["images"].folder, copies["images"].folder)
    assert code == 0 and "not shown to be worse" in told
    other = api.redact(originals["images"].folder, tmp_path / "b", key=bytes(32)).folder
    code, told = run("compare", copies["images"].folder, other)
    assert code == 2 and "the data differ" in told


def test_an_audit_redacts_at_once(run, tmp_path):
    toml = small_audit.profile(tmp_path, "preflight", "tiny-data")
    for _ in range(2):                                  # the copy of the same command gives way
        code, told = run(*small_audit.words(toml, tmp_path / "a", "--redact", "--limit", "2"))
        assert code == 0 and "Hand over:" in told
    of = AuditFolder(tmp_path / "a-redacted").header["redaction"]["of"]
    assert of == {"sha256": AuditFolder(tmp_path / "a").manifest_digest}


def test_a_name_that_also_means_something_else_is_refused_and_nothing_is_left(originals, tmp_path):
    shutil.copytree(originals["texts"].folder, tmp_path / "a")
    header = json.loads((tmp_path / "a" / "audit.json").read_text())
    header["data"]["samples"]["research"] = "00" * 32           # the profile's community
    (tmp_path / "a" / "audit.json").write_text(json.dumps(header))
    with pytest.raises(StoreError, match="'research' of the original audit stands in the redacted copy"):
        redacted(AuditFolder(tmp_path / "a"), tmp_path / "b", KEY)
    assert not (tmp_path / "b").exists()


def test_an_audit_that_does_not_hold_is_not_redacted(originals, tmp_path):
    shutil.copytree(originals["images"].folder, tmp_path / "a")
    part = next((tmp_path / "a" / "parts").iterdir())
    whole = part.read_bytes()
    part.write_bytes(whole + b"x")
    with pytest.raises(StoreError, match="bytes differ"):
        api.redact(tmp_path / "a", tmp_path / "b", key=KEY)
    part.write_bytes(whole)
    (tmp_path / "a" / "warning_label.json").unlink()
    with pytest.raises(StoreError, match="assay report"):
        api.redact(tmp_path / "a", tmp_path / "b", key=KEY)
    assert not (tmp_path / "b").exists()


def test_a_name_that_the_label_brings_back_is_refused_and_nothing_is_left(originals, tmp_path):
    shutil.copytree(originals["texts"].folder, tmp_path / "a")
    audit = assay.Audit(tmp_path / "a")
    sample = next(iter(audit.header["data"]["samples"]))
    audit.write(auditor=f"The owner of {sample}")
    with pytest.raises(StoreError, match="of the original audit stands in the redacted copy"):
        api.redact(tmp_path / "a", tmp_path / "b", key=KEY)
    assert not (tmp_path / "b").exists()


def test_an_unfinished_audit_is_not_redacted(originals, tmp_path):
    shutil.copytree(originals["images"].folder, tmp_path / "a")
    next((tmp_path / "a" / "parts").iterdir()).unlink()
    with pytest.raises(StoreError, match="finish the audit first"):
        redacted(AuditFolder(tmp_path / "a"), tmp_path / "b", KEY)


@pytest.mark.parametrize("where", ["audit.json", "parts/x.parquet", "witnesses/x.safetensors", "reports/Zyxquartz.txt"])
def test_a_name_is_found_wherever_it_stands(where, tmp_path):
    from safetensors.numpy import save

    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if where.endswith("parquet"):
        pq.write_table(pa.table({"sample": ["Zyxquartz"]}), path, compression="zstd")
    else:
        path.write_bytes(save({"net|Zyxquartz|0.1": np.zeros(1)}) if where.endswith("safetensors") else
                         b"{}" if "reports" in where else b'{"a": "Zyxquartz"}')
    assert len(leaks(tmp_path, ["Zyxquartz"])) == 1 and leaks(tmp_path, ["Zyxquart", "Zyx"]) == []


IDENTIFIERS = {"PatientName": "Carroll^Jabberwock", "PatientID": "MRN-7741936", "PatientBirthDate": "18320127",
               "InstitutionName": "Wonderland General", "ReferringPhysicianName": "Tweedle^Dumdee",
               "AccessionNumber": "ACC9911772", "StudyDescription": "Vorpal sword review",
               "PatientComments": "galumphing back",
               "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.771", "PatientAddress": "42 Tulgey Wood"}


def test_no_dicom_identifier_reaches_any_byte_of_an_audit(tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install -e '.[dicom]'")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    (tmp_path / "scans").mkdir()
    for i in range(3):
        image = (60000 * BundledSlices(size=48)[i].numpy()).astype(np.uint16)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.77{i}"
        file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = 48, 48, 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation, file.PixelData = 15, 0, image.tobytes()
        for name, value in IDENTIFIERS.items():
            setattr(file, name, value)
        file.add_new((0x0011, 0x0010), "LO", "Bandersnatch private")
        pydicom.dcmwrite(tmp_path / "scans" / f"Jabberwock-{i}.dcm", file, enforce_file_format=True)
    secrets = [part.encode() for value in (*IDENTIFIERS.values(), "Bandersnatch") for part in value.split("^")]
    assert found_in(tmp_path / "scans", secrets[:1])            # the files do hold them
    finished = assay.audit("zero-filled", str(tmp_path / "scans"), established=("none",), out=tmp_path / "a",
                           profile=small_audit.profile(tmp_path, "preflight", "tiny-data"))
    hits = found_in(finished.folder, secrets)
    assert {secret for _, secret in hits} <= {b"Jabberwock"}       # a file's name is the sample's, and is the user's
    copy = api.redact(finished.folder, tmp_path / "copy", key=KEY)
    assert found_in(copy.folder, [*secrets, b".dcm", str(tmp_path).encode()]) == []


def test_rows_of_classes_keep_the_names_of_classes(originals, tmp_path):
    """A check that asks about classes leaves a row for each: their names are no samples', even where they look alike."""
    shutil.copytree(originals["classified"].folder, tmp_path / "a")
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    for unit in plan["units"]:
        if unit["check"] == "tiny-energy":
            unit["rows"] = list(unit["samples"])
    (tmp_path / "a" / "plan.json").write_text(json.dumps(plan))
    copy = redacted(AuditFolder(tmp_path / "a"), tmp_path / "b", KEY)
    rows = {f.sample for f in copy.findings() if f.check == "tiny-energy"}
    assert rows == {f.sample for f in originals["classified"].store.findings() if f.check == "tiny-energy"}
    assert all(f.sample.startswith("sample-") for f in copy.findings() if f.check != "tiny-energy")
    assert copy.table().num_rows == originals["classified"].store.table().num_rows


def test_many_names_are_looked_for_in_seconds(tmp_path):
    """Ten thousand names in two megabytes: an alternation of all of them would take minutes."""
    names = [f"patient-{i:05d}-{i * 7919 % 10007}" for i in range(10_000)]
    (tmp_path / "a.json").write_text(json.dumps([f"sample-{i:05d}" for i in range(150_000)]))
    start = time.perf_counter()
    assert leaks(tmp_path, names) == []
    assert time.perf_counter() - start < 10
    (tmp_path / "b.json").write_text(json.dumps(["x", names[4711], "y"]))
    assert leaks(tmp_path, names) == [f"b.json: {names[4711]!r} of the original audit stands in the redacted copy"]
