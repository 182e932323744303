"""What is said of each structure: consistent with the conjecture, not consistent, or inconclusive. Plain numbers, no torch.

Conjecture 1 (Thesing, Antun and Hansen 2019): what was learnt correlates with the truth (success), is unstable, and is
simpler than the truth. A structure is *consistent* with it only if success, use, instability and simplicity are all
positive: p of the whole is the greatest of the four (Berger 1982, intersection-union test), adjusted over structures by
Holm. It is *not consistent* if the structure does not tell the class, or the system demonstrably does not follow it and the
planted control shows that following would have been seen. A finite test proves neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.numerics.holm import holm

ALPHA, IGNORED, DOMINANT = 0.05, 0.1, 0.5
CONSISTENT, NOT_CONSISTENT, INCONCLUSIVE = "consistent with the conjecture", "not consistent", "inconclusive"
ASKED = ("success", "use", "instability", "simplicity")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict of one structure, why, and the adjusted p of "consistent"."""

    structure: str
    verdict: str
    reason: str
    p: float


def threshold(chance: float, accuracy: float) -> float:
    """What a structure must tell the class better than: half of the way from chance to the system's own accuracy.

    >>> round(threshold(0.1, 0.9), 3)
    0.5
    """
    return chance + 0.5 * (accuracy - chance)


def dominance(use: Mapping[str, Any] | None) -> str:
    """What the system follows where structure and truth disagree: "structure", "truth", "mixed", or "not asked".

    >>> dominance({"n": 50, "low": 0.8, "high": 1.0}), dominance({"n": 50, "low": 0.0, "high": 0.05})
    ('structure', 'truth')
    """
    if use is None or not use["n"]:
        return "not asked"
    return "structure" if use["low"] > DOMINANT else "truth" if use["high"] < IGNORED else "mixed"


def judge(cards: Sequence[Mapping[str, Any]]) -> list[Judgement]:
    """One judgement for each card; `p` of each question is 1 where it was not asked."""
    joint = holm([max(_p(card, part) for part in ASKED) for card in cards])
    return [_one(card, p) for card, p in zip(cards, joint, strict=True)]


def _p(card: Mapping[str, Any], part: str) -> float:
    told = card.get(part)
    return 1.0 if told is None else float(told["p"])


def _one(card: Mapping[str, Any], p: float) -> Judgement:
    name, success, use = str(card["id"]), card["success"], card.get("use")

    def says(verdict: str, reason: str) -> Judgement:
        return Judgement(structure=name, verdict=verdict, reason=reason, p=p)

    if success["high"] < card["threshold"]:
        return says(NOT_CONSISTENT, f"it tells the class in {100 * success['value']:.0f} % (at most "
                                    f"{100 * success['high']:.0f} %), less than {100 * card['threshold']:.0f} %")
    if use is None:
        return says(INCONCLUSIVE, card["no_use"])
    if use["n"] == 0:
        return says(INCONCLUSIVE, "no input could be made in which structure and truth disagree")
    if use["high"] < IGNORED:
        seen = card.get("planted")
        if seen is not None and seen["p"] <= ALPHA:
            return says(NOT_CONSISTENT, f"the system follows it in {100 * use['value']:.0f} % of conflicts (at most "
                                        f"{100 * use['high']:.0f} %), and a network taught nothing else is found out")
        return says(INCONCLUSIVE, "the system does not follow it, but neither was a network found out that was taught "
                                  "nothing else")
    if not card["keeps_truth"]:
        return says(INCONCLUSIVE, "the system follows it, but an edit of it may change what the input shows")
    if p <= ALPHA:
        return says(CONSISTENT, "it tells the class, is followed against the truth, is undone by small changes, and takes "
                                "fewer samples to learn")
    missing = [part for part in ASKED if _p(card, part) > ALPHA]
    return says(INCONCLUSIVE, "not shown: " + ", ".join(missing) if missing else
                "each question alone is positive, not all together over this many structures")
