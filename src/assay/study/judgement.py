"""What is said of each structure: consistent with the conjecture, not consistent, or inconclusive. Plain numbers, no torch.

Conjecture 1 (Thesing, Antun and Hansen 2019): what was learnt correlates with the truth (success), is unstable, and is
simpler than the truth. A structure is *consistent* with it only if success, use, instability and simplicity are all
positive: p of the whole is the greatest of the four (Berger 1982, intersection-union test), adjusted by Holm over the
structures of which all four could be asked. It is *not consistent* if the structure does not tell the class and is not
followed either, or if the system demonstrably does not follow it and the planted control shows that following would have
been seen; that too is adjusted by Holm, over all structures. A finite test proves neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from assay.numerics.holm import holm

T = TypeVar("T")            # a number, or draws of one

ALPHA, IGNORED, DOMINANT, UNSTABLE = 0.05, 0.1, 0.5, 0.1
CONSISTENT, NOT_CONSISTENT, INCONCLUSIVE = "consistent with the conjecture", "not consistent", "inconclusive"
ASKED = ("success", "use", "instability", "simplicity")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict of one structure, why, and the adjusted p of "consistent"."""

    structure: str
    verdict: str
    reason: str
    p: float


def threshold(chance: float, accuracy: T) -> T:
    """What a structure must tell the class better than: half of the way from chance to the system's own accuracy.

    >>> round(threshold(0.1, 0.9), 3)
    0.5
    """
    return chance + 0.5 * (accuracy - chance)       # type: ignore[operator, return-value, no-any-return]


def dominance(use: Mapping[str, Any] | None) -> str:
    """What the system follows where structure and truth disagree: "structure", "truth", "mixed", or "not asked".

    >>> dominance({"n": 50, "low": 0.8, "high": 1.0}), dominance({"n": 50, "low": 0.0, "high": 0.05})
    ('structure', 'truth')
    """
    if use is None or not use["n"]:
        return "not asked"
    return "structure" if use["low"] > DOMINANT else "truth" if use["high"] < IGNORED else "mixed"


def judge(cards: Sequence[Mapping[str, Any]]) -> list[Judgement]:
    """One judgement for each card; a question that was not asked has p = 1."""
    eligible = _eligible(cards)
    joint = dict(zip(eligible, holm([max(_p(cards[i], part) for part in ASKED) for i in eligible]), strict=True))
    negative = holm([min(1.0, 2 * min(card["success"]["against"], _against_use(card))) for card in cards])
    return [_one(card, joint.get(i, 1.0), negative[i]) for i, card in enumerate(cards)]


def alarms(cards: Sequence[Mapping[str, Any]]) -> list[dict[str, int | None]]:
    """For each card: in how many orders of classes by lot its structure was said to tell the class, and how often it would
    have been called consistent if instability and simplicity had been granted: an upper bound of the whole verdict's alarms,
    by the rule of `judge` with Holm's adjustment within each order; None of what that verdict cannot be given to.
    """
    eligible, drawn = _eligible(cards), [card.get("permuted") or {"success": [], "use": []} for card in cards]
    consistent = dict.fromkeys(eligible, 0)
    for k in range(max((len(d["success"]) for d in drawn), default=0)):
        joint = holm([max(drawn[i]["success"][k], drawn[i]["use"][k]) for i in eligible])
        for i, p in zip(eligible, joint, strict=True):
            consistent[i] += p <= ALPHA
    return [{"of": len(d["success"]), "tells": sum(p <= ALPHA for p in d["success"]), "consistent": consistent.get(i)}
            for i, d in enumerate(drawn)]


def _eligible(cards: Sequence[Mapping[str, Any]]) -> list[int]:
    """The places of cards of which all four can be asked."""
    return [i for i, card in enumerate(cards) if card["keeps_truth"] and card.get("use") is not None
            and card.get("instability") is not None]


def _p(card: Mapping[str, Any], part: str) -> float:
    """p of one question. Instability asks that the system is unstable, that its flips lie along the structure, and that the
    yardstick does not call the simplest classifier unstable too."""
    told = card.get(part)
    if told is None:
        return 1.0
    if part == "instability":
        tells = card.get("reference") is not None and (card["reference"].get("value") or 0.0) >= UNSTABLE
        return max(float(told["p"]), float(card["alignment"]["p"])) if tells else 1.0
    return float(told["p"])


def _against_use(card: Mapping[str, Any]) -> float:
    """p that the system does follow the structure in a tenth of conflicts or more, where it demonstrably could be seen
    to."""
    use, planted = card.get("use"), card.get("planted")
    if use is None or not use["n"] or planted is None or planted["p"] > ALPHA:
        return 1.0
    return float(use["against"])


def _one(card: Mapping[str, Any], p: float, negative: float) -> Judgement:
    success, use, follows = card["success"], card.get("use"), dominance(card.get("use"))

    def says(verdict: str, reason: str) -> Judgement:
        return Judgement(structure=str(card["id"]), verdict=verdict, reason=reason, p=p)

    if negative <= ALPHA:
        if use is not None and use["n"] and _against_use(card) <= success["against"]:
            return says(NOT_CONSISTENT, f"the system follows it in {100 * use['value']:.0f} % of conflicts (at most "
                                        f"{100 * use['high']:.0f} %), and a network taught nothing else is found out")
        if use is None or not use["n"] or use["low"] <= IGNORED:
            return says(NOT_CONSISTENT, f"it tells the class in {100 * success['value']:.0f} % (at most "
                                        f"{100 * success['high']:.0f} %), less than {100 * card['threshold']:.0f} %")
        return says(INCONCLUSIVE, f"it is followed in {100 * use['value']:.0f} % of conflicts, though it tells the class in "
                                  f"{100 * success['value']:.0f} % only")
    if use is None:
        return says(INCONCLUSIVE, card["no_use"])
    if not use["n"]:
        return says(INCONCLUSIVE, "too few inputs could be made in which structure and truth disagree")
    if follows == "truth":
        taught = card.get("planted")
        return says(INCONCLUSIVE, "the system does not follow it, but " + (
            "no network was taught to, so nothing says that it would have been seen" if taught is None else
            "neither was a network found out that was taught nothing else" if taught["p"] > ALPHA else
            "over this many structures that may be chance"))
    if not card["keeps_truth"]:
        return says(INCONCLUSIVE, f"the system follows it in {100 * use['value']:.0f} % of conflicts, but an edit of it "
                                  "may change what the input shows")
    if p <= ALPHA:
        return says(CONSISTENT, "it tells the class and is followed against the truth, small changes along it turn the "
                                "system, and it takes fewer samples to learn")
    if card.get("instability") is None:
        return says(INCONCLUSIVE, "instability and simplicity were not asked")
    missing = [part for part in ASKED if _p(card, part) > ALPHA]
    return says(INCONCLUSIVE, "not shown: " + ", ".join(missing) if missing else
                "each question alone is positive, not all together over this many structures")
