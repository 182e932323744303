"""Refusal lines at their edges: every kind, every reason why nothing can be told, and judges that are broken."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import beta

from assay.numerics.bounded import bounded_mean_interval
from assay.numerics.intervals import clopper_pearson
from assay.profiles.load import load, names
from assay.records import Finding, Flag, Outcome, Stop
from assay.reports.comparison import compare
from assay.reports.refusals import Measured, refusal_lines, samples_needed, state_of
from assay.verdicts import judge_all

CHECK = {"id": "c", "title": "C", "metric": "error-rate", "method": "worst-case",
         "criterion": {"kind": "grows", "level": 1.0, "absolute": 0.5, "sentence": "turned"}}
HEADER: dict[str, Any] = {"data": {"classes": ["well", "ill"]}}


def rows(values: list[float], *, average: float = 0.0, labels: list[int] | None = None, **changes: Any) -> list[Finding]:
    """One row a sample: worst is the value; `labels` also give scores as a test, wrong where the value is 1."""
    found = []
    for i, value in enumerate(values):
        extra = dict(changes.get("extra", {}))
        if labels is not None:
            right = 1.0 if labels[i] else -1.0
            extra |= {"label": float(labels[i]), "score.normal": right, "score.worst": right * (1 - 2 * value)}
        row = Finding.empty(check="c", system="net", role="audited", sample=str(i), unit="u", metric="error-rate",
                            better="lower", level=1.0, stop=Stop.EXHAUSTED)
        row = replace(row, normal=0.0, average=average, worst=value, controls=1, witness="f#t" if value else None)
        found.append(replace(row, **{**changes, "extra": extra}))
    return found


def line(findings: list[Finding], *, complete: bool = True, planned: int | None = None, skipped: str = "",
         header: dict[str, Any] = HEADER, **words: Any):
    said = {"id": "r", "check": "c", "sentence": "so much", "status": "proposal", "source": "us", **words}
    profile = {"id": "p", "rate": 0.05, "headline": "c", "checks": [CHECK], "refusal": [said]}
    verdicts = judge_all(findings, profile, systems={"net": "audited"},
                         skipped=[{"check": "c", "system": "net", "reason": skipped}] if skipped else (),
                         planned={("c", "net"): planned or len(findings)})
    return refusal_lines(profile, compare(verdicts, profile), findings, header, complete=complete)[0]


RATE = {"kind": "rate-above", "most": 0.05}


def share(k: int, n: int) -> list[float]:
    return [1.0] * k + [0.0] * (n - k)


EDGES = [       # of rate-above 5 %: k, n, state
    (0, 71, "cannot be told"), (0, 72, "not crossed"),          # 1 − 0.025^(1/n) ≤ 0.05 from n = 72 on
    (1, 71, "cannot be told"), (1, 109, "cannot be told"), (1, 110, "not crossed"),
    (4, 20, "crossed"), (3, 20, "cannot be told"), (20, 20, "crossed"), (5, 100, "cannot be told"),
    (11, 100, "crossed"), (10, 100, "cannot be told")]


def edges(told) -> None:
    for k, n, expected in EDGES:
        low = 0.0 if k == 0 else beta.ppf(0.025, k, n - k + 1)
        high = 1.0 if k == n else beta.ppf(0.975, k + 1, n - k)
        assert expected == ("crossed" if low > 0.05 else "not crossed" if high <= 0.05 else "cannot be told")    # the table
        assert told(k, n) == expected, (k, n)


def test_a_rate_at_its_edges():
    edges(lambda k, n: line(rows(share(k, n)), **RATE).state)


@pytest.mark.parametrize("broken", [
    lambda k, n: "crossed" if k / n > 0.05 else "not crossed",                               # no interval
    lambda k, n: state_of(Measured(value=k / n, low=0.0, high=k / n, n=n), limit=0.05, below=False),
    lambda k, n: state_of(Measured(value=k / n, low=k / n, high=1.0, n=n), limit=0.05, below=False),
    lambda k, n: line(rows(share(k, n)), kind="rate-above", most=0.5).state,
], ids=["no interval", "lower end alone", "upper end alone", "another limit"])
def test_broken_lines_are_caught(broken):
    with pytest.raises(AssertionError):
        edges(broken)


def test_a_limit_itself_is_not_beyond():
    assert state_of(Measured(value=0.1, low=0.05, high=0.2, n=9), limit=0.05, below=False) == "cannot be told"
    assert state_of(Measured(value=0.9, low=0.85, high=0.95, n=9), limit=0.85, below=True) == "not crossed"
    assert state_of(Measured(value=0.8, low=0.7, high=0.85, n=9), limit=0.85, below=True) == "cannot be told"
    assert state_of(Measured(value=0.7, low=0.6, high=0.84, n=9), limit=0.85, below=True) == "crossed"
    assert state_of(Measured(), limit=0.85, below=True) == "cannot be told"


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3])
def test_the_samples_needed_are_needed(limit):
    n = samples_needed(limit, below=False)
    assert line(rows(share(0, n)), kind="rate-above", most=limit).state == "not crossed"
    told = line(rows(share(0, n - 1)), kind="rate-above", most=limit)
    assert told.state == "cannot be told" and f"at least {n} samples" in told.why
    assert f"cannot be told with n = {n - 1}" in told.words


def flagged(name: str, k: int) -> list[Finding]:
    return rows(share(k, 100), flags=(Flag(id=name),))


DOUBTS = [      # findings, options, state, words of the reason
    (rows(share(0, 100)), {"complete": False}, "cannot be told", "unfinished"),
    (rows(share(90, 100)), {"complete": False}, "crossed", ""),                  # a witness found before stays one
    (flagged("still-rising", 0), {}, "cannot be told", "cannot be trusted: still-rising"),
    (flagged("still-rising", 90), {}, "crossed", ""),
    (flagged("not-deterministic", 90), {}, "cannot be told", "in doubt: not-deterministic"),
    (rows(share(0, 100)), {"planned": 200}, "cannot be told", "100 of 200 planned"),
    (rows(share(90, 100)), {"planned": 200}, "crossed", ""),
    (rows(share(90, 100), witness=None), {}, "cannot be told", "no stored witness"),
    ([], {"skipped": "needs gradients"}, "cannot be told", "not applicable: needs gradients"),
    ([], {}, "cannot be told", "no sample was judged"),
]


@pytest.mark.parametrize(("findings", "options", "state", "words"), DOUBTS)
def test_what_is_in_doubt_is_not_told(findings, options, state, words):
    told = line(findings, **RATE, **options)
    assert (told.state, words in told.why) == (state, True), told


@pytest.mark.parametrize("within", [0.1, 0.9], ids=["proved", "not proved"])
def test_a_proof_says_nothing_of_a_refusal_line(within, monkeypatch):
    """No row of a certificate counts as harm, so a share of 0 would be said of what nobody searched."""
    monkeypatch.setitem(CHECK, "criterion", {"kind": "certifies", "within": within, "sentence": "s"})
    monkeypatch.setitem(CHECK, "metric", "certified-radius")
    for words in (RATE, {"kind": "mean-above", "most": 0.05, "number": "worst"}):
        told = line(rows([0.5] * 100), **words)
        assert told.state == "cannot be told" and "proves a bound" in told.why and told.measured.value is None


def test_a_mean_of_a_further_number():
    def told(value, n):
        return line(rows([0.0] * n, extra={"targeted.worst": value}, witness="f#t"), kind="mean-above", most=0.05,
                    number="targeted.worst")

    assert told(0.5, 20).state == "crossed" and told(0.0, 80).state == "not crossed"
    assert told(0.02, 100).state == "cannot be told" and told(0.0, 20).state == "cannot be told"
    assert told(0.5, 20).measured.value == pytest.approx(0.5)
    assert "recorded" not in told(0.5, 20).words                       # `assay verify` replays it
    beside = line(rows([0.0] * 20, extra={"still.worst": 0.5}, witness="f#t"), kind="mean-above", most=0.05,
                  number="still.worst")
    assert "recorded, without a witness of its own" in beside.words
    assert "recorded" not in line(rows([1.0] * 20), kind="mean-above", most=0.05, number="worst").words
    missing = line(rows([0.0] * 20), kind="mean-above", most=0.05, number="nothing")
    assert missing.state == "cannot be told" and "'nothing'" in missing.why
    outside = line(rows([3.0] * 20), kind="mean-above", most=0.05, number="worst")
    assert outside.state == "cannot be told" and "share" in outside.why


def test_the_drop_from_average_to_worst():
    def told(values, average):
        return line(rows(values, average=average, witness="f#t"), kind="drop-above", most=0.05)

    assert told([1.0] * 60, 0.2).measured.value == pytest.approx(0.8) and told([1.0] * 60, 0.2).state == "crossed"
    assert told([1.0] * 200, 1.0).state == "not crossed"            # as bad by chance: the worst case adds nothing
    assert told(share(2, 20), 0.0).state == "cannot be told"


def test_sensitivity_under_the_worst_case():
    def told(lost, positives=60, header=HEADER):
        labels = [1] * positives + [0] * 40
        found = rows([1.0] * lost + [0.0] * (positives + 40 - lost), labels=labels)
        return line(found, kind="sensitivity-below", least=0.85, header=header)

    assert told(30).state == "crossed" and told(30).measured.value == 0.5 and told(30).measured.n == 60
    assert told(0).state == "not crossed" and told(6).state == "cannot be told"
    assert told(0, positives=22).state == "cannot be told" and "at least 23 samples" in told(0, positives=22).why
    several = told(0, header={"data": {"classes": ["a", "b", "c"]}})
    assert several.state == "cannot be told" and "two classes" in several.why


def test_no_word_says_that_anything_was_passed():
    for findings, options in [(rows(share(0, 100)), {}), (rows(share(90, 100)), {}), (rows(share(3, 20)), {})]:
        words = line(findings, **RATE, **options).words.lower()
        assert words.startswith("refusal line of this profile (proposal)")
        assert not any(bad in words for bad in ("passed", "compl", "safe", "robust", "ok"))
    assert "by what was found within this budget" in line(rows(share(0, 100)), **RATE).words


@pytest.mark.parametrize("values", [[0.0] * 30, [1.0] * 30, [0.5] * 30, [0.1, 0.9] * 15, [0.0] * 29 + [0.4]])
def test_the_interval_of_a_mean_solves_its_equation(values):
    low, high = bounded_mean_interval(values)
    mean, n = sum(values) / len(values), len(values)
    assert low <= mean <= high
    if not set(values) <= {0.0, 1.0}:
        for end in (low, high):
            kl = sum(a * math.log(a / b) for a, b in ((mean, end), (1 - mean, 1 - end)) if a > 0)
            assert n * kl == pytest.approx(math.log(40), rel=1e-6)
    elif mean == 0:
        assert high == pytest.approx(1 - 0.025 ** (1 / n))


def test_the_interval_of_a_mean_covers_where_students_does_not():
    """Shares that are mostly 0 and now and then 1: Student's interval from 20 of them is often of no width."""
    generator, covered, students = random.Random(0), 0, 0
    for _ in range(400):
        values = [0.9 if generator.random() < 0.05 else 0.0 for _ in range(20)]
        low, high = bounded_mean_interval(values)
        covered += low <= 0.045 <= high
        mean = sum(values) / 20
        half = 2.093 * math.sqrt(sum((v - mean) ** 2 for v in values) / 19 / 20)
        students += mean - half <= 0.045 <= mean + half
    assert covered >= 380 > students


