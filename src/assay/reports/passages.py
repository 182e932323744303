"""Texts of a report: the original and the altered one side by side, what differs marked, and every decision."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.numerics.texts import decode
from assay.records import Finding
from assay.reports.decisions import decided_lines

SHOWN = 600         # characters of a stretch that both texts share; its middle is left out beyond that
Pieces = tuple[tuple[str, bool], ...]       # a stretch of text, and whether it is marked


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text in pieces, marked or not, with what is printed under it."""

    title: str
    pieces: Pieces
    lines: tuple[str, ...]


def decided_passages(row: Finding, rows: Sequence[Finding], systems: Sequence[str], classes: Sequence[str],
                     original: NDArray[Any], changed: NDArray[Any] | None, *, title: str) -> tuple[Passage, ...]:
    """The two texts of one witness with what each system decided on them; `title` is that of the altered one."""
    before, after = decided_lines(row, rows, systems, classes)
    old = _text(original)
    if changed is None:
        return (Passage(title="Original", pieces=((old, False),), lines=before),)
    mine, theirs = differences(old, _text(changed))
    return (Passage(title="Original", pieces=mine, lines=before),
            Passage(title=title, pieces=theirs, lines=after))


def differences(old: str, new: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces, marked where they differ: word by word, or line by line where both have several.

    >>> differences("a back pain", "a lumbago")
    ((('a ', False), ('back pain', True)), (('a ', False), ('lumbago', True)))
    """
    by_line = "\n" in old.strip() and "\n" in new.strip()
    a, b = (text.splitlines(keepends=True) if by_line else re.findall(r"\w+|\W", text) for text in (old, new))
    mine: list[tuple[str, bool]] = []
    theirs: list[tuple[str, bool]] = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        same = what == "equal"
        for pieces, words in ((mine, a[i:j]), (theirs, b[k:m])):
            if words:
                text = "".join(words)
                pieces.append((_middle_out(text) if same else text, not same))
    return _joined(mine), _joined(theirs)


def _joined(pieces: Sequence[tuple[str, bool]]) -> Pieces:
    """A blank between two marked words is marked too, so that a phrase is one piece."""
    marked = [mark or (0 < i < len(pieces) - 1 and not text.strip() and pieces[i - 1][1] and pieces[i + 1][1])
              for i, (text, mark) in enumerate(pieces)]
    found: list[tuple[str, bool]] = []
    for (text, _), mark in zip(pieces, marked, strict=True):
        if found and found[-1][1] == mark:
            found[-1] = (found[-1][0] + text, mark)
        else:
            found.append((text, mark))
    return tuple(found)


def _middle_out(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} … {text[-SHOWN // 2:]}"


def _text(points: NDArray[Any]) -> str:
    """The text, as it is: what is right to left, or stands in other letters, stays so."""
    return decode(np.atleast_2d(points))[0]
