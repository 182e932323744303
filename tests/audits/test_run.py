"""Audits from end to end: resumed, spread over processes, sharded, interrupted, verified, forged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

import small_audit
from assay import cli
from assay.api import Audit, verify
from assay.arrays import InputError
from assay.audits.executors import executor
from assay.audits.executors.processes import Processes
from assay.audits.executors.serial import Serial
from assay.audits.plan import make_plan
from assay.audits.run import run_audit
from assay.records import Finding, Outcome
from assay.reports import warning_label
from assay.store import FINDINGS, AuditFolder, DiskFullError, StoreError
from assay.verification import Claim
from replay_table import undeclared_in

TOLERANCE = 1e-5
NUMBERS = ("normal", "average", "average_low", "average_high", "worst", "size", "control_size", "gain", "control_gain")


@pytest.fixture(scope="module")
def toml(tmp_path_factory) -> str:
    return small_audit.profile(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def finished(toml, tmp_path_factory) -> Audit:
    """An uninterrupted audit with report and label. Read only: tests that change a folder copy it."""
    audit = small_audit.run(toml, tmp_path_factory.mktemp("finished") / "audit")
    audit.write()
    return audit


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


def assert_same_findings(one: list[Finding], two: list[Finding]) -> None:
    """The same rows in any order: keys, units, stops, flags and witnesses equal, numbers within the tolerance."""
    first, second = ({f.key: f for f in rows} for rows in (one, two))
    assert len(first) == len(one) and len(second) == len(two) and set(first) == set(second)
    for key, f in first.items():
        g = second[key]
        for name in NUMBERS:
            a, b = getattr(f, name), getattr(g, name)
            assert (a is None) == (b is None) and (a is None or abs(a - b) <= TOLERANCE * max(1.0, abs(a))), (key, name)
        for name in ("role", "unit", "metric", "better", "controls", "stop", "notes"):
            assert getattr(f, name) == getattr(g, name), (key, name)
        assert [flag.id for flag in f.flags] == [flag.id for flag in g.flags]
        assert (f.witness is None) == (g.witness is None)


def test_unequal_findings_are_caught(finished):
    rows = finished.store.findings()
    assert_same_findings(rows, rows[::-1])
    changed = dataclasses.replace(rows[-1], worst=(rows[-1].worst or 0) + 3e-5)
    for other in (rows[:-1], [*rows[:-1], changed], [*rows, rows[0]],
                  [*rows[:-1], dataclasses.replace(rows[-1], witness=None)]):
        with pytest.raises(AssertionError):
            assert_same_findings(rows, other)


def test_every_planned_row_is_there(finished):
    rows = finished.store.findings()
    samples = finished.store.plan["units"][-1]["samples"]
    systems, expected = ("zero-filled", "tikhonov"), {("preflight", s, x, s, None) for s in ("zero-filled", "tikhonov")
                                                      for x in samples[:2]}
    levels = {"tiny-data": (0.02, 0.05), "noise": (0.05,), "structure": (0.25,), "local-gain": (None,)}
    for check, ladder in levels.items():
        expected |= {(check, s, x, o, v) for s in systems for o in systems for x in samples for v in ladder}
    assert {(f.check, f.system, f.sample, f.origin, f.level) for f in rows} == expected
    assert len(rows) == len(expected) and len(samples) == 4
    assert all(f.witness for f in rows if f.check != "preflight")


def test_a_linear_systems_worst_case_is_its_exact_gain(finished):
    """Zero-filled has ‖Aᴴ‖ = 1, Tikhonov 1/(1 + λ): the searches must come within 1 %, and never above."""
    weight = next(s["options"]["weight"] for s in finished.header["systems"] if s["name"] == "tikhonov")
    exact = {"zero-filled": 1.0, "tikhonov": 1 / (1 + weight)}
    rows = [f for f in finished.store.findings() if f.origin == f.system and f.check in ("tiny-data", "local-gain")]
    assert len(rows) == 2 * 4 * 3
    for f in rows:
        assert 0.99 * exact[f.system] <= f.gain <= exact[f.system] * (1 + 1e-5), f.key
        assert f.size is None or f.size == pytest.approx(f.level, rel=1e-4)


def test_worst_is_never_better_than_average_or_less_than_its_own_level_below(finished):
    rows = [f for f in finished.store.findings() if f.origin == f.system and f.check == "tiny-data"]
    for f in rows:
        assert f.worst >= f.average_high - 1e-6 and f.average_low <= f.average <= f.average_high
    by_level = {level: {(f.system, f.sample): f.worst for f in rows if f.level == level} for level in (0.02, 0.05)}
    assert all(by_level[0.05][k] >= by_level[0.02][k] for k in by_level[0.02])


def test_verdicts_of_linear_systems(finished):
    found = {(v.check, v.system): v for v in finished.verdicts}
    assert set(found) == {(c, s) for c in small_audit.CHECKS if c != "preflight" for s in ("zero-filled", "tikhonov")}
    assert found["tiny-data", "zero-filled"].outcome is Outcome.NONE_FOUND
    assert all(v.n == 4 and v.witnesses > 0 for v in found.values())


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


SLOWED = """
import random, sys, time
import torch
torch.set_num_threads(1)
from assay.audits import run
from assay.audits.executors import serial
plain = run.run_unit
def slowed(*arguments):
    time.sleep(0.05 * random.random())
    return plain(*arguments)
