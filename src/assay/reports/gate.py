"""When an audit should stop somebody's release: rules, and what of an audit fires them. Pure; loads no torch.

A rule is a signal word, which fires on itself and on every stronger one (`WARNING`, `CAUTION`, `NOTICE`), or an outcome
with or without a check (`unstable`, `unstable:noise`, `inconclusive:noise`), or `never`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from assay.records import Outcome, Verdict
from assay.reports.comparison import asked
from assay.reports.wording import printable

SIGNALS = ("WARNING", "CAUTION", "NOTICE")       # strongest first
OUTCOMES = (Outcome.UNSTABLE, Outcome.INCONCLUSIVE)
DEFAULT = ("CAUTION",)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that fires: a signal at least this strong, or an outcome of a check (of any check where it is empty)."""

    signal: str = ""
    outcome: str = ""
    check: str = ""


def rules_of(words: Sequence[str], profile: Mapping[str, Any] | None = None) -> list[Rule]:
    """The rules that the words name; none for `never`. `ValueError` with the nearest good one for a word that is none.

    With a profile, checks that it does not have are refused too: a gate on a check that never runs never closes.

    >>> rules_of(["caution", "unstable:noise"])[1]
    Rule(signal='', outcome='unstable', check='noise')
    """
    if [w.lower() for w in words] == ["never"]:
        return []
    return [_rule(word, profile) for word in words or DEFAULT]


def _rule(word: str, profile: Mapping[str, Any] | None) -> Rule:
    if word.upper() in SIGNALS:
        return Rule(signal=word.upper())
    outcome, colon, check = word.partition(":")
    if outcome.lower() not in [o.value for o in OUTCOMES] or (colon and not check):
        raise ValueError(f"--fail-on {word!r}: give WARNING, CAUTION, NOTICE, unstable, unstable:CHECK, inconclusive, "
                         "inconclusive:CHECK, or never alone")
    if check and profile is not None:
        known = [str(c["id"]) for c in asked(profile)]
        if check not in known:
            near = get_close_matches(check, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise ValueError(f"--fail-on {word!r}: the profile {profile['id']!r} has no check {check!r}; {hint}")
    return Rule(outcome=outcome.lower(), check=check)


def fired(rules: Sequence[Rule], signal: str, verdicts: Sequence[Verdict]) -> list[str]:
    """A sentence for each thing that fires; empty where the gate stays open."""
    found = []
    for rule in rules:
        if rule.signal and signal in SIGNALS[:SIGNALS.index(rule.signal) + 1]:
            found.append(f"the signal is {signal}")
        found += [printable(f"{v.check} is {v.outcome.value} for {v.system}: {v.reason}") for v in verdicts
                  if rule.outcome == v.outcome.value and v.role == "audited" and rule.check in ("", v.check)]
    return list(dict.fromkeys(found))


def not_judged(rules: Sequence[Rule], verdicts: Sequence[Verdict]) -> list[str]:
    """A sentence for each named check that says nothing, so that an open gate is not taken for a result."""
    named = {rule.check for rule in rules if rule.check}
    return [printable(f"{v.check} was not judged for {v.system} ({v.outcome.value}: {v.reason})") for v in verdicts
            if v.check in named and v.role == "audited" and v.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)]
