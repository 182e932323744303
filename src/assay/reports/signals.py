"""Which signal word a set of verdicts earns, by which rule, and why. Pure: no folder, no clock, no wording of harm.

Rules, strongest first. Each names the check it fired on as `profile/check/rule`.

| rule | signal | fires when |
|---|---|---|
| W1 | WARNING | harm is replayable; the *lower* end of the 95 % interval of its rate reaches the profile's rate; the
                 established method, searched as hard for its own worst case, is harmed less (intervals apart) |
| C1 | CAUTION | harm is replayable, but its rate may lie below the profile's (lower end of the interval) |
| C2 | CAUTION | harm is replayable, but only above the criterion's radius |
| C3 | CAUTION | the established method fails as badly, or too few samples tell them apart: the two intervals overlap |
| C4 | CAUTION | no established method was judged, so nothing says that people's own methods do better |
| C5 | CAUTION | the established method's search was cut off with less effort than the audited system's |
| N1 | NOTICE | nothing was judged |
| N2 | NOTICE | the audit is unfinished, and no harm was demonstrated in what ran |
| N3 | NOTICE | a check could not be judged (not converged, masked gradients, worst better than average, …) |
| N4 | NOTICE | harm was recorded, but no stored witness proves it |
| N5 | NOTICE | a check of the profile has no verdict, or the headline check did not apply |
| F1 | NONE FOUND | the whole profile ran, every sanity check held, nothing was found |
| B1 | BOUND PROVED | as F1, and the headline check is certified |

The lower end is used so that a WARNING is never the luck of a small sample; demonstrated harm outranks N2 and N3, for a
witness found before an interruption remains a witness, and nobody should soften a label by stopping the audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from assay.records import Outcome, Verdict
from assay.reports.comparison import Comparison, asked, compare, judged
from assay.reports.label_rules import lawful
from assay.reports.wording import printable, significant

SignalWord = Literal["WARNING", "CAUTION", "NOTICE", "NONE FOUND", "BOUND PROVED"]


class Signal(NamedTuple):
    """The signal word, the id of the rule that fired, and the reason as a sentence."""

    word: SignalWord
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A signal, and the comparison whose numbers it rests on (None where no check was judged)."""

    signal: Signal
    on: Comparison | None


def signal_for(verdicts: Sequence[Verdict], profile: Mapping[str, Any], complete: bool, *,
               unequal: frozenset[str] = frozenset()) -> Signal:
    """The signal word, rule and reason for these verdicts; `unequal` names checks searched with unequal effort.

    >>> signal_for([], {"id": "p", "rate": 0.05, "checks": []}, True)
    Signal(word='NOTICE', rule='p/N1', reason='Nothing was judged.')
    """
    return decide(compare(verdicts, profile), profile, complete, unequal=unequal).signal


def decide(comparisons: Sequence[Comparison], profile: Mapping[str, Any], complete: bool, *,
           unequal: frozenset[str] = frozenset()) -> Decision:
    """As `signal_for`, with the comparison that fired; ties go to the headline check, then to the profile's order."""
    headline = profile.get("headline", "")
    ordered = sorted(comparisons, key=lambda row: row.audited.check != headline)
    harmed = [(row, *_rule_of_harm(row, float(profile["rate"]), row.audited.check in unequal))
              for row in ordered if row.audited.outcome is Outcome.UNSTABLE]
    for word in ("WARNING", "CAUTION", "NOTICE"):
        for row, found, rule, reason in harmed:
            if found == word:
                tail = "" if complete else " The audit is unfinished."
                return Decision(signal=_signal(word, profile, row, rule, reason + tail), on=row)
    return _without_harm(ordered, profile, complete)


def _rule_of_harm(row: Comparison, rate: float, unequal: bool) -> tuple[SignalWord, str, str]:
    audited, established = row.audited, row.established
    count = f"{audited.harmed} of {audited.n}"
    limit = row.check.get("criterion", {}).get("level")
    low = audited.rate_low or 0.0
    if audited.witnesses == 0:
        return "NOTICE", "N4", f"Harm was recorded for {count}, but no stored witness proves it."
    if limit is not None and audited.level is not None and audited.level - limit > 1e-9 * abs(limit):
        return "CAUTION", "C2", f"Harm was demonstrated for {count}, but only above the profile's size of change."
    if low < rate:
        return "CAUTION", "C1", (f"Harm was demonstrated for {count}; the share may be as low as "
                                 f"{significant(100 * low)} %, below the profile's {significant(100 * rate)} %.")
    if established is None or not judged(established):
        return "CAUTION", "C4", f"Harm was demonstrated for {count}; no established method was judged beside it."
    beside = f"{established.harmed} of {established.n}"
    if unequal:
        return "CAUTION", "C5", (f"Harm was demonstrated for {count} (established method {beside}), but the "
                                 "established method was searched with less effort.")
    if established.rate_high is None or established.rate_high >= low:
        as_badly = established.harmed * audited.n >= audited.harmed * established.n
        how = ("The established method fails as badly" if as_badly
               else "So few samples cannot tell that from the established method")
        return "CAUTION", "C3", f"Harm was demonstrated for {count}. {how}: {beside}."
    return "WARNING", "W1", (f"Harm was demonstrated for {count}; the established method, searched as hard for its own "
                             f"worst case: {beside}.")


def _without_harm(ordered: Sequence[Comparison], profile: Mapping[str, Any], complete: bool) -> Decision:
    usable = [row for row in ordered if judged(row.audited)]
    unclear = [row for row in ordered if row.audited.outcome is Outcome.INCONCLUSIVE]
    if not usable and not unclear:
        return Decision(signal=_signal("NOTICE", profile, None, "N1", "Nothing was judged."), on=None)
    if not complete:
        reason = "The audit is unfinished; no harm was demonstrated in the part that ran."
        return Decision(signal=_signal("NOTICE", profile, None, "N2", reason), on=(usable or unclear)[0])
    if unclear:
        row = unclear[0]
        why = printable(row.audited.reason).rstrip(".")
        bare = f"“{row.title}” could not be judged."
        reason = lawful(f"{bare[:-1]}: {why}.", bare)
        return Decision(signal=_signal("NOTICE", profile, row, "N3", reason), on=row)
    if absent := _absent(ordered, profile):
        reason = f"“{absent}” was not judged, so the profile did not run in full."
        return Decision(signal=_signal("NOTICE", profile, None, "N5", reason), on=usable[0])
    first = usable[0]
    if first.audited.outcome is Outcome.CERTIFIED:
        reason = f"A bound was proved for “{first.title}”, and no other check found harm."
        return Decision(signal=_signal("BOUND PROVED", profile, first, "B1", reason), on=first)
    reason = "The whole profile ran, every sanity check held, and nothing was found."
    return Decision(signal=_signal("NONE FOUND", profile, first, "F1", reason), on=first)


def _absent(ordered: Sequence[Comparison], profile: Mapping[str, Any]) -> str:
    """Title of a profile's check without verdict, or of a headline check that did not apply; empty if none."""
    seen = {row.audited.check for row in ordered}
    for check in asked(profile):
        if check["id"] not in seen:
            return str(check.get("title") or check["id"])
    for row in ordered:
        if row.audited.check == profile.get("headline") and not judged(row.audited):
            return row.title
    return ""


def _signal(word: SignalWord, profile: Mapping[str, Any], row: Comparison | None, rule: str, reason: str) -> Signal:
    where = f"{profile['id']}/{row.audited.check}" if row else str(profile["id"])
    return Signal(word, f"{where}/{rule}", reason)
