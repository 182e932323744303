"""The table by kind: means by hand, the worst counted only where something was harmed."""

from __future__ import annotations

from dataclasses import replace

from assay.records import Finding
from assay.reports.kinds import kind_of, kinds_table

CHECK = {"id": "c", "metric": "error-rate", "perturbation": {"names": ["snow", "fog", "frost"]}}


def row(sample: str, worst: float, kind: str, means: dict[str, float], level: float = 3.0) -> Finding:
    empty = Finding.empty(check="c", system="s", role="audited", sample=sample, unit="", metric="error-rate",
                          better="lower", level=level)
    return replace(empty, normal=0.0, worst=worst, extra={f"worst-kind.{kind}": 1.0,
                                                          **{f"kind.{name}": value for name, value in means.items()}})


ROWS = [row("1", 1.0, "snow", {"fog": 0.0, "snow": 1.0}), row("2", 0.0, "fog", {"fog": 0.0, "snow": 0.0}),
        row("3", 1.0, "fog", {"fog": 1.0, "snow": 1.0}), row("4", 1.0, "fog", {"fog": 1.0, "snow": 1.0}, level=5.0)]


def test_means_and_counts_by_hand_in_the_order_of_the_profile():
    head, body = kinds_table(CHECK, ROWS, ["s", "other"], 3.0)
    assert head == ["Kind", "s: mean", "the worst on"]
    assert body == [["snow", "67 %", "1 of 2"], ["fog", "33 %", "1 of 2"]]
    assert kind_of(ROWS[2]) == "fog"


def test_a_check_of_one_kind_has_no_table():
    assert kinds_table(CHECK, [replace(r, extra={}) for r in ROWS], ["s"], 3.0) is None
