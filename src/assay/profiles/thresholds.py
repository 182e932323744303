"""Where each number that an audit judges by comes from: a source, and whether it is published, a draft, or a proposal.

In a file `[thresholds]` says it for every number, `thresholds = [{ key, status, source }, …]` in a check for some of its
own. In the profile that is stored every number has an entry, so that nothing has to be looked up in a parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.profiles.errors import ProfileError, instead

Said = Mapping[str, str]        # status and source


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One number that is judged by (or the ladder of levels): the check it belongs to ("" for the profile's own)."""

    check: str
    key: str
    value: Any
    status: str
    source: str


def numbers_of(check: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that a check judges by, by key; none where nothing is judged.

    >>> numbers_of({"method": "m", "levels": [1], "criterion": {"kind": "grows", "level": 1, "absolute": 0.5}})
    {'levels': [1], 'criterion.level': 1, 'criterion.absolute': 0.5}
    """
    criterion = check.get("criterion", {})
    if check.get("method") == "preflight" or criterion.get("kind") == "measures":
        return {}
    found = {"levels": check["levels"]} if check.get("levels") else {}
    return found | {f"criterion.{key}": value for key, value in criterion.items() if not isinstance(value, str)}


def default_of(data: Mapping[str, Any]) -> Said:
    """What a file says of all its numbers; where it says nothing they are its author's proposals.

    The file is named by its id: where it lay is stored in no audit, and equal profiles have equal digests everywhere.
    """
    said = data.get("thresholds", {})
    return {"status": said["status"], "source": said["source"]} if said else {
        "status": "proposal", "source": f"set by {data.get('id', 'this profile')}, which gives no source"}


def stated(check: Mapping[str, Any], default: Said, where: str) -> dict[str, Any]:
    """The check with an entry for each of its numbers: its own, else the default."""
    return restated({}, check, default, where)


def restated(before: Mapping[str, Any], after: Mapping[str, Any], default: Said, where: str,
             own: Iterable[Mapping[str, str]] | None = None) -> dict[str, Any]:
    """The check with an entry for each number: what is said of it now, else (unchanged) what was, else the default.

    A number that was changed does not keep the source of the old one. A ladder that only lost levels does.
    """
    numbers, old = numbers_of(after), numbers_of(before)
    given = {entry["key"]: entry for entry in (after.get("thresholds", ()) if own is None else own)}
    for key in given:
        if key not in numbers:
            raise ProfileError(f"{where}: check {after.get('id', '?')!r}, thresholds: it judges by no number {key!r}; "
                               f"{instead(key, numbers)}")
    kept = {entry["key"]: entry for entry in before.get("thresholds", ())}
    entries = []
    for key, value in numbers.items():
        same = key in old and (old[key] == value or (isinstance(value, list) and set(value) <= set(old[key])))
        said = given.get(key) or (kept.get(key) if same else None) or default
        entries.append({"key": key, "status": said["status"], "source": said["source"]})
    return {**{key: value for key, value in after.items() if key != "thresholds"},
            **({"thresholds": entries} if entries else {})}


def thresholds_of(profile: Mapping[str, Any]) -> list[Threshold]:
    """Every number that a loaded profile judges by, with its source: its own, its checks', its refusal lines'."""
    found = [Threshold(check="", key=entry["key"], value=profile[entry["key"]], status=entry["status"],
                       source=entry["source"]) for entry in profile.get("thresholds", ())]
    for check in profile["checks"]:
        numbers = numbers_of(check)
        found += [Threshold(check=check["id"], key=entry["key"], value=numbers[entry["key"]], status=entry["status"],
                            source=entry["source"]) for entry in check.get("thresholds", ()) if entry["key"] in numbers]
    for line in profile.get("refusal", ()):
        key = "least" if "least" in line else "most"
        found.append(Threshold(check=line["check"], key=f"refusal.{line['id']}.{key}", value=line[key],
                               status=line["status"], source=line["source"]))
    return found


def counts(profile: Mapping[str, Any]) -> dict[str, int]:
    """How many numbers are judged by, and how many of them are published, drafts and proposals.

    A profile stored by a version that kept no sources has none: then every count is 0.

    >>> counts({"rate": 0.05, "thresholds": [{"key": "rate", "status": "proposal", "source": "us"}], "checks": []})
    {'total': 1, 'published': 0, 'draft': 0, 'proposal': 1}
    """
    found = thresholds_of(profile)
    return {"total": len(found), **{status: sum(t.status == status for t in found)
                                    for status in ("published", "draft", "proposal")}}
