"""The audit folder: round trip, interruption, truncation, foreign folders, a full disk, one changed byte."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from assay.file_digests import file_digest
from assay.records import Finding, Flag, Stop
from assay.store import AuditFolder, DiskFullError, StoreError, witness_key, write_aside

HEADER = {"name": "a", "seed": 0, "profile": {"id": "p"}}
PLAN = {"units": [{"id": "c~s~00000", "check": "c", "system": "s", "samples": ["1", "2"]},
                  {"id": "d~s~00000", "check": "d", "system": "s", "samples": ["1"]}],
        "skipped": [{"check": "e", "system": "s", "reason": "no"}]}


def finding(check: str = "c", sample: str = "1", **changes) -> Finding:
    row = Finding.empty(check=check, system="s", role="audited", sample=sample, unit="relative ℓ2", metric="m",
                        better="lower", level=0.02)
    return dataclasses.replace(row, **changes)


ROWS = (
    finding(normal=0.1, average=0.2, average_low=0.15, average_high=0.25, worst=1 / 3, size=0.02, control_size=0.02,
            controls=4, gain=2.5, control_gain=1.0, forward=40, backward=20, stop=Stop.BUDGET,
            flags=(Flag(id="raised", detail="ℓ₂ \n «x»"), Flag(id="b")), extra={"psnr.worst": 21.5, "a": -1e-300},
            notes="ünï"),
    finding(sample="2", worst=None, notes=""),
    finding(sample="2", origin="t", origin_sample="1", level=None, worst=5e-324),
)


def filled(path: Path) -> AuditFolder:
    """A sealed audit of two units, the first with a witness and a picture."""
    folder = AuditFolder.create(path, HEADER, PLAN)
    folder.write_unit("c~s~00000", ROWS, {"s|1|0.02": np.arange(6, dtype=np.complex64).reshape(2, 3)},
                      {"s|1|0.02|worst:s": np.ones((2, 2), np.float16)})
    folder.write_unit("d~s~00000", [finding("d")], {}, {})
    folder.log(event="done", time=1.5)
    folder.seal()
    return folder


def test_round_trip(tmp_path):
    folder = AuditFolder(filled(tmp_path / "audit").path)
    found = folder.findings()
    assert found[0].witness == "witnesses/c~s~00000.safetensors#s|1|0.02"
    assert [dataclasses.replace(f, witness=None) for f in found] == [*ROWS, finding("d")]
    assert folder.done == (2, 2) and folder.skipped == PLAN["skipped"]
    assert folder.header == {"format": 1, **HEADER} and folder.plan == PLAN
    (check, tensors), = folder.witnesses()
    assert check == "c" and tensors["s|1|0.02"].dtype == np.complex64
    assert np.array_equal(tensors["s|1|0.02"], np.arange(6, dtype=np.complex64).reshape(2, 3))
    (check, pictures), = folder.exhibits()
    assert check == "c" and list(pictures) == ["s|1|0.02|worst:s"]


def test_rows_come_in_the_order_of_the_plan(tmp_path):
    folder = AuditFolder.create(tmp_path, HEADER, PLAN)
    folder.write_unit("d~s~00000", [finding("d")], {}, {})
    assert folder.done == (1, 2) and folder.has("d~s~00000") and not folder.has("c~s~00000")
    folder.write_unit("c~s~00000", ROWS, {}, {})
    assert [f.check for f in folder.findings()] == ["c", "c", "c", "d"]


def test_an_empty_audit_has_an_empty_table(tmp_path):
    folder = AuditFolder.create(tmp_path, HEADER, PLAN)
    assert folder.findings() == [] and folder.table().num_rows == 0 and folder.table().schema.names[0] == "check"


def test_equal_audits_have_equal_digests_and_the_log_does_not_count(tmp_path):
    first, second = filled(tmp_path / "a"), filled(tmp_path / "b")
    second.log(event="later", time=9.0)
    (second.path / "report.html").write_text("x")
    assert first.manifest_digest == second.manifest_digest == second.seal()
    canonical = json.dumps(second.hash_files(), sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(canonical).hexdigest() == second.manifest_digest


def test_the_hash_is_that_of_the_standard_library(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def reports_every_changed_byte(folder: AuditFolder, hashes) -> None:
    """For each hashed file: first, middle and last byte changed, cut short, removed, and a file added."""
    sealed = dict(folder.manifest)
    assert len(sealed) == 6 and hashes() == sealed
    for name in sealed:
        path = folder.path / name
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
            assert [n for n in sealed if hashes()[n] != sealed[n]] == [name]
        path.write_bytes(whole[:-1])
        assert hashes()[name] != sealed[name]
        path.unlink()
        assert set(sealed) - set(hashes()) == {name}
        path.write_bytes(whole)
    added = folder.path / "parts" / "extra.parquet"
    added.write_bytes(b"")
    assert set(hashes()) - set(sealed) == {"parts/extra.parquet"}
    added.unlink()


def test_one_changed_byte_in_any_hashed_file_is_reported(tmp_path):
    folder = filled(tmp_path)
    reports_every_changed_byte(folder, folder.hash_files)


def test_a_hash_of_sizes_or_of_parts_alone_is_caught(tmp_path):
    folder = filled(tmp_path)
    sealed = dict(folder.manifest)

    def by_size() -> dict[str, str]:
        return {n: sealed.get(n, "") if n in sealed and (folder.path / n).stat().st_size == sizes[n] else "changed"
                for n in folder.hash_files()}

    sizes = {n: (folder.path / n).stat().st_size for n in sealed}
    with pytest.raises(AssertionError):
        reports_every_changed_byte(folder, by_size)

    folder = filled(tmp_path / "again")
    with pytest.raises(AssertionError):
        reports_every_changed_byte(folder, lambda: {n: h if n.startswith("parts") else folder.manifest[n]
                                                    for n, h in folder.hash_files().items()})


def test_what_a_killed_run_leaves_is_cleared_away_and_not_counted(tmp_path):
    folder = AuditFolder.create(tmp_path, HEADER, PLAN)
    leftovers = [tmp_path / "parts" / ".c~s~00000.parquet.4242.part", tmp_path / "witnesses" / ".x.77.part"]
    for leftover in leftovers:
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_bytes(b"PAR1 half")
    assert not folder.has("c~s~00000") and folder.findings() == []
    assert set(folder.hash_files()) == {"audit.json", "plan.json"}
    again = AuditFolder.create(tmp_path, HEADER, PLAN)
    again.clear_leftovers()
    assert not any(leftover.exists() for leftover in leftovers)
    assert again.done == (0, 2)


def test_a_kill_between_witness_and_part_repeats_the_unit(tmp_path, monkeypatch):
    folder = AuditFolder.create(tmp_path, HEADER, PLAN)

    class Killed(BaseException):
        pass

    def killed(path: Path, data: bytes) -> None:
        if path.suffix == ".parquet":
            raise Killed
        write_aside(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("assay.store.write_aside", killed)
        with pytest.raises(Killed):
            folder.write_unit("c~s~00000", ROWS, {"s|1|0.02": np.zeros(2)}, {})
    assert folder.done == (0, 2) and (tmp_path / "witnesses" / "c~s~00000.safetensors").exists()


def test_a_header_is_written_after_its_plan(tmp_path, monkeypatch):
    """So that a folder with a header always has a plan."""
    written = []
    monkeypatch.setattr("assay.store.write_aside", lambda path, data: written.append(path.name))
    AuditFolder.create(tmp_path, HEADER, PLAN)
    assert written == ["plan.json", "audit.json"]


@pytest.mark.parametrize("keep", [0, 4, 0.5, -1])
def test_truncated_files_are_named(tmp_path, keep):
    folder = filled(tmp_path)

    def cut(name: str) -> None:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])

    cut("parts/c~s~00000.parquet")
    with pytest.raises(StoreError, match=r"c~s~00000\.parquet: not a whole part .*; delete it"):
        folder.findings()
    cut("witnesses/c~s~00000.safetensors")
    with pytest.raises(StoreError, match=r"c~s~00000\.safetensors: not a whole safetensors file"):
        list(folder.witnesses())
    cut("manifest.json")
    with pytest.raises(StoreError, match=r"manifest\.json: not valid JSON"):
        _ = folder.manifest
    cut("plan.json")
    with pytest.raises(StoreError, match=r"plan\.json: not valid JSON"):
        folder.table()
    cut("audit.json")
    with pytest.raises(StoreError, match=r"audit\.json: not valid JSON"):
        AuditFolder.create(tmp_path, HEADER, PLAN)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("manifest.json", "[]", "expected a JSON object"), ("manifest.json", "{}", "'files' is missing"),
    ("manifest.json", '{"files": 3}', "'files' is missing"), ("audit.json", "\xff", "not valid JSON"),
])
def test_json_of_another_kind_is_named(tmp_path, name, text, words):
    folder = filled(tmp_path)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=words):
        _ = folder.manifest if name == "manifest.json" else folder.header


def test_a_part_of_another_kind_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = filled(tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "parts" / "c~s~00000.parquet")
    with pytest.raises(StoreError, match=r"parts: not findings \(Finding"):
        folder.findings()


def test_a_folder_without_an_audit_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"is .* the folder of an audit\?"):
        _ = AuditFolder(tmp_path / "nowhere").header


def test_another_audits_folder_is_refused_and_left_alone(tmp_path):
    before = filled(tmp_path).hash_files()
    with pytest.raises(StoreError, match=r"another audit \(seed differs\); choose another --out"):
        AuditFolder.create(tmp_path, {**HEADER, "seed": 1}, PLAN)
    with pytest.raises(StoreError, match="name, profile differs"):
        AuditFolder.create(tmp_path, {**HEADER, "name": "b", "profile": {"id": "q"}}, PLAN)
    assert AuditFolder(tmp_path).hash_files() == before
    assert AuditFolder.create(tmp_path, HEADER, PLAN).hash_files() == before


NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_with(error: OSError):
    def fail(*_: object) -> None:
        raise error
    return fail


def full_disk_leaves_nothing_half_written(write, folder: AuditFolder, monkeypatch, where: tuple[object, str]) -> None:
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(*where, fails_with(NO_SPACE))
        with pytest.raises(DiskFullError, match=r"no space left .* run the same command again"):
            write(folder)
    after = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    assert after == before
    write(folder)
    assert folder.done == (1, 2)


PLACES = [(os, "fsync"), (Path, "replace")]


@pytest.mark.parametrize("where", PLACES, ids=["fsync", "replace"])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, monkeypatch, where):
    folder = AuditFolder.create(tmp_path, HEADER, PLAN)
    full_disk_leaves_nothing_half_written(lambda f: f.write_unit("c~s~00000", ROWS, {}, {}), folder, monkeypatch, where)


def test_writing_in_place_is_caught(tmp_path, monkeypatch):
    def in_place(folder: AuditFolder) -> None:
        path = folder.path / "parts" / "c~s~00000.parquet"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(b"x")
            try:
                os.fsync(file.fileno())
            except OSError as error:
                raise DiskFullError(f"no space left {error}; run the same command again") from error

    folder = AuditFolder.create(tmp_path, HEADER, PLAN)
    with pytest.raises(AssertionError):
        full_disk_leaves_nothing_half_written(in_place, folder, monkeypatch, PLACES[0])


def test_other_troubles_of_the_disk_are_not_called_full(tmp_path, monkeypatch):
    folder = AuditFolder.create(tmp_path, HEADER, PLAN)
    monkeypatch.setattr(os, "fsync", fails_with(PermissionError(errno.EACCES, "no")))
    with pytest.raises(PermissionError):
        folder.seal()
    assert not list(tmp_path.rglob(".*.part"))


def test_witness_names_tell_samples_levels_and_sources_apart():
    rows = [vars(finding()), vars(finding(sample="2", origin_sample="2")), vars(finding(level=0.05)),
            vars(finding(level=None)), vars(finding(origin="t")), vars(finding(origin_sample="2"))]
    assert len({witness_key(row) for row in rows}) == len(rows)
    assert witness_key(rows[0]) == "s|1|0.02" and witness_key(rows[-1]) == "s|1|0.02|2"
