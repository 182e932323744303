"""Words hidden in what is played in a room: searched for under random rooms, and without any, judged in rooms held out.

    python benchmarks/over_the_air.py [--clips 20] [--steps 200]
    python benchmarks/over_the_air.py --data FOLDER --weights res8.pt [--clips 20]

The check "over-the-air" of the profile `research`. Per system and loudness: the mean share of held-out rooms in which the
hidden word is heard, of a sound searched for under rooms, of one searched for without (as many steps), and of random noise
as loud; and of how many clips it is heard in at least half of the rooms. Rooms count in which the clip is heard rightly.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

from assay.audits.session import check_from
from assay.checks.check import Bench, run_check
from assay.datasets.sounds import LabelledSounds, bundled_commands, load_sounds
from assay.profiles.load import load
from assay.records import Finding
from assay.systems import catalogue
from assay.systems.metered import Metered

BATCH = 10


def rows(name: str, data: LabelledSounds, clips: int, steps: int, weights: Path | None) -> None:
    item = next(c for c in load("research", task="sound")["checks"] if c["id"] == "over-the-air")
    check = check_from(item)
    check = replace(check, search={**check.search, "steps": steps})
    system = catalogue.load(name, role="audited", weights=weights).system
    bench = Bench(systems={name: Metered(system, name=name)}, roles={name: "audited"}, seed=0, families={}, fetch=data.fetch,
                  count=len(data.ids), classes=data.classes)
    count = min(clips, len(data.ids))
    positions = [i * len(data.ids) // count for i in range(count)]
    found: list[Finding] = []
    for start in range(0, count, BATCH):
        found += run_check(check, name, bench, data.fetch(positions[start: start + BATCH])).findings
    print(f"\n{name}, {count} clips, {steps} steps\n")
    print("| at | searched under rooms | without | random noise | clips in most rooms: under rooms | without |")
    print("|---|---|---|---|---|---|")
    for level in check.levels:
        at = [f for f in found if f.level == level and f.worst is not None]
        under, still = [f.worst or 0.0 for f in at], [f.extra["still.worst"] for f in at]
        noise = [f.average for f in at if f.average is not None]
        means = [statistics.fmean(shares) for shares in (under, still, noise)]
        most = [sum(r >= 0.5 for r in shares) for shares in (under, still)]
        print(f"| {level:g} dB | {means[0]:.0%} | {means[1]:.0%} | {means[2]:.1%} | {most[0]} of {len(at)} | {most[1]} of "
              f"{len(at)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    if options.data:
        rows("res8", load_sounds(options.data), options.clips, options.steps, options.weights)
        return
    for name in ("commands-res8", "commands-ctc", "commands-cepstra"):
        rows(name, bundled_commands("held-out"), options.clips, options.steps, None)


if __name__ == "__main__":
    main()
