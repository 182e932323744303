"""The findings as a table for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.reports.wording import printable

FORMULA = ("=", "+", "-", "@", "\t", "\r")      # what a spreadsheet takes for the start of a formula


def csv_of(table: pa.Table) -> bytes:
    """UTF-8 with a header row; flags and further metrics as JSON. A missing number is an empty cell.

    Control characters of texts are written out, and a text that a spreadsheet would take for a formula begins with `'`.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(table.column_names)
    writer.writerows([_cell(value) for value in row.values()] for row in table.to_pylist())
    return target.getvalue().encode()


def parquet_of(table: pa.Table) -> bytes:
    """The findings of all parts in one Parquet file, in the order of the plan."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = json.dumps(dict(value) if value and isinstance(value[0], tuple) else value, ensure_ascii=False)
    if not isinstance(value, str):
        return repr(value) if isinstance(value, float) else value
    text = printable(value)
    return f"'{text}" if value.startswith(FORMULA) else text
