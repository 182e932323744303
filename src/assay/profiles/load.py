"""Reading a profile: TOML to checks as data, with a budget applied. No torch: `plan` and `judge` need no system."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from assay.records import digest_of

REQUIRED = ("id", "title", "community", "version", "rate", "headline", "checks", "not_tested", "actions")
CHECK_REQUIRED = ("id", "title", "question", "method", "metric", "criterion", "sources")
WORDS = ("metric_name", "metric_unit", "verb", "consequence", "space", "range", "noun")      # read by reports alone
CHECK_KNOWN = {*CHECK_REQUIRED, "unit", "plain", "perturbation", "search", "levels", "extra_metrics", "controls",
               "samples", "needs", *WORDS}


class ProfileError(ValueError):
    """A profile that cannot be used: the message names the file and the key."""


def names() -> dict[str, tuple[str, ...]]:
    """The profiles that come with Assay: a folder for each community, in it a file for each task."""
    folders = [f for f in resources.files(__package__).iterdir() if f.is_dir() and not f.name.startswith("_")]
    return {folder.name: tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))
            for folder in sorted(folders, key=lambda f: f.name)}


def task_of(path: str) -> str:
    """The task a user's own profile asks about."""
    return str(_parsed(path, _text(path, "")).get("task", "reconstruction"))


def load(name: str, *, task: str = "reconstruction", budget: str = "standard", truth: bool = True) -> dict[str, Any]:
    """The profile (a built-in name, or a path to a TOML file) for a task, with the named budget's numbers filled in.

    A budget is a table `[budgets.NAME.CHECK]` whose keys replace those of the check; keys of `search` are merged. The
    digest covers the profile after the budget, so a smaller budget is another profile. Data whose true images are not
    known (`truth` false) are judged by what the table `[without_truth]` says instead: keys of checks under
    `[without_truth.checks.CHECK]`, and lines for `not_tested`.
    """
    data = _read(name, task)
    meant = data.setdefault("task", "reconstruction")
    if meant != task:
        raise ProfileError(f"profile {name}: it asks about {meant}, and system and data are about {task}")
    for key in REQUIRED:
        if key not in data:
            raise ProfileError(f"profile {name}: key {key!r} is missing")
    budgets = data.pop("budgets", {})
    if budget not in budgets and budget != "standard":
        raise ProfileError(f"profile {name}: unknown budget {budget!r}; known: {', '.join(['standard', *budgets])}")
    blind = data.pop("without_truth", None)
    if not truth:
        if blind is None:
            raise ProfileError(f"profile {name}: the true images of these data are not known, and the profile has no table "
                               "[without_truth] that says how to judge then")
        data["not_tested"] = [*data["not_tested"], *blind.get("not_tested", [])]
        data["checks"] = [{**check, **blind.get("checks", {}).get(check.get("id", ""), {})} for check in data["checks"]]
    changes = budgets.get(budget, {})
    data["checks"] = [_with_budget(check, changes.get(check.get("id", ""), {}), name) for check in data["checks"]]
    known = {check["id"] for check in data["checks"]}
    if unknown := sorted(set(changes) - known):
        raise ProfileError(f"profile {name}: budget {budget!r} names unknown check {unknown[0]!r}")
    if data["headline"] not in known:
        raise ProfileError(f"profile {name}: headline {data['headline']!r} is not one of its checks")
    data["budget"] = budget
    data["digest"] = digest_of(data)
    return data


def _read(name: str, task: str) -> dict[str, Any]:
    return _parsed(name, _text(name, task))


def _text(name: str, task: str) -> str:
    known = names()
    if name in known:
        if task not in known[name]:
            raise ProfileError(f"profile {name}: it has no questions about {task}; it asks about {', '.join(known[name])}")
        return resources.files(__package__).joinpath(name, f"{task}.toml").read_text(encoding="utf-8")
    path = Path(name)
    if not path.is_file():
        raise ProfileError(f"unknown profile {name!r}; known: {', '.join(known)}, or a path to a TOML file")
    return path.read_text(encoding="utf-8")


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"profile {name}: {error}") from None


def _with_budget(check: Mapping[str, Any], changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    for key in CHECK_REQUIRED:
        if key not in check:
            raise ProfileError(f"profile {name}: check {check.get('id', '?')!r} has no {key!r}")
    if unknown := sorted((set(check) | set(changes)) - CHECK_KNOWN):
        raise ProfileError(f"profile {name}: check {check['id']!r} has unknown key {unknown[0]!r}")
    merged = {**check, **changes}
    merged["search"] = {**check.get("search", {}), **changes.get("search", {})}
    level = merged["criterion"].get("level")
    if level is not None and merged.get("levels") and level not in merged["levels"]:
        raise ProfileError(f"profile {name}: check {check['id']!r} judges level {level}, which is not in its ladder")
    return merged