def test_values_outside_are_refused():
    for values in ([], [1.5], [-0.1], [math.nan]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            bounded_mean_interval(values)


def test_every_built_in_line_names_a_number_its_check_can_have():
    for community, tasks in names().items():
        for task in tasks:
            profile = load(community, task=task)
            checks = {check["id"]: check for check in profile["checks"]}
            for said in profile.get("refusal", ()):
                check = checks[said["check"]]
                assert check["criterion"]["kind"] != "measures"
                if said["kind"] == "drop-above":
                    assert check["controls"] > 0
                if said.get("number", "").startswith("targeted"):
                    assert check["search"]["targeted"] is True
            assert bool(profile.get("refusal")) == (community != "research" and (community, task) != (
                "healthcare", "reconstruction"))


def false_rate(told, truth: float, n: int, wanted: str) -> float:
    """The chance that a line of 5 % is told in the wanted way, summed over all counts."""
    return sum(math.comb(n, k) * truth**k * (1 - truth)**(n - k) for k in range(n + 1) if told(k, n) == wanted)


def test_lines_err_as_seldom_as_their_intervals_say():
    """Exact, not simulated: at the line each of the two is said in at most 2.5 %, beyond it the wrong one less often."""
    @functools.cache
    def honest(k, n):
        low, high = clopper_pearson(k, n)
        return state_of(Measured(value=k / n, low=low, high=high, n=n), limit=0.05, below=False)

    def naive(k, n):
        return "crossed" if k / n > 0.05 else "not crossed"

    for n in (20, 72, 100, 300):
        assert false_rate(honest, 0.05, n, "crossed") <= 0.025 and false_rate(honest, 0.03, n, "crossed") <= 0.025
        assert false_rate(honest, 0.0501, n, "not crossed") <= 0.025 and false_rate(honest, 0.1, n, "not crossed") <= 0.025
        assert false_rate(naive, 0.05, n, "crossed") > 0.025 and false_rate(naive, 0.0501, n, "not crossed") > 0.025


def test_outcomes_stay_what_they_were():
    """A refusal line changes no verdict."""
    profile = {"id": "p", "rate": 0.05, "headline": "c", "checks": [CHECK]}
    findings = rows(share(3, 20))
    assert judge_all(findings, profile)[0].outcome is Outcome.UNSTABLE
    assert judge_all(findings, {**profile, "refusal": [{"id": "r", "check": "c"}]}) == judge_all(findings, profile)
