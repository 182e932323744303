"""Which clause of which document a check's evidence is relevant to: versioned data, with the day each was looked up.

Relevance only: nothing here, and nothing printed from it, says that a system meets a clause.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any


@functools.cache
def instruments() -> tuple[dict[str, Any], ...]:
    """The documents, as `clauses.toml` has them: each with title, status, version, url, checked, and its clauses."""
    text = resources.files(__package__).joinpath("clauses.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["documents"])


def clauses_for(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The clauses that evidence of the profile's checks is relevant to, for its community, each with those checks."""
    asked = [check["id"] for check in profile["checks"]]
    found = []
    for document in instruments():
        if profile.get("community") not in document["communities"]:
            continue
        for clause in document["clauses"]:
            checks = [name for name in asked if name in clause["checks"]] if clause["checks"] != ["*"] else asked
            if checks:
                found.append({"id": f"{document['id']}, {clause['id']}", "title": f"{document['title']}: {clause['title']}",
                              "status": document["status"], "checked": document["checked"] or "not verified",
                              "version": document["version"], "url": document["url"], "checks": checks})
    return found
