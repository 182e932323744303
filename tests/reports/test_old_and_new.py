"""Comparing two audits: the tests against independent counts, what must not be taken for an improvement, and refusals."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

import small_audit
from assay.records import Finding, Flag, Stop
from assay.reports import old_and_new
from assay.reports.old_and_new import OldAndNew, Side, compared, differing, refusals
from assay.verdicts import judge_all

CLASSIFIED = {"id": "flips", "method": "worst-case", "metric": "error-rate", "unit": "ℓ2",
              "criterion": {"kind": "grows", "level": 0.1, "absolute": 0.5, "sentence": "turned wrong"}}
CONTINUOUS = {"id": "error", "method": "worst-case", "metric": "relative-error", "unit": "ℓ2",
              "criterion": {"kind": "grows", "level": 0.1, "absolute": 0.5, "sentence": "grew"}}
PREFLIGHT = {"id": "preflight", "method": "preflight", "metric": "error-rate",
             "criterion": {"kind": "reaches", "threshold": 1e9, "sentence": ""}}
PROFILE = {"id": "p", "headline": "flips", "checks": [PREFLIGHT, CONTINUOUS, CLASSIFIED]}


def row(check: dict[str, Any], sample: int, worst: float | None, *, normal: float = 0.0, **changes: Any) -> Finding:
    extra = {"already-wrong": float(normal > 0)} if check is CLASSIFIED else {}
    return Finding(check=check["id"], system="net", role="audited", sample=f"s{sample:02}", origin="net",
                   origin_sample=f"s{sample:02}", level=0.1, unit="ℓ2", metric=check["metric"], normal=normal, average=0.0,
                   average_low=0.0, average_high=0.0, worst=worst, size=0.1, control_size=0.1, controls=2,
                   stop=Stop.CONVERGED, witness="w", **{"extra": extra, "better": "lower", **changes})


def side(rows: list[Finding]) -> Side:
    return Side(system="net", findings=rows, verdicts=judge_all(rows, PROFILE))


def flips(harmed: set[int], n: int = 20, wrong: set[int] = frozenset()) -> list[Finding]:
    return [row(CLASSIFIED, i, float(i in harmed or i in wrong), normal=float(i in wrong)) for i in range(n)]


def of(found: OldAndNew, check: str, asked: str) -> Any:
    return next(t for t in found.tests if (t.check, t.asked) == (check, asked))


def test_the_harmed_are_counted_in_pairs():
    found = compared(side(flips({0, 1, 2})), side(flips({2, *range(5, 18)})), PROFILE)
    test = of(found, "flips", "harmed")
    assert test.newly == tuple(f"s{i:02}" for i in range(5, 18)) and test.no_longer == ("s00", "s01")
    assert (test.n, test.old, test.new, test.difference) == (20, 3 / 20, 14 / 20, pytest.approx(11 / 20))
    assert test.p == pytest.approx(binomtest(13, 15).pvalue) and test.low < 0.55 < test.high
    assert test.adjusted == pytest.approx(min(1.0, 2 * test.p))             # flips, and inputs without change
    assert found.worse and test.conclusion == "worse"
    again = compared(side(flips({2, *range(5, 18)})), side(flips({0, 1, 2})), PROFILE)
    assert not again.worse and of(again, "flips", "harmed").conclusion == "better"


def test_the_same_audit_is_not_worse_than_itself():
    rows = [*flips({1, 2}), *(row(CONTINUOUS, i, 0.1 * i) for i in range(20))]
    found = compared(side(rows), side(rows), PROFILE)
    assert not found.worse and {t.p for t in found.tests} == {1.0} and {t.difference for t in found.tests} == {0.0}


def test_few_samples_show_nothing():
    found = compared(side(flips(set(), 4)), side(flips({0, 1, 2, 3}, 4)), PROFILE)
    assert of(found, "flips", "harmed").conclusion == "no difference shown" and not found.worse


def test_wrong_without_change_is_not_taken_for_stability():
    """A new system that is wrong on everything that was harmed before has nothing left to be harmed."""
    found = compared(side(flips(set(range(10)))), side(flips(set(), wrong=set(range(10)))), PROFILE)
    assert of(found, "flips", "harmed").n == 10 and of(found, "flips", "harmed").difference == 0
    assert of(found, "without change", "wrong").conclusion == "worse" and found.worse


def test_numbers_are_compared_in_pairs_with_the_sign_that_makes_larger_worse():
    rng = np.random.default_rng(0)
    levels = rng.normal(0, 5, 20)               # samples differ far more than systems do
    old = [row(CONTINUOUS, i, 20 + levels[i], normal=20.0, better="higher") for i in range(20)]
    new = [row(CONTINUOUS, i, 19.5 + levels[i] + 0.05 * rng.normal(), normal=20.0, better="higher") for i in range(20)]
    found = compared(side(old), side(new), PROFILE)
    test = of(found, "error", "worst case")
    assert test.difference == pytest.approx(0.5, abs=0.05) and test.low > 0.4 and test.high < 0.6 and found.worse
    shuffled = [replace(f, sample=f"s{(i * 7) % 20:02}", origin_sample=f.sample) for i, f in enumerate(new)]
    assert not compared(side(old), side(shuffled), PROFILE).worse           # without the pairs nothing is seen
    assert compared(side(old), side(new), PROFILE) == found


@pytest.mark.parametrize(("flag", "where", "told"), [("zero-gradient", "NEW", "inconclusive in NEW"),
                                                     ("zero-gradient", "OLD", "inconclusive in OLD")])
def test_a_search_that_cannot_be_trusted_is_no_improvement(flag, where, told):
    masked = [replace(f, flags=(Flag(id=flag),)) for f in flips(set())]
    old, new = (flips(set(range(15))), masked) if where == "NEW" else (masked, flips(set(range(15))))
    found = compared(side(old), side(new), PROFILE)
    assert told in found.not_compared["flips"] and not any(t.check == "flips" for t in found.tests)


def test_less_found_under_a_doubtful_search_is_told_so():
    masked = [replace(f, flags=(Flag(id="zero-gradient"),)) for f in flips({0})]
    test = of(compared(side(flips(set(range(15)))), side(masked), PROFILE), "flips", "harmed")
    assert test.conclusion == "less was found, but the new search is in doubt: zero-gradient"


WORSE = {**CONTINUOUS, "criterion": {"kind": "worse-than-established", "level": 0.1, "margin": 0.1, "sentence": "worse"}}
ROLES = {"net": "audited", "tv": "established"}


def beside(ours: list[float], theirs: list[float], digest: str = "d") -> Side:
    """Rows of both systems, under a criterion that asks whether ours is worse."""
    rows = [row(WORSE, i, value) for i, value in enumerate(ours)]
    rows += [replace(row(WORSE, i, value), system="tv", origin="tv", role="established") for i, value in enumerate(theirs)]
    profile = {**PROFILE, "headline": "error", "checks": [WORSE]}
    return Side(system="net", findings=rows, verdicts=judge_all(rows, profile, systems=ROLES), beside=("tv", digest))


def test_worse_than_established_is_compared_with_the_established_method_of_each_audit():
    profile, theirs = {**PROFILE, "headline": "error", "checks": [WORSE]}, [0.5] * 20
    found = compared(beside([0.4] * 20, theirs), beside([0.7] * 12 + [0.4] * 8, theirs), profile)
    test = of(found, "error", "harmed")
    assert (test.n, test.old, test.new, len(test.newly)) == (20, 0.0, 12 / 20, 12) and test.conclusion == "worse"
    alone = [replace(s, beside=("", "")) for s in (beside([0.4] * 20, theirs), beside([0.7] * 20, theirs))]
    assert not any(t.asked == "harmed" for t in compared(alone[0], alone[1], profile).tests)    # without it none is judged


def test_another_established_method_is_another_measure():
    """A new system is not worse because what stands beside it got better."""
    profile = {**PROFILE, "headline": "error", "checks": [WORSE]}
    old, new = beside([0.4] * 20, [0.5] * 20), beside([0.4] * 20, [0.1] * 20, digest="e")
    found = compared(old, new, profile)
    assert not found.tests and "another tv: the digests differ" in found.not_compared["error"]
    assert compared(old, replace(new, beside=("tv", "d")), profile).worse          # the broken twin: as if it were the same


def test_a_proof_is_not_compared_as_if_it_were_harm():
    proof = {**CLASSIFIED, "id": "proved", "metric": "certified-radius",
             "criterion": {"kind": "certifies", "within": 0.01, "sentence": "s"}}
    profile = {**PROFILE, "headline": "proved", "checks": [proof]}
    rows = [[row(proof, i, size, better="higher", extra={"already-wrong": 0.0}) for i in range(20)] for size in (0.5, 0.1)]
    sides = [Side(system="net", findings=r, verdicts=judge_all(r, profile)) for r in rows]
    assert {v.outcome.value for s in sides for v in s.verdicts} == {"certified"}
    found = compared(sides[0], sides[1], profile)
    assert not found.tests and "a proof" in found.not_compared["proved"]


def test_many_tests_are_paid_for():
    checks = [{**CLASSIFIED, "id": f"c{i}"} for i in range(30)]
    profile = {**PROFILE, "checks": checks, "headline": "c0"}
    def of_all(harmed: set[int]) -> Side:
        rows = [replace(f, check=c["id"]) for c in checks for f in flips(harmed if c["id"] == "c7" else set())]
        return Side(system="net", findings=rows, verdicts=judge_all(rows, profile))
    found = compared(of_all(set()), of_all(set(range(8))), profile)
    test = of(found, "c7", "harmed")
    assert test.p < 0.01 and test.adjusted > 0.05 and not found.worse


def test_other_data_and_other_profiles_are_named():
    data = {"digest": "a" * 64, "samples": {"x": "1", "y": "2"}}
    header = {"data": data, "profile": {"task": "text"}}
    assert refusals(header, header) == []
    (line,) = refusals(header, {**header, "data": {"digest": "b" * 64, "samples": {"y": "2"}}})
    assert "the data differ" in line and "1 sample ids are in both, 1 in OLD alone, 0 in NEW alone" in line
    assert refusals(header, {**header, "profile": {"task": "sound"}}) == ["the tasks differ: text and sound"]
    changed = {**PROFILE, "rate": 0.1, "checks": [PREFLIGHT, {**CLASSIFIED, "levels": [1]}]}
    assert differing(PROFILE, changed) == ["rate: None and 0.1", "check error is in OLD alone", "flips.levels: None and [1]"]
    assert differing(PROFILE, {**PROFILE, "digest": "other"}) == []


@pytest.fixture
def run(monkeypatch, capsys):
    from assay.cli import main

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        told = capsys.readouterr()
        return int(stop.value.code), told.out, told.err
    return command


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("pair")
    toml = small_audit.profile(top, "preflight", "tiny-data", "noise")
    for name, system in (("old", "zero-filled"), ("new", "tikhonov")):
        small_audit.run(toml, top / name, systems=(system,), established=("none",))
    (top / "other").mkdir()
    looser = small_audit.profile(top / "other", "preflight", "tiny-data", "noise",
                                 replace=("over_control = 3.0", "over_control = 2.0"))
    small_audit.run(looser, top / "looser", established=("none",))
    small_audit.run(toml, top / "fewer", limit=2, established=("none",))
    return top


def test_the_command_tells_text_and_json(run, folders):
    code, out, _ = run("compare", folders / "old", folders / "new")
    assert code == 0 and "OLD: zero-filled" in out and "NEW was not shown to be worse" in out
    code, out, _ = run("compare", folders / "old", folders / "new", "--format", "json")
    told = json.loads(out)
    assert code == 0 and told["worse"] is False and told["new"]["system"] == "tikhonov"
    assert {t["check"] for t in told["tests"]} == {"without change", "tiny-data", "noise"}
    assert out == run("compare", folders / "old", folders / "new", "--format", "json")[1]


@pytest.mark.parametrize(("other", "more", "told"), [
    ("fewer", [], "the data differ"), ("looser", [], r"tiny-data\.criterion: .*'over_control': 3.0.* and .*2.0"),
])
def test_what_cannot_be_compared_is_refused_with_the_reason(run, folders, other, more, told):
    code, _, err = run("compare", folders / "old", folders / other, *more)
    assert code == 2 and re.search(told, err.replace("\n", " "))
    assert run("compare", folders / other, folders / other)[0] == 0


def test_anyway_says_what_differs(run, folders):
    code, out, _ = run("compare", folders / "old", folders / "looser", "--anyway")
    assert code == 0 and "The profiles differ in tiny-data.criterion" in out


def test_a_changed_folder_is_refused(run, folders, tmp_path):
    shutil.copytree(folders / "new", tmp_path / "new")
    part = next((tmp_path / "new" / "parts").iterdir())
    part.write_bytes(part.read_bytes() + b"x")
    code, _, err = run("compare", folders / "old", tmp_path / "new")
    assert code == 2 and "is not a whole audit" in err and "bytes differ" in err


def test_worse_ends_with_1_and_nothing_with_5(run, folders, monkeypatch):
    test = of(compared(side(flips(set())), side(flips(set(range(12)))), PROFILE), "flips", "harmed")
    monkeypatch.setattr(old_and_new, "compared", lambda *_, **__: OldAndNew(tests=(test,)))
    code, out, _ = run("compare", folders / "old", folders / "new")
    assert code == 1 and out.rstrip().endswith("NEW is worse.") and "newly harmed: s00, s01" in out and "and 4 more" in out
    assert "0 % to 60 % (n = 20); difference 60 % [" in out and "p = 0.00049, adjusted = 0.00098: worse" in out
    monkeypatch.setattr(old_and_new, "compared", lambda *_, **__: OldAndNew(tests=(), not_compared={"a": "b"}))
    assert run("compare", folders / "old", folders / "new")[0] == 5