serial.run_unit = slowed
from assay.cli import main
main()
"""


def start(toml: str, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLOWED, *small_audit.words(toml, out)], env=environment(),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_after(process: subprocess.Popen[bytes], out: Path, parts: int, delay: float) -> None:
    """kill -9 `delay` seconds after so many units are finished."""
    end = time.monotonic() + 60
    while len(list((out / "parts").glob("*.parquet"))) < parts and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_an_audit_killed_three_times_and_resumed_is_the_same_audit(toml, finished, tmp_path):
    out, rng = tmp_path / "killed", random.Random()      # really random: any moment must do
    seen = []
    for parts in (0, 2, 5):
        kill_after(start(toml, out), out, parts, delay := rng.uniform(0, 0.1))
        seen.append((delay, len(list((out / "parts").glob("*.parquet")))))
        assert not (out / "manifest.json").exists(), seen
    small_audit.run(toml, out)
    assert AuditFolder(out).manifest_digest == finished.store.manifest_digest, seen
    assert_same_findings(AuditFolder(out).findings(), finished.store.findings())
    assert not list(out.rglob(".*.part"))


def test_a_resumed_audit_runs_only_what_is_missing_and_another_seed_is_noticed(toml, finished, copy):
    digest, untouched = finished.store.manifest_digest, {}
    for path in sorted((copy / "parts").iterdir())[3:6]:
        path.unlink()
    untouched = {p.name: p.stat().st_mtime_ns for p in (copy / "parts").iterdir()}
    seen = []
    run_audit(small_audit.session(toml), copy, executor=Serial(), watch=seen.append)
    assert [(p.done, p.total) for p in seen] == [(8, 10), (9, 10), (10, 10)]
    assert all((copy / "parts" / name).stat().st_mtime_ns == when for name, when in untouched.items())
    assert AuditFolder(copy).manifest_digest == digest
    with pytest.raises(StoreError, match="another audit"):
        small_audit.run(toml, copy, seed=1)


@pytest.mark.slow
def test_one_process_and_two_give_equal_findings(toml, finished, tmp_path):
    run_audit(small_audit.session(toml), tmp_path / "two", executor=Processes(2))
    two = AuditFolder(tmp_path / "two")
    assert two.plan == finished.store.plan and two.header == finished.header
    assert set(two.manifest) == set(finished.store.manifest)
    assert_same_findings(two.findings(), finished.store.findings())


def test_systems_made_in_memory_cannot_be_spread_over_processes(toml, tmp_path):
    session = dataclasses.replace(small_audit.session(toml), recipe=None)
    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        run_audit(session, tmp_path, executor=Processes(2))


def test_units_of_one_sample_or_of_four_give_equal_findings(toml, finished, tmp_path):
    one = small_audit.run(toml, tmp_path, shard=1)
    assert one.store.done == (36, 36)
    assert_same_findings(one.store.findings(), finished.store.findings())


@pytest.mark.parametrize("batch", [1, 3])
def test_samples_computed_at_once_change_no_file_of_the_plan_and_no_finding(toml, finished, tmp_path, batch):
    run_audit(small_audit.session(toml), tmp_path, executor=Serial(batch))
    one = AuditFolder(tmp_path)
    assert set(one.manifest) == set(finished.store.manifest)
    for name in ("audit.json", "plan.json"):
        assert one.manifest[name] == finished.store.manifest[name]
    assert_same_findings(one.findings(), finished.store.findings())


def test_a_batch_of_none_is_refused():
    with pytest.raises(InputError, match="at least one process and one sample at once"):
        executor(1, 0)


def main(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["assay", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code)


def interrupted_at(unit: int, error: BaseException):
    """run_unit, but the so-many-th call is interrupted while it writes."""
    from assay.audits import run

    calls, plain = [], run.run_unit

    def unit_run(*arguments):
        calls.append(1)
        if len(calls) == unit:
            raise error
        return plain(*arguments)
    return unit_run


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DiskFullError("x: no space left on the device")])
def test_an_interrupted_audit_says_3_and_is_resumed(toml, finished, tmp_path, monkeypatch, capsys, error):
    with monkeypatch.context() as patch:
        patch.setattr("assay.audits.executors.serial.run_unit", interrupted_at(3, error))
        assert main(monkeypatch, *small_audit.words(toml, tmp_path / "a")) == 3
    told = capsys.readouterr().err
    assert ("resume" in told) if isinstance(error, KeyboardInterrupt) else ("no space left" in told)
    assert AuditFolder(tmp_path / "a").done == (2, 10)
    assert main(monkeypatch, *small_audit.words(toml, tmp_path / "a")) == 0
    assert AuditFolder(tmp_path / "a").manifest_digest == finished.store.manifest_digest


def test_two_processes_on_one_folder_are_kept_apart(toml, copy):
    import fcntl

    (copy / "parts" / ".x.1.part").write_bytes(b"in flight")
    with (copy / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(StoreError, match="another process is running this audit"):
            small_audit.run(toml, copy)
        assert (copy / "parts" / ".x.1.part").exists(), "the other process's file was taken from it"
    small_audit.run(toml, copy)
    assert not (copy / "parts" / ".x.1.part").exists()


# --- verify ----------------------------------------------------------------------------------------------------------

def failing(claims: list[Claim]) -> list[str]:
    return [f"{c.claim}: {c.detail}" for c in claims if not c.holds]


def test_every_claim_of_a_finished_audit_holds(finished, monkeypatch, capsys):
    claims = verify(finished.folder, everything=True)
    assert failing(claims) == [] and len(claims) == 12
    assert claims[-1].detail.startswith("80 numbers") and undeclared_in(finished) == set()
    assert main(monkeypatch, "verify", str(finished.folder)) == 0
    assert main(monkeypatch, "verify", str(finished.folder / "warning_label.json"), "--no-replay") == 0
    assert "holds" in capsys.readouterr().err


def flip(path: Path, place: float) -> None:
    whole = bytearray(path.read_bytes())
    whole[int(place * (len(whole) - 1))] ^= 1
    path.write_bytes(bytes(whole))


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["witnesses/tiny-data~zero-filled~00000.safetensors",
                                  "parts/structure~tikhonov~00000.parquet", "audit.json"])
def test_one_changed_byte_fails_and_names_the_claim(copy, monkeypatch, capsys, name, place):
    flip(copy / name, place)
    assert main(monkeypatch, "verify", str(copy)) == 1
    told = capsys.readouterr().err
    assert "FAILS  files are those of the manifest" in told and f"{name}: bytes differ" in told


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_one_changed_byte_of_the_label_fails(copy, monkeypatch, capsys, place):
    flip(copy / "warning_label.json", place)
    assert main(monkeypatch, "verify", str(copy), "--no-replay") == 1
    assert "label" in capsys.readouterr().err


@pytest.mark.parametrize("place", [0.3, 0.9])
def test_a_changed_manifest_fails(copy, monkeypatch, capsys, place):
    flip(copy / "manifest.json", place)
    assert main(monkeypatch, "verify", str(copy)) in (1, 2)
    assert "manifest" in capsys.readouterr().err


def issued_again(copy: Path, *, issued: datetime | None = None, change=None) -> None:
    """A label built from the folder, or one whose numbers were changed and whose digest was computed again."""
    audit = Audit(copy)
    label = warning_label.build(audit.store, audit.verdicts, issued=issued or datetime.now(UTC))
    if change is not None:
        change(label)
        bare = {key: value for key, value in label.items() if key != "digest"}
        label["digest"]["sha256"] = hashlib.sha256(warning_label.canonical(bare)).hexdigest()
    (copy / "warning_label.json").write_bytes(warning_label.canonical(label))
    for name, content in warning_label.drawn(label).items():
        (copy / name).write_bytes(content)
    audit.report()


@pytest.mark.parametrize("name", ["report.html", "warning_label.svg", "warning_label.png", "warning_label.txt"])
def test_a_report_or_drawing_with_one_byte_changed_fails(copy, monkeypatch, capsys, name):
    flip(copy / name, 0.5)
    assert main(monkeypatch, "verify", str(copy), "--no-replay") == 1
    told = capsys.readouterr().err
    assert "FAILS  report and drawings" in told and f"{name}: bytes differ" in told


def test_a_drawing_that_says_otherwise_fails(copy):
    path = copy / "warning_label.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("NONE FOUND", "SAFE").replace("CAUTION", "NONE FOUND"),
                    encoding="utf-8")
    assert len(failing(verify(copy, replay=False))) == 1


def test_a_label_of_other_findings_fails(copy):
    (copy / "exhibits" / "noise~tikhonov~00000.safetensors").unlink()
    AuditFolder(copy).seal()
    told = failing(verify(copy))
    assert len(told) == 1 and "label" in told[0] and "audit_digest" in told[0]


@pytest.mark.parametrize("section", ["results", "evidence", "headline"])
def test_a_label_forged_with_its_digest_fails(copy, section):
    def change(label: dict) -> None:
        if section == "results":
            label["results"]["worst_case"]["value"] *= 0.5
        elif section == "evidence":
            label["evidence"]["budget"]["forward"] += 1
        else:
            label["headline"]["hazard"] = "All is well."

    issued_again(copy)
    assert failing(verify(copy, replay=False)) == []
    issued_again(copy, change=change)
    told = failing(verify(copy, replay=False))
    assert len(told) == 1 and section in told[0]


def test_a_label_that_has_expired_is_told(copy):
    issued_again(copy, issued=datetime.now(UTC) - timedelta(days=366))
    assert [c.claim for c in verify(copy, replay=False) if not c.holds] == ["the label has not expired"]


def rewritten(copy: Path, change) -> Path:
    """The forger's way: rows changed, the part written anew, the manifest and the label computed again."""
    path = copy / "parts" / "tiny-data~zero-filled~00000.parquet"
    rows = pq.read_table(path).to_pylist()
    assert sum(change(row) for row in rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), path)
    AuditFolder(copy).seal()
    issued_again(copy)
    return copy


