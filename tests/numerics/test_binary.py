"""Numbers of binary classifiers against a count over all pairs, scikit-learn's curve, and broken twins."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.numerics import binary
from assay.numerics.intervals import wilson


def auroc_by_pairs(scores: list[float], labels: list[int]) -> Fraction:
    pairs = [(p, n) for p, a in zip(scores, labels, strict=True) if a for n, b in zip(scores, labels, strict=True) if not b]
    return Fraction(sum(2 * (p > n) + (p == n) for p, n in pairs), 2 * len(pairs))


def best_by_trying(scores: list[float], labels: list[int], least: Fraction) -> tuple[Fraction, Fraction]:
    """Greatest sensitivity, then greatest specificity, over all thresholds whose specificity is at least `least`."""
    points = []
    for t in [*scores, math.inf]:
        called = [s >= t for s in scores]
        positives = [c for c, a in zip(called, labels, strict=True) if a]
        negatives = [c for c, a in zip(called, labels, strict=True) if not a]
        points.append((Fraction(sum(positives), len(positives)), 1 - Fraction(sum(negatives), len(negatives))))
    return max(p for p in points if p[1] >= least)


# no shrinking: the broken twins below fail on purpose
DRAWN = settings(max_examples=60, deadline=None, derandomize=True, phases=(Phase.generate,))

cases = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=20).filter(
    lambda rows: len({label for _, label in rows}) == 2)


def arrays(rows: list[tuple[int, bool]]) -> tuple[NDArray, NDArray]:
    return np.array([float(s) for s, _ in rows]), np.array([int(label) for _, label in rows])


def auroc_is_right(compute) -> None:
    @DRAWN
    @given(cases)
    def law(rows):
        scores, labels = arrays(rows)
        assert compute(scores, labels) == pytest.approx(float(auroc_by_pairs(scores.tolist(), labels.tolist())), abs=1e-12)
    law()


def point_is_right(compute) -> None:
    @DRAWN
    @given(cases, st.integers(0, 20))
    def law(rows, twentieths):
        scores, labels = arrays(rows)
        point = compute(scores, labels, specificity=twentieths / 20)
        sensitivity, specificity = best_by_trying(scores.tolist(), labels.tolist(), Fraction(twentieths, 20))
        assert (point.sensitivity, point.specificity) == pytest.approx((float(sensitivity), float(specificity)))
        assert point.sensitivity == binary.sensitivity_at_threshold(scores, labels, threshold=point.threshold)
        assert point.specificity == binary.specificity_at_threshold(scores, labels, threshold=point.threshold)
    law()


def test_auroc_is_the_share_of_pairs_in_order():
    auroc_is_right(binary.auroc)


def trapezoid_without_ties(scores: NDArray, labels: NDArray) -> float:
    order = labels[scores.argsort(kind="stable")]
    return float((order * (1 - order).cumsum()).sum() / order.sum() / (1 - order).sum())


@pytest.mark.parametrize("broken", [
    trapezoid_without_ties,
    lambda s, y: binary.auroc(-s, y),
    lambda s, y: binary.auroc(s, y) if binary.auroc(s, y) > 0.5 else 1 - binary.auroc(s, y),
], ids=["ties by order", "sign", "never below a half"])
def test_a_wrong_auroc_is_caught(broken):
    with pytest.raises(AssertionError):
        auroc_is_right(broken)


def coverage(interval, *, shift: float, positives: int, negatives: int, runs: int = 400) -> float:
    """Share of intervals that hold the true area Φ(shift/√2) of two normal classes."""
    true = 0.5 * (1 + math.erf(shift / 2))
    generator, held = np.random.default_rng(7), 0
    labels = (np.arange(positives + negatives) < positives).astype(int)
    for _ in range(runs):
        area = binary.auroc(generator.normal(size=len(labels)) + shift * labels, labels)
        low, high = interval(area, positives=positives, negatives=negatives)
        held += low <= true <= high
    return held / runs


@pytest.mark.parametrize(("shift", "positives", "negatives"), [(0.0, 15, 15), (1.8, 30, 50), (3.0, 12, 60)])
def test_intervals_of_the_area_hold_the_truth(shift, positives, negatives):
    assert coverage(binary.auroc_interval, shift=shift, positives=positives, negatives=negatives) >= 0.93


def test_an_interval_that_takes_pairs_for_independent_is_caught():
    def of_pairs(area: float, *, positives: int, negatives: int) -> tuple[float, float]:
        return wilson(round(area * positives * negatives), positives * negatives)
    assert coverage(of_pairs, shift=1.8, positives=30, negatives=50) < 0.93


def test_intervals_of_the_area_in_closed_form():
    """One of each class is one trial, so the interval is Wilson's; a turned area has the turned interval."""
    for area in (0, 1):
        assert binary.auroc_interval(area, positives=1, negatives=1) == pytest.approx(wilson(area, 1))
    low, high = binary.auroc_interval(0.8, positives=9, negatives=30)
    assert binary.auroc_interval(0.2, positives=9, negatives=30) == pytest.approx((1 - high, 1 - low))
    assert binary.auroc_interval(0.0, positives=50, negatives=50)[1] > 0.02
    with pytest.raises(ValueError, match="both classes"):
        binary.auroc_interval(0.5, positives=0, negatives=5)


