"""One field of a row: its kind, range and tolerance, how its values are read from a table and told to a person."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.arrays import InputError

SAID = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "no": 0.0, "yes": 1.0, "false": 0.0, "true": 1.0}    # of flags
DIGITS = 12             # significant digits of a value on a grid: 0.1 + 2 · 0.1 is 0.3


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column that the system sees. `low`, `high` bound its values; `to` are explicit alternatives, as in a row.

    A number may change by at most `within`, or by the share `by` of itself, on the grid low + k·step where there is a
    `step`. `irrelevant`: the decision should not depend on it. `monotone` "up": raising it must never lower the score of
    class 1; "down": must never raise it.

    >>> age = Field(name="age", kind="whole", low=0.0, high=120.0, within=2.0, may_change=True)
    >>> age.told(61.0), age.room(119.0), age.permits(119.5)
    ('61', (117.0, 120.0), False)
    """

    name: str
    kind: str
    low: float
    high: float
    step: float | None = None
    values: tuple[str, ...] = ()
    may_change: bool = False
    within: float | None = None
    by: float | None = None
    to: tuple[float, ...] = ()
    irrelevant: bool = False
    monotone: str = ""

    @property
    def numeric(self) -> bool:
        return self.kind in ("number", "whole")

    def permits(self, value: float) -> bool:
        """Whether a row may hold the value: in the range, and whole where it must be."""
        return self.low <= value <= self.high and (self.kind == "number" or value == round(value))

    def room(self, present: float) -> tuple[float, float]:
        """The least and the greatest value within the tolerance and the range."""
        by = math.inf
        if self.within is not None:
            by = self.within
        elif self.by is not None:
            by = self.by * abs(present)
        return max(self.low, rounded(present - by)), min(self.high, rounded(present + by))

    def told(self, value: float) -> str:
        """The value as a person writes it."""
        if self.kind == "category":
            return self.values[round(value)]
        if self.kind == "flag":
            return "yes" if value else "no"
        return f"{value:.{DIGITS}g}"

    def read(self, text: str) -> float:
        """The number that stands for a cell of a table; `InputError` with the remedy where it cannot be one."""
        said = text.strip()
        if not said:
            raise InputError("the cell is empty; fill it in, or leave the row out")
        if self.kind == "category":
            if said not in self.values:
                raise InputError(f"{said!r} is not one of {', '.join(self.values)}{nearest(said, self.values)}; add it to "
                                 "values, or mend the cell")
            return float(self.values.index(said))
        if self.kind == "flag":
            if said.lower() not in SAID:
                raise InputError(f"{said!r} is no flag; write 0 or 1, no or yes")
            return SAID[said.lower()]
        try:
            value = float(said.replace("_", "no digit"))        # Python would read 1_000, and no table writes so
        except ValueError:
            raise InputError(f"{said!r} is not a number; mend the cell, or declare the field a category") from None
        if not math.isfinite(value):
            raise InputError(f"{said!r} is not a finite number; mend the cell, or leave the row out")
        if not self.low <= value <= self.high:
            raise InputError(f"{said} is outside the range {self.low:g} to {self.high:g}; mend the cell or widen range")
        if not self.permits(value):
            raise InputError(f"{said} is not whole; mend the cell, or declare kind = \"number\"")
        return value


def rounded(value: float) -> float:
    """The value to twelve significant digits.

    >>> rounded(0.1 + 0.2)
    0.3
    """
    return float(f"{value:.{DIGITS}g}")


def value_of(made: Field, said: Any, place: str) -> float:
    """A value that a declaration names, as it stands in a row; `InputError` where the field cannot have it."""
    if made.kind == "category":
        if said not in made.values:
            raise InputError(f"{place} holds {said!r}, which is not one of {', '.join(made.values)}"
                             f"{nearest(str(said), made.values)}")
        return float(made.values.index(said))
    if made.kind == "flag":
        if said not in (0, 1, True, False):
            raise InputError(f"{place} holds {said!r}; a flag is 0 or 1")
        return float(said)
    if not finite(said):
        raise InputError(f"{place} holds {said!r}, which is not a finite number")
    if not made.permits(float(said)):
        raise InputError(f"{place} holds {said!r}, which is no {made.kind} from {made.low:g} to {made.high:g}")
    return float(said)


def finite(value: object) -> bool:
    """Whether it is a finite number in double precision, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def nearest(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The known word that was perhaps meant, as half a sentence, or ""."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; is {close[0]!r} meant?" if close else ""
