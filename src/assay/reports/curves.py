"""The curve of error against size of change: worst, average band, and the established method's two columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from assay.numerics.survival import Survival, kaplan_meier
from assay.records import Finding, Stop
from assay.reports.brackets import bracket_chart, of
from assay.reports.comparison import metric_name, metric_unit, same_level
from assay.reports.figures import Chart, Series
from assay.reports.wording import amount
from assay.verdicts import apart

STEPS = 12              # of a curve of sizes
ROOM = 3.0              # dB shown beyond the softest and the loudest
Value = Callable[[Finding], float | None]


def ladder_charts(check: Mapping[str, Any], findings: Sequence[Finding], system: str,
                  established: str | None) -> list[Chart]:
    """Charts of one check for one audited system: its metric, and PSNR where measured; none for a single level."""
    if check.get("method") == "certificate":
        both = [of(str(check["id"]), who, findings) for who in (system, established) if who]
        return [chart for known in both if (chart := bracket_chart(check, known)) is not None]
    if check.get("method") == "smallest-change":
        return _flip_charts(check, findings, system, established)
    rows = [f for f in findings if f.check == check["id"] and f.level is not None]
    levels = sorted({float(f"{f.level:.6g}") for f in rows if f.level is not None})
    if len(levels) < 2:
        return []
    unit, size_unit = metric_unit(check, rows[0].metric), str(check.get("unit", ""))
    metric = metric_name(check, rows[0].metric)
    charts = [_chart(check, rows, levels, (system, established), metric, unit, size_unit,
                     lambda which: lambda f: getattr(f, which))]
    if any("psnr.worst" in f.extra for f in rows):
        charts.append(_chart(check, rows, levels, (system, established), "PSNR (higher is better)", "dB", size_unit,
                             lambda which: lambda f: f.extra.get(f"psnr.{which}")))
    return [chart for chart in charts if chart.series]


def _flip_charts(check: Mapping[str, Any], findings: Sequence[Finding], system: str,
                 established: str | None) -> list[Chart]:
    """The share of right decisions that a change of a size, or less, flips; a flip not found lies beyond all sizes."""
    rows = [f for f in findings if f.check == check["id"] and f.origin == f.system and searched(f)]
    sizes = [f.worst for f in rows if f.worst is not None]
    if not sizes:
        return []
    unit = str(check.get("unit", ""))
    loud = unit == "dB"
    start = min(sizes) - ROOM if loud else 0.0
    step = ((max(sizes) + ROOM - start) if loud else max(sizes) * 1.25) / STEPS
    places = [start + i * step for i in range(STEPS + 1)]
    found, random, own = _words(check)
    lines = [(f"{system}: {found}", "worst", system, "worst"), (f"{system}: {random}, median", "average", system, "average")]
    lines += [(f"{established}: {own}", "own", established, "worst")] if established else []
    series, notes = [], []
    for name, style, who, field in lines:
        if (estimate := flip_sizes([f for f in rows if f.system == who], field)) is not None:
            series.append(_flipped(name, style, estimate, places, banded=field == "worst"))
            notes.append(f"{name}: {_median_text(estimate, unit)}")
    label = "Right decisions flipped"
    return [Chart(title=f"{check.get('title', check['id'])}: {label}", y_label=label,
                  x_label=f"size of the change, or less ({unit})", series=tuple(series), notes=tuple(notes),
                  x_text=lambda x: amount(x, unit), y_text=lambda y: amount(y, "share", digits=3))]


def searched(row: Finding) -> bool:
    """Whether a flip was looked for: the decision was right, and the system did not raise."""
    return not apart(row) and row.stop not in (Stop.RAISED, Stop.NOT_RUN)


def flip_sizes(rows: Sequence[Finding], field: str) -> Survival | None:
    """Kaplan and Meier's estimate of the sizes at which decisions flip; None of no rows.

    A size that was not found is censored beyond all others: within the range that was searched, nothing flipped it.
    """
    values = [getattr(f, field) for f in rows]
    return kaplan_meier([math.inf if v is None else v for v in values], [v is not None for v in values]) if values else None


def _flipped(name: str, style: str, estimate: Survival, places: Sequence[float], *, banded: bool) -> Series:
    known = [(x, estimate.at(x)) for x in places]
    band = [(x, 1 - s.high, 1 - s.low) if s else (x, 0.0, 0.0) for x, s in known]
    return Series(name=name, style=style, points=tuple((x, 1 - s.beyond if s else 0.0) for x, s in known),
                  band=tuple(band) if banded else (), banded="95 % interval")


def _median_text(estimate: Survival, unit: str) -> str:
    """The median with its interval, and how many sizes are only known from below."""
    middle, low, high = (amount(v, unit) if math.isfinite(v) else "beyond all that was searched" for v in estimate.median)
    beyond = f"; {estimate.censored} of {estimate.n} not flipped by any change that was tried" if estimate.censored else ""
    return f"median size {middle} (95 % interval {low} to {high}){beyond}."


def _chart(check: Mapping[str, Any], rows: Sequence[Finding], levels: Sequence[float],
           systems: tuple[str, str | None], name: str, unit: str, size_unit: str,
           field: Callable[[str], Value]) -> Chart:
    system, established = systems
    origin = None if _is_sampling(check) or size_unit == "dB" else _mean(_own(rows, system), field("normal"))
    no_change = [] if origin is None else [(0.0, origin)]
    found, random, own = _words(check)
    series = [_series(f"{system}: {found}", "worst", levels, _own(rows, system), field("worst"), no_change),
              _average(f"{system}: {random}", levels, _own(rows, system), field, no_change, unit != "dB")]
    if established:
        start = [(0.0, y)] if no_change and (y := _mean(_own(rows, established), field("normal"))) is not None else []
        series += [_series(f"{established}: {own}", "own", levels, _own(rows, established),
                           field("worst"), start),
                   _series(f"{established}: under {system}’s change", "transfer", levels,
                           _under(rows, established, system), field("worst"), start)]
    kept = tuple(s for s in series if len(s.points) > 1)
    label = str(check.get("level_name") or ("share of the data sampled" if _is_sampling(check)
                                            else f"size of the change ({size_unit})"))
    return Chart(title=f"{check.get('title', check['id'])}: {name}", x_label=label, y_label=name, series=kept,
                 x_text=lambda x: amount(x, size_unit), y_text=lambda y: amount(y, unit, digits=3),
                 from_zero=unit != "dB")


def _words(check: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the lines are called: the audited system's, the random changes, the established method's own."""
    if _is_sampling(check):
        return "nested masks, less to more data", "other random masks", "nested masks, less to more data"
    return "worst case found", "random changes", "its own worst case"