def test_sensitivity_at_a_specificity_is_the_best_of_all_thresholds():
    point_is_right(binary.sensitivity_at_specificity)


def interpolating(scores: NDArray, labels: NDArray, *, specificity: float) -> binary.OperatingPoint:
    threshold = float(np.quantile(scores[labels == 0], specificity))
    return binary.OperatingPoint(threshold=threshold,
                                 sensitivity=binary.sensitivity_at_threshold(scores, labels, threshold=threshold),
                                 specificity=binary.specificity_at_threshold(scores, labels, threshold=threshold))


def test_a_quantile_of_the_negatives_is_caught():
    with pytest.raises(AssertionError):
        point_is_right(interpolating)


def test_against_scikit_learn_with_many_ties():
    from sklearn.metrics import accuracy_score, recall_score, roc_auc_score, roc_curve
    generator = np.random.default_rng(0)
    labels = (generator.random(500) < 0.2).astype(int)
    scores = (4 * (generator.normal(size=500) + labels)).round() / 4
    assert binary.auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    point = binary.sensitivity_at_specificity(scores, labels, specificity=0.9)
    assert point.sensitivity == pytest.approx(true[1 - false >= 0.9].max())
    called = scores >= 0.5
    assert binary.sensitivity_at_threshold(scores, labels, threshold=0.5) == pytest.approx(recall_score(labels, called))
    assert binary.specificity_at_threshold(scores, labels, threshold=0.5) == pytest.approx(
        recall_score(labels, called, pos_label=0))
    assert binary.majority_accuracy(labels) == pytest.approx(accuracy_score(labels, np.zeros(500)))


def test_only_the_order_of_the_scores_matters():
    generator = np.random.default_rng(1)
    scores, labels = generator.normal(size=60), generator.integers(2, size=60)
    for changed in (1000 * scores - 7, 1 / (1 + np.exp(-scores)), scores.astype(np.float32), scores * 1e-6):
        assert binary.auroc(changed, labels) == binary.auroc(scores, labels)
        assert binary.sensitivity_at_specificity(changed, labels, specificity=0.8).sensitivity == (
            binary.sensitivity_at_specificity(scores, labels, specificity=0.8).sensitivity)
    saturated = np.where(scores > 1, math.inf, scores)
    assert binary.auroc(saturated, labels) == pytest.approx(float(auroc_by_pairs(saturated.tolist(), labels.tolist())))


def test_changed_labels_turn_it_round():
    scores, labels = np.array([0.1, 0.7, 0.4, 0.4]), np.array([0, 1, 1, 0])
    assert binary.auroc(scores, labels) + binary.auroc(scores, 1 - labels) == 1
    assert binary.prevalence(labels == 1) == 0.5


