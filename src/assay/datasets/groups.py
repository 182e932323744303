"""What the data, or a file beside them, say of each sample: its group, or when it was taken. Told, never searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from assay.arrays import InputError
from assay.datasets.columns import rows_of
from assay.datasets.formats_array import open_npz
from assay.datasets.frames import shown

MOST = 50               # groups: more are no groups but names
LONGEST = 60            # characters of a group's name
OPTIONS = {"group": "--groups", "time": "--time"}


def groups_of(where: str, data: str, ids: Sequence[str]) -> dict[str, str]:
    """The group of every sample: from a table `where` (columns `sample` and `group`), or from the data themselves.

    Where there is no such file, `where` names an array of the data's .npz (sample number i has its i-th value), or a column
    of the data's .csv or .tsv. Raises `InputError` naming the first sample without a group, more than 50 groups, or two
    whose long names would be told alike.
    """
    found = _told(where, data, "group")
    if missing := [sample for sample in ids if not found.get(sample)]:
        raise InputError(f"--groups {where}: sample {missing[0]!r} has no group ({len(missing)} of {len(ids)}); name one "
                         "for each, “unknown” if need be")
    groups = {sample: shortened(found[sample]) for sample in ids}
    whole: dict[str, str] = {}
    for sample in ids:
        if whole.setdefault(groups[sample], found[sample]) != found[sample]:
            raise InputError(f"--groups {where}: the groups {whole[groups[sample]]!r} and {found[sample]!r} (sample "
                             f"{sample!r}) are alike in the {LONGEST} letters that are told of a name; shorten one")
    if len(set(groups.values())) > MOST:
        raise InputError(f"--groups {where}: {len(set(groups.values()))} groups of {len(ids)} samples; at most {MOST}, or "
                         "nothing can be told of each")
    return groups


def shortened(name: str) -> str:
    """A name of at most 60 letters: of a longer one its beginning and its end.

    >>> shortened("Clinic " * 10 + "North")
    'Clinic Clinic Clinic Clinic Clinic Clini…Clinic Clinic North'
    """
    kept = LONGEST - 1
    return name if len(name) <= LONGEST else f"{name[:kept - kept // 3]}…{name[-(kept // 3):]}"


def times_of(where: str, data: str, ids: Sequence[str]) -> list[float]:
    """When each sample was taken, from a table with the columns `sample` and `time`, or as `groups_of` finds its names.

    Numbers, or dates of ISO 8601 (seconds since 1970; without a zone they are taken as UTC). Only their order is used.
    Raises `InputError` naming the first sample without one.
    """
    found = _told(where, data, "time")
    times = []
    for sample in ids:
        time = _moment(found.get(sample, ""))
        if not math.isfinite(time):
            raise InputError(f"--time {where}: sample {sample!r} has {found.get(sample, '')!r}; give each sample a number, "
                             "or a date as 2024-05-31 or 2024-05-31T09:30")
        times.append(time)
    return times


def _moment(text: str) -> float:
    """A number, or a date as seconds; not a number where it is neither."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _told(where: str, data: str, what: str) -> dict[str, str]:
    """What is said of each sample, from a table with the columns `sample` and `what`, an array, or a column."""
    path, told, option = Path(where), Path(data), OPTIONS[what]
    if path.is_file():
        return _of_table(path, what)
    if told.suffix.lower() == ".npz" and told.is_file():
        return _of_array(told, where, option)
    if told.suffix.lower() in (".csv", ".tsv") and told.is_file():
        return _of_column(told, where, option)
    raise InputError(f"{option} {where}: no such file, and the data have no arrays or columns to look for it in; give a "
                     f".csv with the columns sample and {what}")


def _of_table(path: Path, what: str) -> dict[str, str]:
    rows, names = rows_of(path, f"{what}s")
    if not {"sample", what} <= set(names):
        raise InputError(f"{shown(path)}: columns {', '.join(names)}; a table of {what}s has sample and {what}")
    found: dict[str, str] = {}
    for line, row in rows:
        sample = row["sample"].strip()
        if sample in found:
            raise InputError(f"{shown(path)}, line {line}: sample {sample!r} for the second time; remove one")
        found[sample] = row[what].strip()
    return found


def _of_array(path: Path, name: str, option: str) -> dict[str, str]:
    try:
        array = open_npz(path, name, check=_numbers_or_text)
    except InputError as error:
        raise InputError(f"{option} {name}: neither a file nor an array that can be read ({error})") from None
    if len(array.shape) != 1:
        raise InputError(f"{shown(path)}: array {name!r} has shape {array.shape}; one value for each sample is expected")
    return {str(i): str(value).strip() for i, value in enumerate(array.read(()).tolist())}


def _numbers_or_text(dtype: np.dtype[Any], where: str) -> None:
    if dtype.kind not in "biufU":
        raise InputError(f"{where}: values of type {dtype} are neither numbers nor text; save names or numbers")


def _of_column(path: Path, name: str, option: str) -> dict[str, str]:
    rows, names = rows_of(path, "samples")
    if name not in names:
        raise InputError(f"{option} {name}: neither a file nor a column of {shown(path)}, which has {', '.join(names)}")
    return {(row.get("id") or "").strip() or f"row-{line}": row[name].strip() for line, row in rows}
