"""Every sentence of a label against the wording rules: the first that breaks one, by its field, with lawful words.

Names of systems, data, classes and auditors are their owners' and are left out before a sentence is looked at; titles of
clauses and sources are those of the documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assay.profiles.plain_words import (
    LONGEST,
    LONGEST_ACTION,
    Objection,
    objection,
    objection_to_consequence,
    objection_to_digits,
    objection_to_observation,
)
from assay.reports.wording import NAME_LIMIT, shortened

_HARMFUL = ("WARNING", "CAUTION")


def broken_rule(label: Mapping[str, Any]) -> str:
    """The first field of a label that breaks a wording rule, the rule, and what to write instead; "" where all hold."""
    for field, wrong in _objections(label):
        if wrong is not None:
            return f"{field}: {wrong}"
    return ""


def lawful(text: str, otherwise: str) -> str:
    """A text that was not written for a label (an error message, say) if no rule is broken by it, else the other one.

    >>> lawful("it is not robust", "see the report"), lawful("it has no gradients", "see the report")
    ('see the report', 'it has no gradients')
    """
    return otherwise if objection(text) else text


def _objections(label: Mapping[str, Any]) -> Iterator[tuple[str, Objection | None]]:
    head, names = label["headline"], _names(label)
    change = label["perturbation"]
    told = {"proved": label["evidence"]["kind"] == "certified",
            "reference": change is not None and change["human_reference"]["basis"] != "none"}
    hazard, signal = _unnamed(head["hazard"], names), head["signal"]
    if signal == "NOTICE":
        yield "headline.hazard", objection_to_digits(hazard) or objection(hazard, **told)
    else:
        yield "headline.hazard", objection_to_observation(hazard, **told)
    if signal in _HARMFUL:
        yield "headline.consequence", objection_to_consequence(head["consequence"])
    if head["manner"] == "Non-human behaviour" and not told["reference"]:
        yield "headline.manner", Objection("“Non-human behaviour” needs a human reference", "“Unstable”")
    for field, text, limit in _texts(label):
        yield field, objection(_unnamed(text, names), limit=limit, **told)
    if not label["auditor"]["name"].strip():
        yield "auditor.name", Objection("nobody is said to have tested", "who did, or “not attributed”")


def _texts(label: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    head, results, change = label["headline"], label["results"], label["perturbation"]
    yield "headline.consequence", head["consequence"], LONGEST
    yield "headline.reason", head["reason"], LONGEST
    for i, text in enumerate(label["actions"]):
        yield f"actions.{i}", text, LONGEST_ACTION
    for i, text in enumerate(label["not_tested"]):
        yield f"not_tested.{i}", text, LONGEST
    if results is not None:
        yield "results.title", results["title"], LONGEST
        yield "results.metric.name", results["metric"]["name"], LONGEST
        yield "results.criterion", results["criterion"], LONGEST
    if change is not None:
        yield "perturbation.plain", change["plain"], LONGEST
    if label["as_test"] is not None:
        yield "as_test.change", label["as_test"]["change"], LONGEST
    for i, check in enumerate(label["evidence"]["checks"]):
        yield f"evidence.checks.{i}.title", check["title"], LONGEST
    if "groups" in label:
        yield "groups.title", label["groups"]["title"], LONGEST
    for i, line in enumerate(label["refusal"]):
        for key in ("sentence", "why"):
            yield f"refusal.{i}.{key}", line[key], LONGEST


def _names(label: Mapping[str, Any]) -> list[str]:
    results, told = label["results"], label["as_test"]
    names = [label["subject"]["name"], label["scope"]["dataset"]["id"], label["scope"]["noun"]]
    if results is not None and results["established"]:
        names.append(results["established"]["name"])
    if told is not None:
        names += [told["positive"], told["negative"], told["system"]["name"]]
    return sorted({*names, *(shortened(name, NAME_LIMIT) for name in names)}, key=len, reverse=True)


def _unnamed(text: str, names: list[str]) -> str:
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "it", text) if name else text
    return text
