"""Reading a profile: TOML to checks as data, parents and budget applied. No torch: `plan` and `judge` need no system."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from assay.letters import deceptive
from assay.profiles.clauses import clauses_for
from assay.profiles.errors import ProfileError, instead
from assay.profiles.inherit import resolved
from assay.profiles.keys import REQUIRED, WORDS, validate_check
from assay.profiles.plain_words import validate_words
from assay.profiles.thresholds import default_of, restated
from assay.records import digest_of

__all__ = ["WORDS", "ProfileError", "at_noise", "digest_holds", "impostor", "load", "names", "namesake", "task_of"]


FILLED_IN = ("fields", "revision")      # words of a set that the data fill in where the profile leaves them open


def names() -> dict[str, tuple[str, ...]]:
    """The profiles that come with Assay: a folder for each community, in it a file for each task."""
    folders = [f for f in resources.files(__package__).iterdir() if f.is_dir() and not f.name.startswith("_")]
    return {folder.name: tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))
            for folder in sorted(folders, key=lambda f: f.name)}


def namesake(identity: str) -> str:
    """The profile of Assay's own that an identity may be read as, or "": whatever the case, the marks and the width.

    >>> namesake("Public-Sector"), namesake("research"), namesake("research-at-home")
    ('public_sector', 'research', '')
    """
    plain = unicodedata.normalize("NFKC", identity).casefold().strip()
    plain = "".join(letter if letter.isalnum() else "_" for letter in plain)
    return plain if plain in names() else ""


def impostor(profile: Mapping[str, Any], *, truth: bool) -> str:
    """Why a stored profile is not the one of Assay's that it is called after, or "" where it is, or is called otherwise.

    An audit stores the whole profile, so a folder may hold one with milder thresholds under a name that readers trust, and a
    digest that holds. `truth` is whether the true images of the data are known, which chooses how the profile judges.
    """
    identity, version = profile["id"], profile["version"]
    known = namesake(identity)
    if not known:
        return ""
    if known != identity:
        return f"the profile's id {identity!r} may be read as {known!r}, which comes with Assay and is another"
    try:
        ours = load(known, task=profile.get("task", ""), budget=profile.get("budget", ""), truth=truth)
    except ProfileError as error:
        return f"the profile is called {identity!r}, like one that comes with Assay and cannot be asked so: {error}"
    if ours["digest"] == profile["digest"]:
        return ""
    return (f"the profile is called {identity} {version}, and the {identity} {ours['version']} that comes with this "
            "version of Assay has other content: it was edited, or belongs to the version that the audit names")


def task_of(path: str) -> str:
    """The task a user's own profile asks about: what it says, else what its parent does."""
    return str(_resolved(path, "").get("task", "reconstruction"))


