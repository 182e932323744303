"""Every rule of the signal table, each reached by the smallest change of verdicts that reaches it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from assay.numerics.intervals import wilson
from assay.records import Outcome, Role, Verdict
from assay.reports.signals import signal_for

PROFILE: dict[str, Any] = {
    "id": "p", "rate": 0.05, "headline": "main",
    "checks": [{"id": "preflight", "method": "preflight"},
               {"id": "other", "title": "Other"},
               {"id": "main", "title": "Main", "criterion": {"level": 0.02}}]}


def verdict(check: str = "main", *, harmed: int = 0, n: int = 20, role: Role = "audited",
            outcome: Outcome | None = None, **changes: Any) -> Verdict:
    outcome = outcome or (Outcome.UNSTABLE if harmed else Outcome.NONE_FOUND)
    low, high = wilson(harmed, n) if n else (None, None)
    made = Verdict(check=check, system="net" if role == "audited" else "tv", role=role, outcome=outcome, reason="why",
                   criterion="c", metric="m", better="lower", level=0.02, unit="relative ℓ2", n=n, harmed=harmed,
                   rate=harmed / n if n else None, rate_low=low, rate_high=high, normal=0.1, average=0.1, worst=0.2,
                   worst_low=0.1, worst_high=0.3, witnesses=harmed)
    return replace(made, **changes)


def established(harmed: int = 0, **changes: Any) -> Verdict:
    return verdict(harmed=harmed, role="established", **changes)


OTHER = verdict("other")
BAD = Outcome.INCONCLUSIVE
ROWS = [
    ("W1", [verdict(harmed=20), established(0), OTHER], True),
    ("W1", [verdict(harmed=20), established(0), OTHER], False),             # stopping early does not soften a label
    ("W1", [verdict(harmed=20), established(5), OTHER], True),              # harmed too, but clearly less
    ("W1", [verdict(harmed=20), established(0), verdict("other", outcome=BAD)], True),
    ("C1", [verdict(harmed=2), established(0), OTHER], True),               # 2 of 20: may be as low as 2.8 %
    ("C2", [verdict(harmed=20, level=0.05), established(0), OTHER], True),
    ("C3", [verdict(harmed=20), established(20), OTHER], True),
    ("C3", [verdict(harmed=20), established(15), OTHER], True),             # the intervals overlap
    ("C4", [verdict(harmed=20), OTHER], True),
    ("C4", [verdict(harmed=20), established(0, outcome=BAD), OTHER], True),  # a doubtful search flatters the established
    ("C4", [verdict(harmed=20), established(0, n=0), OTHER], True),
    ("N1", [], True),
    ("N1", [verdict(outcome=Outcome.NOT_APPLICABLE, n=0)], True),
    ("N2", [verdict(), OTHER], False),
    ("N3", [verdict(), verdict("other", outcome=BAD)], True),
    ("N4", [verdict(harmed=20, witnesses=0), established(0), OTHER], True),
    ("N5", [verdict()], True),                                              # "other" has no verdict
    ("N5", [verdict(outcome=Outcome.NOT_APPLICABLE, n=0), OTHER], True),    # the headline check did not apply
    ("F1", [verdict(), OTHER], True),
    ("F1", [verdict(), verdict("other", outcome=Outcome.NOT_APPLICABLE, n=0)], True),
    ("F1", [verdict(), OTHER, established(20)], True),                      # only the audited system is judged
    ("B1", [verdict(outcome=Outcome.CERTIFIED), OTHER], True),
]
WORDS = {"W": "WARNING", "C": "CAUTION", "N": "NOTICE", "F": "NONE FOUND", "B": "BOUND PROVED"}


@pytest.mark.parametrize(("rule", "verdicts", "complete"), ROWS)
def test_truth_table(rule: str, verdicts: list[Verdict], complete: bool) -> None:
    signal = signal_for(verdicts, PROFILE, complete)
    assert signal.rule.rsplit("/", 1)[-1] == rule
    assert signal.word == WORDS[rule[0]]
    assert signal.reason.endswith(".")


def test_every_rule_of_the_documented_table_is_reached() -> None:
    from assay.reports import signals

    documented = {line.split("|")[1].strip() for line in (signals.__doc__ or "").splitlines()
                  if line.startswith("| ") and "signal" not in line}
    assert documented == {rule for rule, _, _ in ROWS} | {"C5"}


def test_unequal_effort_is_a_caution() -> None:
    verdicts = [verdict(harmed=20), established(0), OTHER]
    assert signal_for(verdicts, PROFILE, True, unequal=frozenset({"main"})).rule == "p/main/C5"
    assert signal_for(verdicts, PROFILE, True, unequal=frozenset({"other"})).rule == "p/main/W1"


def test_a_warning_on_any_check_outranks_a_caution_on_the_headline_check() -> None:
    verdicts = [verdict(harmed=20), established(20), verdict("other", harmed=20),
                replace(established(0), check="other")]
    assert signal_for(verdicts, PROFILE, True).rule == "p/other/W1"


def test_the_headline_check_speaks_where_two_checks_warn() -> None:
    verdicts = [verdict("other", harmed=20), replace(established(0), check="other"), verdict(harmed=20), established(0)]
    assert signal_for(verdicts, PROFILE, True).rule == "p/main/W1"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_warning_is_never_the_luck_of_a_tiny_sample(n: int) -> None:
    assert signal_for([verdict(harmed=n, n=n), established(0, n=n), OTHER], PROFILE, True).word == "CAUTION"


def test_more_harm_never_gives_a_weaker_signal() -> None:
    strength = ["NONE FOUND", "CAUTION", "WARNING"]
    seen = [strength.index(signal_for([verdict(harmed=k), established(0), OTHER], PROFILE, True).word)
            for k in range(21)]
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 2


@pytest.mark.parametrize(("limit", "level", "rule"), [
    (-25.0, -25.0, "W1"), (-25.0, -24.0, "C2"), (-25.0, -26.0, "W1"), (0.0, 0.0, "W1"), (0.02, 0.02, "W1"),
    (0.02, 0.021, "C2")])
def test_only_a_greater_change_than_the_profiles_is_above_it(limit, level, rule):
    """Levels in decibels are negative, and no multiple of one is just above it."""
    profile = {**PROFILE, "checks": [*PROFILE["checks"][:2], {"id": "main", "title": "Main", "criterion": {"level": limit}}]}
    told = [verdict(harmed=20, level=level), established(0, level=level), OTHER]
    assert signal_for(told, profile, True).rule.rsplit("/", 1)[-1] == rule
