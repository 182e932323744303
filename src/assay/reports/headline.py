"""The sentences on top of the report and the label: what was observed, what it can lead to, computed from numbers.

Past tense for findings, "can" for consequences; "non-human behaviour" only where a declared reference (the established
method) stayed well; never more than 180 characters a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.records import Finding, Verdict
from assay.reports.comparison import Comparison, Folder, compare, is_complete, judged, unequal_checks
from assay.reports.signals import Signal, decide
from assay.reports.wording import counted, is_fraction, plain_change, printable, sentence, shortened, significant

# What the change did, and what that can lead to, per kind of check; a profile overrides both with `verb` and
# `consequence`. The verbs say "damaged" because the criterion printed beside them says what counts as damage.
_VERBS = {
    "structure": "was lost or distorted in {}",
    "sampling": "made {} worse",
    "local-gain": "was magnified beyond the limit in {}",
    "kernel": "forced a strong magnification in {}",
    "localised": "put a strong artefact into {}",
}
_CONSEQUENCES = {
    "structure": "A real detail can be missing from the result, or altered, without any sign that something is wrong.",
    "sampling": "More data can give a worse result; a change of the protocol can spoil a method that worked.",
    "local-gain": "Small errors of the measurement can be magnified in the result.",
    "kernel": "Tiny errors of the measurement must be magnified near such images; details there can be false.",
    "localised": "An artefact can look like a real structure.",
}
_TURNED = "turned {} from right to wrong", "A right decision can be turned wrong by such a change."     # checks of decisions
_CONSEQUENCE = "Structures can appear, vanish or blur in the result with no visible cause in the input."


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The signal and its sentences; `on` is the comparison the numbers come from."""

    signal: Signal
    hazard: str
    consequence: str
    manner: str             # "Non-human behaviour", "Unstable", or the sub-line of the other signals
    on: Comparison | None


def headline(folder: Folder, verdicts: Sequence[Verdict], *, system: str | None = None,
             findings: Sequence[Finding] | None = None) -> Headline:
    """The headline of one audited system, or of the worst one where `system` is not given."""
    profile = folder.header["profile"]
    rows = compare(verdicts, profile, system=system)
    known = list(folder.findings()) if findings is None else findings
    decision = decide(rows, profile, is_complete(folder), unequal=unequal_checks(known, rows))
    noise = folder.header["data"].get("noise")
    hazard, consequence, manner = _sentences(decision.signal, decision.on, profile, noise, folder.done)
    return Headline(signal=decision.signal, hazard=hazard, consequence=consequence, manner=manner, on=decision.on)


def noise_ratio(check: Mapping[str, Any], level: float | None, noise: float | None) -> float | None:
    """Size of the change divided by the noise level, where both are relative to the measured data; else None.

    >>> noise_ratio({"unit": "relative ℓ2", "perturbation": {"kind": "inputs"}}, 0.02, 0.01)
    2.0
    """
    if level is None or not noise or space_of(check) != "measurement" or not is_fraction(str(check.get("unit", ""))):
        return None
    return level / noise


def space_of(check: Mapping[str, Any]) -> str:
    """Where the change is made: the profile's `space`, else what its method and perturbation say.

    >>> space_of({"id": "a", "perturbation": {"kind": "through"}}), space_of({"id": "b", "method": "sampling"})
    ('image', 'sampling')
    """
    by_method = {"sampling": "sampling", "local-gain": "measurement"}
    by_kind = {"inputs": "measurement", "through": "image", "details": "image"}
    kind = check.get("perturbation", {}).get("kind", "")
    return str(check.get("space") or by_method.get(check.get("method", "")) or by_kind.get(kind, "other"))


def _sentences(signal: Signal, row: Comparison | None, profile: Mapping[str, Any], noise: float | None,
               done: tuple[int, int]) -> tuple[str, str, str]:
    if signal.word in ("WARNING", "CAUTION") and row is not None:
        manner = "Non-human behaviour" if signal.word == "WARNING" else "Unstable"
        return _observed(row, profile, noise), consequence_of(row.check), manner
    if signal.word == "NOTICE" or row is None:
        finished, planned = done
        hazard = sentence(signal.reason if finished >= planned
                          else f"{signal.reason} {finished} of {planned} parts ran.", signal.reason)
        return hazard, "Nothing can be concluded about stability until this is resolved.", "No conclusion"
    if signal.word == "BOUND PROVED":
        change = plain_change(row.check, row.audited.level).rstrip(",")
        right = "rightly decided " if row.audited.metric == "certified-radius" else ""
        counts = f"{row.audited.certified} of {row.audited.n} {right}{noun(profile, row.check)}"
        was = "was" if row.audited.apart == 1 else "were"
        wrong = f"; {row.audited.apart} more {was} decided wrongly" if row.audited.apart else ""
        surely = "" if row.audited.failure is None else (
            f", with a chance of at most {significant(100 * row.audited.failure)} % to be wrong,")
        return (sentence(f"A bound was proved{surely} for {change}: it holds for {counts}{wrong}.",
                         f"A bound was proved{surely}: it holds for {counts}{wrong}."),
                "It holds for the stated size of change and share of inputs only.", "Not a proof of safety")
    return _none_found(row, profile), "A worse case can exist that this search did not reach.", "Not a proof of safety"


def _observed(row: Comparison, profile: Mapping[str, Any], noise: float | None) -> str:
    change = plain_change(row.check, row.audited.level)
    usual = _TURNED[0] if row.check.get("metric") == "error-rate" else "damaged {}"
    verb = str(row.check.get("verb") or _VERBS.get(str(row.check["id"]), usual))
    ratio = noise_ratio(row.check, row.audited.level, noise)
    sized = f"{change} ({significant(ratio)} times its noise)" if ratio else change
    count = verb.replace("{}", f"{row.audited.harmed} of {row.audited.n} {noun(profile, row.check)}")
    if row.established is None or not judged(row.established):
        return sentence(f"{sized} {count}.", f"{change} {count}.", f"{row.audited.harmed} of {row.audited.n} failed.")
    other = shortened(row.established.system)
    beside = f"with the established method ({other}): {row.established.harmed} of {row.established.n}"
    return sentence(f"{sized} {count}; {beside}.", f"{change} {count}; {beside}.", f"{change} {count}.",
                    f"{row.audited.harmed} of {row.audited.n} failed.")


def _none_found(row: Comparison, profile: Mapping[str, Any]) -> str:
    change = plain_change(row.check, row.audited.level)
    high = row.audited.rate_high
    bound = f", so up to {significant(100 * high)} % can still be affected (95 % interval)" if high is not None else ""
    tested = counted(row.audited.n, noun(profile, row.check))
    return sentence(f"no harmful case of {change} was found in {tested}{bound}.",
                    f"no harmful case was found in {tested}{bound}.")


def consequence_of(check: Mapping[str, Any]) -> str:
    """What the observed harm can lead to; from the profile's `consequence` where it says so."""
    usual = _TURNED[1] if check.get("metric") == "error-rate" else _CONSEQUENCE
    return sentence(printable(str(check.get("consequence") or _CONSEQUENCES.get(str(check["id"]), usual))))


def noun(profile: Mapping[str, Any], check: Mapping[str, Any] | None = None) -> str:
    """What the profile calls its samples, in the plural, or what the check counts instead."""
    return str((check or {}).get("noun") or profile.get("noun", "images"))
