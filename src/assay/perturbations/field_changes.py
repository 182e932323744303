"""Rows of a table in which at most k fields changed, each to one of its alternatives, with every tie kept."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.texts import encode
from assay.perturbations.field import Field, rounded
from assay.perturbations.fields import DIRECTIONS, Fields, Row
from assay.perturbations.protocol import Examples
from assay.perturbations.ties import GROUPS, Tie

WHICH = ("irrelevant", "changeable", "monotone")
POINTS = 8          # values tried of a number, where the declaration lists none
TRIES = 100         # draws of a random member before none is taken: most draws may break a tie
SLACK = 1e-9        # of a step, for what rounding leaves


@dataclass(frozen=True, kw_only=True)
class Place:
    """Fields that change together (mostly one), and what they may become instead, a tuple of values for each."""

    fields: tuple[int, ...]
    moves: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class FieldChanges:
    """The rows x′ that keep every tie and differ from x in at most `most` places, each by one of its alternatives.

    `which` fields: "irrelevant", "changeable" (`may_change`), or "monotone", which are those declared monotone in the
    `direction`, and only raised. A place is a field; the fields of a tie one-hot or sum are one, and change together:
    another of them is 1, or an amount moves from one to another. Alternatives: `to`, else of categories and flags every
    other value, of numbers up to `points` evenly spaced values of the grid within tolerance and range (of monotone ones
    within the range). Parameters p (batch, places) are whole numbers as in `ChoiceSet`; a choice that breaks an order or an
    implication is no member and does nothing, and −1 (a search ranks places by it) stands for the last alternative.

    >>> from assay.perturbations.fields import fields_from
    >>> age = {"kind": "whole", "range": [0, 120], "may_change": True, "within": 1}
    >>> within = FieldChanges(fields=fields_from({"fields": {"age": age}}), which="changeable", most=1)
    >>> x = Examples(ids=("a",), inputs=torch.tensor([[61.0]]))
    >>> within.choices(x).tolist(), within.apply(x, torch.tensor([[2]])).inputs.tolist()
    ([[2]], [[62.0]])
    """

    fields: Fields
    which: str
    most: int
    direction: str = ""
    points: int = POINTS

    def __post_init__(self) -> None:
        if self.which not in WHICH:
            raise InputError(f"which is {self.which!r}; known are {', '.join(WHICH)}")
        if (self.direction in DIRECTIONS) != (self.which == "monotone"):
            raise InputError(f"direction is {self.direction!r}; say up or down where which is monotone, else nothing")
        if self.most < 0 or self.points < 1:
            raise InputError(f"need at least 0 fields to change and 1 point, got {self.most} and {self.points}")

    @property
    def unit(self) -> str:
        return "fields changed"

    @functools.cached_property
    def moving(self) -> tuple[int, ...]:
        """The positions of the fields that this set may change."""
        return tuple(i for i, f in enumerate(self.fields.fields) if (
            f.irrelevant if self.which == "irrelevant" else f.may_change if self.which == "changeable"
            else f.monotone == self.direction))

    def places(self, row: Row) -> tuple[Place, ...]:
        """Where the row may change, and into what; as many places for every row, some without an alternative."""
        return _places(self, row)

    def choices(self, x: Examples) -> Tensor:
        """How many alternatives each place has, (batch, places)."""
        each = [[len(place.moves) for place in self.places(row)] or [0] for row in rows_of(self.fields, x)]
        return torch.tensor(each)

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(self.choices(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        made = [self._changed(row, chosen)[0] for row, chosen in self._pairs(x, p)]
        return x.changed(inputs=torch.tensor(made, dtype=x.inputs.dtype), truth=x.truth)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        """How many places changed, (batch,); 0 for a choice that is no member."""
        return torch.tensor([self._changed(row, chosen)[1] for row, chosen in self._pairs(x, p)], dtype=torch.float64)

    def of_one(self, x: Examples, p: Tensor) -> Tensor:
        """The member itself: every row has the same places."""
        return p

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """`size` (or `most`) places of each row at random, each with an alternative at random, drawn again until every tie
        holds; the row itself where a hundred draws break one."""
        choices = self.choices(x)
        p = torch.zeros_like(choices)
        for i, (row, generator) in enumerate(zip(rows_of(self.fields, x), generators, strict=True)):
            wanted = self.most if size is None else round(float(size[i]))
            for _ in range(TRIES):
                drawn = _drawn(choices[i], wanted, generator)
                if self._changed(row, drawn.tolist())[1] == int((drawn != 0).sum()):
                    p[i] = drawn
                    break
        return p

    def texts(self, x: Examples) -> Tensor:
        """The rows as a person reads them, code points (batch, longest): a line for each field."""
        return told(self.fields, x)

    def _pairs(self, x: Examples, p: Tensor) -> list[tuple[Row, list[int]]]:
        return list(zip(rows_of(self.fields, x), [[round(c) for c in chosen] for chosen in p.tolist()], strict=True))

    def _changed(self, row: Row, chosen: Sequence[int]) -> tuple[Row, int]:
        """The row with these choices, and how many places they changed; the row itself where they break a tie."""
        places, made, changes = self.places(row), list(row), 0
        if any(chosen[len(places):]) or any(c > len(place.moves) for c, place in zip(chosen, places, strict=False)):
            raise InputError(f"{self.fields.name}: a row has other alternatives than the change was made for: are the "
                             "fields declared as they were?")
        for choice, place in zip(chosen, places, strict=False):
            if choice and place.moves:
                changes += 1
                for i, value in zip(place.fields, place.moves[-1 if choice < 0 else choice - 1], strict=True):
                    made[i] = value
        return (tuple(made), changes) if not changes or self.fields.holds(made) else (row, 0)


def rows_of(fields: Fields, x: Examples) -> list[Row]:
    """The rows that these inputs are; `InputError` where they are none of these fields."""
    if not x.inputs.is_floating_point() or x.inputs.ndim != 2 or x.inputs.shape[1] != len(fields.names):
        raise InputError(f"{fields.name} declares rows of {len(fields.names)} fields, and the inputs are {x.inputs.dtype} "
                         f"of shape {tuple(x.inputs.shape)}")
    return [tuple(row) for row in x.inputs.tolist()]


def told(fields: Fields, x: Examples) -> Tensor:
    """The rows as a person reads them, code points (batch, longest): a line for each field."""
    return torch.from_numpy(encode([fields.text(row) for row in rows_of(fields, x)]))


def _drawn(choices: Tensor, wanted: int, generator: torch.Generator) -> Tensor:
    """`wanted` open places at random, each with an alternative at random."""
    drawn = torch.zeros_like(choices)
    ready = choices.nonzero()[:, 0]
    for place in ready[torch.randperm(len(ready), generator=generator)[:wanted]].tolist():
        drawn[place] = 1 + int(torch.randint(int(choices[place]), (), generator=generator))
    return drawn


@functools.lru_cache(maxsize=20_000)
def _places(within: FieldChanges, row: Row) -> tuple[Place, ...]:
    """A place for each open field, and one for each tie that moves its fields together."""
    fields, found, seen = within.fields, [], set()
    group = {i: tie for tie in fields.ties if tie.kind in GROUPS for i in tie.fields}
    for i in within.moving:
        if i in seen:
            continue
        tie = group.get(i)
        at = (i,) if tie is None else tie.fields
        seen |= set(at)
        moves = ([(value,) for value in _values(within, fields.fields[i], row[i])] if tie is None
                 else _transfers(within, tie, row) if tie.kind == "sum" else _others(within, tie, row))
        found.append(Place(fields=at, moves=_possible(within, at, moves, row)))
    return tuple(found)


def _values(within: FieldChanges, field: Field, present: float) -> list[float]:
    """What a field may be instead of what it is, in ascending order."""
    low, high = (present, field.high) if within.which == "monotone" else field.room(present)
    if field.to and within.which != "monotone":
        return sorted(value for value in set(field.to) if value != present)
    if not field.numeric:
        return [float(v) for v in range(round(low), round(high) + 1) if v != present]
    step = field.step or (1.0 if field.kind == "whole" else 0.0)
    if not step:
        values = [rounded(low + k * (high - low) / (within.points - 1 or 1)) for k in range(within.points)]
        return sorted({value for value in values if low <= value <= high} - {present})
    first = math.ceil((low - field.low) / step - SLACK)
    last = math.floor((high - field.low) / step + SLACK)
    if last - first + 1 <= within.points + 1:
        places: list[int] = list(range(first, last + 1))
    else:
        places = [first + round(k * (last - first) / (within.points - 1 or 1)) for k in range(within.points)]
    return sorted({rounded(field.low + k * step) for k in places} - {present})


def _allowed(within: FieldChanges, field: Field, present: float, value: float) -> bool:
    """Whether the field may become the value, which need not be among those that are tried."""
    if field.to:
        return value in field.to
    low, high = field.room(present)
    on_grid = field.step is None or abs(rounded((value - field.low) / field.step) % 1 - 0.5) > 0.5 - 1e-6
    return low <= value <= high and field.permits(value) and on_grid


def _others(within: FieldChanges, tie: Tie, row: Row) -> list[Row]:
    """One-hot: another of the fields is 1."""
    return [tuple(float(i == hot) for i in tie.fields) for hot in tie.fields if row[hot] == 0]


def _transfers(within: FieldChanges, tie: Tie, row: Row) -> list[Row]:
    """Sum: a field gives what it loses by one of its alternatives to another field, so the total stays."""
    fields, found = within.fields.fields, set()
    for giver in tie.fields:
        for less in _values(within, fields[giver], row[giver]):
            for taker in tie.fields:
                more = rounded(row[taker] + row[giver] - less)
                if taker != giver and less < row[giver] and _allowed(within, fields[taker], row[taker], more):
                    found.add(tuple(less if i == giver else more if i == taker else row[i] for i in tie.fields))
    return sorted(found)


def _possible(within: FieldChanges, at: tuple[int, ...], moves: Sequence[Row], row: Row) -> tuple[Row, ...]:
    """The moves that keep every tie whose other fields cannot change."""
    fixed = set(range(len(row))) - set(within.moving) | set(at)
    ties = [tie for tie in within.fields.ties if set(tie.fields) <= fixed]
    kept = []
    for move in moves:
        made = list(row)
        for i, value in zip(at, move, strict=True):
            made[i] = value
        if all(tie.holds(made) for tie in ties):
            kept.append(move)
    return tuple(kept)

