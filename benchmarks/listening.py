"""What the benchmarks of sounds share: which systems and clips, and a check of `research` asked of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.audits.session import check_from
from assay.checks.check import Bench, Check, run_check
from assay.datasets.sounds import LabelledSounds, bundled_commands, load_sounds
from assay.profiles.load import load
from assay.records import Finding
from assay.systems import catalogue
from assay.systems.metered import Metered

SYSTEMS = ("commands-res8", "commands-ctc", "commands-cepstra")
Rows = Callable[[str, LabelledSounds, argparse.Namespace], None]


def asked(check_id: str, name: str, data: LabelledSounds, options: argparse.Namespace,
          batch: int) -> tuple[Check, int, list[Finding]]:
    """The check with `options.steps` steps, how many clips it was asked of (spread over the data), and its rows."""
    check = check_from(next(c for c in load("research", task="sound")["checks"] if c["id"] == check_id))
    check = replace(check, search={**check.search, "steps": options.steps})
    system = loaded(name, options)
    bench = Bench(systems={name: Metered(system, name=name)}, roles={name: "audited"}, seed=0, families={}, fetch=data.fetch,
                  count=len(data.ids), classes=data.classes)
    positions = evenly(data, options.clips)
    found: list[Finding] = []
    for start in range(0, len(positions), batch):
        found += run_check(check, name, bench, data.fetch(positions[start: start + batch])).findings
    return check, len(positions), found


def loaded(name: str, options: argparse.Namespace) -> Any:
    return catalogue.load(name, role="audited", weights=options.weights if options.data else None).system


def evenly(data: LabelledSounds, clips: int) -> list[int]:
    """Places of at most so many clips, at even distances."""
    count = min(clips, len(data.ids))
    return [i * len(data.ids) // count for i in range(count)]


def parser(description: str, *, clips: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--clips", type=int, default=clips)
    made.add_argument("--data", type=Path, help="a folder of recordings, for the published network")
    made.add_argument("--weights", type=Path, help="its weights")
    return made


def each(rows: Rows, options: argparse.Namespace) -> None:
    """The rows of the published network on the user's recordings, or of the systems that ship on the bundled ones."""
    if options.data:
        rows("res8", load_sounds(options.data), options)
        return
    for name in SYSTEMS:
        rows(name, bundled_commands("held-out"), options)