def forge(field: str, factor: float, level: float = 0.02):
    def change(row: dict) -> bool:
        chosen = row["level"] == level and row["origin"] == row["system"]
        if chosen:
            row[field] *= factor
        return chosen
    return change


@pytest.mark.parametrize("factor", [0.2, 0.98, 1.02, 10.0])
def test_a_forged_worst_case_is_caught_by_replay(copy, factor):
    folder = rewritten(copy, forge("worst", factor))
    told = failing(verify(folder))
    assert len(told) == 1 and told[0].startswith("replayed witnesses give the recorded numbers: tiny-data, zero-filled")
    assert failing(verify(folder, replay=False)) == [], "hashes alone cannot see it: replay must"


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("field", ["normal", "average", "gain", "control_gain"])
def test_a_forged_value_that_the_criterion_compares_with_is_caught_by_replay(copy, field, factor):
    """Raising what a worst case is compared with would hide the harm."""
    told = failing(verify(rewritten(copy, forge(field, factor))))
    assert any("tiny-data, zero-filled" in claim and field in claim for claim in told)


def test_one_forged_row_at_a_level_that_is_not_judged_is_caught_when_everything_is_replayed(copy):
    seen = []

    def change(row: dict) -> bool:
        first = row["level"] == 0.05 and row["origin"] == row["system"] and not seen
        if first:
            seen.append(row["sample"])
            row["worst"] *= 0.5
        return first

    assert any(seen[0] in told for told in failing(verify(rewritten(copy, change), everything=True)))


