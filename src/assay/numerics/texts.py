"""Texts as arrays of code points: what lets a text be an input like any other, changed and stored as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def encode(texts: Sequence[str]) -> NDArray[np.int32]:
    """The Unicode code points of each text, (texts, longest), the shorter ones filled up with zeros.

    Raises `ValueError` for a text that holds the character 0 or half of a surrogate pair.

    >>> encode(["ab", "c"]).tolist()
    [[97, 98], [99, 0]]
    """
    rows = []
    for i, text in enumerate(texts):
        if "\0" in text:
            raise ValueError(f"text {i + 1} holds the character NUL, which no text needs; remove it")
        try:
            rows.append(np.frombuffer(text.encode("utf-32-le"), dtype="<i4"))
        except UnicodeEncodeError as error:
            raise ValueError(f"text {i + 1} is not Unicode text at character {error.start + 1}: a lone surrogate; read the "
                             "file with its right encoding") from None
    points = np.zeros((len(rows), max((len(row) for row in rows), default=0)), dtype=np.int32)
    for i, row in enumerate(rows):
        points[i, : len(row)] = row
    return points


def edits(one: Sequence[object], other: Sequence[object]) -> int:
    """The fewest insertions, deletions and replacements that make one sequence the other (Levenshtein 1966).

    >>> edits("stop", "top"), edits("", "go"), edits("on", "no")
    (1, 2, 2)
    """
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, theirs in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (mine != theirs))
    return row[-1]


def decode(points: NDArray[np.integer]) -> tuple[str, ...]:
    """The texts whose code points these are, (texts, longest), up to the first zero of each.

    >>> decode(encode(["ab", "", "ß–"]))
    ('ab', '', 'ß–')
    """
    found = []
    for row in np.atleast_2d(points):
        end = int((row == 0).argmax()) if bool((row == 0).any()) else len(row)
        found.append(row[:end].astype("<i4").tobytes().decode("utf-32-le"))
    return tuple(found)
