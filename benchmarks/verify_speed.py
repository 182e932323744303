"""How long `assay verify --no-replay` and `assay report` take: to start, and on an audit of many findings.

    python benchmarks/verify_speed.py [--findings 10000] [--runs 5]

Start: the whole process of `assay verify --help` and `assay report --help`, and the import of all modules that their work
needs, neither torch nor pandas nor scipy among them. Wanted: at most 0.3 s. Work: an audit made of formulas on disk (the
research profile, a network and an established method, four samples in a unit, so hundreds of parts), with report and label.
Wanted: verify in at most 5 s without a replay. Wall-clock seconds, and seconds of processor time, which other work on the
machine disturbs less: least and median of the runs. A limit counts as kept by the least processor time.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from assay.api import Audit
from assay.profiles.load import load
from assay.records import DataRecord, Finding, Provenance, Role, Stop, SystemRecord, digest_of, to_data
from assay.store import AuditFolder

START, WORK = 0.3, 5.0
SYSTEMS: dict[str, Role] = {"network": "audited", "established": "established"}
SHARD = 4
NEEDED = ("assay.cli", "assay.api", "assay.verification", "assay.reports.warning_label", "assay.reports.html")


def rows(check: dict[str, Any], samples: tuple[str, ...], system: str) -> list[Finding]:
    """Plausible numbers: what is found grows with the level, and differs from sample to sample."""
    found = []
    origins = tuple(SYSTEMS) if check["method"] == "worst-case" else (system,)
    for sample in samples:
        jitter = 0.85 + 0.3 * (zlib.crc32(f"{check['id']}|{sample}|{system}".encode()) % 1000) / 999
        for level in check.get("levels") or (None,):
            for origin in origins:
                grown = (level or 0.1) * jitter * (5.0 if system == "network" else 1.3)
                found.append(Finding(
                    check=check["id"], system=system, role=SYSTEMS[system], sample=sample, origin=origin,
                    origin_sample=sample, level=level, unit=check.get("unit", ""), metric=check["metric"], better="lower",
                    normal=0.05 * jitter, average=0.05 * jitter + grown / 10, average_low=0.05, average_high=0.1 + grown,
                    worst=0.05 * jitter + grown, size=level, control_size=level, controls=4, gain=grown, control_gain=1.0,
                    forward=40, backward=20, stop=Stop.BUDGET, extra={"psnr.worst": 20.0 + jitter}))
    return found


def made(path: Path, wanted: int) -> Audit:
    """A sealed audit of at least so many findings, with report and label."""
    profile = load("research", budget="demo")
    checks = [check for check in profile["checks"] if check["method"] != "preflight"]
    each = sum(len(rows(check, ("s",), system)) for check in checks for system in SYSTEMS)
    samples = tuple(f"slice-{i:05d}" for i in range(-(-wanted // each)))
    shards = [samples[i: i + SHARD] for i in range(0, len(samples), SHARD)]
    units = [(f"{check['id']}~{system}~{i:05d}", check, system, part)
             for check in checks for system in SYSTEMS for i, part in enumerate(shards)]
    folder = AuditFolder.create(path, header(profile, samples), {
        "units": [{"id": name, "check": check["id"], "system": system, "samples": list(part)}
                  for name, check, system, part in units], "skipped": []})
    for name, check, system, part in units:
        found = rows(check, part, system)
        witnesses = {f"{f.origin}|{f.sample}|{f.level:.6g}": np.zeros(4, np.float32) for f in found if f.level and
                     f.origin == system}
        folder.write_unit(name, found, witnesses, {})
    folder.seal()
    audit = Audit(path)
    audit.write()
    return audit


def header(profile: dict[str, Any], samples: tuple[str, ...]) -> dict[str, Any]:
    systems = [SystemRecord(name=name, role=role, kind="network", description="made of formulas", digest=digest_of(name),
                            access=2, loader="") for name, role in SYSTEMS.items()]
    data = DataRecord(id="formulas", digest=digest_of(samples), n=len(samples), licence="none", simulated=True,
                      description="made of formulas", operator="none", noise=0.01,
                      samples={s: digest_of(s) for s in samples})
    facts = Provenance(tool_version="0.1.0", seed=0, versions={"python": sys.version.split()[0]}, commit="", dirty=False,
                       hardware="any", precision="float32")
    return {"name": "formulas", "profile": profile, "seed": 0, "shard": SHARD, "systems": to_data(systems),
            "data": to_data(data), "recipe": None, "choices": {}, "provenance": to_data(facts)}


def timed(words: list[str], runs: int) -> Iterator[tuple[float, float]]:
    """Wall-clock and processor seconds of a process, run so many times; it must end with 0."""
    for _ in range(runs + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        yield wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, words: list[str], runs: int, most: float) -> str:
    """A line of the table; the first run, which may read from the disk, does not count."""
    walls, cpus = zip(*list(timed(words, runs))[1:], strict=True)
    told = (f"{min(seconds):.2f} / {statistics.median(seconds):.2f}" for seconds in (walls, cpus))
    return f"| {' | '.join((name, *told, f'{most:g}', 'yes' if min(cpus) <= most else 'no'))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--findings", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    print("| | wall s, least / median | processor s, least / median | wanted at most | within (processor, least) |\n"
          "|---|---|---|---|---|")
    for command in ("verify", "report"):
        print(row(f"`assay {command} --help`", ["-m", "assay.cli", command, "--help"], asked.runs, START), flush=True)
    loads = f"import sys, {', '.join(NEEDED)}; sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'scipy')))"
    print(row("everything imported that they work with", ["-c", loads], asked.runs, START), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        audit = made(Path(folder) / "audit", asked.findings)
        name = f"{audit.findings.num_rows:,} findings in {audit.store.done[0]} parts"
        for words in (["verify", str(audit.folder), "--no-replay"], ["report", str(audit.folder)]):
            print(row(f"`assay {words[0]}`, {name}", ["-m", "assay.cli", *words], asked.runs, WORK), flush=True)


if __name__ == "__main__":
    main()