def resealed(copy: Path) -> Path:
    AuditFolder(copy).seal()
    issued_again(copy)
    return copy


def test_a_forged_witness_is_caught_by_replay(copy):
    path = copy / "witnesses" / "tiny-data~zero-filled~00000.safetensors"
    tensors = load_file(path)
    save_file({name: np.ascontiguousarray(-value) for name, value in tensors.items()}, path)
    assert "replayed witnesses" in failing(verify(resealed(copy)))[0]


def test_a_witness_larger_than_it_says_is_caught(copy):
    """A greater perturbation with its greater harm, recorded under the small level."""
    path = copy / "witnesses" / "tiny-data~zero-filled~00000.safetensors"
    tensors = load_file(path)
    small, large = "zero-filled|{}|0.02", "zero-filled|{}|0.05"
    samples = {name.split("|")[1] for name in tensors}
    save_file({**tensors, **{small.format(s): tensors[large.format(s)].copy() for s in samples}}, path)
    greater = {(r.system, r.sample): r.worst for r in AuditFolder(copy).findings()
               if r.check == "tiny-data" and r.origin == "zero-filled" and r.level == 0.05}

    def change(row: dict) -> bool:
        if row["level"] == 0.02:
            row["worst"], row["size"] = greater[row["system"], row["sample"]], 0.05
        return row["level"] == 0.02

    told = failing(verify(rewritten(copy, change)))
    assert len(told) == 1 and "a witness of size 0.05 at level 0.02" in told[0]


