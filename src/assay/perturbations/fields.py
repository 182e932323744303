"""What may change in a row of a table: each field's kind, range and tolerance, and the ties between fields, as TOML.

A row is a vector of numbers, in the order of the declared fields: numbers as they are, categories by their place among
`values`, flags as 0 or 1. What is not declared to change stays as it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.perturbations.field import Field, finite, nearest, value_of
from assay.perturbations.ties import Tie, ties_from
from assay.records import digest_of

OF_ALL = ("kind", "may_change", "to", "irrelevant", "monotone")
OF_NUMBERS = (*OF_ALL, "range", "step", "within", "by")
KEYS = {"number": OF_NUMBERS, "whole": OF_NUMBERS, "category": (*OF_ALL, "values"), "flag": OF_ALL}
DIRECTIONS = ("up", "down")
FINEST = 1e-11          # a step beside the range: values are told to twelve digits

Row = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fields:
    """The fields of a row in order, the ties between them, the declaration as plain values, and its digest.

    >>> sex = {"kind": "category", "values": ["f", "m"], "irrelevant": True}
    >>> declared = fields_from({"fields": {"sex": sex, "age": {"kind": "whole", "range": [0, 120]}}})
    >>> declared.names, declared.text((1.0, 61.0))
    (('sex', 'age'), 'sex: m\\nage: 61')
    """

    name: str
    fields: tuple[Field, ...]
    ties: tuple[Tie, ...]
    declared: Mapping[str, Any] = field(repr=False)
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    def holds(self, row: Sequence[float]) -> bool:
        """Whether the row keeps every tie."""
        return all(tie.holds(row) for tie in self.ties)

    def broken(self, row: Sequence[float]) -> str:
        """What tie the row breaks, in words, or ""."""
        return next((tie.told(self.fields) for tie in self.ties if not tie.holds(row)), "")

    def text(self, row: Sequence[float]) -> str:
        """The row as a person reads it: a line "field: value" for each field."""
        return "\n".join(f"{f.name}: {f.told(value)}" for f, value in zip(self.fields, row, strict=True))


def load_fields(path: str | Path) -> Fields:
    """The declaration in a TOML file; `InputError` naming file, field, key and remedy."""
    try:
        content = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a .toml of fields") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}; save the file as UTF-8") from None
    try:
        declared = tomllib.loads(content)
    except (ValueError, RecursionError) as error:       # broken, a number of thousands of digits, lists in lists in lists
        raise InputError(f"{path}: not a TOML file that can be read ({error})") from None
    return fields_from(declared, name=str(path))


def fields_from(declared: Mapping[str, Any], *, name: str = "fields") -> Fields:
    """The declaration that these plain values are: a table `fields`, a table for each, and a list `ties`."""
    if unknown := [key for key in declared if key not in ("fields", "ties")]:
        raise InputError(f"{name}: key {unknown[0]!r} is unknown{nearest(unknown[0], ('fields', 'ties'))}; a file of fields "
                         "has [fields.NAME] and [[ties]]")
    tables = declared.get("fields")
    if not isinstance(tables, Mapping) or not tables:
        raise InputError(f"{name}: no field is declared; write [fields.NAME] for each column that the system sees")
    found = tuple(_field(str(key), table, f"{name}: field {str(key)!r}") for key, table in tables.items())
    return Fields(name=name, fields=found, ties=ties_from(declared.get("ties", []), found, name), declared=declared,
                  digest=digest_of({"order": [f.name for f in found], "declared": declared}))


def _field(name: str, table: Any, place: str) -> Field:
    if not name.isprintable() or not name.strip():
        raise InputError(f"{place}: a name needs letters that can be printed; rename the column")
    if not isinstance(table, Mapping):
        raise InputError(f"{place}: not a table; write [fields.{name}] and its keys below")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KEYS:
        raise InputError(f"{place}: kind {kind!r} is unknown{nearest(str(kind), KEYS)}; known are {', '.join(KEYS)}")
    for key in table:
        if key not in KEYS[kind]:
            other = [k for k in KEYS if key in KEYS[k]]
            fault = (f"belongs to kind {' or '.join(other)}, and this is a {kind}" if other else
                     f"is unknown{nearest(key, KEYS[kind])}; known are {', '.join(KEYS[kind])}")
            raise InputError(f"{place}: key {key!r} {fault}")
    may, irrelevant = (_flag(table, key, place) for key in ("may_change", "irrelevant"))
    monotone = table.get("monotone", "")
    if monotone not in ("", *DIRECTIONS):
        raise InputError(f"{place}: monotone {monotone!r}; known are up and down")
    if irrelevant and monotone:
        raise InputError(f"{place}: irrelevant and monotone contradict each other; leave one out")
    values = _values(table, place) if kind == "category" else ()
    low, high = _range(table, kind, place) if kind in ("number", "whole") else (0.0, float(max(len(values) - 1, 1)))
    made = Field(name=name, kind=kind, low=low, high=high, values=values, may_change=may, irrelevant=irrelevant,
                 monotone=monotone, step=_amount(table, "step", place), within=_amount(table, "within", place),
                 by=_amount(table, "by", place))
    made = Field(**{**vars(made), "to": _to(table, made, place)})
    _sensible(made, place, table)
    return made


def _sensible(made: Field, place: str, table: Mapping[str, Any]) -> None:
    """`InputError` for keys that contradict each other or do nothing."""
    said = [key for key in ("within", "by", "to") if key in table]
    if len(said) > 1:
        raise InputError(f"{place}: {said[0]} and {said[1]} say the same thing twice; keep one")
    if said and not (made.may_change or made.irrelevant):
        raise InputError(f"{place}: {said[0]} has no effect on a field that never changes; say may_change = true or "
                         f"irrelevant = true, or leave {said[0]} out")
    if made.numeric and made.may_change and not said:
        raise InputError(f"{place}: may_change = true needs to be told how far; give within, by or to")
    step = made.step or 0.0
    if step > made.high - made.low or (made.kind == "whole" and step != round(step)):
        raise InputError(f"{place}: step {step:g} does not fit a {made.kind} from {made.low:g} to {made.high:g}")
    if step and step < FINEST * max(made.high - made.low, abs(made.low), abs(made.high)):
        raise InputError(f"{place}: step {step:g} is too fine for the range {made.low:g} to {made.high:g}; leave it out")


def _flag(table: Mapping[str, Any], key: str, place: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{place}: {key} is {value!r}; write true or false")
    return value


def _amount(table: Mapping[str, Any], key: str, place: str) -> float | None:
    if key not in table:
        return None
    value = table[key]
    if not finite(value) or value <= 0:
        raise InputError(f"{place}: {key} is {value!r}; give a number above 0")
    return float(value)


def _range(table: Mapping[str, Any], kind: str, place: str) -> tuple[float, float]:
    said = table.get("range")
    if not isinstance(said, list) or len(said) != 2 or not all(map(finite, said)) or not said[0] < said[1]:
        raise InputError(f"{place}: range is {said!r}; give [low, high], two finite numbers, the lower first")
    if kind == "whole" and any(value != round(value) for value in said):
        raise InputError(f"{place}: range is {said!r}, and a whole number lies between whole numbers")
    return float(said[0]), float(said[1])


def _values(table: Mapping[str, Any], place: str) -> tuple[str, ...]:
    said = table.get("values")
    if not isinstance(said, list) or len(said) < 2 or not all(map(_word, said)):
        raise InputError(f"{place}: values is {said!r}; give at least two words in quotation marks, in order")
    if twice := [v for v in said if said.count(v) > 1]:
        raise InputError(f"{place}: values holds {twice[0]!r} twice; keep one")
    return tuple(said)


def _word(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value.strip() == value != ""


def _to(table: Mapping[str, Any], made: Field, place: str) -> Row:
    """The explicit alternatives, as they stand in a row."""
    if "to" not in table:
        return ()
    said = table["to"]
    if not isinstance(said, list) or not said:
        raise InputError(f"{place}: to is {said!r}; give a list of values")
    return tuple(value_of(made, value, f"{place}: to") for value in said)