def _is_sampling(check: Mapping[str, Any]) -> bool:
    """A change of sampling has no size: its level is the share of the data sampled."""
    return str(check["id"]) == "sampling" or "sampled" in str(check.get("unit", ""))


def _own(rows: Iterable[Finding], system: str) -> list[Finding]:
    return [f for f in rows if f.system == system and f.origin == system]


def _under(rows: Iterable[Finding], system: str, origin: str) -> list[Finding]:
    return [f for f in rows if f.system == system and f.origin == origin]


def _mean(rows: Iterable[Finding], value: Value) -> float | None:
    known = [v for f in rows if (v := value(f)) is not None]
    return sum(known) / len(known) if known else None


def _at(rows: Iterable[Finding], level: float) -> list[Finding]:
    return [f for f in rows if same_level(f.level, level)]


def _series(name: str, style: str, levels: Sequence[float], rows: Sequence[Finding], value: Value,
            start: Sequence[tuple[float, float]]) -> Series:
    points = [(level, y) for level in levels if (y := _mean(_at(rows, level), value)) is not None]
    return Series(name=name, style=style, points=(*start, *points) if points else ())


def _average(name: str, levels: Sequence[float], rows: Sequence[Finding], field: Callable[[str], Value],
             start: Sequence[tuple[float, float]], banded: bool) -> Series:
    line = _series(name, "average", levels, rows, field("average"), start)
    band = []
    for level in levels if banded else ():
        low, high = (_mean(_at(rows, level), field(f"average_{end}")) for end in ("low", "high"))
        if low is not None and high is not None:
            band.append((level, low, high))
    return Series(name=name, style="average", points=line.points, band=tuple([(x, y, y) for x, y in start] + band)
                  if band else ())
