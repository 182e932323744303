"""Verdicts from hand-made findings: each criterion at its edge, each outcome, and judges that are broken."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import pytest

from assay.records import Finding, Flag, Outcome, Stop
from assay.verdicts import SERIOUS, harmed, judge, judge_all

GROWS = {"kind": "grows", "level": 0.02, "per_level": 2.0, "over_control": 3.0, "sentence": "grew"}
GAINS = {"kind": "grows", "level": 0.02, "per_level": 2.0, "over_control_gain": 3.0, "sentence": "grew"}
BOUNDED = {"kind": "reaches", "threshold": 0.5, "ceiling": "most", "sentence": "reached"}
REACHES = {"kind": "reaches", "threshold": 0.5, "sentence": "reached"}
MEASURES = {"kind": "measures", "level": 0.02, "sentence": "nothing is called harm"}
MORE = {"kind": "worsens-with-more", "base": 0.3, "tolerance": 0.05, "sentence": "worse with more"}
CHECK = {"id": "c", "metric": "m", "unit": "u", "criterion": GROWS}


def finding(sample: str = "1", **changes) -> Finding:
    row = Finding.empty(check="c", system="s", role="audited", sample=sample, unit="u", metric="m", better="lower",
                        level=0.02, stop=Stop.BUDGET)
    row = dataclasses.replace(row, normal=0.1, average=0.1, worst=0.1)
    return dataclasses.replace(row, **changes)


def bad(sample: str = "1", **changes) -> Finding:
    return finding(sample, **{"worst": 0.5, **changes})


TRUTH = [   # criterion, row, whether it fires
    ({**GROWS, "over_control": 1.0}, {"worst": 0.14001}, True),               # growth 0.04 = 2 × 0.02
    ({**GROWS, "over_control": 1.0}, {"worst": 0.13999}, False),
    (GROWS, {"worst": 0.16, "average": 0.11}, True),                          # 0.06 ≥ 0.04 and ≥ 3 × 0.01
    (GROWS, {"worst": 0.16, "average": 0.125}, False),                        # 0.06 < 3 × 0.025
    (GROWS, {"worst": 0.16, "average": 0.05}, True),                          # controls that help do not count
    (GROWS, {"worst": 0.16, "average": None}, True),
    (GROWS, {"worst": 0.16, "normal": None}, None),
    (GROWS, {"worst": None}, None),
    ({"kind": "grows", "absolute": 0.2}, {"worst": 0.29}, False),
    ({"kind": "grows", "absolute": 0.2}, {"worst": 0.31}, True),
    ({"kind": "grows", "absolute": 2.0}, {"better": "higher", "normal": 30.0, "average": 30.0, "worst": 27.0}, True),
    ({"kind": "grows", "absolute": 2.0}, {"better": "higher", "normal": 30.0, "average": 30.0, "worst": 33.0}, False),
    ({"kind": "grows", "absolute": 2.0, "over_control": 3.0},
     {"better": "higher", "normal": 30.0, "average": 29.0, "worst": 27.5}, False),
    (GAINS, {"worst": 0.16, "gain": 3.0, "control_gain": 1.0}, True),
    (GAINS, {"worst": 0.16, "gain": 2.9, "control_gain": 1.0}, False),        # an isometry's growths differ by more
    (GAINS, {"worst": 0.13, "gain": 9.0, "control_gain": 1.0}, False),
    (GAINS, {"worst": 0.16, "gain": 3.0, "control_gain": None}, True),
    (BOUNDED, {"worst": 0.3, "extra": {"most.worst": 0.6}}, False),
    (BOUNDED, {"worst": 0.3, "extra": {"most.worst": 0.4}}, None),            # could not have fired
    (BOUNDED, {"worst": 0.3}, False),
    (REACHES, {"worst": 0.5}, True),
    (REACHES, {"worst": 0.49}, False),
    (REACHES, {"worst": 0.5, "normal": None, "average": None}, True),
    (REACHES, {"worst": None}, None),
    ({"kind": "reaches", "threshold": -0.5}, {"better": "higher", "worst": 0.4}, True),
    ({"kind": "reaches", "threshold": -0.5}, {"better": "higher", "worst": 0.6}, False),
    (MEASURES, {"worst": 1e9, "normal": None}, None),                         # nothing is harm
    (MORE, {"level": 0.5, "worst": 0.106}, True),
    (MORE, {"level": 0.5, "worst": 0.104}, False),
    (MORE, {"level": 0.3, "worst": 0.9}, False),                              # not more than the audited share
    (MORE, {"level": 0.2, "worst": 0.9}, False),                              # less data may be worse
    (MORE, {"level": 0.5, "normal": None, "worst": 0.9}, None),
]


def truth_table(decide) -> None:
    for criterion, row, expected in TRUTH:
        assert decide(finding(**row), criterion) is expected, (criterion, row)


def test_criteria_at_their_edges():
    truth_table(harmed)


@pytest.mark.parametrize("broken", [
    lambda f, c: harmed(dataclasses.replace(f, average=None), c),                            # forgets the controls
    lambda f, c: harmed(dataclasses.replace(f, better="lower"), c),                          # forgets the direction
    lambda f, c: harmed(dataclasses.replace(f, normal=0.0 if f.normal is not None else None), c),   # forgets the normal
    lambda f, c: harmed(dataclasses.replace(f, gain=None), c),                               # forgets the gains
    lambda f, c: harmed(dataclasses.replace(f, extra={}), c),                                # forgets the ceiling
    lambda f, c: bool(harmed(f, c)),                                                         # missing means harmless
])
def test_broken_criteria_are_caught(broken):
    with pytest.raises(AssertionError):
        truth_table(broken)


def test_an_unknown_criterion_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'feels'"):
        harmed(finding(), {"kind": "feels"})


def verdict(rows, **options):
    return judge(rows, {**CHECK, **options.pop("check", {})}, "s", role="audited", **options)


def outcomes(decide) -> None:
    """The truth table of outcomes: rows, options, outcome, words of the reason."""
    flag = {name: (Flag(id=name),) for name in (*SERIOUS, "harmless")}
    table = [
        ([bad("1"), finding("2")], {}, Outcome.UNSTABLE, "1 of 2"),
        ([finding("1"), finding("2")], {}, Outcome.NONE_FOUND, "none of 2"),
        ([finding("1"), finding("2")], {"expected": 2}, Outcome.NONE_FOUND, "none of 2"),
        ([finding("1"), finding("2")], {"expected": 3}, Outcome.INCONCLUSIVE, "2 of 3 planned"),
        ([bad("1"), finding("2")], {"expected": 3}, Outcome.UNSTABLE, "1 of 2"),
        ([], {}, Outcome.INCONCLUSIVE, "no sample"),
        ([finding("1", worst=None, notes="ValueError: odd")], {}, Outcome.INCONCLUSIVE, "ValueError: odd"),
        ([finding("1"), finding("2", worst=None, flags=flag["raised"])], {}, Outcome.INCONCLUSIVE, "raised"),
        ([finding("1", flags=flag["harmless"])], {}, Outcome.NONE_FOUND, "none of 1"),
        ([finding("1")], {"skipped": "needs gradients"}, Outcome.NOT_APPLICABLE, "needs gradients"),
        ([bad("1")], {"skipped": "needs gradients"}, Outcome.NOT_APPLICABLE, "needs gradients"),
        ([bad("1", level=0.05), finding("1")], {}, Outcome.NONE_FOUND, "none of 1"),       # another level
        ([bad("1", origin="t"), finding("1")], {}, Outcome.NONE_FOUND, "none of 1"),       # transfer never counts
        ([bad("1", origin="t")], {}, Outcome.INCONCLUSIVE, "no sample"),
        ([bad("1", system="t"), finding("1")], {}, Outcome.NONE_FOUND, "none of 1"),
        ([bad("1", check="d"), finding("1")], {}, Outcome.NONE_FOUND, "none of 1"),
    ]
    for name in SERIOUS:
        table += [([finding("1", flags=flag[name])], {}, Outcome.INCONCLUSIVE, name),
                  ([finding("1")], {"blocked": flag[name]}, Outcome.INCONCLUSIVE, name)]
        doubted = name in ("changes-with-use", "misses-data", "not-deterministic", "not-converged")
        table += [([bad("1", flags=flag[name])], {}, Outcome.INCONCLUSIVE if doubted else Outcome.UNSTABLE, "1 of 1"),
                  ([bad("1")], {"blocked": flag[name]}, Outcome.INCONCLUSIVE if doubted else Outcome.UNSTABLE, "1 of 1")]
    for rows, options, outcome, words in table:
        found = decide(rows, **options)
        assert (found.outcome, words in found.reason) == (outcome, True), (rows, options, found)


def test_outcomes():
    outcomes(verdict)


@pytest.mark.parametrize("broken", [
    lambda rows, **o: verdict([dataclasses.replace(f, flags=()) for f in rows], **o),
    lambda rows, **o: verdict(rows, **{**o, "expected": None}),
    lambda rows, **o: verdict(rows, **{**o, "blocked": ()}),
    lambda rows, **o: verdict([dataclasses.replace(f, origin=f.system) for f in rows], **o),
    lambda rows, **o: verdict([dataclasses.replace(f, level=0.02) for f in rows], **o),
    lambda rows, **o: verdict([f for f in rows if f.worst is not None and not f.flags], **o),
], ids=["no flags", "no expectation", "no preflight", "transfer counts", "every level counts", "flagged rows dropped"])
def test_broken_judges_are_caught(broken):
    with pytest.raises(AssertionError):
        outcomes(broken)


def test_no_outcome_rests_on_fewer_samples_than_it_says():
    rows = [finding(str(i), worst=None if i < 3 else 0.1) for i in range(5)]
    found = verdict(rows)
    assert (found.n, found.harmed, found.rate) == (2, 0, 0.0)


def test_wilson_numbers_of_the_rate():
    rows = [bad(str(i)) if i < 7 else finding(str(i)) for i in range(10)]
    found = verdict(rows)
    assert (found.n, found.harmed, found.rate) == (10, 7, 0.7)
    assert (round(found.rate_low, 3), round(found.rate_high, 3)) == (0.397, 0.892)     # Wilson 1927 for 7 of 10
    none = verdict([finding(str(i)) for i in range(16)])
    assert (none.rate, none.rate_low, round(none.rate_high, 3)) == (0.0, 0.0, 0.194)
    assert verdict([]).rate is None and verdict([]).rate_low is None


def test_numbers_of_a_verdict():
    rows = [bad("1", worst=0.5, gain=3.0, witness="w"), finding("2", worst=0.3, gain=1.0, average=None),
            finding("3", worst=0.1, gain=2.0), bad("1", origin="t", worst=0.9), bad("2", origin="t", worst=0.7)]
    found = verdict(rows)
    assert (found.normal, found.average, found.gain, found.witnesses) == pytest.approx((0.1, 0.1, 2.0, 1))
    assert found.worst == pytest.approx(0.3) and found.transfer == pytest.approx(0.8)
    assert found.worst_low <= 0.3 <= found.worst_high


def test_a_sample_counts_once_however_many_rows_it_has():
    rows = [bad("1", origin_sample="2"), bad("1", origin_sample="3"), finding("4", origin_sample="2")]
    found = verdict(rows)
    assert (found.n, found.harmed) == (2, 1)


def test_flags_are_counted_once_each():
    rows = [finding(str(i), flags=(Flag(id="raised", detail="odd"),)) for i in range(3)]
    assert verdict(rows).flags == (Flag(id="raised", detail="3×, odd"),)


def profile(*checks) -> dict:
    return {"checks": [{"id": "preflight", "metric": "m", "criterion": REACHES}, *checks]}


def test_preflight_lends_its_flags_and_has_no_verdict():
    rows = [finding("1"), finding("1", system="t", origin="t", role="established"),
            finding("1", check="preflight", worst=None, flags=(Flag(id="zero-gradient"),))]
    found = judge_all(rows, profile(CHECK))
    assert [(v.check, v.system, v.outcome) for v in found] == [
        ("c", "s", Outcome.INCONCLUSIVE), ("c", "t", Outcome.NONE_FOUND)]


def test_audited_systems_come_first_and_reasons_are_found():
    rows = [finding("1", system="t", origin="t", role="established"), finding("1")]
    found = judge_all(rows, profile(CHECK, {**CHECK, "id": "d"}), skipped=[{"check": "d", "system": "s", "reason": "no"}],
                      planned={("c", "s"): 2})
    assert [(v.check, v.system, v.outcome) for v in found] == [
        ("c", "s", Outcome.INCONCLUSIVE), ("c", "t", Outcome.NONE_FOUND),
        ("d", "s", Outcome.NOT_APPLICABLE), ("d", "t", Outcome.INCONCLUSIVE)]


def test_a_threshold_can_change_without_a_new_search_or_torch():
    assert verdict([bad()]).outcome is Outcome.UNSTABLE
    assert verdict([bad()], check={"criterion": {**GROWS, "per_level": 100.0}}).outcome is Outcome.NONE_FOUND
    code = "import sys, assay.verdicts, assay.store; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_isometry_with_an_error_of_its_own_does_not_stand_out_from_random_changes():
    """f(y) = y + e₀ with |e₀| = 0.1 under changes of size 0.02: worst error 0.12, random √(0.1² + 0.02²)."""
    row = finding(normal=0.1, worst=0.12, average=math.hypot(0.1, 0.02), gain=1.0, control_gain=1.0)
    easy = {"kind": "grows", "per_level": 0.9}
    assert harmed(row, {**easy, "over_control": 3.0}) is True           # growth .02 against .002: geometry of the error
    assert harmed(row, {**easy, "over_control_gain": 3.0}) is False


def test_a_check_that_no_system_could_fail_is_inconclusive():
    check = {**CHECK, "criterion": BOUNDED}
    verdict = judge([finding(worst=0.3, extra={"most.worst": 0.4})], check, "s", role="audited", expected=1)
    assert (verdict.outcome, verdict.n) == (Outcome.INCONCLUSIVE, 0)
    assert "too plainly" in verdict.reason


def measurements(decide) -> None:
    """A check that only measures: its numbers are told, nothing is judged, and what was not measured is said."""
    check = {**CHECK, "criterion": MEASURES}
    two = [finding("1", worst=0.4), finding("2", worst=0.8), finding("2", level=0.05, worst=9.0), bad("1", origin="t")]
    table = [
        (two, {"expected": 2}, Outcome.NOT_APPLICABLE, "a measurement, not a test: 2 samples were measured"),
        (two, {"expected": 5}, Outcome.NOT_APPLICABLE, "2 of 5 samples"),
        ([*two, finding("3", worst=None, extra={"already-wrong": 1.0}),
          *(finding(str(k), worst=None, extra={"already-wrong": 0.0}) for k in (1, 2))], {"expected": 3},
         Outcome.NOT_APPLICABLE, "2 samples were measured; 1 more were wrong"),
        (two, {"blocked": (Flag(id="gradient-mismatch"),)}, Outcome.NOT_APPLICABLE, "in doubt for some: gradient-mismatch"),
        ([finding("1", worst=None, notes="ValueError: odd")], {}, Outcome.INCONCLUSIVE, "ValueError: odd"),
        (two, {"skipped": "needs gradients"}, Outcome.NOT_APPLICABLE, "needs gradients"),
    ]
    for rows, options, outcome, words in table:
        found = decide(rows, check=check, **options)
        assert (found.outcome, words in found.reason) == (outcome, True), found
        assert (found.n, found.harmed, found.rate) == (0, 0, None)
        if rows[0].worst is not None:
            assert (found.worst, found.measured) == (pytest.approx(0.6), 2)


def test_a_measurement_is_neither_harm_nor_its_absence():
    measurements(verdict)


@pytest.mark.parametrize("broken", [
    lambda rows, check, **o: verdict(rows, check={**check, "criterion": {**REACHES, "threshold": 1e9}}, **o),
    lambda rows, check, **o: verdict(rows, check=check, **{**o, "expected": None}),
    lambda rows, check, **o: verdict([dataclasses.replace(f, level=0.02) for f in rows], check=check, **o),
], ids=["a test that never fires", "no expectation", "every level counts"])
def test_broken_measurements_are_caught(broken):
    with pytest.raises(AssertionError):
        measurements(broken)


@pytest.mark.parametrize(("averages", "median"), [
    ([1.0, 3.0, 2.0], 2.0), ([1.0, None, None], None), ([1.0, 3.0, None], 3.0), ([1.0, 3.0, None, None], None),
    ([2.0, 1.0, 4.0, None], 3.0)])
def test_how_far_chance_must_go_is_a_median_in_which_beyond_counts(averages, median):
    """The mean over those rows in which chance got there would speak of these alone."""
    rows = [finding(str(i), worst=0.05, normal=None, average=a) for i, a in enumerate(averages)]
    check = {**CHECK, "criterion": {"kind": "flips-within", "within": 0.1, "over_random": 3.0, "sentence": "flips"}}
    assert judge(rows, check, "s", role="audited").average == median


@pytest.mark.parametrize(("worst", "average", "fires"), [
    (-50.0, -20.0, True), (-50.0, -31.0, False), (-50.0, None, True), (-39.0, None, False), (-40.0, -20.0, True)])
def test_flips_within_in_decibels(worst, average, fires):
    criterion = {"kind": "flips-within", "within": -40.0, "louder": 20.0, "sentence": "soft"}
    assert harmed(finding(worst=worst, average=average, better="higher"), criterion) is fires