def test_hundreds_of_thousands_of_scores_keep_every_digit():
    n = 400_000
    scores, labels = np.arange(n), np.arange(n) % 2
    assert binary.auroc(scores, labels) == pytest.approx(0.5 + 1 / n, abs=1e-12)        # pairs in order: m(m + 1)/2, m = n/2


def thresholds_keep_their_distance(compute) -> None:
    """Halfway between two scores, as far as there are two: rounding on another machine moves no score across."""
    for scores, labels in (([0.0, 3.0, 1.0, 2.0], [0, 0, 1, 1]), ([2.0, 1.0, 4.0, 4.0, 8.0], [0, 1, 0, 1, 1])):
        threshold = compute(scores, labels, specificity=0.5).threshold
        assert min(abs(s - threshold) for s in scores) >= 0.5
    assert compute([1.0, 1.0], [0, 1], specificity=0.0).threshold == 1.0           # nothing lies below
    assert compute([-math.inf, 1.0], [0, 1], specificity=0.5).threshold == 1.0     # nothing lies between
    assert compute([1.0, 1.0 + 2**-52], [0, 1], specificity=0.5).threshold == 1.0 + 2**-52


def test_thresholds_lie_between_scores():
    thresholds_keep_their_distance(binary.sensitivity_at_specificity)


def test_a_threshold_at_a_score_is_caught():
    def at_a_score(scores: list[float], labels: list[int], *, specificity: float) -> binary.OperatingPoint:
        point = binary.sensitivity_at_specificity(scores, labels, specificity=specificity)
        return binary.OperatingPoint(threshold=min(s for s in scores if s >= point.threshold), sensitivity=1, specificity=1)
    with pytest.raises(AssertionError):
        thresholds_keep_their_distance(at_a_score)


def test_where_no_threshold_is_specific_enough_nothing_is_called_positive():
    point = binary.sensitivity_at_specificity([0.9, 0.1], [0, 1], specificity=1.0)
    assert point == binary.OperatingPoint(threshold=math.inf, sensitivity=0.0, specificity=1.0)


def test_what_is_no_number_is_wrong_at_every_threshold():
    generator = np.random.default_rng(2)
    scores, labels = generator.normal(size=50), generator.integers(2, size=50)
    scores[::7] = math.nan
    known = binary.missing_as_wrong(scores, labels)
    for threshold in (-5.0, 0.0, 5.0):
        seen = np.isnan(scores)
        for which, share in ((1, binary.sensitivity_at_threshold), (0, binary.specificity_at_threshold)):
            right = (scores >= threshold) == which
            assert share(known, labels, threshold=threshold) == pytest.approx(
                (right & ~seen)[labels == which].mean())
    assert binary.auroc(known, labels) < binary.auroc(scores[~np.isnan(scores)], labels[~np.isnan(scores)])


@pytest.mark.parametrize(("scores", "labels", "what"), [
    ([0.5] * 3, [1, 1, 1], "needs both classes"),
    ([0.5] * 3, [0, 0, 0], "3 negative"),
    ([0.5] * 3, [0, 1, 2], "more classes"),
    ([[0.5] * 2] * 3, [0, 1, 1], "difference"),
    ([0.5] * 3, [[0], [1], [1]], "flatten"),
    ([0.1, math.nan, 0.2], [0, 1, 1], "NaN"),
    ([], [], "n ≥ 1"),
])
def test_bad_input_is_refused(scores, labels, what):
    with pytest.raises(ValueError, match=what):
        binary.auroc(scores, labels)
    with pytest.raises(ValueError, match=what):
        binary.sensitivity_at_specificity(scores, labels, specificity=0.9)


def test_a_specificity_in_per_cent_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        binary.sensitivity_at_specificity([0.5] * 2, [0, 1], specificity=90)
