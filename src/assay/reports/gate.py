"""When an audit should stop somebody's release: rules, and what of an audit fires them. Pure; loads no torch.

A rule is a signal word, which fires on itself and on every stronger one (`WARNING`, `CAUTION`, `NOTICE`), or an outcome
with or without a check (`unstable`, `unstable:noise`, `inconclusive:noise`), a refusal line that was crossed (`crossed`,
`crossed:LINE`), or `never`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from assay.records import Outcome, Verdict
from assay.reports.comparison import asked
from assay.reports.refusals import RefusalLine
from assay.reports.wording import printable

SIGNALS = ("WARNING", "CAUTION", "NOTICE")       # strongest first
OUTCOMES = (Outcome.UNSTABLE, Outcome.INCONCLUSIVE)
CROSSED = "crossed"
DEFAULT = ("CAUTION",)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that fires: a signal at least this strong, an outcome of a check, or a refusal line (any where empty)."""

    signal: str = ""
    outcome: str = ""
    check: str = ""
    line: str | None = None


def rules_of(words: Sequence[str], profile: Mapping[str, Any] | None = None) -> list[Rule]:
    """The rules that the words name; none for `never`. `ValueError` with the nearest good one for a word that is none.

    With a profile, checks and refusal lines that it does not have are refused too: a gate on what never runs never closes.

    >>> rules_of(["caution", "unstable:noise"])[1]
    Rule(signal='', outcome='unstable', check='noise', line=None)
    """
    if [w.lower() for w in words] == ["never"]:
        return []
    return [_rule(word, profile) for word in words or DEFAULT]


def _rule(word: str, profile: Mapping[str, Any] | None) -> Rule:
    if word.upper() in SIGNALS:
        return Rule(signal=word.upper())
    kind, colon, name = word.partition(":")
    if kind.lower() not in (CROSSED, *(o.value for o in OUTCOMES)) or (colon and not name):
        raise ValueError(f"--fail-on {word!r}: give WARNING, CAUTION, NOTICE, unstable, unstable:CHECK, inconclusive, "
                         "inconclusive:CHECK, crossed, crossed:LINE, or never alone")
    if kind.lower() == CROSSED:
        if profile is not None:
            _known(word, name, [str(line["id"]) for line in profile.get("refusal", ())], profile, "refusal line")
        return Rule(line=name)
    if name and profile is not None:
        _known(word, name, [str(c["id"]) for c in asked(profile)], profile, "check")
    return Rule(outcome=kind.lower(), check=name)


def _known(word: str, name: str, known: Sequence[str], profile: Mapping[str, Any], what: str) -> None:
    if not known:
        raise ValueError(f"--fail-on {word!r}: the profile {profile['id']!r} has no {what}, so this could never fire")
    if name and name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise ValueError(f"--fail-on {word!r}: the profile {profile['id']!r} has no {what} {name!r}; {hint}")


def fired(rules: Sequence[Rule], signal: str, verdicts: Sequence[Verdict],
          refusals: Mapping[str, Sequence[RefusalLine]]) -> list[str]:
    """A sentence for each thing that fires; empty where the gate stays open. `refusals` are each system's lines."""
    found = []
    for rule in rules:
        if rule.signal and signal in SIGNALS[:SIGNALS.index(rule.signal) + 1]:
            found.append(f"the signal is {signal}")
        found += [printable(f"{v.check} is {v.outcome.value} for {v.system}: {v.reason}") for v in verdicts
                  if rule.outcome == v.outcome.value and v.role == "audited" and rule.check in ("", v.check)]
        found += [printable(f"refusal line {line.id} is crossed by {system}: {line.words}")
                  for system, line in _asked_lines(rule, refusals) if line.state == CROSSED]
    return list(dict.fromkeys(found))


def not_judged(rules: Sequence[Rule], verdicts: Sequence[Verdict],
               refusals: Mapping[str, Sequence[RefusalLine]]) -> list[str]:
    """A sentence for each named check or line that says nothing, so that an open gate is not taken for a result."""
    named = {rule.check for rule in rules if rule.check}
    checks = [f"{v.check} was not judged for {v.system} ({v.outcome.value}: {v.reason})" for v in verdicts
              if v.check in named and v.role == "audited" and v.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)]
    lines = [f"refusal line {line.id} cannot be told for {system}: {line.words}" for rule in rules
             for system, line in _asked_lines(rule, refusals) if line.state == "cannot be told"]
    return [printable(told) for told in dict.fromkeys(checks + lines)]


def _asked_lines(rule: Rule, refusals: Mapping[str, Sequence[RefusalLine]]) -> list[tuple[str, RefusalLine]]:
    return [(system, line) for system, lines in refusals.items() for line in lines
            if rule.line is not None and rule.line in ("", line.id)]
