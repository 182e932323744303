"""What a person sees while an audit runs: the plan with its forecast, then progress with the worst case so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from assay.numerics.intervals import samples_needed, upper_bound_at_zero
from assay.records import Finding
from assay.reports.wording import CLASSIFYING, amount, counted


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(5), duration(150), duration(7200)
    ('5 s', '2.5 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plan_text(header: Mapping[str, Any], plan: Mapping[str, Any], seconds: float) -> str:
    """What will run on what, what will not and why, and the forecast."""
    data, profile = header["data"], header["profile"]
    labelled = profile.get("task") in CLASSIFYING
    kind = f"{len(data['classes'])} classes" if labelled else \
        "simulated measurements" if data["simulated"] else "measured data"
    lines = [f"Audit of {header['name']}: profile {profile['id']} {profile['version']}, budget {profile['budget']}",
             f"  data     {data['description']} ({counted(data['n'], 'samples')}, {kind})"]
    lines += [] if labelled else [f"  operator {data['operator']}"]
    lines += [f"  {s['role']:11} {s['name']}: {s['description']}"
              for s in (*header["systems"], *header.get("surrogates", ()))]
    for name, choice in header.get("choices", {}).items():
        weight = f", weight {choice['weight']:g}" if "weight" in choice else ""
        edge = ", at the end of what was tried" if choice.get("edge") else ""
        lines.append(f"  chosen   {name}: {choice['how']}{weight}{edge}")
    checks = list(dict.fromkeys(unit["check"] for unit in plan["units"]))
    lines.append(f"  runs     {', '.join(checks)} ({counted(len(plan['units']), 'units')})")
    lines += [f"  not run  {s['check']} on {s['system']}: {s['reason']}" for s in plan["skipped"]]
    lines.append(f"  forecast about {duration(seconds)} in one process")
    lines += [f"  samples  {line}" for line in advice(profile, plan)]
    return "\n".join(lines)


def advice(profile: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """What a count of zero will be able to say, and how many samples the profile's rate would take; before a run.

    One-sided and exact, 1 − 0.05^(1/n): of n samples, all judged and none harmed, so many more like them may still be.

    >>> plan = {"units": [{"check": "tiny", "samples": [str(i) for i in range(50)]}]}
    >>> advice({"rate": 0.05}, plan)
    ['with 50 samples a count of zero still allows 5.8 % (95 %); for at most 5 % it takes 59']
    """
    asked: dict[str, set[str]] = {}
    uncounted = {c["id"] for c in profile.get("checks", ()) if c["criterion"]["kind"] in ("measures", "certifies")}
    for unit in plan["units"]:
        if "rows" not in unit and unit["check"] not in ("preflight", *uncounted):
            asked.setdefault(unit["check"], set()).update(unit["samples"])
    rate, groups = float(profile["rate"]), {n: [c for c, seen in asked.items() if len(seen) == n]
                                            for n in sorted({len(seen) for seen in asked.values()}, reverse=True)}
    lines = []
    for n, checks in groups.items():
        who = "" if n == max(groups) else f" ({', '.join(checks)})"
        lines.append(f"with {counted(n, 'samples')}{who} a count of zero still allows "
                     f"{amount(upper_bound_at_zero(n), 'share')} (95 %)")
    if lines and 0 < rate < 1 and upper_bound_at_zero(max(groups)) > rate:
        lines[0] += f"; for at most {amount(rate, 'share')} it takes {samples_needed(rate)}"
    return lines


@contextmanager
def watching(total: int) -> Iterator[Callable[[Any], None]]:
    """A progress bar on stderr; the function it yields takes each unit's progress."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task("starting", total=total)
        worst: dict[str, tuple[float, str]] = {}

        def watch(progress: Any) -> None:
            row: Finding | None = progress.worst
            if row is not None and row.worst is not None and row.role == "audited":
                sign = 1.0 if row.better == "lower" else -1.0
                if row.check not in worst or sign * row.worst > worst[row.check][0]:
                    worst[row.check] = (sign * row.worst, amount(row.worst))
            seen = f", worst so far {worst[progress.unit.check][1]}" if progress.unit.check in worst else ""
            bar.update(task, completed=progress.done, description=f"{progress.unit.check}{seen}")

        yield watch
