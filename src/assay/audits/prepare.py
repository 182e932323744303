"""From words to a session: task, systems, data, profile. The words are the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.audits import classification, codes, reconstruction, sound, table, text, verification
from assay.audits.recipe import Recipe, loaded
from assay.audits.session import Session, as_surrogate
from assay.audits.vocabulary import validate_words
from assay.checks.searching import ONE_BY_ONE, carries_over
from assay.datasets.bundled import SETS, names
from assay.datasets.formats_wav import holds_sounds
from assay.datasets.groups import groups_of
from assay.datasets.measured import Dataset
from assay.letters import deceptive
from assay.metrics.spread import load_tariff
from assay.perturbations.registry import OF_FIELDS
from assay.profiles import load as profiles
from assay.records import Access, DataRecord
from assay.systems import catalogue
from assay.systems.fitting import METHODS
from assay.systems.function import FunctionSystem
from assay.systems.protocol import SystemFamily

TASKS = {"reconstruction": reconstruction, "classification": classification, "text": text,
         "codes": codes, "sound": sound, "table": table, "verification": verification}
SHIPPED_ROWS = names("table")               # the only tables whose fields the shipped systems know
WRITTEN = ("text", "codes", "table")        # tasks whose records have equivalent ones that can all be listed
SCORED = ("text", "codes", "sound", "verification", "table")     # of images it may score more classes than the data show
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
    _refuse_unwrapped(words, present)
    if audited.record.classes:
        _score_the_classes(present, audited, exactly=words.task in SCORED)
    choices: dict[str, Any] = {}
    seconds: list[catalogue.Loaded] = []
    for beside, into in ((words.established, present), (words.surrogates, seconds)):
        for name in beside:
            system, choice = (made[name], {}) if name in made else task.established(words, name, audited, tuning)
            into.append(system)
            if choice:
                choices[name] = choice
    said = replace(words, established=tuple(words.established) or ("none",))     # no name at all would mean the usual ones
    asked = profile or profiles.at_noise(profiles.load(
        words.profile, task=words.task, budget=words.budget, truth=audited.record.truth), audited.record.noise)
    validate_words(asked)
    _refuse_deceptive([loaded.record.name for loaded in (*present, *seconds)], audited.record)
    if seconds and not any(carries_over(check.get("search", {})) for check in asked["checks"]):
        raise InputError(f"--surrogate {words.surrogates[0]}: no check of the profile {asked['id']!r} carries changes over "
                         "from a second system; leave it out")
    _refuse_duds(seconds, present, audited)
    return Session(name=" and ".join(words.systems), systems=present, data=audited, seed=words.seed, shard=task.SHARD,
                   surrogates=[as_surrogate(loaded) for loaded in seconds],
                   keep=task.KEEP, choices=choices,
                   groups=groups_of(words.groups, words.data, audited.ids) if words.groups else {},
                   recipe=None if made or data is not None else said.data_dict(),
                   profile=_with_tariff(_filled_in(dict(asked), audited), words, audited))


def _refuse_unwrapped(words: Recipe, systems: Sequence[catalogue.Loaded]) -> None:
    """`InputError` for a plain function where inputs are texts: it would be handed code points, not the list it wants."""
    for found in systems:
        if words.task in ("text", "codes") and isinstance(found.system, FunctionSystem):
            raise InputError(f"system {found.record.name!r} is a plain function, and would be given code points; return "
                             "assay.systems.texts.TextSystem(function), which hands it a list of texts")


def _refuse_deceptive(systems: Sequence[str], data: DataRecord) -> None:
    """`InputError` for a name that a label would refuse once everything has run; hidden characters it writes out instead."""
    for what, called in (("system", systems), ("class", data.classes), ("data", (data.id, data.description))):
        for name in called:
            if reason := deceptive("".join(c for c in name if c.isprintable())):
                raise InputError(f"{what} {name!r} {reason}, so a reader may take it for another, and no warning label "
                                 "could be written; rename it in plain letters")


def _score_the_classes(systems: Sequence[catalogue.Loaded], audited: Dataset, *, exactly: bool) -> None:
    """`InputError` where a system has other classes than the data, or fewer where more are no error.

    One that raises is told row by row, by the audit.
    """
    classes = audited.record.classes
    for found in systems:
        try:
            scored = text.scores_of(found, audited)
        except InputError:
            raise
        except Exception:
            continue
        if scored < len(classes) or (exactly and scored > len(classes)):
            raise InputError(
                f"system {found.record.name!r} scores {scored} classes, and the audited data have {len(classes)} "
                f"({', '.join(classes[:5])}{', …' if len(classes) > 5 else ''}); return one score for each, "
                + ("or name every class that it scores, in its order, with --classes FILE" if exactly
                   else f"or mend the labels: those above {scored - 1} are out of its range"))


def _refuse_duds(surrogates: Sequence[catalogue.Loaded], systems: Sequence[catalogue.Loaded], audited: Dataset) -> None:
    """`InputError` for a surrogate on which no change can be found: no gradients, other classes, or it raises."""
    if not surrogates or not (classes := len(audited.record.classes)):
        return
    wanted = {classes}
    for found in systems:
        try:
            wanted.add(text.scores_of(found, audited))      # an image classifier may score more classes than the data show
        except Exception:
            continue                                        # told row by row, by the audit
    for found in surrogates:
        name, remedy = found.record.name, "give one made for these data and classes, or leave it out"
        if isinstance(found.system, SystemFamily):
            raise InputError(f"surrogate {name!r} is no classifier, but a method of reconstruction; {remedy}")
        if found.record.access < Access.GRADIENT:
            raise InputError(f"surrogate {name!r} gives no gradients, so no change can be found on it; {remedy}")
        try:
            scored = text.scores_of(found, audited)
        except Exception as error:
            raise InputError(f"surrogate {name!r} returns no scores (batch, classes) of the first sample, of shape "
                             f"{tuple(audited.fetch((0,)).inputs.shape)}: {type(error).__name__}: {error}; "
                             f"{remedy}") from error
        if scored not in wanted:
            raise InputError(f"surrogate {name!r} scores {scored} classes, and {' or '.join(map(str, sorted(wanted)))} are "
                             f"wanted, as the audited system and data have; {remedy}")


def _with_tariff(profile: dict[str, Any], words: Recipe, data: Dataset) -> dict[str, Any]:
    """The profile with what each decision is worth, in the words of each search that asks about equivalent records."""
    if not words.tariff:
        return profile
    if words.task not in WRITTEN:
        raise InputError(f"--tariff {words.tariff}: it tells equivalent records apart, and the task is {words.task}; leave "
                         f"it out, or audit {', '.join(WRITTEN)}")
    tariff = load_tariff(words.tariff, data.record.classes)
    if tariff["codes"] and words.task != "codes":
        raise InputError(f"{words.tariff}: codes are worth something in records of codes, and the task is {words.task}; "
                         "leave out codes and paid")
    if tariff["codes"]:
        tariff["codes"] = codes.priced(words.tariff, tariff["codes"], data, profile)
    return {**profile, "checks": [
        {**check, "search": {**check["search"], "tariff": tariff}} if check.get("search", {}).get("kind") == ONE_BY_ONE
        else check for check in profile["checks"]]}


def _filled_in(profile: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """The profile with what the data say, in the words of each set that leaves it open: fields of rows, revision of codes.

    `InputError` where the table of a check does not suit the records.
    """
    said = data.record.options

    def filled(check: Mapping[str, Any]) -> Mapping[str, Any]:
        words = check.get("perturbation", {})
        if words.get("kind") in OF_FIELDS and "fields" not in words and said.get("fields") is not None:
            return {**check, "perturbation": {**words, "fields": said["fields"]}}
        if words.get("kind") == "codes" and "revision" in said:
            codes.check_table(check["id"], str(words.get("table", said["revision"])), data)
            return check if "table" in words else {**check, "perturbation": {**words, "revision": said["revision"]}}
        return check

    return {**profile, "checks": [filled(check) for check in profile["checks"]]}


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
    if name == "table" and not words.data and data is None and can != ("table",):
        raise InputError("no table is given, and the one that ships suits the systems made for it alone; give a .csv or "
                         ".tsv of rows")
    own = name != "table" or (data is None and (words.data or task.DATA) in SHIPPED_ROWS)
    established = tuple(words.established) or (task.ESTABLISHED if own else ())
    if established == ("none",):
        established = ()
    if (words.fit_key or words.fit_labels) and not words.fit:
        raise InputError("--fit-key and --fit-labels name arrays of the file of --fit, and none is given: add --fit DATA")
    if words.fields and name != "table":
        raise InputError(f"--fields {words.fields}: it declares the columns of a table, and the task is {name}; give a .csv "
                         "or .tsv of rows, or leave out --fields")
    if words.fit and not METHODS.keys() & {*established, *words.surrogates}:
        raise InputError(f"--fit {words.fit}: nothing is fitted to it; the established methods that can be are "
                         f"{', '.join(METHODS)}: name one with --established or --surrogate, or leave out --fit")
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
