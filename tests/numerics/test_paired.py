"""Paired tests against published tables, scipy, enumeration and counted coverage; every broken twin is caught."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, multinomial, permutation_test

from assay.numerics.holm import holm
from assay.numerics.paired import mcnemar, paired_bootstrap, paired_difference_interval, sign_flip, sign_flip_above


def agrees_with_the_sign_test(test) -> None:
    for b, c in product(range(12), repeat=2):
        expected = binomtest(b, b + c).pvalue if b + c else 1.0
        assert test(b, c) == pytest.approx(expected, abs=1e-12), (b, c)


def test_mcnemar_is_the_exact_test_of_the_changed_samples():
    agrees_with_the_sign_test(mcnemar)
    assert mcnemar(400, 600) == pytest.approx(binomtest(400, 1000).pvalue)
    assert mcnemar(0, 100_000) == 0.0 or mcnemar(0, 100_000) < 1e-300
    with pytest.raises(ValueError, match="counts"):
        mcnemar(-1, 2)


def chi_square(b: int, c: int) -> float:
    """A broken twin: the approximation without correction, whose alarms come too easily for few samples."""
    return math.erfc(abs(b - c) / math.sqrt(2 * max(b + c, 1)))


def test_the_approximate_mcnemar_is_caught():
    with pytest.raises(AssertionError):
        agrees_with_the_sign_test(chi_square)


@pytest.mark.parametrize(("table", "low", "high"), [      # Newcombe (1998); Fagerland et al., Stat. Med. 33 (2014)
    ((36, 12, 2, 0), 0.0569, 0.3404), ((54, 0, 0, 0), -0.0664, 0.0664), ((1, 1, 7, 12), -0.5069, -0.0256),
])
def test_the_interval_of_a_paired_difference_gives_the_published_numbers(table, low, high):
    assert paired_difference_interval(*table) == pytest.approx((low, high), abs=6e-5)


def unpaired(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float]:
    """A broken twin: forgets that the samples are the same."""
    n = both + only_first + only_second + neither
    p, q = (both + only_first) / n, (both + only_second) / n
    half = 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / n)
    return p - q - half, p - q + half


def coverage(interval, n: int, cells: tuple[float, ...]) -> float:
    """Probability, summed exactly over all tables, that the interval holds the true difference."""
    tables = [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    weights = multinomial.pmf(np.array(tables), n, cells)
    held = [low - 1e-12 <= cells[1] - cells[2] <= high + 1e-12 for low, high in (interval(*t) for t in tables)]
    return float(weights[np.array(held)].sum())


@pytest.mark.parametrize("cells", [(0.4, 0.1, 0.1, 0.4), (0.1, 0.3, 0.05, 0.55), (0.02, 0.03, 0.0, 0.95)])
def test_the_interval_of_a_paired_difference_covers(cells):
    assert coverage(paired_difference_interval, 16, cells) >= 0.93


def test_an_interval_that_forgets_the_pairs_is_caught():
    assert coverage(unpaired, 16, (0.02, 0.03, 0.0, 0.95)) < 0.6
    width = np.subtract(*reversed(unpaired(40, 5, 5, 50)))
    assert np.subtract(*reversed(paired_difference_interval(40, 5, 5, 50))) < 0.6 * width


def test_the_interval_turns_with_the_order():
    for table in ((20, 12, 2, 16), (0, 3, 9, 1), (5, 0, 0, 5)):
        a, b, c, d = table
        low, high = paired_difference_interval(a, b, c, d)
        assert paired_difference_interval(a, c, b, d) == pytest.approx((-high, -low))
    for bad in ((0, 0, 0, 0), (1, -1, 0, 0)):
        with pytest.raises(ValueError, match="counts"):
            paired_difference_interval(*bad)


@pytest.mark.parametrize("n", [3, 8, 12])
def test_sign_flips_agree_with_an_independent_enumeration(n):
    values = np.random.default_rng(n).normal(0.4, 1, size=n)
    theirs = permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values.tolist()) == pytest.approx(theirs.pvalue)
    assert sign_flip([*values, 0.0]) == sign_flip(values.tolist())


def test_drawn_sign_flips_come_near_all_of_them():
    values = np.random.default_rng(5).normal(0.45, 1, size=17)
    signs = np.array(list(product((1.0, -1.0), repeat=17)))
    exact = float((np.abs(signs @ values) >= abs(values.sum()) - 1e-9).mean())
    assert sign_flip(values.tolist()) == pytest.approx(exact, abs=0.01)
    assert sign_flip(values.tolist()) == sign_flip(values.tolist())
    assert sign_flip([1.0] * 40) == 1 / 10_000                 # never 0: the observed signs are one of them
    with pytest.raises(ValueError, match="finite"):
        sign_flip([math.nan])


def mean_difference(a, b) -> float:
    return float(np.mean(a - b))


def ratio(a, b) -> float:
    return float(np.mean(a) / np.mean(b))


@pytest.mark.parametrize("statistic", [mean_difference, ratio])
def test_the_bootstrap_agrees_with_scipy(statistic):
    rng = np.random.default_rng(7)
    b = rng.gamma(2.0, 1.0, size=30)
    a = b + rng.exponential(0.5, size=30)
    theirs = bootstrap((a, b), statistic, paired=True, vectorized=False, n_resamples=6000, rng=1).confidence_interval
    ours = paired_bootstrap(a, b, statistic, 6000, 2)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.04 * (theirs.high - theirs.low) + 1e-9)
    assert ours == paired_bootstrap(a, b, statistic, 6000, 2) != paired_bootstrap(a, b, statistic, 6000, 3)


def covered(interval, n: int, repeats: int = 300) -> float:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(repeats):
        b = rng.normal(0, 3, size=n)
        a = b + rng.normal(1.0, 1.0, size=n)
        low, high = interval(a, b)
        hits += low <= 1.0 <= high
    return hits / repeats


def test_the_bootstrap_covers_and_keeps_pairs_together():
    def apart(a, b):            # a broken twin: shuffles one side, so that the pairs are lost
        return paired_bootstrap(a, np.random.default_rng(0).permutation(b), mean_difference, 300, 1)

    def ours(a, b):
        return paired_bootstrap(a, b, mean_difference, 300, 1)

    assert 0.89 <= covered(ours, 25) <= 0.98
    rng = np.random.default_rng(2)
    b = rng.normal(0, 3, size=25)
    a = b + rng.normal(1.0, 0.1, size=25)
    assert np.subtract(*reversed(apart(a, b))) > 10 * np.subtract(*reversed(ours(a, b)))


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0]), (1.0, 1.0)])
def test_a_bootstrap_of_unequal_samples_is_refused(a, b):
    with pytest.raises(ValueError, match="as many"):
        paired_bootstrap(a, b, mean_difference, 9, 0)


def test_a_statistic_that_is_not_defined_is_refused():
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0], lambda a, b: math.nan, 9, 0)


def closed_testing(p: list[float]) -> list[float]:
    """The definition behind Holm: every set of hypotheses with i must fail Bonferroni's test."""
    m = len(p)
    return [max(min(1.0, size * min(p[j] for j in members)) for size in range(1, m + 1)
                for members in combinations(range(m), size) if i in members) for i in range(m)]


