"""Verdicts on what was proved: enough of it, or too little for a verdict, and whether something found contradicts it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.records import Finding, Flag, Outcome
from assay.verdicts.criteria import apart

UNPROVING = frozenset({
    "batch-dependent", "certificate-contradicted", "changes-with-use", "mostly-wrong", "non-finite", "not-deterministic",
    "raised", "training-mode",
})                              # those that also put a proof in doubt, which needs no gradient and no search
MEASURED = 1e-3                 # relative: what single precision may add to a gain
WITHIN = 1e-5                   # relative: a found size so much below a proved one is rounding


def proof(n: int, certified: int, expected: int | None, flags: list[Flag], criterion: Mapping[str, Any],
           failure: float | None) -> tuple[Outcome, str]:
    """Certified where enough was proved; what was not is no sign of harm, so that too little is no verdict at all."""
    doubts = sorted({f.id for f in flags if f.id in UNPROVING})
    if doubts:
        return Outcome.INCONCLUSIVE, f"a bound was proved for {certified} of {n}, but is in doubt: {', '.join(doubts)}"
    if expected is not None and n < expected:
        return Outcome.INCONCLUSIVE, f"{n} of {expected} planned samples were judged"
    surely = "" if failure is None else f", all together with a probability of at least {1 - failure:.4g}"
    asked = criterion["at_most"] if "at_most" in criterion else criterion["within"]
    said = f"a bound of {asked:g} was proved for {certified} of {n} samples{surely}"
    if certified >= criterion.get("share", 1.0) * n - 1e-9:
        return Outcome.CERTIFIED, said
    return Outcome.NOT_APPLICABLE, f"{said}, too few for a verdict; of the others nothing is known"


def proved(row: Finding, criterion: Mapping[str, Any]) -> bool:
    """Whether what was proved of the row is what the criterion asks for."""
    if row.worst is None:
        return False
    return row.worst <= criterion["at_most"] if "at_most" in criterion else row.worst >= criterion["within"]


def contradictions(findings: Iterable[Finding], proofs: Sequence[Finding]) -> list[Flag]:
    """A flag where a sample was flipped by a change within the size that was proved harmless: proof or search is wrong."""
    if not proofs:
        return []
    if proofs[0].metric == "gain-bound":
        return _greater_gains(findings, proofs)
    found = flips_found(findings, system=proofs[0].system, unit=proofs[0].unit)
    broken = [(f, found[f.sample]) for f in proofs if f.worst is not None
              and found.get(f.sample, math.inf) < f.worst * (1 - WITHIN)]
    return [Flag(id="certificate-contradicted", detail=f"{len(broken)} samples, {f.sample} first: proved to {f.worst:.4g}, "
                                                       f"flipped by {size:.4g}") for f, size in broken[:1]]


def _greater_gains(findings: Iterable[Finding], proofs: Sequence[Finding]) -> list[Flag]:
    """A flag where a change was magnified more than was proved possible; gains are measured in single precision."""
    bound = min((f.worst for f in proofs if f.worst is not None), default=math.inf)
    gain = max((f.gain for f in findings if f.system == proofs[0].system and f.gain is not None), default=0.0)
    return [Flag(id="certificate-contradicted", detail=f"a gain of {gain:.4g} was found, at most {bound:.4g} proved")] \
        if gain > bound * (1 + MEASURED) else []


def flips_found(findings: Iterable[Finding], *, system: str, unit: str) -> dict[str, float]:
    """The smallest change in the unit, by sample, that was found to turn a right decision of the system wrong, by any check.

    Whoever's search made it; sizes in another unit are of another set.
    """
    found: dict[str, float] = {}
    for f in findings:
        if f.system != system or f.unit != unit or f.worst is None or apart(f) or f.sample.startswith("class:"):
            continue
        size = f.worst if f.metric.startswith("flip-distance") else None
        if f.metric == "error-rate" and f.worst >= 1 and f.normal == 0:
            size = f.size
        if size is not None:
            found[f.sample] = min(size, found.get(f.sample, math.inf))
    return found