def load(name: str, *, task: str = "reconstruction", budget: str = "standard", truth: bool = True) -> dict[str, Any]:
    """The profile (a built-in name, or a path to a TOML file) for a task, with the named budget's numbers filled in.

    What it takes from a parent is filled in too (`extends`, see `assay.profiles.inherit`). A budget is a table
    `[budgets.NAME.CHECK]` whose keys replace those of the check; keys of `search` are merged. The digest covers the
    profile after all of that, so a smaller budget is another profile. Data whose true images are not known (`truth` false)
    are judged by what the table `[without_truth]` says instead: keys of checks under `[without_truth.checks.CHECK]`, and
    lines for `not_tested`. Raises `ProfileError`, and nothing else, for a file that cannot be used.
    """
    where, data = f"profile {name}", _resolved(name, task)
    meant = data.setdefault("task", "reconstruction")
    if meant != task:
        raise ProfileError(f"{where}: it asks about {meant}, and system and data are about {task}")
    for key in REQUIRED:
        if not data.get(key):
            raise ProfileError(f"{where}: key {key!r} is missing" if key not in data or key != "checks"
                               else f"{where}: it has no checks")
    if not _is_ours(name):
        _must_be_its_own(data["id"], where)
    budgets, blind = data.pop("budgets", {}), data.pop("without_truth", None)
    if budget not in budgets and budget != "standard":
        raise ProfileError(f"{where}: unknown budget {budget!r}; known: {', '.join(['standard', *budgets])}")
    known = [check["id"] for check in data["checks"]]
    for place, checks in (*((f"budget {b!r}", budgets[b]) for b in budgets),
                          ("without_truth", (blind or {}).get("checks", {}))):
        if unknown := sorted(set(checks) - set(known)):
            raise ProfileError(f"{where}: {place} names unknown check {unknown[0]!r}; {instead(unknown[0], known)}")
    if not truth:
        if blind is None:
            raise ProfileError(f"{where}: the true images of these data are not known, and the profile has no table "
                               "[without_truth] that says how to judge then")
        data["not_tested"] = [*data["not_tested"], *blind.get("not_tested", [])]
        data["checks"] = [_replaced(check, blind.get("checks", {}).get(check["id"], {}), data["id"], where)
                          for check in data["checks"]]
    changes = budgets.get(budget, {})
    data["checks"] = [_replaced(check, changes.get(check["id"], {}), data["id"], where) for check in data["checks"]]
    for check in data["checks"]:
        validate_check(check, where)
    _references(data, known, where)
    validate_words(data, where)
    data["budget"] = budget
    data["digest"] = digest_of(data)
    return data


def _must_be_its_own(identity: str, where: str) -> None:
    """`ProfileError` for an id that readers may take for another profile's."""
    known = namesake(identity)
    if known or (reason := deceptive(identity)):
        why = f"is that of the profile {known!r} that comes with Assay" if known else reason
        raise ProfileError(f"{where}: its id {identity!r} {why}; give your profile a name of its own")


def at_noise(profile: Mapping[str, Any], noise: float | None) -> dict[str, Any]:
    """The profile with sizes that are multiples of the noise level (`relative_to = "noise"`) made sizes for these data.

    `noise` is ‖noise‖/‖y‖ of the data. Where it is not known, or is 0, the checks stay as they are: a plan leaves them out
    with that reason. The digest stays that of the profile itself.
    """
    return {**profile, "checks": [_scaled(check, noise) if noise and check.get("relative_to") == "noise" else check
                                  for check in profile["checks"]]}


def _scaled(check: Mapping[str, Any], noise: float) -> dict[str, Any]:
    criterion = check["criterion"]
    at = {"level": criterion["level"] * noise} if "level" in criterion else {}
    said = {"levels": check.get("levels", []), **({"level": criterion["level"]} if at else {})}
    return {**{key: value for key, value in check.items() if key != "relative_to"}, "noise": noise, "multiples": said,
            "levels": [level * noise for level in check.get("levels", ())], "criterion": {**criterion, **at}}


def digest_holds(profile: Mapping[str, Any], *, options: Mapping[str, Any] | None = None,
                 noise: float | None = None) -> bool:
    """Whether a stored profile has the digest it names, apart from what an audit filled in for its data.

    That is the sizes of multiples of the noise level, whose multiples are stored beside them; the declaration of a table's
    fields and the revision of codes, which the audit binds by itself; and what decisions are worth, which nothing is judged
    by. `options` and `noise` are the data's: nothing else may be filled in.
    """
    asked = [_unscaled(check) for check in profile["checks"]]
    if at_noise({"checks": asked}, noise)["checks"] != list(profile["checks"]):
        return False
    bare = {**profile, "checks": [_bare(check, options or {}) for check in profile["checks"]]}
    return profile["digest"] in (digest_of_asked(profile), digest_of_asked(bare))


def digest_of_asked(profile: Mapping[str, Any]) -> str:
    """The digest of what a stored profile asks, with multiples of the noise level as they were written."""
    asked = {key: value for key, value in profile.items() if key != "digest"}
    return digest_of({**asked, "checks": [_unscaled(check) for check in profile["checks"]]})


