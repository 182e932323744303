"""The words of a profile that only an audit knows: methods, metrics, kinds of changes and of searches.

Profiles load no torch, and others may add metrics and sets, so these words are looked up where the session is made. A
method registered elsewhere has words of its own, which nobody can check here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay.checks.catalogue import METHODS
from assay.checks.searching import KNOWN, TRANSFER
from assay.metrics import protocol as metrics
from assay.perturbations.registry import SETS
from assay.profiles.errors import ProfileError, instead

DRAWN = frozenset({"patch", "sticker"})       # changes that a method makes itself
SEARCHES: dict[str, Iterable[str]] = {        # method -> the kinds of search it knows
    "worst-case": KNOWN, "transfer": KNOWN, "smallest-change": ("smallest",), "boundary": ("subspaces",),
    "manitest": ("shortest-path",), "universal": ("universal",), "fooling": ("map-elites",), "physical": ("expectation",),
    "patch": ("expectation",), "over-the-air": ("expectation",), "certificate": ("certificate",),
    "clever": ("clever",), "operator-norm": ("operator-norm",), "rare-event": ("splitting",)}


def validate_words(profile: Mapping[str, Any]) -> None:
    """Nothing, or `ProfileError` naming the check, the key, and the nearest good word."""
    for check in profile["checks"]:
        where = f"profile {profile.get('id', '?')}: check {check['id']!r}"
        _known(check["method"], METHODS, f"{where}: unknown method")
        for key in ("metric", "extra_metrics"):
            for name in [check["metric"]] if key == "metric" else check.get(key, ()):
                _known(name, metrics.METRICS, f"{where}, {key}: unknown metric")
        if check["method"] not in SEARCHES:
            continue
        for key, known in (("perturbation", {*SETS, *DRAWN}), ("search", SEARCHES[check["method"]])):
            if "kind" in check.get(key, {}):
                _known(check[key]["kind"], known, f"{where}, {key}: unknown kind")
        _carried_over(check.get("search", {}), where)


def _carried_over(search: Mapping[str, Any], where: str) -> None:
    """`transfer = STEPS` belongs to bounded searches, and a search that only carries changes over says its `steps`."""
    if "transfer" in search and search.get("kind") != "bounded":
        raise ProfileError(f"{where}, search: transfer goes with kind = \"bounded\", not with {search.get('kind')!r}; leave "
                           "it out, or ask kind = \"transfer\" with steps")
    if search.get("kind") == TRANSFER and "steps" not in search:
        raise ProfileError(f"{where}, search: kind = \"transfer\" needs steps, those of each second system")


def _known(word: object, known: Iterable[str], what: str) -> None:
    words = list(known)
    if word not in words:
        raise ProfileError(f"{what} {word!r}; {instead(word, words)}")