def agrees_with_closed_testing(adjust) -> None:
    rng = np.random.default_rng(3)
    for m in (1, 2, 3, 6):
        for _ in range(20):
            p = (rng.random(m) ** 3).round(2).tolist()
            assert adjust(p) == pytest.approx(closed_testing(p)), p


def test_holm_is_the_closed_test_of_bonferroni():
    agrees_with_closed_testing(holm)
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([bad])


@pytest.mark.parametrize("twin", [
    lambda p: [min(1.0, len(p) * v) for v in p],                                        # Bonferroni: too strict
    lambda p: [min(1.0, (len(p) - sorted(p).index(v)) * v) for v in p],                 # without the running maximum
    lambda p: list(p),
])
def test_other_adjustments_are_caught(twin):
    with pytest.raises(AssertionError):
        agrees_with_closed_testing(twin)


@pytest.mark.parametrize("n", [1, 5, 9])
def test_the_one_sided_sign_test_counts_patterns_with_as_large_a_sum(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        values = rng.normal(0.5, 1.0, n)
        if values.sum() <= 0:
            assert sign_flip_above(list(values)) == 1.0
            continue
        sums = [np.dot(signs, values) for signs in product((1, -1), repeat=n)]
        assert sign_flip_above(list(values)) == pytest.approx(np.mean([s >= values.sum() - 1e-12 for s in sums]))
