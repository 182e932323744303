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

from assay.datasets.sounds import LabelledSounds
from listening import asked, each, parser

BATCH = 10


def rows(name: str, data: LabelledSounds, options: argparse.Namespace) -> None:
    check, count, found = asked("over-the-air", name, data, options, BATCH)
    print(f"\n{name}, {count} clips, {options.steps} steps\n")
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
    words = parser(__doc__ or "", clips=20)
    words.add_argument("--steps", type=int, default=200)
    each(rows, words.parse_args())


if __name__ == "__main__":
    main()
