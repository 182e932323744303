"""Synthetic claims with a known right decision: what is documented decides it, however it is coded.

A claim is drawn as a list of findings; whether a rehabilitation programme is to be approved follows from points for the
findings; and the findings are then coded: mostly as the house does, sometimes otherwise. Two claims that document the same
have the same right decision for certain. They are no patients, and no payer's rule.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.perturbations.codes import Claim, load_codes, write_claim

APPROVED = 4        # points from which the programme is to be approved
CLASSES = ("denied", "approved")
PARTS = {"train": (1, 3000, 0.98), "tuning": (2, 500, 0.98), "audited": (3, 200, 0.85),
         "held-out": (4, 2000, 0.85)}                        # seed, claims, share in house style
# points, share of claims, findings, codings: the house's first
CONDITIONS: tuple[tuple[int, float, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    (3, 0.16, ("hypertension", "high cholesterol", "mixed hyperlipidemia"),
     (("401.9", "272.4"), ("277.7",), ("401.0", "272.0", "272.2"))),
    (1, 0.20, ("hypertension", "benign hypertension"), (("401.9",), ("401.1",))),
    (1, 0.15, ("mixed hyperlipidemia",), (("272.4",), ("272.2",))),
    (1, 0.15, ("high cholesterol",), (("272.4",), ("272.0",))),
    (2, 0.20, ("obesity", "body mass index of 40 or more"), (("278.01",), ("278.00",))),
    (2, 0.12, ("heart failure", "systolic heart failure"), (("428.0",), ("428.9",), ("428.20",))),
    (2, 0.14, ("coronary atherosclerosis", "no bypass graft"), (("414.01",), ("414.00",))),
    (1, 0.12, ("atrial fibrillation",), (("427.31",), ("427.9",))),
    (2, 0.12, ("diabetes", "chronic kidney disease", "stage 3"), (("250.40",), ("250.00", "585.9"), ("250.00", "585.3"))),
    (1, 0.10, ("heart disease",), (("429.9",),)),
    (0, 0.15, ("low back pain",), (("724.2",), ("724.5",))),
    (0, 0.15, ("osteoarthritis", "knee"), (("715.96",), ("715.90",))),
    (0, 0.15, ("depression", "major depressive episode"), (("311",), ("296.20",))),
    (0, 0.12, ("anemia", "iron deficiency"), (("280.9",), ("285.9",))),
    (0, 0.10, ("chest pain", "musculoskeletal chest pain"), (("786.50",), ("786.59",))),
)
SLIDE = Claim(codes=("277.7", "429.9", "278.00"), documented="hypertension, high cholesterol, mixed hyperlipidemia, "
              "heart disease, obesity, body mass index of 40 or more", findings=frozenset())


@dataclass(frozen=True, kw_only=True)
class CodedClaim:
    """A claim as text, the right decision (0 denied, 1 approved) and the points behind it."""

    id: str
    text: str
    label: int
    points: int


def claims(part: str) -> tuple[CodedClaim, ...]:
    """The claims of a part, drawn from its seed: the same on every machine. The first audited one is the talk's.

    >>> claims("audited")[0].text.splitlines()[0], len(claims("audited"))
    ('277.7 Dysmetabolic syndrome X', 200)
    """
    seed, count, usual = PARTS[part]
    drawn, names = random.Random(seed), load_codes("icd9").names
    found = [_claim(f"claim-{i:04d}", drawn, usual, names) for i in range(count)]
    if part == "audited":
        found[0] = CodedClaim(id="claim-of-the-talk", text=write_claim(SLIDE, names), label=1, points=6)
    return tuple(found)


def _claim(name: str, drawn: random.Random, usual: float, names: Mapping[str, str]) -> CodedClaim:
    points = 0
    codes: list[str] = []
    findings: list[str] = []
    while not codes:
        for worth, share, documented, codings in CONDITIONS:
            if drawn.random() < share and not set(documented) & set(findings):
                points += worth
                findings += documented
                codes += [code for code in _coded(codings, drawn, usual) if code not in codes]
    drawn.shuffle(codes)
    claim = Claim(codes=tuple(codes), findings=frozenset(findings), documented=", ".join(findings))
    return CodedClaim(id=name, text=write_claim(claim, names), label=int(points >= APPROVED), points=points)


def _coded(codings: Sequence[tuple[str, ...]], drawn: random.Random, usual: float) -> tuple[str, ...]:
    return codings[0] if len(codings) == 1 or drawn.random() < usual else drawn.choice(codings[1:])
