"""When a replayed number is that of the row: relative to the number, and absolutely where it is rounding alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assay.audits.replayed_rows import differing
from assay.records import Finding

ROW = Finding.empty(check="c", system="s", role="audited", sample="1", unit="", metric="error-rate", better="lower")


@pytest.mark.parametrize(("recorded", "replayed", "same"), [
    (1.177e-6, 6.66e-7, True),          # of an output that did not move
    (1.0, 1.001, True), (1.0, 1.01, False), (1e-3, 2e-3, False), (0.05, 0.0502, False)])
def test_gains_near_zero_are_compared_absolutely(recorded, replayed, same):
    assert (differing(replace(ROW, gain=recorded), {"gain": replayed}) == []) is same


def test_other_numbers_near_zero_are_not():
    assert differing(replace(ROW, worst=1.177e-6), {"worst": 6.66e-7}) != []


def test_no_entry_of_extra_stands_for_a_column():
    forged = replace(ROW, worst=0.0, extra={"worst": 1.0})
    assert differing(forged, {"worst": 1.0}) != []
    assert differing(replace(ROW, extra={"gain.worst": 2.0}), {"gain.worst": 2.0}) == []
    assert differing(replace(ROW, size=None), {"size": float("inf")}) != []          # no witness that is refused is beyond
