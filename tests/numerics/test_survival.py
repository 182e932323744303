"""Kaplan–Meier against redistribution to the right, a published table and counted coverage; broken twins are caught."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from assay.numerics.survival import kaplan_meier

# Freireich et al. (1963), remission in weeks under 6-MP: the table of Kaplan–Meier in every textbook.
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
SEEN = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
TABLE = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}


def redistributed(sizes, seen) -> dict[float, float]:
    """Efron (1967): every size carries 1/n; a censored one hands its mass on to all larger ones."""
    order = sorted(range(len(sizes)), key=lambda i: (sizes[i], not seen[i]))
    mass = dict.fromkeys(order, 1 / len(sizes))
    beyond, found = 1.0, {}
    for place, i in enumerate(order):
        later = order[place + 1:]
        if seen[i]:
            beyond -= mass[i]
            found[float(sizes[i])] = beyond
        elif later:
            for j in later:
                mass[j] += mass[i] / len(later)
    return found


def drawn(seed: int, n: int = 60) -> tuple[list[float], list[bool]]:
    """Sizes with ties, a third of them censored, some at infinity."""
    generator = np.random.default_rng(seed)
    true, limit = generator.exponential(size=n).round(1) + 0.1, generator.exponential(2.0, size=n).round(1) + 0.1
    limit[generator.uniform(size=n) < 0.3] = math.inf
    return np.minimum(true, limit).tolist(), (true <= limit).tolist()


def agrees(estimate) -> None:
    for seed in range(5):
        sizes, seen = drawn(seed)
        found, expected = {s.size: s for s in estimate(sizes, seen).steps}, redistributed(sizes, seen)
        assert found.keys() == expected.keys()
        assert [found[t].beyond for t in found] == pytest.approx([expected[t] for t in found], abs=1e-12)


def test_two_ways_to_the_same_estimate():
    agrees(kaplan_meier)


@pytest.mark.parametrize("broken", [
    lambda sizes, seen: kaplan_meier(sizes, [True] * len(sizes)),                                       # forgets censoring
    lambda sizes, seen: kaplan_meier([s for s, k in zip(sizes, seen, strict=True) if k], [True] * sum(seen)),   # drops it
    lambda sizes, seen: kaplan_meier([s if k else s - 0.05 for s, k in zip(sizes, seen, strict=True)], seen),
])
def test_broken_estimates_are_caught(broken):
    with pytest.raises(AssertionError):
        agrees(lambda sizes, seen: broken([min(s, 50.0) for s in sizes], seen))


def test_the_published_table():
    found = kaplan_meier(WEEKS, [bool(s) for s in SEEN])
    assert {int(s.size): round(s.beyond, 4) for s in found.steps} == TABLE
    assert found.n == 21 and found.censored == 12 and found.median[0] == 23.0
    assert found.at(5) is None and found.at(6.5).beyond == pytest.approx(0.8571, abs=1e-4)


def test_the_interval_is_scipys_where_scipy_has_one():
    found = kaplan_meier(WEEKS, [bool(s) for s in SEEN])
    data = CensoredData(uncensored=[w for w, s in zip(WEEKS, SEEN, strict=True) if s],
                        right=[w for w, s in zip(WEEKS, SEEN, strict=True) if not s])
    band = ecdf(data).sf.confidence_interval(0.95, method="log-log")
    for step in found.steps:
        assert step.low == pytest.approx(band.low.evaluate(step.size), abs=1e-9)
        assert step.high == pytest.approx(band.high.evaluate(step.size), abs=1e-9)


def test_nothing_seen_has_no_median_and_all_seen_ends_at_zero():
    none = kaplan_meier([math.inf] * 5, [False] * 5)
    assert none.steps == () and none.median == (math.inf, math.inf, math.inf) and none.censored == 5
    last = kaplan_meier([1.0, 2.0, 3.0], [True] * 3).steps[-1]
    assert (last.beyond, last.low) == (0.0, 0.0) and 0 < last.high < 1


def test_the_median_of_many_is_covered():
    generator, held = np.random.default_rng(0), 0
    for _ in range(300):
        true, limit = generator.exponential(size=50), generator.exponential(3.0, size=50)
        _, low, high = kaplan_meier(np.minimum(true, limit).tolist(), (true <= limit).tolist()).median
        held += low <= math.log(2) <= high
    assert held / 300 > 0.92


@pytest.mark.parametrize(("sizes", "seen"), [([], []), ([1.0], []), ([math.nan], [False]), ([math.inf], [True])])
def test_what_was_not_measured_is_refused(sizes, seen):
    with pytest.raises(ValueError, match="size"):
        kaplan_meier(sizes, seen)
