"""Profiles made from others: `extends`, `override`, `without`, and checks that are `like` another one.

What is stored and hashed is the result, so an audit never needs the parent again. Lists of what was not tested only grow:
a profile that takes another's questions takes its limits too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.profiles.errors import ProfileError, instead
from assay.profiles.keys import validate_file
from assay.profiles.thresholds import Said, default_of, restated, stated

Read = Callable[[str, str], tuple[str, str, dict[str, Any]]]       # name, of whom -> identity, name, content
TAKEN = ("task", "title", "community", "description", "rate", "headline", "validity_days", "noun", "modality", "actions")
OWN = ("id", "version")             # a changed profile is another one, and says so


def resolved(identity: str, name: str, data: dict[str, Any], read: Read, *, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The profile with everything it takes from its parents; `read` finds a parent by the name that a file gives it."""
    where = f"profile {name}"
    if identity in above:
        raise ProfileError(f"{where}: it extends itself ({' → '.join([*above, identity])}); leave out one 'extends'")
    validate_file(data, where)
    if "extends" not in data:
        for key in ("override", "without"):
            if key in data:
                raise ProfileError(f"{where}: {key!r} changes a parent, and there is none; add extends = \"NAME\"")
        return _whole(data, {"checks": []}, where)
    parent = resolved(*read(data["extends"], identity), read, above=(*above, identity))
    if missing := [key for key in OWN if key not in data]:
        raise ProfileError(f"{where}: it extends {data['extends']!r} and is another profile: key {missing[0]!r} is missing")
    if "task" in data and data["task"] != parent.get("task", data["task"]):
        raise ProfileError(f"{where}: its task is {data['task']!r}, and that of {data['extends']!r} {parent['task']!r}")
    return _whole(data, parent, where)


def _whole(data: Mapping[str, Any], parent: Mapping[str, Any], where: str) -> dict[str, Any]:
    default = default_of(data)
    result = {key: data[key] if key in data else parent[key] for key in (*OWN, *TAKEN) if key in data or key in parent}
    result["not_tested"] = list(dict.fromkeys([*parent.get("not_tested", []), *data.get("not_tested", [])]))
    result["checks"] = _checks(data, parent, default, where)
    known = {check["id"] for check in result["checks"]}
    gone = {check["id"] for check in parent["checks"]} - known
    own = [{"status": default["status"], "source": default["source"], **line} for line in data.get("refusal", ())]
    replaced = {line["id"] for line in own}
    lines = [line for line in parent.get("refusal", ()) if line["id"] not in replaced and line["check"] not in gone] + own
    if lines:
        result["refusal"] = lines
    if clauses := [*parent.get("clauses", []), *data.get("clauses", [])]:
        result["clauses"] = clauses
    result["budgets"] = _budgets(parent.get("budgets", {}), data.get("budgets", {}), gone)
    blind = _blind(parent.get("without_truth"), data.get("without_truth"), gone)
    if blind is not None:
        result["without_truth"] = blind
    changed = "rate" in data and data["rate"] != parent.get("rate")
    said = data.get("thresholds", {}).get("rate") or default
    if changed or "thresholds" not in parent or "rate" in data.get("thresholds", {}):
        result["thresholds"] = [{"key": "rate", "status": said["status"], "source": said["source"]}]
    else:
        result["thresholds"] = parent["thresholds"]
    return {key: value for key, value in result.items() if key != "not_tested" or value}


def _checks(data: Mapping[str, Any], parent: Mapping[str, Any], default: Said, where: str) -> list[dict[str, Any]]:
    """The parent's checks without those left out and with those changed, in its order; then the file's own."""
    checks = {check["id"]: check for check in parent["checks"]}
    for key in (*data.get("without", ()), *data.get("override", {})):
        if key not in checks:
            raise ProfileError(f"{where}: the parent has no check {key!r} to leave out or change; {instead(key, checks)}")
    for name, changes in data.get("override", {}).items():
        if name in data.get("without", ()):
            raise ProfileError(f"{where}: check {name!r} is both left out and changed")
        checks[name] = changed(checks[name], changes, default, where)
    for name in data.get("without", ()):
        checks.pop(name, None)
    for check in data.get("checks", ()):
        if check["id"] in checks:
            raise ProfileError(f"{where}: there are two checks {check['id']!r}; to change an inherited one write "
                               f"[override.{check['id']}]")
        if "like" in check:
            if check["like"] not in checks:
                raise ProfileError(f"{where}: check {check['id']!r} is like {check['like']!r}, which does not stand above "
                                   f"it; {instead(check['like'], checks)}")
            own = {key: value for key, value in check.items() if key != "like"}
            checks[check["id"]] = changed(checks[check["like"]], own, default, where)
        else:
            checks[check["id"]] = stated(check, default, where)
    return list(checks.values())


def changed(check: Mapping[str, Any], changes: Mapping[str, Any], default: Said, where: str) -> dict[str, Any]:
    """The check with the changes: keys of tables one by one, unless the table becomes one of another kind.

    Where a number of the criterion changes and its sentence does not, the sentence says which: it may name the old one.
    """
    after = merged(check, {key: value for key, value in changes.items() if key != "thresholds"})
    if note := _moved(check.get("criterion", {}), after.get("criterion", {}), changes.get("criterion", {})):
        after["criterion"] = {**after["criterion"], "sentence": f"{check['criterion']['sentence']} (here {note})"}
    return restated(check, after, default, where, own=changes.get("thresholds", ()))


def _moved(old: Mapping[str, Any], new: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """The numbers of a criterion that changed under an old sentence, in words; the level is told beside it anyway."""
    if "sentence" not in old or "sentence" in said or old.get("kind") != new.get("kind"):
        return ""
    numbers = {key: new[key] for key in said if key != "level" and isinstance(new[key], (int, float))}
    return ", ".join(f"{key} = {value}" + (f", not {old[key]}" if key in old else "")
                     for key, value in numbers.items() if value != old.get(key))


def merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The table with the changes, tables within it alike; a table of another `kind` replaces the old one.

    >>> merged({"a": {"kind": "x", "n": 1}, "b": 2}, {"a": {"n": 3}})
    {'a': {'kind': 'x', 'n': 3}, 'b': 2}
    >>> merged({"a": {"kind": "x", "n": 1}}, {"a": {"kind": "y"}})
    {'a': {'kind': 'y'}}
    """
    result = dict(table)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("kind", old.get("kind")) == old.get("kind"):
            value = merged(old, value)
        result[key] = value
    return result


def _budgets(parent: Mapping[str, Any], own: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    return {name: {check: {**parent.get(name, {}).get(check, {}), **own.get(name, {}).get(check, {})}
                   for check in dict.fromkeys([*parent.get(name, {}), *own.get(name, {})])
                   if check not in gone or check in own.get(name, {})}
            for name in dict.fromkeys([*parent, *own])}


def _blind(parent: Mapping[str, Any] | None, own: Mapping[str, Any] | None, gone: set[str]) -> dict[str, Any] | None:
    if parent is None and own is None:
        return None
    above, here = parent or {}, own or {}
    lines = list(dict.fromkeys([*above.get("not_tested", []), *here.get("not_tested", [])]))
    kept = {name: value for name, value in above.get("checks", {}).items() if name not in gone}
    return {"not_tested": lines, "checks": {**kept, **here.get("checks", {})}}
