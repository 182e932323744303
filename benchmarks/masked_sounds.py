"""Words hidden below the masking threshold of a recording, beside noise of the same shape.

    python benchmarks/masked_sounds.py [--clips 100]
    python benchmarks/masked_sounds.py --data FOLDER --weights res8.pt [--clips 100]

The check "masked" of the profile `research`. Per system and level (dB beside the threshold): the share of clips heard as the
word hidden in each, with Wilson's interval, and under random noise whose every coefficient is as loud; and of the sounds
found the median signal-to-noise ratio, and by how much what a file of 16 bits holds of them is above the threshold at most
(the median clip, and the worst). Clips that are wrong unchanged are left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from assay.audits.session import check_from
from assay.checks.check import Bench, run_check
from assay.datasets.sounds import LabelledSounds, bundled_commands, load_sounds
from assay.numerics.intervals import wilson
from assay.profiles.load import load
from assay.records import Finding
from assay.systems import catalogue
from assay.systems.metered import Metered

BATCH = 20


def rows(name: str, data: LabelledSounds, clips: int, steps: int, weights: Path | None) -> None:
    check = check_from(next(c for c in load("research", task="sound")["checks"] if c["id"] == "masked"))
    check = replace(check, search={**check.search, "steps": steps})
    system = catalogue.load(name, role="audited", weights=weights).system
    bench = Bench(systems={name: Metered(system, name=name)}, roles={name: "audited"}, seed=0, families={}, fetch=data.fetch,
                  count=len(data.ids), classes=data.classes)
    count = min(clips, len(data.ids))
    positions = [i * len(data.ids) // count for i in range(count)]
    start, found = time.perf_counter(), []
    for first in range(0, count, BATCH):
        found += run_check(check, name, bench, data.fetch(positions[first: first + BATCH])).findings
    print(f"\n{name}: {count} clips, {steps} steps, {time.perf_counter() - start:.0f} s\n")
    print("| beside the threshold | heard as the word | noise | signal-to-noise | stored, above it: median, worst |")
    print("|---|---|---|---|---|")
    for level in check.levels:
        at: list[Finding] = [f for f in found if f.level == level and f.worst is not None and not f.extra["already-wrong"]]
        hits = [f for f in at if f.worst == 1.0]
        low, high = wilson(len(hits), len(at))
        noise = statistics.fmean(f.average for f in at if f.average is not None)
        told = [statistics.median(f.extra["signal-to-noise.worst"] for f in hits or at)]
        above = [f.extra["above-threshold.worst"] for f in hits or at]
        print(f"| {level:+.0f} dB | {len(hits) / len(at):.0%} ({low:.0%}–{high:.0%}) of {len(at)} | {noise:.1%} | "
              f"{told[0]:.1f} dB | {statistics.median(above):+.1f}, {max(above):+.1f} dB |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data:
        rows("res8", load_sounds(options.data), options.clips, options.steps, options.weights)
        return
    for name in ("commands-res8", "commands-ctc", "commands-cepstra"):
        rows(name, bundled_commands("held-out"), options.clips, options.steps, None)


if __name__ == "__main__":
    main()
