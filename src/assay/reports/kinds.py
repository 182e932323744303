"""Changes of several kinds: which kind a change was, and what each kind alone did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.records import Finding
from assay.reports.comparison import metric_unit, same_level
from assay.reports.wording import MISSING, amount

MEAN, WORST = "kind.", "worst-kind."       # followed by the kind, in what a row tells beside its numbers
Table = tuple[list[str], list[list[str]]]


def kind_of(row: Finding) -> str:
    """The kind of the worst change of this row, or "" where its check knows one kind only.

    >>> from dataclasses import replace
    >>> row = Finding.empty(check="c", system="s", role="audited", sample="1", unit="", metric="m", better="lower")
    >>> kind_of(row), kind_of(replace(row, extra={"worst-kind.fog": 1.0}))
    ('', 'fog')
    """
    return next((key.removeprefix(WORST) for key in row.extra if key.startswith(WORST)), "")


def kinds_table(check: Mapping[str, Any], findings: Sequence[Finding], systems: Sequence[str],
                level: float | None) -> Table | None:
    """For each kind and system: the mean over the kind's random members at the level, and on how many it was the worst.

    Of kinds of equal harm the first is the worst; rows in which nothing was harmed have no worst kind.
    """
    rows = {system: [f for f in findings if f.check == check["id"] and f.system == f.origin == system
                     and same_level(f.level, level) and kind_of(f)] for system in systems}
    seen = {key.removeprefix(MEAN) for group in rows.values() for f in group for key in f.extra if key.startswith(MEAN)}
    order = [str(name) for name in check.get("perturbation", {}).get("names", ())]
    names = [name for name in order if name in seen] + sorted(seen - set(order))
    told = {system: group for system, group in rows.items() if group}
    if not names or not told:
        return None
    head = ["Kind"] + [word for system in told for word in (f"{system}: mean", "the worst on")]
    return head, [[name, *(cell for group in told.values() for cell in _cells(check, group, name))] for name in names]


def _cells(check: Mapping[str, Any], rows: Sequence[Finding], name: str) -> list[str]:
    known = [f.extra[MEAN + name] for f in rows if MEAN + name in f.extra]
    mean = amount(sum(known) / len(known), metric_unit(check, rows[0].metric)) if known else MISSING
    harmed = [f for f in rows if f.normal is None or f.worst is None or f.worst != f.normal]
    return [mean, f"{sum(kind_of(f) == name for f in harmed)} of {len(harmed)}"]
