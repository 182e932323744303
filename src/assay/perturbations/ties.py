"""Ties between the fields of a row: exactly one of several, a total that is kept, an order, an implication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.arrays import InputError
from assay.perturbations.field import Field, nearest, value_of

KEYS = {"one-hot": ("kind", "fields"), "sum": ("kind", "fields"), "order": ("kind", "fields"),
        "implies": ("kind", "if", "then")}
GROUPS = ("one-hot", "sum")         # whose fields change together, as one


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A condition on the fields at these positions; `values` are those of an implication, if and then.

    A sum holds in every row: what is kept is the total of the row itself, by the changes that there are.

    >>> Tie(kind="order", fields=(0, 1)).holds((80.0, 120.0)), Tie(kind="one-hot", fields=(0, 1)).holds((1.0, 1.0))
    (True, False)
    >>> Tie(kind="implies", fields=(0, 1), values=(1.0, 0.0)).holds((0.0, 1.0))
    True
    """

    kind: str
    fields: tuple[int, ...]
    values: tuple[float, ...] = ()

    def holds(self, row: Sequence[float]) -> bool:
        if self.kind == "one-hot":
            return sorted(row[i] for i in self.fields) == [0.0] * (len(self.fields) - 1) + [1.0]
        if self.kind == "order":
            return row[self.fields[0]] <= row[self.fields[1]]
        if self.kind == "implies":
            return row[self.fields[0]] != self.values[0] or row[self.fields[1]] == self.values[1]
        return True

    def told(self, fields: Sequence[Field]) -> str:
        """The condition in words."""
        names = [fields[i].name for i in self.fields]
        if self.kind == "one-hot":
            return f"exactly one of {', '.join(names)} is 1"
        if self.kind == "order":
            return f"{names[0]} ≤ {names[1]}"
        if self.kind == "implies":
            both = zip(self.fields, self.values, strict=True)
            return " implies ".join(f"{fields[i].name} = {fields[i].told(value)}" for i, value in both)
        return f"the total of {', '.join(names)}"


def ties_from(declared: Any, fields: Sequence[Field], name: str) -> tuple[Tie, ...]:
    """The ties of a declaration; `InputError` for unknown keys or fields, and for ties that contradict each other."""
    if not isinstance(declared, list):
        raise InputError(f"{name}: ties is {declared!r}; write [[ties]] for each")
    found = []
    for number, table in enumerate(declared, start=1):
        place = f"{name}: tie {number}"
        tie = _tie(table, fields, place)
        _alone(tie, fields, place)
        found.append(tie)
    _together(found, fields, name)
    return tuple(found)


def _tie(table: Any, fields: Sequence[Field], place: str) -> Tie:
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(kind, str) or kind not in KEYS:
        raise InputError(f"{place}: kind {kind!r} is unknown{nearest(str(kind), KEYS)}; known are {', '.join(KEYS)}")
    for key in table:
        if key not in KEYS[kind]:
            raise InputError(f"{place}: key {key!r} is unknown{nearest(key, KEYS[kind])}; a tie {kind!r} has "
                             f"{', '.join(KEYS[kind])}")
    return _implication(table, fields, place) if kind == "implies" else Tie(
        kind=kind, fields=_positions(table.get("fields"), fields, place))


def _implication(table: Mapping[str, Any], fields: Sequence[Field], place: str) -> Tie:
    at, values = [], []
    for key in ("if", "then"):
        said = table.get(key)
        if not isinstance(said, Mapping) or len(said) != 1:
            raise InputError(f"{place}: {key} is {said!r}; write {key} = {{ field = value }}")
        (name, value), = said.items()
        (i,) = _positions([name], fields, place, least=1)
        at.append(i)
        values.append(value_of(fields[i], value, f"{place}: {key}"))
    if at[0] == at[1]:
        raise InputError(f"{place}: if and then are both about {fields[at[0]].name!r}; name two fields")
    return Tie(kind="implies", fields=tuple(at), values=tuple(values))


def _positions(said: Any, fields: Sequence[Field], place: str, *, least: int = 2) -> tuple[int, ...]:
    names = [f.name for f in fields]
    if not isinstance(said, list) or len(said) < least or len(set(map(str, said))) != len(said):
        raise InputError(f"{place}: fields is {said!r}; name at least two fields, each once")
    if unknown := [name for name in said if name not in names]:
        raise InputError(f"{place}: field {unknown[0]!r} is not declared{nearest(str(unknown[0]), names)}; declare it, or "
                         "mend the tie")
    return tuple(names.index(name) for name in said)


def _alone(tie: Tie, fields: Sequence[Field], place: str) -> None:
    """`InputError` for a tie that its own fields cannot have."""
    mine = [fields[i] for i in tie.fields]
    if tie.kind == "one-hot" and (other := [f for f in mine if f.kind != "flag"]):
        raise InputError(f"{place}: {other[0].name!r} is a {other[0].kind}, and a tie one-hot is of flags")
    if tie.kind in ("sum", "order") and (other := [f for f in mine if not f.numeric]):
        raise InputError(f"{place}: {other[0].name!r} is a {other[0].kind}, and a tie {tie.kind} is of numbers")
    if tie.kind == "order" and len(mine) != 2:
        raise InputError(f"{place}: an order is of two fields, and {len(mine)} are named; write a tie for each pair")
    if tie.kind == "order" and mine[0].low > mine[1].high:
        raise InputError(f"{place}: {mine[0].name} ≤ {mine[1].name} contradicts their ranges; mend one of them")
    if tie.kind in GROUPS:
        if len({(f.may_change, f.irrelevant) for f in mine}) > 1:
            raise InputError(f"{place}: the fields of a tie {tie.kind} change together; declare may_change and irrelevant "
                             "alike for all of them")
        if directed := [f for f in mine if f.monotone]:
            raise InputError(f"{place}: {directed[0].name!r} cannot be monotone, since raising it lowers another field of "
                             f"the tie {tie.kind}; leave monotone out")


def _together(ties: Sequence[Tie], fields: Sequence[Field], name: str) -> None:
    """`InputError` for ties that contradict each other."""
    groups = [i for tie in ties if tie.kind in GROUPS for i in tie.fields]
    if twice := [i for i in groups if groups.count(i) > 1]:
        raise InputError(f"{name}: field {fields[twice[0]].name!r} stands in two ties one-hot or sum, which contradict each "
                         "other; keep one")
    below = {(tie.fields[0], tie.fields[1]) for tie in ties if tie.kind == "order"}
    for _ in fields:                        # everything that is below something is below what that is below
        below |= {(a, d) for a, b in below for c, d in below if b == c}
    if loop := [a for a, b in sorted(below) if a == b]:
        raise InputError(f"{name}: ties contradict each other: by their order {fields[loop[0]].name!r} lies below itself")
    claims: dict[tuple[int, float, int], float] = {}
    hot = [set(tie.fields) for tie in ties if tie.kind == "one-hot"]
    for tie in ties:
        if tie.kind != "implies":
            continue
        (i, k), (given, wanted) = tie.fields, tie.values
        if claims.setdefault((i, given, k), wanted) != wanted:
            raise InputError(f"{name}: ties contradict each other: {fields[i].name} = {fields[i].told(given)} implies two "
                             f"values of {fields[k].name}")
        if given == wanted == 1.0 and any({i, k} <= group for group in hot):
            raise InputError(f"{name}: ties contradict each other: {fields[i].name} implies {fields[k].name}, and only one "
                             "of the two can be 1")
