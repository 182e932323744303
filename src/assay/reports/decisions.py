"""The picture rows of a classifier's report: the original, the changed image, the change alone, and every decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.records import Finding
from assay.reports.comparison import same_level
from assay.reports.pictures import data_uri
from assay.reports.wording import amount, is_fraction, shortened, significant

Pictures = tuple[tuple[str, str, tuple[str, ...], str], ...]       # title, data URI, lines below, text for who cannot see


def decision_pictures(row: Finding, rows: Sequence[Finding], systems: Sequence[str], classes: Sequence[str],
                      original: NDArray[Any] | None, changed: NDArray[Any] | None, *,
                      kind: str = "") -> tuple[Pictures, str]:
    """Pictures of one witness with what each system decided on both, and the note on how they are drawn."""
    if original is None:
        return (), ""
    high = float(np.nanmax(original)) if original.size else 1.0
    high = max(high, float(np.nanmax(changed)) if changed is not None and changed.size else 0.0) or 1.0
    before, after = decided_lines(row, rows, systems, classes)
    found = [("Original", data_uri(original, low=0.0, high=high), before)]
    if changed is not None:
        found.append(("Original + change", data_uri(changed, low=0.0, high=high), (kind, *after) if kind else after))
    note = f"One grey window: 0 to {significant(high, 3)}."
    if changed is not None and changed.shape == original.shape:
        change = changed - original
        top = float(np.max(np.abs(change), initial=0.0, where=np.isfinite(change))) or 1.0
        ends = f"from −{significant(top)} to {significant(top)}"
        found.append(("The change alone", data_uri(change, low=-top, high=top), (ends,)))
        note += f" The change alone: grey is none, its own window, {significant(high / (2 * top))} times amplified."
    return tuple((title, uri, lines, f"{title}, {row.sample}: {'; '.join(lines)}") for title, uri, lines in found), note


def nonsense_pictures(found: Sequence[tuple[Finding, NDArray[Any]]], rows: Sequence[Finding], systems: Sequence[str],
                      classes: Sequence[str]) -> tuple[Pictures, str]:
    """Images made from nothing, one for each class, with what each system takes them for; no original exists."""
    pictures = []
    for row, image in found:
        lines = [line for s in systems if (line := _decided(_under(rows, row, s), "worst", s, classes))]
        usual = row.extra.get("nearest.normal")
        if usual:
            times = significant(row.extra.get("nearest.worst", 0.0) / usual)
            lines.append(f"nearest real image: {times} times as far as 99 % of real ones are from theirs")
        title = f"Made to be {class_name(row.extra.get('label'), classes)}"
        pictures.append((title, data_uri(image, low=0.0, high=1.0), tuple(lines), f"{title}: {'; '.join(lines)}"))
    return tuple(pictures), "No real image was changed: these were made from noise and formulas. Window: 0 to 1."


def class_name(number: float | None, classes: Sequence[str]) -> str:
    """What a person calls the class.

    >>> class_name(1.0, ("cat", "dog")), class_name(7.0, ())
    ('“dog”', 'class 7')
    """
    if number is None:
        return "no decision"
    index = round(number)
    return f"“{shortened(classes[index], 30)}”" if 0 <= index < len(classes) else f"class {index}"


def decided_lines(row: Finding, rows: Sequence[Finding], systems: Sequence[str],
                  classes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What every system decided on the unchanged input, after what is right, and on the changed one, after its size."""
    right = (f"right: {class_name(row.extra['label'], classes)}",) if "label" in row.extra else ()
    before = tuple(filter(None, (_decided(_own(rows, row, s), "normal", s, classes) for s in systems)))
    after = tuple(filter(None, (_decided(_under(rows, row, s), "worst", s, classes) for s in systems)))
    return right + before, (_size(row), *after)


def _own(rows: Sequence[Finding], row: Finding, system: str) -> Finding | None:
    """A row of the system's own search on the sample: it says what was decided without any change."""
    mine = [f for f in rows if f.system == f.origin == system and f.sample == row.sample and f.check == row.check]
    return next((f for f in mine if same_level(f.level, row.level)), mine[0] if mine else None)


def _under(rows: Sequence[Finding], row: Finding, system: str) -> Finding | None:
    """The system's row under the change that this row is about."""
    return next((f for f in rows if f.system == system and f.origin == row.origin and f.sample == row.sample
                 and f.origin_sample == row.origin_sample and same_level(f.level, row.level)), None)


def _decided(finding: Finding | None, when: str, system: str, classes: Sequence[str]) -> str:
    if finding is None or f"decision.{when}" not in finding.extra:
        return ""
    extra: Mapping[str, float] = finding.extra
    sure = extra.get(f"confidence.{when}")
    how = "" if sure is None else f" ({amount(sure, 'share')})"
    return f"{shortened(system, 24)}: {class_name(extra[f'decision.{when}'], classes)}{how}"


def _size(row: Finding) -> str:
    if row.size is None:
        return "size of the change: not applicable"
    told = f" ({row.unit})" if is_fraction(row.unit) else ""
    ratio = row.extra.get("signal-to-noise.worst")
    beside = "" if ratio is None else f", signal-to-noise ratio {amount(ratio, 'dB')}"
    if (above := row.extra.get("above-threshold.worst")) is not None:
        side = "above" if above > 0 else "below"
        beside += f", at its most audible {amount(abs(above), 'dB')} {side} the masking threshold"
    return f"size of the change: {amount(row.size, row.unit)}{told}{beside}"
