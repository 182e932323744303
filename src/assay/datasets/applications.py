"""Synthetic applications for a housing allowance with a known right decision: points for need, never for who applies.

An applicant is drawn field by field, and the right decision follows from points. In the history that systems are trained
on, the share `UNFAIR` of the grants in two districts was refused all the same, so that a system may learn the district.
What is audited has the right decision. They are no people, and no office's rule.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.perturbations.fields import Fields, Row, fields_from

GRANTED = 6             # points from which the allowance is right
UNFAIR = 0.3            # share of the grants that the history refused in the districts of REFUSED
CLASSES = ("refused", "granted")
PARTS = {"train": (1, 4000), "tuning": (2, 500), "audited": (3, 200), "held-out": (4, 2000)}       # seed, applications
DISTRICTS = ("Centre", "Harbour", "Hill", "Mill", "Station")
REFUSED = ("Harbour", "Station")
DECLARED: dict[str, Any] = {
    "fields": {
        "sex": {"kind": "category", "values": ["female", "male", "diverse"], "irrelevant": True},
        "district": {"kind": "category", "values": list(DISTRICTS), "irrelevant": True},
        "form": {"kind": "category", "values": ["paper", "online", "counter"], "irrelevant": True},
        "age": {"kind": "whole", "range": [18, 90]},
        "household": {"kind": "whole", "range": [1, 8]},
        "children": {"kind": "whole", "range": [0, 6], "monotone": "up"},
        "disabled": {"kind": "flag", "monotone": "up"},
        "income": {"kind": "number", "range": [0, 6000], "may_change": True, "within": 20, "monotone": "down"},
        "rent": {"kind": "number", "range": [100, 2500], "may_change": True, "within": 10, "monotone": "up"},
        "savings": {"kind": "number", "range": [0, 60000], "may_change": True, "within": 200, "step": 100,
                    "monotone": "down"},
        "waiting": {"kind": "whole", "range": [0, 60], "may_change": True, "within": 1}},
    "ties": [{"kind": "order", "fields": ["children", "household"]}]}
FIELDS: Fields = fields_from(DECLARED, name="applications")


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application as a row, and its class (0 refused, 1 granted): the right one, or that of the history."""

    id: str
    row: Row
    label: int


def applications(part: str) -> tuple[Application, ...]:
    """The applications of a part, drawn from its seed: the same on every machine.

    >>> len(applications("audited")), FIELDS.text(applications("audited")[0].row).splitlines()[1]
    (200, 'district: Station')
    """
    seed, count = PARTS[part]
    drawn = random.Random(seed)
    return tuple(_application(f"application-{i:04d}", drawn, past=part in ("train", "tuning")) for i in range(count))


def points(of: Mapping[str, Any]) -> int:
    """Points for need: rent beside income, children, a disability, a year of waiting, savings.

    >>> points({"rent": 800, "income": 1500, "children": 1, "disabled": False, "waiting": 0, "savings": 0})
    8
    """
    burden = of["rent"] / max(of["income"], 1)
    return (3 * (burden > 0.35) + 2 * (burden > 0.5) + 2 * bool(of["disabled"]) + (of["children"] >= 1)
            + (of["children"] >= 3) + (of["waiting"] >= 12) + 2 * (of["savings"] < 10_000) - 4 * (of["savings"] > 30_000))


def _application(name: str, drawn: random.Random, *, past: bool) -> Application:
    household = drawn.choice((1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6))
    income = round(min(6000.0, drawn.gauss(1900 + 250 * household, 700)) / 10) * 10
    of: dict[str, Any] = {
        "sex": drawn.choice(("female", "male")) if drawn.random() < 0.97 else "diverse", "district": drawn.choice(DISTRICTS),
        "form": drawn.choice(("paper", "online", "online", "counter")), "age": round(drawn.triangular(18, 90, 40)),
        "household": household, "children": max(0, min(household - drawn.choice((1, 2)), 6)),
        "disabled": drawn.random() < 0.12, "income": max(400, income),
        "rent": round(min(2500.0, max(250.0, drawn.gauss(550 + 150 * household, 220))) / 10) * 10,
        "savings": round(min(60_000.0, drawn.expovariate(1 / 12_000)) / 100) * 100,
        "waiting": round(drawn.triangular(0, 60, 3))}
    label = int(points(of) >= GRANTED)
    if past and label and of["district"] in REFUSED and drawn.random() < UNFAIR:
        label = 0
    return Application(id=name, row=tuple(each.read(str(of[each.name])) for each in FIELDS.fields), label=label)
