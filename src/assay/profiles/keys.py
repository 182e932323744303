"""Which keys a profile may have, and of which type: every error names the file, the place, the key and the nearest good one.

What only an audit knows (methods, metrics, kinds of changes and of searches, which others may add) is checked where the
session is made: `assay.audits.vocabulary`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from assay.profiles.errors import ProfileError, instead
from assay.records import Access

STATUSES = ("published", "draft", "proposal")
COMMUNITIES = ("research", "healthcare", "defence", "defence-intelligence", "public-sector")
Type = tuple[str, Callable[[Any], bool]]


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300 if isinstance(value, int) else math.isfinite(value)


def _list_of(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(good(item) for item in value)


def _plain(value: Any) -> bool:
    """Whether the value is made of tables, lists, texts, truth values and finite numbers: no dates, no NaN."""
    if isinstance(value, Mapping):
        return all(_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return isinstance(value, (str, bool)) or _number(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and _plain(value)


TEXT: Type = ("a text", _is_text)
TEXTS: Type = ("a list of texts", _list_of(_is_text))
SOURCES: Type = ("a list of at least one text", lambda v: isinstance(v, list) and bool(v) and _list_of(_is_text)(v))
NUMBER: Type = ("a finite number", _number)
NUMBERS: Type = ("a list of finite numbers", _list_of(_number))
RANGE: Type = ("two finite numbers, the lesser first", lambda v: _list_of(_number)(v) and len(v) == 2 and v[0] < v[1])
SHARE: Type = ("a share above 0 and at most 1", lambda v: _number(v) and 0 < v <= 1)
PART: Type = ("a share above 0 and below 1", lambda v: _number(v) and 0 < v < 1)    # no sample shows all of a share
COUNT: Type = ("a whole number, 0 or more", lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 10**9)
MANY: Type = ("a whole number, 1 or more", lambda v: COUNT[1](v) and v > 0)
TABLE: Type = ("a table of plain values", _is_table)
ANY_TABLE: Type = ("a table", lambda v: isinstance(v, Mapping))             # whose keys are looked at one by one
TABLES: Type = ("a list of tables", _list_of(ANY_TABLE[1]))
NESTED: Type = ("a table of tables", lambda v: isinstance(v, Mapping) and all(isinstance(i, Mapping) for i in v.values()))


def one_of(words: Iterable[str]) -> Type:
    known = tuple(words)
    return f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known


CRITERION: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {      # kind -> keys of which one is needed; further keys
    "grows": (("absolute", "per_level"), ("over_control", "over_control_gain")),
    "reaches": (("threshold",), ("ceiling",)),
    "flips-within": (("within",), ("over_random", "louder")),
    "worsens-with-more": (("base",), ("tolerance",)),
    "worse-than-established": (("margin",), ()),
    "invents": (("threshold",), ("alpha", "contrast")),
    "certifies": (("within", "at_most"), ("share",)),
    "measures": ((), ()),
}
ALSO_NEEDED = {"worsens-with-more": ("tolerance",), "invents": ("alpha", "contrast")}
REFUSAL = {"rate-above": ("most",), "mean-above": ("most", "number"), "drop-above": ("most",),
           "sensitivity-below": ("least",)}                                 # kind -> keys that it needs
TOP: dict[str, Type] = {
    "id": TEXT, "task": TEXT, "title": TEXT, "community": one_of(COMMUNITIES), "version": TEXT, "description": TEXT,
    "rate": SHARE, "headline": TEXT, "validity_days": MANY, "noun": TEXT, "modality": TEXT, "not_tested": TEXTS,
    "actions": TEXTS, "clauses": TABLES, "checks": TABLES, "budgets": NESTED, "without_truth": ANY_TABLE, "extends": TEXT,
    "without": TEXTS, "override": NESTED, "thresholds": ANY_TABLE, "refusal": TABLES}
WORDS = ("metric_name", "metric_unit", "verb", "consequence", "space", "range", "noun", "thresholds", "relative_to",
         "noise", "multiples")                                                           # read by plans and reports alone
CHECK: dict[str, Type] = {
    "id": TEXT, "title": TEXT, "question": TEXT, "method": TEXT, "metric": TEXT, "criterion": TABLE, "sources": SOURCES,
    "unit": TEXT, "plain": TEXT, "perturbation": TABLE, "search": TABLE, "levels": NUMBERS, "extra_metrics": TEXTS,
    "controls": COUNT, "samples": COUNT, "needs": one_of(Access.__members__), "metric_name": TEXT, "metric_unit": TEXT,
    "verb": TEXT, "consequence": TEXT, "space": TEXT, "range": RANGE, "noun": TEXT, "thresholds": TABLES,
    "relative_to": one_of(("noise",)), "like": TEXT}
THRESHOLD: dict[str, Type] = {"key": TEXT, "status": one_of(STATUSES), "source": TEXT}
REFUSAL_KEYS: dict[str, Type] = {"id": TEXT, "kind": one_of(REFUSAL), "check": TEXT, "most": SHARE, "least": PART,
                                 "number": TEXT, "sentence": TEXT, "status": one_of(STATUSES), "source": TEXT}
CLAUSE: dict[str, Type] = {"id": TEXT, "title": TEXT, "status": one_of(("published", "draft", "background")),
                           "checked": TEXT}
REQUIRED = ("id", "title", "community", "version", "rate", "headline", "checks", "not_tested", "actions")
CHECK_REQUIRED = ("id", "title", "question", "method", "metric", "criterion", "sources")


def validate_file(data: Mapping[str, Any], where: str) -> None:
    """Keys and types of one file as it was written, before anything is inherited."""
    _table(data, TOP, where, "")
    for check in data.get("checks", ()):
        _check(check, where, f"check {check.get('id', '?')!r}")
        if "id" not in check:
            raise ProfileError(f"{where}: a check has no 'id'")
    for name, changes in data.get("override", {}).items():
        _check(changes, where, f"override of {name!r}", without=("id", "like"))
    for budget, table in data.get("budgets", {}).items():
        for name, changes in table.items():
            place = f"budget {budget!r}, check {name!r}"
            _typed(changes, ANY_TABLE, where, place)
            _check(changes, where, place, without=("id", "like"))
    if "thresholds" in data:
        _thresholds(data["thresholds"], where)
    for line in data.get("refusal", ()):
        _refusal(line, where)
    for clause in data.get("clauses", ()):
        _table(clause, CLAUSE, where, "clauses", needed=tuple(CLAUSE))
    _without_truth(data.get("without_truth", {}), where)


def validate_check(check: Mapping[str, Any], where: str) -> None:
    """A check with everything inherited and the budget applied: what it needs is there, and what it judges makes sense."""
    name = f"check {check.get('id', '?')!r}"
    for key in CHECK_REQUIRED:
        if key not in check:
            raise ProfileError(f"{where}: {name} has no {key!r}")
    criterion = check["criterion"]
    _criterion(criterion, where, name)
    if "level" in criterion and check.get("levels") and criterion["level"] not in check["levels"]:
        known = ", ".join(f"{level:g}" for level in check["levels"])
        raise ProfileError(f"{where}: {name} judges level {criterion['level']:g}, which is not in its ladder; "
                           f"levels: {known}")


def _criterion(criterion: Mapping[str, Any], where: str, name: str) -> None:
    kind = criterion.get("kind")
    if kind not in CRITERION:
        raise ProfileError(f"{where}: {name}, criterion: unknown kind {kind!r}; {instead(kind, CRITERION)}")
    needed, further = CRITERION[kind]
    types = {"kind": TEXT, "sentence": TEXT, "level": NUMBER, "ceiling": TEXT,
             **{key: SHARE if key == "share" else NUMBER for key in (*needed, *further) if key != "ceiling"}}
    allowed = {key: types[key] for key in ("kind", "sentence", "level", *needed, *further)}
    _table(criterion, allowed, where, f"{name}, criterion {kind!r}", needed=("sentence",))
    given = [key for key in needed if key in criterion]
    for key in ALSO_NEEDED.get(kind, ()):
        if key not in criterion:
            raise ProfileError(f"{where}: {name}, criterion {kind!r}: {key!r} is missing")
    if needed and len(given) != 1:
        what = "is missing" if not given else "both say the same thing: give one"
        raise ProfileError(f"{where}: {name}, criterion {kind!r}: {' or '.join(map(repr, needed))} {what}")


def _check(check: Mapping[str, Any], where: str, name: str, *, without: tuple[str, ...] = ()) -> None:
    _table(check, {key: kind for key, kind in CHECK.items() if key not in without}, where, name)
    for entry in check.get("thresholds", ()):
        _table(entry, THRESHOLD, where, f"{name}, thresholds", needed=tuple(THRESHOLD))


def _thresholds(table: Mapping[str, Any], where: str) -> None:
    """The file's own default, and what is said of `rate` apart."""
    types = {"status": THRESHOLD["status"], "source": TEXT}
    _table(table, {**types, "rate": ANY_TABLE}, where, "thresholds", needed=("status", "source"))
    if "rate" in table:
        _table(table["rate"], types, where, "thresholds, rate", needed=("status", "source"))


