"""The criterion "not worse than the established method under the same change": pairs, both ways, and broken judges."""

from __future__ import annotations

import dataclasses
import math

import pytest
from scipy.stats import binomtest

from assay.numerics.pairs import sign_test
from assay.records import Finding, Flag, Outcome, Stop
from assay.reports.comparison import compare
from assay.reports.signals import decide
from assay.verdicts import harmed, judge, judge_all

CRITERION = {"kind": "worse-than-established", "level": 0.02, "margin": 0.1, "sentence": "worse than the established method"}
CHECK = {"id": "c", "title": "C", "metric": "m", "criterion": CRITERION}
PROFILE = {"id": "p", "rate": 0.05, "headline": "c", "checks": [CHECK]}


def row(system: str = "net", sample: str = "1", **changes) -> Finding:
    made = Finding.empty(check="c", system=system, role="audited" if system == "net" else "established", sample=sample,
                         unit="u", metric="m", better="lower", level=0.02, stop=Stop.BUDGET)
    return dataclasses.replace(made, **{"normal": 0.1, "average": 0.1, "worst": 0.1, "witness": "f#t", **changes})


SERIOUS_FLAG, DISCREDITING = (Flag(id="query-only"),), (Flag(id="not-converged"),)
TABLE = [   # changes of our row, changes of the other's (None: there is none), whether it fires
    ({"worst": 0.31}, {"worst": 0.2}, True),
    ({"worst": 0.29}, {"worst": 0.2}, False),                       # within the margin
    ({"worst": 0.2}, {"worst": 0.9}, False),
    ({"worst": 0.9}, None, None),
    ({"worst": None}, {"worst": 0.2}, None),
    ({"worst": 0.9}, {"worst": None}, None),
    ({"worst": 0.5, "normal": 0.5}, {"worst": 0.2, "normal": 0.1}, False),      # it was worse before, the change did nothing
    ({"worst": 0.5, "normal": None}, {"worst": 0.2, "normal": None}, True),     # nothing to say about an unchanged input
    ({"better": "higher", "worst": 0.2, "normal": 0.9}, {"better": "higher", "worst": 0.5, "normal": 0.9}, True),
    ({"better": "higher", "worst": 0.5, "normal": 0.9}, {"better": "higher", "worst": 0.2, "normal": 0.9}, False),
    ({"worst": 0.9}, {"worst": 0.2, "flags": SERIOUS_FLAG}, None),  # its search was too weak to blame us by
    ({"worst": 0.2}, {"worst": 0.2, "flags": SERIOUS_FLAG}, False),             # a better search of it changes nothing
    ({"worst": 0.2}, {"worst": 0.9, "flags": DISCREDITING}, None),  # its own failure must not clear us
    ({"worst": 1.0, "extra": {"already-wrong": 1.0}}, {"worst": 0.0}, None),
]


def truth_table(decide_) -> None:
    for ours, theirs, expected in TABLE:
        other = None if theirs is None else row("tv", **theirs)
        assert decide_(row(**ours), CRITERION, other) is expected, (ours, theirs)


def test_pairs_at_their_edges():
    truth_table(harmed)


@pytest.mark.parametrize("broken", [
    lambda f, c, o: harmed(f, {**c, "margin": 0.0}, o),                             # forgets the margin
    lambda f, c, o: harmed(f, {**c, "margin": -1.0}, o),
    lambda f, c, o: harmed(dataclasses.replace(f, normal=None), c, o),              # forgets what was there before
    lambda f, c, o: harmed(f, c, None if o is None else dataclasses.replace(o, flags=())),      # trusts any search
    lambda f, c, o: harmed(f, c, o or f),                                           # compares with itself
    lambda f, c, o: harmed(o, c, f) if o else None,                                 # swapped
], ids=["no margin", "any", "no normal", "no flags", "itself", "swapped"])
def test_broken_pairs_are_caught(broken):
    with pytest.raises(AssertionError):
        truth_table(broken)


def pairs(worse: int, better: int, same: int) -> list[Finding]:
    """Samples on which we are worse, on which the other is, and on which nobody is."""
    values = [(0.9, 0.1)] * worse + [(0.1, 0.9)] * better + [(0.1, 0.1)] * same
    return [made for i, (ours, theirs) in enumerate(values)
            for made in (row(sample=str(i), worst=ours), row("tv", sample=str(i), worst=theirs))]


def judged(rows: list[Finding]):
    return {v.system: v for v in judge_all(rows, PROFILE, systems={"net": "audited", "tv": "established"})}


def test_both_are_judged_by_each_other_and_the_statistic_is_told():
    found = judged(pairs(12, 2, 6))
    assert (found["net"].harmed, found["tv"].harmed, found["net"].n) == (12, 2, 20)
    assert "worse than tv on 12, and tv worse on 2 (exact sign test: p = 0.013)" in found["net"].reason
    assert "worse than net on 2, and net worse on 12" in found["tv"].reason


def test_signals_of_pairs():
    def word(rows):
        return decide(compare(list(judged(rows).values()), PROFILE), PROFILE, True).signal.word

    assert word(pairs(18, 0, 2)) == "WARNING"
    assert word(pairs(6, 6, 8)) == "CAUTION"                    # it fails as often the other way round
    assert word(pairs(0, 6, 14)) == "NONE FOUND"


def test_alone_nothing_is_said():
    found = judge([row(worst=0.9)], CHECK, "net", role="audited")
    assert found.outcome is Outcome.INCONCLUSIVE and "no other system" in found.reason


def test_what_preflight_said_of_the_other_counts():
    rows = [*pairs(5, 0, 0), dataclasses.replace(row("tv"), check="preflight", flags=DISCREDITING)]
    found = judged(rows)
    assert found["net"].outcome is Outcome.INCONCLUSIVE and found["net"].n == 0


@pytest.mark.parametrize(("b", "c"), [(b, c) for b in range(9) for c in range(9)])
def test_the_sign_test_is_the_exact_binomial_one(b, c):
    expected = 1.0 if b + c == 0 else binomtest(b, b + c, 0.5).pvalue
    assert math.isclose(sign_test(b, c), expected, rel_tol=1e-12)
