"""Rows of a table with the class each belongs to: numbers, categories and flags as the declared fields say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from assay.arrays import InputError
from assay.datasets.applications import CLASSES, FIELDS, PARTS, applications
from assay.datasets.columns import LABEL_COLUMNS, column_of, labels_of, rows_of, thinned
from assay.datasets.formats_labelled import class_names
from assay.datasets.frames import readable, shown
from assay.perturbations.fields import Fields, Row, load_fields
from assay.perturbations.protocol import Examples
from assay.records import DataRecord, digest_of


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledRows:
    """Rows and labels: `fetch` gives inputs float64 (batch, fields) and truth int64 (batch,).

    In double precision, so that 7.1 in a table is the 7.1 that a rule compares with.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    record: DataRecord
    fields: Fields
    operator: None = None
    rows: tuple[Row, ...] = field(repr=False)

    def fetch(self, positions: Sequence[int]) -> Examples:
        """The samples at these positions."""
        return Examples(ids=tuple(self.ids[i] for i in positions),
                        inputs=torch.tensor([self.rows[i] for i in positions], dtype=torch.float64),
                        truth=torch.tensor([self.labels[i] for i in positions], dtype=torch.int64))


def bundled_applications(part: str = "audited") -> LabelledRows:
    """Synthetic applications: 4,000 to train on, 500 to tune on or 200 to audit, whose decisions are right (`applications`).

    >>> bundled_applications().classes
    ('refused', 'granted')
    """
    if part not in PARTS:
        raise InputError(f"bundled applications have no part {part!r}; known: {', '.join(PARTS)}")
    drawn = applications(part)
    return labelled_rows([one.row for one in drawn], [one.label for one in drawn], fields=FIELDS, classes=CLASSES,
                         ids=[one.id for one in drawn], name="synthetic applications", note=f"{part} part", simulated=True,
                         licence="made by Assay; no person is described",
                         options={"data": "bundled:applications" if part == "audited" else f"bundled:applications-{part}"})


def load_rows(path: str | Path, *, fields: str | Path | Fields, label_key: str | None = None,
              classes: str | Path | Sequence[str] | None = None, limit: int | None = None,
              licence: str = "unknown") -> LabelledRows:
    """The rows of a .csv or .tsv file with a first line that names the columns; those of `fields` are what a system sees.

    Arguments: `fields` a declaration, or its .toml file; `label_key`, `classes`, `limit` as for texts. A column "id" names
    the samples. Raises `InputError` naming file, line, field and remedy for a cell that is empty, no number, or outside
    what is declared, and for a row that breaks a tie.
    """
    path, names = Path(path), class_names(classes)
    declared = fields if isinstance(fields, Fields) else load_fields(fields)
    table, columns = rows_of(path, "rows")
    label_column = column_of(columns, label_key, LABEL_COLUMNS, "label_key (--labels)", path)
    if label_column in declared.names:
        raise InputError(f"{declared.name}: field {label_column!r} is the column of the classes, which no system sees; "
                         "leave it out, or name another column with label_key (--labels)")
    if missing := [name for name in declared.names if name not in columns]:
        raise InputError(f"{shown(path)}: no column {missing[0]!r}, which {declared.name} declares; it has "
                         f"{', '.join(columns)}")
    kept = [table[i] for i in thinned(len(table), limit)]
    rows = [_row(declared, row, f"{shown(path)}, line {line}") for line, row in kept]
    labels, found = labels_of([(row[label_column] or "").strip() for _, row in table], names, [line for line, _ in table],
                              path)
    options = {"path": readable(str(path)), "label_key": label_key, "limit": limit, "licence": licence,
               "classes": None if names is None else list(names)}
    return labelled_rows(rows, [labels[i] for i in thinned(len(table), limit)], fields=declared, classes=found,
                         ids=[(row.get("id") or "").strip() or f"row-{line}" for line, row in kept],
                         name=readable(path.name), simulated=False, licence=licence, options=options)


def labelled_rows(rows: Sequence[Sequence[float]], labels: Sequence[int], *, fields: Fields, classes: Sequence[str],
                  ids: Sequence[str] = (), name: str = "rows", note: str = "", simulated: bool = False,
                  licence: str = "unknown", options: Mapping[str, Any] | None = None) -> LabelledRows:
    """The data set of rows in memory, numbers in the order of the fields; `InputError` for what `load_rows` refuses too."""
    ids = tuple(ids) or tuple(f"row-{i:04d}" for i in range(len(rows)))
    if not len(rows) == len(labels) == len(ids):
        raise InputError(f"{name}: {len(rows)} rows, {len(labels)} labels and {len(ids)} names; give one of each")
    made = tuple(_checked(fields, row, f"{name}, {sample}") for sample, row in zip(ids, rows, strict=True))
    if bad := [label for label in labels if not 0 <= label < len(classes)]:
        raise InputError(f"{name}: label {bad[0]} is out of range; the classes are 0 to {len(classes) - 1}")
    if len(set(labels)) < 2:
        raise InputError(f"{name}: all samples are of one class; a classifier is audited on at least two classes")
    if len(set(ids)) != len(ids):
        raise InputError(f"{name}: two samples are both named {next(i for i in ids if ids.count(i) > 1)!r}; rename one")
    samples = {sample: digest_of({"row": _named(fields, row), "label": label})
               for sample, row, label in zip(ids, made, labels, strict=True)}
    said = fields.name if fields.name.lower().endswith(".toml") else dict(fields.declared)
    record = DataRecord(
        id=name, n=len(ids), licence=licence, simulated=simulated, operator="", noise=None, samples=samples, task="table",
        digest=digest_of({"samples": samples, "classes": list(classes)}), options={**(options or {}), "fields": said},
        classes=tuple(classes), description="; ".join(filter(None, (
            f"{len(ids)} {name}, {len(classes)} classes", f"{len(fields.fields)} fields", note))))
    return LabelledRows(ids=ids, labels=tuple(labels), classes=tuple(classes), record=record, fields=fields, rows=made)


def _row(fields: Fields, cells: Mapping[str, str], place: str) -> Row:
    """The numbers that stand for a row's cells."""
    made = []
    for each in fields.fields:
        try:
            made.append(each.read(cells[each.name]))
        except InputError as error:
            raise InputError(f"{place}, field {each.name!r}: {error}") from None
    return tuple(made)


def _named(fields: Fields, row: Row) -> dict[str, float | str]:
    """The row by names: numbers in full, categories by their words, whatever their order among the values."""
    return {each.name: each.values[round(value)] if each.values else value
            for each, value in zip(fields.fields, row, strict=True)}


def _checked(fields: Fields, row: Sequence[float], place: str) -> Row:
    """The row itself; `InputError` where a value is not as declared, or a tie is broken."""
    if len(row) != len(fields.fields):
        raise InputError(f"{place}: {len(row)} values, and {len(fields.fields)} fields are declared; give one for each")
    for each, value in zip(fields.fields, row, strict=True):
        if not each.permits(value):                 # a NaN is in no range
            raise InputError(f"{place}, field {each.name!r}: {value!r} is no {each.kind} from {each.low:g} to {each.high:g}"
                             "; mend the value, or the range")
    if broken := fields.broken(row):
        raise InputError(f"{place}: the row breaks a tie, {broken}; mend the row, or leave out the tie")
    return tuple(map(float, row))