def _refusal(line: Mapping[str, Any], where: str) -> None:
    name = f"refusal {line.get('id', '?')!r}"
    kind = line.get("kind")
    if kind not in REFUSAL:
        raise ProfileError(f"{where}: {name}: unknown kind {kind!r}; {instead(kind, REFUSAL)}")
    known = {"id", "kind", "check", "sentence", "status", "source", *REFUSAL[kind]}
    _table(line, {key: REFUSAL_KEYS[key] for key in known}, where, name,
           needed=("id", "check", "sentence", *REFUSAL[kind]))


def _without_truth(table: Mapping[str, Any], where: str) -> None:
    _table(table, {"not_tested": TEXTS, "checks": NESTED}, where, "without_truth")
    for name, changes in table.get("checks", {}).items():
        _check(changes, where, f"without_truth, check {name!r}", without=("id", "like"))


def _table(table: Mapping[str, Any], types: Mapping[str, Type], where: str, place: str, *,
           needed: tuple[str, ...] = ()) -> None:
    """Unknown keys, missing keys, wrong types."""
    inside = f"{place}: " if place else ""
    for key in table:
        if key not in types:
            raise ProfileError(f"{where}: {inside}unknown key {key!r}; {instead(key, types)}")
        _typed(table[key], types[key], where, f"{inside}{key}")
    for key in needed:
        if key not in table:
            raise ProfileError(f"{where}: {inside}key {key!r} is missing")


def _typed(value: Any, kind: Type, where: str, place: str) -> None:
    words, good = kind
    if not good(value):
        text = repr(value)
        raise ProfileError(f"{where}: {place}: {text if len(text) <= 60 else text[:59] + '…'} is not {words}")