def _unscaled(check: Mapping[str, Any]) -> dict[str, Any]:
    if "multiples" not in check:
        return dict(check)
    said = check["multiples"]
    level = {"level": said["level"]} if "level" in said else {}
    return {**{key: value for key, value in check.items() if key not in ("noise", "multiples")}, "relative_to": "noise",
            "levels": said["levels"], "criterion": {**check["criterion"], **level}}


def _bare(check: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The check without what `options` of the data, or a tariff, filled in."""
    found = dict(check)
    if words := check.get("perturbation", {}):
        found["perturbation"] = {key: value for key, value in words.items()
                                 if key not in FILLED_IN or options.get(key) is None or options[key] != value}
    if "tariff" in check.get("search", {}):
        found["search"] = {key: value for key, value in check["search"].items() if key != "tariff"}
    return found


def _references(data: Mapping[str, Any], known: list[str], where: str) -> None:
    """What names a check of the profile names one that it has."""
    if data["headline"] not in known:
        raise ProfileError(f"{where}: headline {data['headline']!r} is not one of its checks; "
                           f"{instead(data['headline'], known)}")
    for line in data.get("refusal", ()):
        if line["check"] not in known:
            raise ProfileError(f"{where}: refusal {line['id']!r} names unknown check {line['check']!r}; "
                               f"{instead(line['check'], known)}")


def _replaced(check: Mapping[str, Any], changes: Mapping[str, Any], profile: str, where: str) -> dict[str, Any]:
    """The check with keys replaced, those of `search` one by one."""
    search = {**check.get("search", {}), **changes.get("search", {})}
    after = {**check, **changes, "search": search}
    return restated(check, after, default_of({"id": profile}), where, own=changes.get("thresholds", ()))


def _resolved(name: str, task: str) -> dict[str, Any]:
    """The profile with all it takes from parents; of one that comes with Assay or is made from one, also its clauses."""
    ours = [False]

    def read(wanted: str, of: str) -> tuple[str, str, dict[str, Any]]:
        found = _read(wanted, task or "reconstruction", of)
        ours[0] |= found[0].startswith("assay:")
        return found

    try:
        data = resolved(*read(name, ""), read)
    except RecursionError:
        raise ProfileError(f"profile {name}: it is nested too deeply to be read") from None
    if ours[0] and (clauses := [*data.get("clauses", []), *clauses_for(data)]):
        data["clauses"] = clauses
    return data


def _read(name: str, task: str, of: str) -> tuple[str, str, dict[str, Any]]:
    """Identity, name and content of a profile; `of` is the identity of the one that extends it."""
    known = names()
    community, _, asked = name.partition("/")
    if _is_ours(name):
        asked = asked or _said_task(of) or task
        if asked not in known[community]:
            raise ProfileError(f"profile {name}: it has no questions about {asked}; it asks about "
                               f"{', '.join(known[community])}")
        text = resources.files(__package__).joinpath(community, f"{asked}.toml").read_text(encoding="utf-8")
        return f"assay:{community}/{asked}", name, _parsed(name, text)
    path = Path(name) if not of or of.startswith("assay:") else Path(of).parent / name
    try:
        found = path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, ValueError) as error:          # no UTF-8 and a zero byte in a name are ValueErrors
        raise ProfileError(f"profile {name}: cannot be read ({error})") from None
    if found is None:
        raise ProfileError(f"unknown profile {name!r}; {instead(name, known)}, or a path to a TOML file"
                           + (f" (named by {of})" if of else ""))
    return str(path.resolve()), name, _parsed(name, found)


def _is_ours(name: str) -> bool:
    """Whether a name means a profile that comes with Assay, as `research` or `research/sound`."""
    community, _, asked = name.partition("/")
    return community in (known := names()) and (not asked or asked in known[community])


def _said_task(of: str) -> str:
    """The task that a file that extends a built-in profile says it is about; "" if it says none."""
    if not of:
        return ""
    if of.startswith("assay:"):
        return of.rpartition("/")[2]
    said = _parsed(of, Path(of).read_text(encoding="utf-8")).get("task", "")
    return said if isinstance(said, str) else ""


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ProfileError(f"profile {name}: {error}") from None
