"""The curve of smallest flips: censored rows lie beyond, rows that were not searched do not count, medians are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assay.records import Finding, Stop
from assay.reports.curves import flip_sizes, ladder_charts
from assay.reports.figures import table
from assay.reports.progress import advice

CHECK = {"id": "flip", "title": "Smallest flip", "method": "smallest-change", "unit": "relative ℓ2",
         "metric": "flip-distance-l2"}


def row(sample: int, worst: float | None, system: str = "net", **changes) -> Finding:
    empty = Finding.empty(check="flip", system=system, role="audited", sample=str(sample), unit="relative ℓ2",
                          metric="flip-distance-l2", better="higher", stop=Stop.BUDGET)
    return replace(empty, worst=worst, average=None if worst is None else 3 * worst, **changes)


ROWS = [row(0, 0.1), row(1, 0.2), row(2, 0.3), row(3, None),
        row(4, None, extra={"already-wrong": 1.0}), row(5, None, stop=Stop.RAISED)]


def chart(rows=ROWS, established=None):
    return ladder_charts(CHECK, rows, "net", established)[0]


def test_a_flip_that_was_not_found_lies_beyond_all():
    line = chart().series[0]
    assert line.points[0] == (0.0, 0.0) and line.points[-1][1] == pytest.approx(0.75)
    assert all(low <= y <= high for (_, y), (_, low, high) in zip(line.points, line.band, strict=True))
    assert "median size 20 % (95 % interval 10 % to beyond all that was searched)" in chart().notes[0]
    assert "1 of 4 not flipped" in chart().notes[0]
    assert "net: worst case found: 95 % interval" in table(chart())[0]


def test_what_was_not_searched_does_not_count():
    assert flip_sizes([], "worst") is None
    kept = [f for f in ROWS if f.sample not in ("4", "5")]
    assert chart(kept).series == chart().series
    mistaken = [*kept, row(4, None)]                    # an unsearched row taken for a censored one moves the curve
    assert chart(mistaken).series != chart().series


def test_both_systems_stand_beside_each_other():
    found = chart([*ROWS, row(0, 0.5, "svm"), row(1, 0.6, "svm")], "svm")
    assert [s.style for s in found.series] == ["worst", "average", "own"] and len(found.notes) == 3
    assert found.notes[2].startswith("svm: its own worst case: median size 50 %")


def test_advice_before_a_run():
    def units(check: str, n: int) -> dict:
        return {"check": check, "samples": [str(i) for i in range(n)]}

    plan = {"units": [units("tiny", 50), units("tiny", 50), units("few", 30), units("preflight", 500),
                      {**units("fooling", 400), "rows": ["class:a"]}]}
    assert advice({"rate": 0.05}, plan) == [
        "with 50 samples a count of zero still allows 5.8 % (95 %); for at most 5 % it takes 59",
        "with 30 samples (few) a count of zero still allows 9.5 % (95 %)"]
    assert advice({"rate": 0.05}, {"units": [units("tiny", 100)]}) == [
        "with 100 samples a count of zero still allows 3 % (95 %)"]
    measured = {"rate": 0.05, "checks": [{"id": "few", "criterion": {"kind": "measures"}}]}
    assert len(advice(measured, plan)) == 1
    assert advice({"rate": 0.0}, {"units": [units("tiny", 100)]})[0].endswith("3 % (95 %)")
    assert advice({"rate": 0.05}, {"units": []}) == []
