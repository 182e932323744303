"""The worst of a million uses: a law that is known, refusals in words, wrong samples left out; never a verdict."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from assay.records import Finding
from assay.reports.comparison import compare
from assay.reports.extrapolation import data, extrapolations
from assay.verdicts import judge

CHECK = {"id": "noise", "title": "Random noise", "method": "worst-case", "metric": "error-rate", "unit": "ℓ2",
         "criterion": {"kind": "grows", "level": 0.1, "absolute": 0.5, "sentence": "s"}}


def row(sample: int, losses, *, normal: float = -12.0, level: float = 0.1) -> Finding:
    empty = Finding.empty(check="noise", system="net", role="audited", sample=str(sample), unit="ℓ2", metric="error-rate",
                          better="lower", level=level)
    return replace(empty, normal=float(normal > 0), worst=0.0, controls=len(losses), extra={
        "margin.normal": normal, "already-wrong": float(normal > 0),
        **{f"margin.random.{k}": float(v) for k, v in enumerate(losses, start=1)}})


def found(rows):
    return extrapolations(compare([judge(rows, CHECK, "net", role="audited")],
                                  {"id": "p", "rate": 0.05, "headline": "noise", "checks": [CHECK]}), rows)


def exponential(samples: int = 400, draws: int = 10, shift: float = -20.0):
    generator = np.random.default_rng(0)
    return [row(i, shift + generator.exponential(size=draws)) for i in range(samples)]


def test_a_known_law_is_continued():
    """Leads −60 + E, E exponential: exceeded once in 10⁶ is −60 + log 10⁶ = −46.2."""
    (told,) = found(exponential(shift=-60.0))
    assert told.low <= -60 + math.log(1e6) <= told.high and told.low <= told.level <= told.high < 0
    assert told.counted == 0.0 and told.wrong < 1e-9 and "still expected to be right" in told.sentence
    (nearer,) = found(exponential(shift=-6.0))
    assert nearer.low > 0 and "a wrong decision is to be expected" in nearer.sentence
    assert nearer.wrong == pytest.approx(math.exp(-6), rel=0.5) and nearer.counted == pytest.approx(math.exp(-6), rel=0.9)
    (between,) = found(exponential(shift=-16.0))
    assert between.low < 0 < between.high and "cannot be told" in between.sentence
    json.dumps(data(nearer), allow_nan=False)


def test_samples_wrong_without_any_change_and_other_levels_do_not_count():
    rows = exponential()
    others = [row(1000 + i, [50.0] * 10, normal=30.0) for i in range(50)] + [row(0, [99.0] * 10, level=0.05)]
    assert found([*rows, *others]) == found(rows)
    spoiled = [*rows, *(row(1000 + i, [50.0] * 10) for i in range(50))]
    assert found(spoiled) != found(rows)


def test_too_little_is_refused_in_words():
    (told,) = found(exponential(samples=50))
    assert told.level is None and told.sentence == (
        "No extrapolation: 25 values exceed the threshold; at least 50 are needed (of 500 random changes of 50 rightly "
        "decided samples).")
    assert found([replace(f, extra={}) for f in exponential(20)]) == []
    json.dumps(data(told), allow_nan=False)


def test_a_tail_of_few_samples_has_a_wide_interval():
    """All of the tail comes from ten samples: resampling the draws one by one would call that precise."""
    generator = np.random.default_rng(1)
    rows = [row(i, (-10.0 if i < 10 else -30.0) + generator.exponential(0.5, size=50)) for i in range(200)]
    spread = [row(i % 200, part) for i, part in enumerate(np.random.default_rng(2).permutation(
        np.concatenate([[f.extra[f"margin.random.{k}"] for k in range(1, 51)] for f in rows])).reshape(200, 50))]
    (clustered,), (mixed,) = found(rows), found(spread)
    known = clustered.level is None or clustered.high - clustered.low > mixed.high - mixed.low
    assert known
