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

import torch

from assay.datasets.sounds import LabelledSounds
from assay.numerics.intervals import wilson
from assay.records import Finding
from listening import asked, each, parser

BATCH = 20


def rows(name: str, data: LabelledSounds, options: argparse.Namespace) -> None:
    start = time.perf_counter()
    check, count, found = asked("masked", name, data, options, BATCH)
    print(f"\n{name}: {count} clips, {options.steps} steps, {time.perf_counter() - start:.0f} s\n")
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
    words = parser(__doc__ or "", clips=100)
    words.add_argument("--steps", type=int, default=40)
    torch.set_num_threads(1)
    each(rows, words.parse_args())


if __name__ == "__main__":
    main()
