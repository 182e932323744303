"""Criteria: whether a row is harm, what is counted apart, and which flags put a row in doubt.

A criterion is data with a `kind`:
- "grows": the harm grew by at least `per_level` × level (or by `absolute`), and by at least `over_control` times what
  random changes of the same size did; with `over_control_gain`, the output moved by at least that many times what it
  moves under them. Of these two the second is a test: an error already there adds to a random change at right angles
  and to the worst one in line, so even a perfect isometry has a ratio of growths of 10 at a relative error of 0.1;
- "reaches": the worst value is at least `threshold`. `ceiling` names an extra metric that bounds the value: where even
  the bound is below the threshold, the row can say nothing and is not judged;
- "flips-within": a change of at most `within` flips the decision, and random changes must be at least `over_random`
  times as large to do so, or `louder` decibels above it;
- "worsens-with-more": at a level above `base`, the value is worse than at `base` by more than `tolerance` (a share);
- "worse-than-established": under its own worst change of the same size the value is worse than the established method's
  under its own, on the same sample and at the same level, by more than `margin` (in the metric's unit), and it also grew
  by more: not worse than what people trust already. Paired, and symmetrical: the established method is judged against the
  first audited system in the same way, so the two counts are the discordant pairs of a sign test. Where the other's own
  search carries a serious flag the pair says nothing and is not judged;
- "invents": of one structure, found on other samples, at least the share `threshold` is shown, at a contrast (`worst`) of
  at least `contrast`, and the p of no invention, one for all samples, is at most `alpha`. "None found" needs so many
  `pairs` (of images, or of groups of them) that a p of at most `alpha` was possible: 2⁻ⁿ is the least of n;
- "certifies": nothing is harm. `worst` is a size within which the decision was proved to hold; for at least the share
  `share` of the rightly decided samples it must be at least `within`; or, with `at_most`, a gain proved to be the greatest;
- "measures": nothing is harm. The numbers are told, and the verdict is `not applicable`: a measurement, not a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from assay.records import Finding

SERIOUS = frozenset({
    "batch-dependent", "certificate-contradicted", "chance-as-harmful", "changes-with-use", "constant-decision",
    "gradient-mismatch", "jumps", "misses-data", "mostly-wrong", "non-finite", "not-converged", "not-deterministic",
    "not-reached", "probabilities", "query-beats-gradient", "query-only", "raised", "still-rising", "surrogate-unmoved",
    "training-mode", "transfer-beats-gradient", "worst-below-control", "zero-gradient",
})
DISCREDITING = frozenset({"changes-with-use", "misses-data", "not-converged", "not-deterministic"})
"""Of these, what was found may be an accident, or nothing that the check asks about."""


def harm(value: float, finding: Finding) -> float:
    """The value with the sign that makes larger worse."""
    return value if finding.better == "lower" else -value


def apart(finding: Finding) -> bool:
    """Whether the row's decision was wrong without any change: counted apart, never as a success of the search."""
    return finding.extra.get("already-wrong", 0.0) > 0


def harmed(finding: Finding, criterion: Mapping[str, Any], beside: Finding | None = None) -> bool | None:
    """Whether the criterion fires on this row; None where there is nothing to judge: no numbers, or wrong already.

    `beside` is the other system's row of the same sample and level, for a criterion that compares the two.

    >>> row = Finding.empty(check="c", system="s", role="audited", sample="1", unit="", metric="m", better="lower")
    >>> harmed(row, {"kind": "reaches", "threshold": 0.5}) is None
    True
    """
    kind = criterion["kind"]
    if finding.worst is None or apart(finding) or kind == "measures":
        return None
    worst = harm(finding.worst, finding)
    if kind == "certifies":
        return False                        # what was not proved may still hold
    if kind == "reaches":
        bound = finding.extra.get(f"{criterion['ceiling']}.worst") if "ceiling" in criterion else None
        fired = bool(worst >= criterion["threshold"])
        return None if not fired and bound is not None and bound < criterion["threshold"] else fired
    if kind == "flips-within":
        chance = math.inf if finding.average is None else finding.average
        needed = (finding.worst + criterion["louder"] if "louder" in criterion
                  else criterion.get("over_random", 1.0) * finding.worst)
        return bool(finding.worst <= criterion["within"] and chance >= needed)
    if kind == "invents":
        sure = finding.extra.get("p", 1.0) <= criterion["alpha"]
        return bool(sure and worst >= criterion["contrast"] and finding.extra.get("amount", 0.0) >= criterion["threshold"])
    if kind == "worse-than-established":
        return _worse(finding, beside, float(criterion["margin"]))
    if finding.normal is None:
        return None
    growth = worst - harm(finding.normal, finding)
    if kind == "worsens-with-more":
        return (finding.level or 0.0) > criterion["base"] and growth > criterion["tolerance"] * abs(finding.normal)
    if kind != "grows":
        raise ValueError(f"criterion: unknown kind {kind!r}; known: certifies, flips-within, grows, invents, measures, "
                         "reaches, worse-than-established, worsens-with-more")
    needed = criterion["absolute"] if "absolute" in criterion else criterion["per_level"] * (finding.level or 0.0)
    by_chance = 0.0 if finding.average is None else max(0.0, harm(finding.average, finding)
                                                        - harm(finding.normal, finding))
    moved = "over_control_gain" not in criterion or finding.gain is None or finding.control_gain is None \
        or finding.gain >= criterion["over_control_gain"] * finding.control_gain
    return growth >= needed and growth >= criterion.get("over_control", 1.0) * by_chance and moved


def _worse(finding: Finding, beside: Finding | None, margin: float) -> bool | None:
    """Whether the row is worse than the other system's by more than the margin, and grew by more than that one's.

    A search of the other that was too weak would make this one look worse, one that did not converge look better: with such
    a flag the pair says nothing where it would say that.
    """
    if beside is None or beside.worst is None or finding.worst is None:
        return None
    worst, other = harm(finding.worst, finding), harm(beside.worst, beside)
    fired = worst - other > margin
    if finding.normal is not None and beside.normal is not None:    # a metric may say nothing about an unchanged input
        fired &= worst - harm(finding.normal, finding) > other - harm(beside.normal, beside)
    doubts = {flag.id for flag in beside.flags} & (SERIOUS if fired else DISCREDITING)
    return None if doubts else fired
