"""Tables with a line of column names: rows of a .csv or .tsv file with their lines, the columns meant, labels as numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from assay.arrays import InputError
from assay.datasets.formats_labelled import LIMIT_CLASSES
from assay.datasets.frames import regular_file, shown

LONGEST = 1_000_000                         # characters of one text
LABEL_COLUMNS = ("label", "class", "target", "y")


def rows_of(path: Path, what: str) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """The rows of a table of `what` with their lines, and the names of the columns."""
    suffix = regular_file(path).suffix.lower()
    if suffix not in (".csv", ".tsv"):
        raise InputError(f"{shown(path)}: not a table of {what}; give a .csv or .tsv with a line of column names")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{shown(path)}, line {line}: not UTF-8 (byte {error.start}); save the whole file in one encoding, "
                         "UTF-8") from None
    csv.field_size_limit(max(csv.field_size_limit(), 4 * LONGEST))
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{shown(path)}, line {reader.line_num}: {error}; is every quotation mark closed?") from None
    names = list(reader.fieldnames or ())
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise InputError(f"{shown(path)}: two columns are both named {twice[0]!r}; rename one")
    if not rows:
        raise InputError(f"{shown(path)}: no rows; nothing can be audited")
    for line, row in rows:
        if None in row or None in row.values():
            raise InputError(f"{shown(path)}, line {line}: another number of fields than the first line; put texts that "
                             "hold the delimiter in quotation marks")
    return rows, names


def column_of(columns: Sequence[str], said: str | None, usual: Sequence[str], option: str, path: Path) -> str:
    """The column that is said, or the only one with a usual name; `InputError` where it cannot be told."""
    if said is not None:
        if said not in columns:
            raise InputError(f"{shown(path)}: no column {said!r}; it has {', '.join(columns)}")
        return said
    found = [column for column in columns if column.lower() in usual]
    if len(found) != 1:
        raise InputError(f"{shown(path)}: which column is meant cannot be told from {', '.join(columns)}; say {option}=")
    return found[0]


def thinned(n: int, limit: int | None) -> Sequence[int]:
    """Positions of at most `limit` of n samples, at even distances.

    >>> list(thinned(5, 2)), list(thinned(2, None))
    ([0, 2], [0, 1])
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit={limit!r}; expected a whole number of at least 1")
    return range(n) if limit is None or limit >= n else [i * n // limit for i in range(limit)]


def labels_of(said: Sequence[str], names: Sequence[str] | None, lines: Sequence[int],
              path: Path) -> tuple[list[int], tuple[str, ...]]:
    """Numbers of classes, and the classes' names."""
    if empty := [line for line, word in zip(lines, said, strict=True) if not word]:
        raise InputError(f"{shown(path)}, line {empty[0]}: no label; remove the row or fill it in")
    if all(word.isdecimal() for word in said):
        if big := [line for line, word in zip(lines, said, strict=True) if len(word) > 9 or int(word) > LIMIT_CLASSES]:
            raise InputError(f"{shown(path)}, line {big[0]}: a label beyond {LIMIT_CLASSES}; number the classes from 0")
        numbers = [int(word) for word in said]
        return numbers, tuple(names or map(str, range(max(numbers) + 1)))
    known = tuple(names or sorted(set(said)))
    if unknown := [(line, word) for line, word in zip(lines, said, strict=True) if word not in known]:
        raise InputError(f"{shown(path)}, line {unknown[0][0]}: label {unknown[0][1]!r} is not one of {', '.join(known)}")
    return [known.index(word) for word in said], known
