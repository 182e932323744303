"""Numbers of a binary classifier on a whole data set: AUROC, operating points, and the base rates beside them.

An accuracy means nothing without the prevalence: on data that are 92 % negative, "always negative" is right 92 % of the
time. Everywhere a larger score speaks for the positive class (label 1), and a threshold t calls positive what scores at
least t. Scores may be logits, differences of logits or probabilities: only their order matters, so infinite ones are
allowed and NaN is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.intervals import Z95

Scores = Shaped[Tensor, "n"]
Labels = Shaped[Tensor, "n"]


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold, and the shares of positives and of negatives that are called rightly there."""

    threshold: float
    sensitivity: float
    specificity: float


def auroc(scores: Scores, labels: Labels) -> float:
    """Area under the receiver operating characteristic, 0 to 1: the chance that a positive scores above a negative.

    (#{s⁺ > s⁻} + ½ #{s⁺ = s⁻}) / (n⁺ n⁻) over all pairs, by the midranks of one sort. Raises `InputError` for one class
    only. Sources: Mann and Whitney, Ann. Math. Stat. 18 (1947); Hanley and McNeil, Radiology 143 (1982).

    >>> auroc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.875
    """
    positive = _positive(scores, labels)
    n1, n0 = _both_classes(positive)
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    twice_midrank = 2 * last - counts + 1                       # whole numbers: no rounding, however many scores
    twice_u = int(twice_midrank[place][positive].sum()) - n1 * (n1 + 1)
    return twice_u / (2 * n1 * n0)


def auroc_interval(area: float, *, positives: int, negatives: int, z: float = Z95) -> tuple[float, float]:
    """Interval (95 %) of an area measured on so many positives and negatives; honest at 0 and 1, where Wald's has no width.

    The θ with |θ − area| = z √V(θ), V(θ) = θ(1−θ) (1 + (N−1) ((1−θ)/(2−θ) + θ/(1+θ))) / (n⁺n⁻), N = (n⁺ + n⁻)/2, by
    bisection. Raises `InputError` unless 0 ≤ area ≤ 1 with both classes. Source: Newcombe, Stat. Med. 25 (2006), part 2,
    method 5, after the variance of Hanley and McNeil (1982).

    >>> [round(v, 3) for v in auroc_interval(1.0, positives=20, negatives=20)]
    [0.899, 1.0]
    """
    if not 0 <= area <= 1 or positives < 1 or negatives < 1:
        raise InputError(f"expected an area between 0 and 1 with both classes, got {area} on {positives} positive and "
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


def sensitivity_at_threshold(scores: Scores, labels: Labels, *, threshold: float) -> float:
    """Share of the positives that score at least `threshold` (in the unit of the scores).

    Raises `InputError` where there is no positive. Source: Yerushalmy, Public Health Rep. 62 (1947).

    >>> sensitivity_at_threshold(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]), threshold=0.5)
    0.5
    """
    return _share_above(scores, _positive(scores, labels), threshold, "positive")


def specificity_at_threshold(scores: Scores, labels: Labels, *, threshold: float) -> float:
    """Share of the negatives that score below `threshold` (in the unit of the scores).

    Raises `InputError` where there is no negative. Source: Yerushalmy, Public Health Rep. 62 (1947).

    >>> specificity_at_threshold(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]), threshold=0.4)
    0.5
    """
    return 1 - _share_above(scores, ~_positive(scores, labels), threshold, "negative")


def sensitivity_at_specificity(scores: Scores, labels: Labels, *, specificity: float) -> OperatingPoint:
    """The point of greatest sensitivity among thresholds whose specificity is at least `specificity` (0 to 1).

    The threshold is the least score of a positive that lies above ⌈specificity · n⁻⌉ of the negatives, or ∞ where there is
    none: then nothing is called positive. Chosen on the data it is measured on it flatters the classifier: choose it on a
    validation part, and measure elsewhere with the two functions above. Raises `InputError` for one class only. Source:
    Pepe, The Statistical Evaluation of Medical Tests (2003), section 4.3.

    >>> sensitivity_at_specificity(torch.tensor([0.1, 0.6, 0.5, 0.8]), torch.tensor([0, 0, 1, 1]), specificity=0.5)
    OperatingPoint(threshold=0.5, sensitivity=1.0, specificity=0.5)
    """
    if not 0 <= specificity <= 1:
        raise InputError(f"specificity: expected a share between 0 and 1, got {specificity}")
    positive = _positive(scores, labels)
    _, n0 = _both_classes(positive)
    needed = math.ceil(specificity * n0 - 1e-9)                 # 0.55 · 100 is 55.00000000000001 in floating point
    candidates = scores[positive]
    if needed > 0:
        candidates = candidates[candidates > scores[~positive].sort().values[needed - 1]]
    threshold = float(candidates.min()) if len(candidates) else math.inf
    return OperatingPoint(threshold=threshold,
                          sensitivity=sensitivity_at_threshold(scores, labels, threshold=threshold),
                          specificity=specificity_at_threshold(scores, labels, threshold=threshold))


def prevalence(labels: Labels) -> float:
    """Share of positives among the labels.

    >>> prevalence(torch.tensor([0, 0, 0, 1]))
    0.25
    """
    positive = _as_bool(labels)
    return int(positive.sum()) / len(positive)


def majority_accuracy(labels: Labels) -> float:
    """Accuracy of always naming the commoner class: max(prevalence, 1 − prevalence), what any accuracy must beat.

    >>> majority_accuracy(torch.tensor([0, 0, 0, 1]))
    0.75
    """
    share = prevalence(labels)
    return max(share, 1 - share)


def _as_bool(labels: Tensor) -> Tensor:
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"labels: expected (n,) with n ≥ 1, got {tuple(labels.shape)}; flatten them")
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise InputError("labels: expected 0 (negative) or 1 (positive) alone; for more classes compare one with the rest")
    return labels == 1


def _positive(scores: Tensor, labels: Tensor) -> Tensor:
    positive = _as_bool(labels)
    if scores.shape != labels.shape:
        raise InputError(f"scores: expected one for each of {len(labels)} labels, got {tuple(scores.shape)}; of two logits "
                         "give the difference")
    if bool(scores.isnan().any()):
        raise InputError(f"scores: {int(scores.isnan().sum())} of {len(scores)} are NaN; no order holds among them")
    return positive


def _both_classes(positive: Tensor) -> tuple[int, int]:
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n1 == 0 or n0 == 0:
        raise InputError(f"labels: {n1} positive and {n0} negative; this needs both classes")
    return n1, n0


def _share_above(scores: Tensor, chosen: Tensor, threshold: float, what: str) -> float:
    n = int(chosen.sum())
    if n == 0:
        raise InputError(f"labels: no {what} one; this needs at least one")
    # the threshold takes the precision of the scores: as a double, 0.4 is another number than the single-precision 0.4
    return int((scores[chosen] >= torch.tensor(threshold, dtype=scores.dtype)).sum()) / n
