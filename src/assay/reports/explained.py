"""A profile in plain words, for the terminal: what each check asks, what counts as harm, where its numbers come from."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from assay.profiles.thresholds import Threshold, counts, thresholds_of
from assay.reports.label_statements import documents
from assay.reports.wording import WORST, amount, is_fraction, printable, sentence

WIDTH = 100
SEARCHES = {        # kind of search -> in words
    "gradient": "steepest ascent", "bounded": "Auto-PGD on several losses, then Square by queries",
    "transfer": "changes found on another system and carried over",
    "square": "Square, by queries alone", "random": "random draws", "exhaustive": "every member of the set",
    "places": "every place, or random places and their neighbours", "penalised": "penalised ascent",
    "two-stage": "harm in a larger set, then less excess over this one",
    "choices": "every choice where they are few, else a search by queries", "smallest": "searches for the smallest change",
    "expectation": "ascent over random views", "universal": "one change fitted to other samples",
    "subspaces": "random subspaces", "map-elites": "evolution (MAP-Elites) and ascent", "shortest-path": "shortest path",
    "certificate": "no search: a bound is proved", "clever": "slopes nearby",
    "operator-norm": "no search: the gain is proved", "splitting": "multilevel splitting of rare events"}
CHANGES = {         # kind of change -> in words
    "inputs": "any change up to a size", "through": "any change of the scanned image", "details": "a detail drawn in",
    "affine": "turns and shifts", "corruption": "corruptions", "occlusion": "a hidden part", "added-detail": "marks",
    "patch": "a patch", "sticker": "a sticker", "substitutions": "phrases replaced", "mistyped": "typing errors",
    "codes": "codes rewritten", "fields": "fields changed", "field-ball": "numbers within tolerances",
    "added-sound": "an added sound", "acoustics": "conditions of recording",
    "hidden-cue": "light, border, markers, texture"}


def overview(profile: Mapping[str, Any]) -> list[str]:
    """A task of a profile in two lines a check: its question, and what counts as harm."""
    lines = [f"{profile['task']}: {printable(str(profile['title']))} ({_counted(profile)})"]
    for check in profile["checks"]:
        status = {t.status for t in thresholds_of(profile) if t.check == check["id"] and t.key.startswith("criterion.")}
        said = f" [{', '.join(sorted(status))}]" if status else ""
        lines += [f"  {check['id']:22} {printable(str(check['question']))}",
                  *_wrap(f"harm: {harm_of(check)}{said}", " " * 25, " " * 31)]
    return lines


def in_full(profile: Mapping[str, Any]) -> list[str]:
    """All a profile says about a task: checks with numbers, sources and clauses; refusal lines; what is not tested."""
    lines = [f"{printable(str(profile['title']))}", f"{profile['id']} {profile['version']}, task {profile['task']}; "
             f"community {profile['community']}", _counted(profile),
             "", *_under("about", str(profile.get("description", ""))),
             *_under("warns", f"where harm is shown for at least {amount(float(profile['rate']), 'share')} of the samples "
                              "(lower end of the 95 % interval) and less of it with the established method"
                              + _origin([t for t in thresholds_of(profile) if t.key == "rate"]))]
    for check in profile["checks"]:
        lines += ["", *of_check(check, profile)]
    if refusals := profile.get("refusal", ()):
        lines += ["", "Refusal lines (each is told as crossed, not crossed, or cannot be told):"]
        for line in refusals:
            text = f"{line['sentence']} [check {line['check']}; {line['status']}: {line['source']}]"
            lines += _wrap(printable(text), "  - ", "    ")
    lines += ["", "Not tested:"]
    for item in profile["not_tested"]:
        lines += _wrap(printable(str(item)), "  - ", "    ")
    return lines


def of_check(check: Mapping[str, Any], profile: Mapping[str, Any]) -> list[str]:
    """One check in words: question, method, harm, numbers with status and source, sources, clauses."""
    own = [t for t in thresholds_of(profile) if t.check == check["id"] and not t.key.startswith("refusal.")]
    clauses = documents([c for c in profile.get("clauses", ()) if check["id"] in c.get("checks", ())])
    return [f"{printable(str(check['title']))} ({check['id']})", *_under("asks", str(check["question"])),
            *_under("tries", _tries(check)), *_under("harm", harm_of(check)), *_numbers(own, check),
            *_under("source", "; ".join(str(s) for s in check["sources"])),
            *_under("clauses", f"evidence relevant to {clauses}" if clauses else "")]


def harm_of(check: Mapping[str, Any]) -> str:
    """What counts as harm, in the words of the criterion; that nothing does, where nothing does."""
    criterion = check["criterion"]
    if check.get("method") == "preflight":
        return "nothing: its flags say whether the other checks can be trusted"
    if criterion["kind"] == "certifies":
        return f"nothing: it asks for a proof that {printable(str(criterion['sentence']))}"
    return printable(str(criterion["sentence"]))


def _tries(check: Mapping[str, Any]) -> str:
    """The change, the search and what stands beside, in words; a word of somebody else's making stands as it is."""
    change, search = (str(check.get(key, {}).get("kind", "")) for key in ("perturbation", "search"))
    controls = f"{check['controls']} random changes beside" if check.get("controls") else ""
    measured = WORST.get(check["metric"], check["metric"])      # of a proof in words: nothing is called certified beforehand
    return ", ".join(filter(None, [CHANGES.get(change, change), SEARCHES.get(search, search), controls,
                                   f"measured as {measured} (method {check['method']})"]))


def _numbers(own: Sequence[Threshold], check: Mapping[str, Any]) -> list[str]:
    """Each number that is judged by, with its status; a source that several share stands once."""
    groups: dict[tuple[str, str], list[str]] = {}
    for threshold in own:
        groups.setdefault((threshold.status, threshold.source), []).append(_value(threshold, check))
    return [line for (status, source), values in groups.items()
            for line in _under("numbers", f"{'; '.join(values)} ({status}: {source})")]


def _value(threshold: Threshold, check: Mapping[str, Any]) -> str:
    unit = "× noise" if check.get("relative_to") == "noise" else str(check.get("unit", ""))
    name = threshold.key.removeprefix("criterion.").replace("_", " ")
    values = threshold.value if isinstance(threshold.value, list) else [threshold.value]
    if name not in ("level", "levels", "within", "base"):
        return f"{name} {', '.join(f'{v:g}' for v in values)}"
    shared = not is_fraction(unit)          # a unit that all have stands once
    shown = ", ".join(f"{v:g}" if shared else amount(v, unit, digits=3) for v in values)
    return f"{name} {shown} {unit if shared else ''}".rstrip()


def _origin(found: Sequence[Threshold]) -> str:
    return f" ({found[0].status}: {found[0].source})" if found else ""


def _counted(profile: Mapping[str, Any]) -> str:
    told = counts(profile)
    parts = [f"{told[status]} {word}" for status, word in (("published", "published"), ("draft", "drafts"),
                                                           ("proposal", "proposals")) if told[status]]
    return f"{told['total']} thresholds: {', '.join(parts)}"


def _wrap(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)


def _under(name: str, text: str) -> list[str]:
    """The text under a name, wrapped; nothing where there is no text."""
    if not text:
        return []
    return _wrap(sentence(printable(text), limit=10_000), f"  {name + ':':9}", " " * 11)
