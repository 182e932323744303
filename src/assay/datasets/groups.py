"""Which group each sample belongs to, where the data or a file beside them say so. Told in reports, never searched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.arrays import InputError
from assay.datasets.columns import rows_of
from assay.datasets.formats_array import open_npz
from assay.datasets.frames import shown

MOST = 50               # groups: more are no groups but names
LONGEST = 60            # characters of a group's name


def groups_of(where: str, data: str, ids: Sequence[str]) -> dict[str, str]:
    """The group of every sample: from a table `where` (columns `sample` and `group`), or from the data themselves.

    Where there is no such file, `where` names an array of the data's .npz (sample number i has its i-th value), or a column
    of the data's .csv or .tsv. Raises `InputError` naming the first sample without a group, or more than 50 groups.
    """
    path, told = Path(where), Path(data)
    if path.is_file():
        found = _of_table(path)
    elif told.suffix.lower() == ".npz" and told.is_file():
        found = _of_array(told, where)
    elif told.suffix.lower() in (".csv", ".tsv") and told.is_file():
        found = _of_column(told, where)
    else:
        raise InputError(f"--groups {where}: no such file, and the data have no arrays or columns to look for it in; give a "
                         ".csv with the columns sample and group")
    if missing := [sample for sample in ids if not found.get(sample)]:
        raise InputError(f"--groups {where}: sample {missing[0]!r} has no group ({len(missing)} of {len(ids)}); name one "
                         "for each, “unknown” if need be")
    groups = {sample: found[sample][:LONGEST] for sample in ids}
    if len(set(groups.values())) > MOST:
        raise InputError(f"--groups {where}: {len(set(groups.values()))} groups of {len(ids)} samples; at most {MOST}, or "
                         "nothing can be told of each")
    return groups


def _of_table(path: Path) -> dict[str, str]:
    rows, names = rows_of(path, "groups")
    if not {"sample", "group"} <= set(names):
        raise InputError(f"{shown(path)}: columns {', '.join(names)}; a table of groups has sample and group")
    found: dict[str, str] = {}
    for line, row in rows:
        sample = row["sample"].strip()
        if sample in found:
            raise InputError(f"{shown(path)}, line {line}: sample {sample!r} for the second time; remove one")
        found[sample] = row["group"].strip()
    return found


def _of_array(path: Path, name: str) -> dict[str, str]:
    try:
        array = open_npz(path, name, check=_numbers_or_text)
    except InputError as error:
        raise InputError(f"--groups {name}: neither a file nor an array that can be read ({error})") from None
    if len(array.shape) != 1:
        raise InputError(f"{shown(path)}: array {name!r} has shape {array.shape}; one group for each sample is expected")
    return {str(i): str(value).strip() for i, value in enumerate(array.read(()).tolist())}


def _numbers_or_text(dtype: np.dtype[Any], where: str) -> None:
    if dtype.kind not in "biufU":
        raise InputError(f"{where}: values of type {dtype} are neither numbers nor text; save names or numbers of groups")


def _of_column(path: Path, name: str) -> dict[str, str]:
    rows, names = rows_of(path, "samples")
    if name not in names:
        raise InputError(f"--groups {name}: neither a file nor a column of {shown(path)}, which has {', '.join(names)}")
    return {(row.get("id") or "").strip() or f"row-{line}": row[name].strip() for line, row in rows}
