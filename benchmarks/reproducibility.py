"""The same audit in other ways: batches of 1 and of 8, two processes, killed with -9 three times and resumed.

    python benchmarks/reproducibility.py [--limit 8]

The deep cascade against total variation on bundled 48×48 slices, all checks of the profile `research` at demo budget, one
thread per process. Each way is compared with one plain run: are the rows the same (check, system, sample, level, flags,
stop reasons), how far do their numbers differ, is the manifest's digest the same? Batches of another size round otherwise,
so their findings agree to the declared tolerance only and their manifests name the same files with the same plan; the
other ways must have the same digest.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.run import run_audit
from assay.records import Finding
from assay.store import AuditFolder

TOLERANCE = 2e-3            # declared: what `assay verify` allows
NUMBERS = ("normal", "average", "worst", "size", "control_size", "gain")
RUN = """
import json, sys
from pathlib import Path
from assay.audits.executors.processes import Processes
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.run import run_audit
words, out, count = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if __name__ == "__main__":
    run_audit(session_from(Recipe(**words)), out, executor=Serial() if count == 1 else Processes(count))
"""


def started(script: Path, words: dict[str, object], out: Path, processes: int = 1) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(script), json.dumps(words), str(out), str(processes)])


def killed(script: Path, words: dict[str, object], out: Path) -> list[int]:
    """Start and kill -9 three times, each later than the one before, then finish; units done at each kill."""
    done = []
    for parts in (0, 5, 12):
        process = started(script, words, out)
        while len(list((out / "parts").glob("*.parquet"))) < parts and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done.append(len(list((out / "parts").glob("*.parquet"))))
    started(script, words, out).wait()
    return done


def structure(row: Finding) -> tuple[object, ...]:
    return (*row.key, row.unit, row.metric, row.role, row.controls, str(row.stop), tuple(flag.id for flag in row.flags))


def compare(name: str, reference: AuditFolder, other: AuditFolder, *, same_bits: bool) -> bool:
    """One line: structure, greatest relative difference of the numbers, manifest."""
    ours, theirs = ({row.key: row for row in folder.findings()} for folder in (reference, other))
    same = ours.keys() == theirs.keys() and all(structure(ours[k]) == structure(theirs[k]) for k in ours)
    gap, where = 0.0, ""
    for key in ours.keys() & theirs.keys():
        for field in NUMBERS:
            a, b = getattr(ours[key], field), getattr(theirs[key], field)
            if a is not None and b is not None and abs(a - b) > gap * max(abs(a), 1e-6):
                gap, where = abs(a - b) / max(abs(a), 1e-6), f"{key[0]} {field}"
    digest = reference.manifest_digest == other.manifest_digest
    plan = set(reference.manifest) == set(other.manifest) and all(
        reference.manifest[file] == other.manifest[file] for file in ("audit.json", "plan.json"))
    good = same and gap <= TOLERANCE and plan and (digest or not same_bits)
    manifest = "same" if digest else "same files" if plan and not same_bits else "DIFFERS"
    print(f"{name:34}{len(theirs):6}  {'same' if same else 'DIFFER':8}{gap:10.1e}  {where:24}{manifest:12}"
          f"{'ok' if good else 'MISSED'}", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    words: dict[str, object] = {"systems": ["deep-cascade"], "size": 48, "limit": options.limit, "budget": "demo"}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        top, script = Path(folder), Path(folder, "run.py")
        script.write_text(RUN, encoding="utf-8")
        started(script, words, top / "plain").wait()
        plain = AuditFolder(top / "plain")
        print(f"{'':34}{'rows':>6}  {'rows are':8}{'numbers':>10}  {'at':24}{'manifest':12}")
        good = []
        for count in (1, 8):
            session = dataclasses.replace(session_from(Recipe(**words)), shard=8)     # type: ignore[arg-type]
            run_audit(session, top / f"batch{count}", executor=Serial(count))
        good.append(compare("batches of 8 against 1", AuditFolder(top / "batch1"), AuditFolder(top / "batch8"),
                            same_bits=False))
        started(script, words, top / "two", processes=2).wait()
        good.append(compare("two processes against one", plain, AuditFolder(top / "two"), same_bits=True))
        done = killed(script, words, top / "killed")
        units = len(plain.plan["units"])
        good.append(compare(f"killed at {', '.join(map(str, done))} of {units} units", plain, AuditFolder(top / "killed"),
                            same_bits=True))
    print(f"{options.limit} slices, {units} units; {time.perf_counter() - start:.0f} s")
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