def test_a_row_whose_witness_was_taken_away_is_named(copy):
    (copy / "witnesses" / "tiny-data~zero-filled~00000.safetensors").unlink()
    with pytest.raises(StoreError, match="witness is missing"):
        verify(resealed(copy))


def test_an_unfinished_audit_is_told(copy):
    (copy / "parts" / "noise~tikhonov~00000.parquet").unlink()
    assert any("9 of 10" in told for told in failing(verify(resealed(copy))))


def test_a_system_that_is_not_the_audited_one_is_told(copy):
    header = json.loads((copy / "audit.json").read_text())
    header["systems"][0]["digest"] = "00" * 32
    (copy / "audit.json").write_text(json.dumps(header))
    assert any(t.startswith("zero-filled is the system that was audited") for t in failing(verify(resealed(copy))))


# --- plan ------------------------------------------------------------------------------------------------------------

def test_what_does_not_apply_is_planned_as_such_with_its_reason(toml):
    from assay.records import Access
    from assay.systems.catalogue import adopt
    from assay.systems.function import FunctionSystem

    session = small_audit.session(toml)
    blind = adopt(FunctionSystem(session.data.operator.adjoint, name="blind", access=Access.SCORE), role="audited")
    plan = make_plan(dataclasses.replace(session, systems=[blind, *session.systems[1:]], recipe=None))
    assert [(s["check"], s["system"]) for s in plan.skipped] == [("local-gain", "blind")]
    assert "gradients" in plan.skipped[0]["reason"]
    assert len({u.id for u in plan.units}) == len(plan.units) == 9
