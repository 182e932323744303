"""From words to a session: task, systems, data, profile. The words are the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.audits import classification, codes, reconstruction, sound, table, text, verification
from assay.audits.recipe import Recipe, loaded
from assay.audits.session import Session
from assay.audits.vocabulary import validate_words
from assay.datasets.bundled import SETS
from assay.datasets.formats_wav import holds_sounds
from assay.datasets.groups import groups_of
from assay.datasets.measured import Dataset
from assay.letters import deceptive
from assay.perturbations.registry import OF_FIELDS
from assay.profiles import load as profiles
from assay.records import DataRecord
from assay.systems import catalogue
from assay.systems.fitting import METHODS

TASKS = {"reconstruction": reconstruction, "classification": classification, "text": text,
         "codes": codes, "sound": sound, "table": table, "verification": verification}
TABLES = (".csv", ".tsv")        # data that are texts, or rows where their fields are declared


def session_from(recipe: Mapping[str, Any] | Recipe, *, systems: Mapping[str, catalogue.Loaded] | None = None,
                 data: Dataset | None = None, profile: Mapping[str, Any] | None = None) -> Session:
    """The session of a recipe: systems loaded, data ready, settings chosen on samples that are not audited.

    `systems` (by the names the recipe uses) and `data` are objects in memory that stand in for words; a session with
    any of them has no recipe, so no other process can build it again. `profile` is one that an audit stored, in place of
    the one that the recipe names, which may have changed since.
    """
    words = recipe if isinstance(recipe, Recipe) else Recipe(**recipe)
    made = dict(systems or {})
    words = resolved(words, data)
    task = TASKS[words.task]
    audited, tuning = task.datasets(words) if data is None else task.split(data)
    present = [made.get(name) or loaded(words, name, "audited") for name in words.systems]
    choices: dict[str, Any] = {}
    for name in words.established:
        system, choice = (made[name], {}) if name in made else task.established(words, name, audited, tuning)
        present.append(system)
        if choice:
            choices[name] = choice
    said = replace(words, established=tuple(words.established) or ("none",))     # no name at all would mean the usual ones
    asked = profile or profiles.at_noise(profiles.load(
        words.profile, task=words.task, budget=words.budget, truth=audited.record.truth), audited.record.noise)
    validate_words(asked)
    _refuse_deceptive([loaded.record.name for loaded in present], audited.record)
    return Session(name=" and ".join(words.systems), systems=present, data=audited, seed=words.seed, shard=task.SHARD,
                   keep=task.KEEP, choices=choices,
                   groups=groups_of(words.groups, words.data, audited.ids) if words.groups else {},
                   recipe=None if made or data is not None else said.data_dict(),
                   profile=_with_fields(dict(asked), audited.record.options.get("fields")))


def _refuse_deceptive(systems: Sequence[str], data: DataRecord) -> None:
    """`InputError` for a name that a label would refuse once everything has run; hidden characters it writes out instead."""
    for what, names in (("system", systems), ("class", data.classes), ("data", (data.id, data.description))):
        for name in names:
            if reason := deceptive("".join(c for c in name if c.isprintable())):
                raise InputError(f"{what} {name!r} {reason}, so a reader may take it for another, and no warning label "
                                 "could be written; rename it in plain letters")


def _with_fields(profile: dict[str, Any], fields: Any) -> dict[str, Any]:
    """The profile with the declaration that the data were read by, in the words of each set that changes fields."""
    def filled(check: Mapping[str, Any]) -> Mapping[str, Any]:
        words = check.get("perturbation", {})
        own = words.get("kind") in OF_FIELDS and "fields" not in words
        return {**check, "perturbation": {**words, "fields": fields}} if own else check

    return profile if fields is None else {**profile, "checks": [filled(check) for check in profile["checks"]]}


def resolved(words: Recipe, data: Dataset | None = None) -> Recipe:
    """The recipe with everything filled in that the user left to us: task, data, established methods.

    The task is what the data say (a data set in memory, a bundled set), else what the system is known for, else what the
    user says. `InputError` where two of them disagree.
    """
    told = {"--task": words.task, "the data": _task_of_data(words, data)}
    said, can = next(filter(None, told.values()), ""), catalogue.tasks_of(words.systems[0])
    told["the system"] = said if said in can else next(iter(can), "")
    tasks = {who: task for who, task in told.items() if task}
    if len(set(tasks.values())) > 1:
        said = ", ".join(f"{who}: {task}" for who, task in tasks.items())
        raise InputError(f"system {words.systems[0]!r} and data {words.data!r} do not go together ({said}); give data of "
                         "the system's own kind")
    name = next(iter(tasks.values()), "reconstruction")
    if name not in TASKS:
        raise InputError(f"--task {name!r}: known tasks are {', '.join(TASKS)}")
    task = TASKS[name]
    established = tuple(words.established) or task.ESTABLISHED
    if established == ("none",):
        established = ()
    if (words.fit_key or words.fit_labels) and not words.fit:
        raise InputError("--fit-key and --fit-labels name arrays of the file of --fit, and none is given: add --fit DATA")
    if words.fields and name != "table":
        raise InputError(f"--fields {words.fields}: it declares the columns of a table, and the task is {name}; give a .csv "
                         "or .tsv of rows, or leave out --fields")
    if words.fit and not METHODS.keys() & set(established):
        raise InputError(f"--fit {words.fit}: nothing is fitted to it; the established methods that can be are "
                         f"{', '.join(METHODS)}: name one with --established, or leave out --fit")
    return replace(words, task=name, data=words.data or task.DATA, established=established)


def _task_of_data(words: Recipe, data: Dataset | None) -> str:
    if data is not None:
        return data.record.task
    if words.data.startswith("bundled:"):
        return SETS.get(words.data.removeprefix("bundled:"), ("",))[0]
    if words.data.lower().endswith(TABLES):
        if words.fields or words.task == "table":
            return "table"
        codes_too = words.task == "codes" or catalogue.tasks_of(words.systems[0]) == ("codes",)
        return "codes" if codes_too else "text"
    if holds_sounds(Path(words.data)):
        return "verification" if "verification" in (words.task, *catalogue.tasks_of(words.systems[0])) else "sound"
    return "classification" if words.labels or words.classes or words.fit else ""
