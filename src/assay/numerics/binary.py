"""Numbers of a classifier of two classes on a whole data set: AUROC, operating points, and the base rates beside them.

An accuracy means nothing without the prevalence: on data that are 92 % negative, "always negative" is right 92 % of the
time. Everywhere a larger score speaks for the positive class (label 1), and a threshold t calls positive what scores at
least t. Scores may be logits, differences of logits or probabilities: only their order matters, so infinite ones are
allowed and NaN is refused. No torch: reports compute these numbers from an audit's rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.numerics.intervals import Z95

SPECIFICITY = 0.9           # of the operating point that audits tell
Chosen = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold, and the shares of positives and of negatives that are called rightly there."""

    threshold: float
    sensitivity: float
    specificity: float


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the receiver operating characteristic, 0 to 1: the chance that a positive scores above a negative.

    (#{s⁺ > s⁻} + ½ #{s⁺ = s⁻}) / (n⁺ n⁻) over all pairs, by the midranks of one sort; scores and labels (n,). Raises
    `ValueError` for one class only. Sources: Mann and Whitney, Ann. Math. Stat. 18 (1947); Hanley and McNeil, Radiology
    143 (1982).

    >>> auroc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    """
    values, positive = _checked(scores, labels)
    n1, n0 = _both_classes(positive)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    twice_midrank = 2 * counts.cumsum() - counts + 1            # whole numbers: no rounding, however many scores
    twice_u = int(twice_midrank[place][positive].sum()) - n1 * (n1 + 1)
    return twice_u / (2 * n1 * n0)


def auroc_interval(area: float, *, positives: int, negatives: int, z: float = Z95) -> tuple[float, float]:
    """Interval (95 %) of an area measured on so many positives and negatives; honest at 0 and 1, where Wald's has no width.

    The θ with |θ − area| = z √V(θ), V(θ) = θ(1−θ) (1 + (N−1) ((1−θ)/(2−θ) + θ/(1+θ))) / (n⁺n⁻), N = (n⁺ + n⁻)/2, by
    bisection. Raises `ValueError` unless 0 ≤ area ≤ 1 with both classes. Source: Newcombe, Stat. Med. 25 (2006), part 2,
    method 5, after the variance of Hanley and McNeil (1982).

    >>> [round(v, 3) for v in auroc_interval(1.0, positives=20, negatives=20)]
    [0.899, 1.0]
    """
    if not 0 <= area <= 1 or positives < 1 or negatives < 1:
        raise ValueError(f"expected an area between 0 and 1 with both classes, got {area} on {positives} positive and "
                         f"{negatives} negative")
    inner = (positives + negatives) / 2 - 1

    def far(theta: float) -> bool:
        variance = theta * (1 - theta) * (1 + inner * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
        return (theta - area) ** 2 > z * z * variance / (positives * negatives)

    return _boundary(far, 0.0, area), _boundary(far, 1.0, area)


def _boundary(far: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where `far` changes between `outside` and `inside`; `outside` itself where it does not hold there."""
    if not far(outside):
        return outside
    for _ in range(60):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if far(middle) else (outside, middle)
    return (outside + inside) / 2


def sensitivity_at_threshold(scores: ArrayLike, labels: ArrayLike, *, threshold: float) -> float:
    """Share of the positives that score at least `threshold` (in the unit of the scores).

    Raises `ValueError` where there is no positive. Source: Yerushalmy, Public Health Rep. 62 (1947).

    >>> sensitivity_at_threshold([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1], threshold=0.5)
    0.5
    """
    values, positive = _checked(scores, labels)
    return _share_above(values, positive, threshold, "positive")


def specificity_at_threshold(scores: ArrayLike, labels: ArrayLike, *, threshold: float) -> float:
    """Share of the negatives that score below `threshold` (in the unit of the scores).

    Raises `ValueError` where there is no negative. Source: Yerushalmy, Public Health Rep. 62 (1947).

    >>> specificity_at_threshold([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1], threshold=0.4)
    0.5
    """
    values, positive = _checked(scores, labels)
    return 1 - _share_above(values, ~positive, threshold, "negative")


def sensitivity_at_specificity(scores: ArrayLike, labels: ArrayLike, *, specificity: float) -> OperatingPoint:
    """The point of greatest sensitivity among thresholds whose specificity is at least `specificity` (0 to 1).

    The threshold lies halfway between the least score of a positive above ⌈specificity · n⁻⌉ of the negatives and the next
    score below it, so that another machine's rounding moves no score across; it is ∞ where there is no such positive: then
    nothing is called positive. Chosen on the data it is measured on it flatters the classifier: choose it on a validation
    part, and measure elsewhere with the two functions above. Raises `ValueError` for one class only. Source: Pepe, The
    Statistical Evaluation of Medical Tests (2003), section 4.3.

    >>> sensitivity_at_specificity([0.25, 0.75, 0.5, 1.0], [0, 0, 1, 1], specificity=0.5)
    OperatingPoint(threshold=0.375, sensitivity=1.0, specificity=0.5)
    """
    if not 0 <= specificity <= 1:
        raise ValueError(f"specificity: expected a share between 0 and 1, got {specificity}")
    values, positive = _checked(scores, labels)
    _, n0 = _both_classes(positive)
    needed = math.ceil(specificity * n0 - 1e-9)                 # 0.55 · 100 is 55.00000000000001 in floating point
    candidates = values[positive]
    if needed > 0:
        candidates = candidates[candidates > np.sort(values[~positive])[needed - 1]]
    threshold = _halfway_below(values, float(candidates.min())) if len(candidates) else math.inf
    return OperatingPoint(threshold=threshold, sensitivity=_share_above(values, positive, threshold, "positive"),
                          specificity=1 - _share_above(values, ~positive, threshold, "negative"))


def threshold_at_specificity(scores: ArrayLike, labels: ArrayLike, *, specificity: float) -> float:
    """The least threshold below which at least this share of the negatives scores: just above one of them.

    >>> threshold_at_specificity([0.1, 0.4, 0.9], [0, 0, 1], specificity=0.5) > 0.1
    True
    >>> threshold_at_specificity([0.1, 0.4, 0.9], [0, 0, 1], specificity=0.5) < 0.4
    True
    """
    values, positive = _checked(scores, labels)
    negatives = np.sort(values[~positive])[::-1]
    if not len(negatives):
        raise ValueError("labels: no negatives; a specificity is a share of them")
    allowed = int((1 - specificity) * len(negatives) + 1e-9)
    return math.nextafter(float(negatives[allowed]), math.inf) if allowed < len(negatives) else -math.inf


def missing_as_wrong(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Scores (n,) in which NaN speaks against the truth: −∞ of a positive, ∞ of a negative.

    An answer that is no number helps nobody, and leaving it out would make a test look better that gives none for what is
    hard. Source: Schuetz, Schlattmann and Dewey, BMJ 345 (2012) e6717 ("intention to diagnose").

    >>> missing_as_wrong([0.5, float("nan"), float("nan")], [1, 1, 0]).tolist()
    [0.5, -inf, inf]
    """
    values = np.asarray(scores, dtype=np.float64)
    return np.where(np.isnan(values), np.where(_as_bool(labels), -np.inf, np.inf), values)


def prevalence(labels: ArrayLike) -> float:
    """Share of positives among the labels.

    >>> prevalence([0, 0, 0, 1])
    0.25
    """
    positive = _as_bool(labels)
    return int(positive.sum()) / len(positive)


def majority_accuracy(labels: ArrayLike) -> float:
    """Accuracy of always naming the commoner class: max(prevalence, 1 − prevalence), what any accuracy must beat.

    >>> majority_accuracy([0, 0, 0, 1])
    0.75
    """
    share = prevalence(labels)
    return max(share, 1 - share)


def _as_bool(labels: ArrayLike) -> Chosen:
    given: NDArray[Any] = np.asarray(labels)
    if given.ndim != 1 or len(given) == 0:
        raise ValueError(f"labels: expected (n,) with n ≥ 1, got {given.shape}; flatten them")
    if not bool(((given == 0) | (given == 1)).all()):
        raise ValueError("labels: expected 0 (negative) or 1 (positive) alone; for more classes compare one with the rest")
    return np.asarray(given == 1)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], Chosen]:
    """Scores in double precision, and which of them are those of positives."""
    positive, values = _as_bool(labels), np.asarray(scores, dtype=np.float64)
    if values.shape != positive.shape:
        raise ValueError(f"scores: expected one for each of {len(positive)} labels, got {values.shape}; of two logits "
                         "give the difference")
    if bool(np.isnan(values).any()):
        raise ValueError(f"scores: {int(np.isnan(values).sum())} of {len(values)} are NaN; no order holds among them")
    return values, positive


def _both_classes(positive: Chosen) -> tuple[int, int]:
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n1 == 0 or n0 == 0:
        raise ValueError(f"labels: {n1} positive and {n0} negative; this needs both classes")
    return n1, n0


def _halfway_below(values: NDArray[np.float64], score: float) -> float:
    """Halfway from the score to the next one below; the score itself where there is no finite one, or no number between."""
    below = values[values < score]
    lower = float(below.max()) if len(below) else score
    middle = lower / 2 + score / 2
    return middle if lower < middle < score else score


def _share_above(values: NDArray[np.float64], chosen: Chosen, threshold: float, what: str) -> float:
    n = int(chosen.sum())
    if n == 0:
        raise ValueError(f"labels: no {what} one; this needs at least one")
    return int((values[chosen] >= threshold).sum()) / n
