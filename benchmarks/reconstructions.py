"""Networks and established methods in one table: clean, average and worst case, gain, detail kept.

    python benchmarks/reconstructions.py [--slices 4] [--budget standard] [--steps N] [--restarts N] [--only NAME ...]

The checks `tiny-data` (1, 2, 5 %), `local-gain` and `structure` of the profile `research`, run by the audit's own code on
bundled slices. Every system is attacked through its own gradients with the same budget. Two settings: 128×128 with 33 %
Fourier lines, and 48×48 with 60 % of the coefficients at variable density, which is AUTOMAP's. The established methods
run in both, with weights chosen on slices that are not audited. A system without weights is skipped, and a line says so.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.checks.check import Check, run_check
from assay.records import Finding
from assay.systems.shipped import NETWORKS
from assay.systems.weights import SHIPPED

LEVELS = (0.01, 0.02, 0.05)
ESTABLISHED = ("total-variation", "wavelet")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One forward model with the networks that serve it."""

    title: str
    size: int
    mask: str
    fraction: float
    networks: tuple[str, ...]


SETTINGS = (
    Setting(title="128×128, 33 % lines", size=128, mask="lines", fraction=0.33,
            networks=("deep-cascade", "deep-cascade-jitter", "unet")),
    Setting(title="48×48, 60 % variable density", size=48, mask="variable-density", fraction=0.6,
            networks=("automap",)))


def available(names: Sequence[str]) -> list[str]:
    """The networks whose weights exist; the others get their line."""
    found = []
    for name in names:
        path = Path(str(SHIPPED / NETWORKS[name].weights))
        if path.is_file():
            found.append(name)
        else:
            print(f"SKIPPED {name}: no weights at {path.name}; train them with recipes/", flush=True)
    return found


def adjusted(check: Check, steps: int | None, restarts: int | None) -> Check:
    """The profile's check at this table's levels, with the budget a caller asked for."""
    if check.id == "tiny-data":
        changes = {"steps": steps, "restarts": restarts}
        search = {**check.search, **{k: v for k, v in changes.items() if v is not None}}
        return replace(check, levels=LEVELS, search=search, extra_metrics=("psnr",))
    return replace(check, levels=(0.25,)) if check.id == "structure" else check


def findings_of(setting: Setting, words: argparse.Namespace) -> dict[str, list[Finding]]:
    """Rows of every system of a setting, each system alone on its bench."""
    networks = [name for name in available(setting.networks) if not words.only or name in words.only]
    established = [name for name in ESTABLISHED if not words.only or name in words.only]
    if not networks and not established:
        return {}
    # established methods only: one of them stands in the audited place, so that its weight is tuned all the same
    recipe = Recipe(systems=networks or ("zero-filled",), established=tuple(established), size=setting.size,
                    mask=setting.mask, fraction=setting.fraction, noise=words.noise, budget=words.budget)
    session = session_from(recipe)
    bench, checks = session.bench(), session.checks()
    count = len(session.data.ids)
    positions = sorted({round(i * (count - 1) / max(1, words.slices - 1)) for i in range(min(words.slices, count))})
    rows: dict[str, list[Finding]] = {}
    for name in (*networks, *established):
        alone = replace(bench, systems={name: bench.systems[name]}, exhibits=frozenset())
        start, rows[name] = time.perf_counter(), []
        for position in positions:
            x = session.data.fetch((position,))
            for wanted in ("tiny-data", "structure", "local-gain"):
                check = adjusted(checks[wanted], words.steps, words.restarts)
                rows[name] += run_check(check, name, alone, x).findings
        print(f"  {name}: {len(positions)} slices, {time.perf_counter() - start:.0f} s", flush=True)
    for name, choice in session.choices.items():
        print(f"  {name}: weight {choice.get('weight', 'default')} ({choice['how']})", flush=True)
    return rows


def mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else float("nan")


def line(name: str, rows: Sequence[Finding]) -> str:
    tiny = [row for row in rows if row.check == "tiny-data"]
    detail = [row for row in rows if row.check == "structure"]
    local = [row.gain for row in rows if row.check == "local-gain" and row.gain is not None]
    cells = [f"{mean([row.extra.get('psnr.normal') for row in tiny]):7.2f}"]
    for level in LEVELS:
        here = [row for row in tiny if row.level == level]
        cells.append(f"{mean([row.extra.get('psnr.average') for row in here]):7.2f}"
                     f"{mean([row.extra.get('psnr.worst') for row in here]):7.2f}")
    at = [row for row in tiny if row.level == LEVELS[1]]
    cells.append(f"{mean([row.control_gain for row in at]):6.2f}{mean([row.gain for row in at]):6.2f}"
                 f"{max(local, default=float('nan')):7.2f}")
    cells.append(f"{1 - mean([row.average for row in detail]):7.0%}{1 - mean([row.worst for row in detail]):7.0%}")
    flags = sorted({flag.id for row in rows for flag in row.flags})
    return f"{name:22}" + " ".join(cells) + ("   " + ", ".join(flags) if flags else "")


def show(title: str, rows: dict[str, list[Finding]]) -> str:
    levels = "".join(f"{f'{level:.0%}':>15}" for level in LEVELS)
    pairs = "".join(f"{'avg':>8}{'worst':>7}" for _ in LEVELS)
    return "\n".join([title, f"{'':22}{'PSNR dB':>7}{levels}{'gain at 2%':>13}{'local':>7}{'detail kept':>15}",
                      f"{'':22}{'clean':>7}{pairs}{'avg':>7}{'worst':>6}{'gain':>7}{'avg':>8}{'worst':>7}",
                      *(line(name, found) for name, found in rows.items())])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--budget", default="standard", help="budget of the profile for controls and draws")
    parser.add_argument("--steps", type=int, help="steps of the search, instead of the budget's")
    parser.add_argument("--restarts", type=int, help="starts per level, instead of the budget's")
    parser.add_argument("--noise", type=float, default=0.01)
    parser.add_argument("--only", nargs="*", default=[], help="these systems only")
    words = parser.parse_args()
    start, tables = time.perf_counter(), []
    for setting in SETTINGS:
        rows = findings_of(setting, words)
        if rows:
            tables.append(show(setting.title, rows))
            print("\n" + tables[-1] + "\n", flush=True)
    print(f"{words.slices} slices, noise {words.noise:.0%}, budget {words.budget}, steps "
          f"{words.steps or 'of the budget'}, {time.perf_counter() - start:.0f} s. Means over slices; local gain: greatest. "
          "Detail: blob of 7 pixels at 25 % of the peak.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
