"""What the label says in words, for the drawing, the plain text and the screen reader alike, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.profiles.load import namesake
from assay.reports.language import Language, language
from assay.reports.wording import WORST, amount, area, shortened, significant, span

ENGLISH = language("en")

# Longest rows of the drawing, in lines; what is cut ends in an ellipsis and stands whole in the JSON and the text.
_LIMITS = {"row-as-test": 9, "row-not-tested": 7, "row-checks": 9, "row-evidence": 4, "row-refusal": 6}

_MANNERS = {"Non-human behaviour": "non-human", "Unstable": "unstable", "No conclusion": "no-conclusion",
            "Not a proof of safety": "not-a-proof"}
_CONTROLS = {"fooling-confidence": "average-noise", "invented": "average-signs"}
_WORST = {"certified-radius": "worst-proved-size", "gain-bound": "worst-proved-most"}
_KINDS = {"demonstrated": "demonstrated", "searched-none-found": "searched", "certified": "certified",
          "incomplete": "incomplete"}
_OUTCOMES = {"unstable": "found-harm", "none found": "found-none", "certified": "found-certified",
             "inconclusive": "found-inconclusive", "not applicable": "found-not-applicable"}


@dataclass(frozen=True, kw_only=True)
class BarLine:
    """One bar: its words, its style and its estimate (None where nothing was measured)."""

    words: str
    style: str
    estimate: Mapping[str, Any] | None


def signal_of(label: Mapping[str, Any], tongue: Language = ENGLISH) -> tuple[str, str]:
    """The signal word and the line that goes with it."""
    head = label["headline"]
    return tongue.say(f"signal-{head['signal'].replace(' ', '-')}"), tongue.say(_MANNERS[head["manner"]])


def hazard_of(label: Mapping[str, Any], tongue: Language = ENGLISH) -> str:
    """The first sentence: what was observed."""
    hazard, change = label["headline"]["hazard"], label["perturbation"]
    told = tongue.observed(hazard, change["plain"] if change else "\0")
    return tongue.foreign(hazard) if told is None else told


def title_of(metric: Mapping[str, Any], tongue: Language = ENGLISH) -> str:
    """The metric's name, and which way is better."""
    return tongue.say(f"{metric['better']}-is-better", name=tongue.shown(metric["name"]))


def bar_lines(results: Mapping[str, Any], tongue: Language = ENGLISH) -> list[BarLine]:
    """The bars of the label, from top to bottom."""
    metric, unit = results["metric"]["id"], results["metric"]["unit"]
    lines = [BarLine(words=tongue.say("normal-input"), style="normal", estimate=results["normal"]),
             BarLine(words=tongue.say(_CONTROLS.get(metric, "average")), style="average", estimate=results["average_case"]),
             BarLine(words=tongue.say(_WORST.get(metric, "worst-found")), style="worst", estimate=results["worst_case"])]
    established = results["established"]
    if established:
        usual, name = established["normal"], shortened(established["name"], 16)
        words = tongue.say("established", name=name) if usual is None else tongue.say(
            "established-normally", name=name, value=tongue.amount(usual["value"], unit))
        lines.append(BarLine(words=words, style="own", estimate=established["worst_case"]))
    return lines


def interval_of(estimate: Mapping[str, Any] | None, unit: str, tongue: Language = ENGLISH) -> str:
    """The 95 % interval in brackets, or nothing.

    >>> interval_of({"value": 0.2, "ci95": [0.1, 0.3], "n": 5, "bound": "estimate"}, "fraction")
    '(10–30)'
    """
    if not estimate or not estimate["ci95"]:
        return ""
    low, high = estimate["ci95"]
    return f"({tongue.number(span(low, high, unit))})"


def value_of(estimate: Mapping[str, Any] | None, unit: str, tongue: Language = ENGLISH) -> str:
    """A bar's value and its interval."""
    value = estimate["value"] if estimate else None
    return f"{tongue.amount(value, unit)} {interval_of(estimate, unit, tongue)}".strip()


def scale_of(metric: Mapping[str, Any], tongue: Language = ENGLISH) -> tuple[str, str]:
    """Both ends of the bars' fixed scale."""
    low, high = metric["range"]
    return tongue.amount(low, metric["unit"]), tongue.amount(high, metric["unit"])


def rows(label: Mapping[str, Any], tongue: Language = ENGLISH) -> list[tuple[str, str, int]]:
    """The named rows under the bars: name, text, greatest number of lines in the drawing.

    Between sentences in another language and those that stayed English the text has a line break.
    """
    made: list[tuple[str, Callable[[Mapping[str, Any], Language], str | None]]] = [
        ("row-change", _change), ("row-proof" if _proves(label) else "row-harm", _harm), ("row-as-test", _as_test),
        ("row-evidence", _evidence), ("row-checks", _checks), ("row-groups", _groups), ("row-refusal", _refusal),
        ("row-not-tested", _not_tested), ("row-actions", _actions), ("row-profile", _profile), ("row-tested-by", _auditor)]
    listed = []
    for key, row in made:
        text = row(label, tongue)
        if text is None:                                    # a part has no translation: the whole row stays English
            text = tongue.foreign(row(label, ENGLISH) or "")
        if text:
            listed.append((tongue.say(key), text, _LIMITS.get(key, 5)))
    return listed


def statement(label: Mapping[str, Any], tongue: Language = ENGLISH) -> str:
    """The whole label in running text: what a screen reader says for the drawing."""
    signal, manner = signal_of(label, tongue)
    parts = [f"{signal}. {manner}. {hazard_of(label, tongue)} {tongue.shown(label['headline']['consequence'])}"]
    if results := label["results"]:
        unit = results["metric"]["unit"]
        bars = "; ".join(f"{line.words}: {value_of(line.estimate, unit, tongue)}" for line in bar_lines(results, tongue))
        if tongue is ENGLISH:
            parts.append(f"{results['metric']['name']}, {results['metric']['better']} is better. {bars}.")
        else:
            parts.append(tongue.say("described", title=title_of(results["metric"], tongue), bars=bars))
    parts += [f"{name}: {' '.join(text.split(chr(10)))}" for name, text, _ in rows(label, tongue)]
    parts.append(tongue.say("subject", name=label["subject"]["name"], digest=label["subject"]["digest"]["sha256"],
                            command=label["provenance"]["replay"]))
    return " ".join(parts)


_MADE = {"text-classification": "made-up", "code-classification": "made-up", "sound-classification": "synthesised",
         "verification": "voices"}                                      # told of data that no one measured


def _change(label: Mapping[str, Any], tongue: Language) -> str | None:
    change = label["perturbation"]
    if change is None:
        return ""
    plain = tongue.change(change["plain"])
    if plain is None:
        return None
    plain = plain[:1].upper() + plain[1:].rstrip(",")
    noise = change["relative_to_noise"]
    text = tongue.say("change-plain", change=plain) if noise is None else tongue.say(
        "change-of-noise", change=plain, n=tongue.number(significant(noise)))
    simulated = label["scope"]["dataset"]["simulated"]
    return f"{text} {tongue.say(_MADE.get(str(label['subject']['task']), 'simulated'))}" if simulated else text


def _proves(label: Mapping[str, Any]) -> bool:
    """Whether the numbers on the label are of a proof, and not of a search."""
    return label["results"] is not None and label["results"]["metric"]["id"] in WORST


def _harm(label: Mapping[str, Any], tongue: Language) -> str | None:
    results = label["results"]
    if results is None or not results["criterion"]:
        return ""
    criterion = results["criterion"].rstrip(".")
    return tongue.told(f"{criterion[:1].upper()}{criterion[1:]}.")


def _as_test(label: Mapping[str, Any], tongue: Language) -> str | None:
    """Nothing but for two classes; the change is named where the rest of the label speaks of another one. English alone."""
    told, results = label["as_test"], label["results"]
    if told is None:
        return ""
    return as_test_text(told, named=results is None or results["check"] != told["check"]) if tongue is ENGLISH else None


def _refusal(label: Mapping[str, Any], tongue: Language) -> str | None:
    """The refusal lines, in English alone."""
    return None if label["refusal"] and tongue is not ENGLISH else " ".join(line["words"] for line in label["refusal"])


def _not_tested(label: Mapping[str, Any], tongue: Language) -> str:
    return _sentences([f"{t[:1].upper()}{t[1:].rstrip('.')}." for t in label["not_tested"]], tongue)


def _actions(label: Mapping[str, Any], tongue: Language) -> str:
    return _sentences(label["actions"], tongue)


def _sentences(texts: Sequence[str], tongue: Language) -> str:
    """Those in the language in one paragraph, and those that stayed English in another."""
    told = [(tongue.told(text), text) for text in texts]
    known = " ".join(found for found, _ in told if found is not None)
    rest = " ".join(text for found, text in told if found is None)
    return "\n".join(filter(None, [known, tongue.foreign(rest) if rest else ""]))


def as_test_text(told: Mapping[str, Any], *, named: bool = True) -> str:
    """The field `as_test` in words: prevalence, then each number without change and, in brackets, by chance and at worst."""
    n, own, other = told["positives"] + told["negatives"], told["system"], told["established"]
    text = f"{told['positives']} of {n} samples ({amount(told['prevalence'], 'share')}) are “{shortened(told['positive'])}”"
    if own["unchanged"] is None:
        return f"{text}: not defined, one class only."
    text += "; all count, those wrong without change too. " + (f"{told['change']}: " if named else "")
    text += (f"{_worth(own)} at a threshold chosen for {amount(told['specificity_asked'], 'share')} specificity on these "
             "samples unchanged: optimistic.")
    if own["missing"]:
        text += f" Answers that were no number count as wrong ({own['missing']})."
    if other and other["unchanged"]:
        text += f" Established method ({shortened(other['name'], 16)}): {_worth(other)}."
    return text


def _worth(test: Mapping[str, Any]) -> str:
    """AUROC, sensitivity and specificity, each unchanged and then in the other conditions."""
    normal, others = test["unchanged"], [test[name] for name in ("average_case", "worst_case") if test[name]]
    words = ["random changes ", "worst found "][-len(others):]
    areas = ", ".join(f"{word}{area(c['auroc']['value'])}" for word, c in zip(words, others, strict=True))
    shares = (f"{name} {amount(normal[name]['value'], 'share')} "
              f"({', '.join(amount(c[name]['value'], 'share') for c in others)})" for name in ("sensitivity", "specificity"))
    return f"AUROC {area(normal['auroc']['value'])} ({areas}); {' and '.join(shares)}"


def _evidence(label: Mapping[str, Any], tongue: Language) -> str | None:
    evidence, scope, results = label["evidence"], label["scope"], label["results"]
    noun = tongue.noun(scope["noun"])
    if noun is None:
        return None
    text = tongue.say(_KINDS[evidence["kind"]])
    if evidence["replayable"]:
        text += tongue.say("replayable-owner" if "redaction" in label else "replayable", n=str(evidence["witnesses"]))
    text += tongue.say("tested-on", n=str(scope["n"]), noun=noun)
    if evidence["budget"]["evaluations"]:
        text += tongue.say("evaluations", n=significant(evidence["budget"]["evaluations"]))
    if not evidence["parts"]["complete"]:
        text += tongue.say("unfinished", n=str(evidence["parts"]["finished"]), m=str(evidence["parts"]["planned"]))
    if results and results["established"] and not _proves(label):
        other = results["established"]
        text += tongue.say("same-budget" if other["same_budget"] else "smaller-budget", n=str(other["harmed"]),
                           m=str(other["n"]))
    return text + "."


def _checks(label: Mapping[str, Any], tongue: Language) -> str | None:
    groups: dict[str, list[str]] = {}
    for check in label["evidence"]["checks"]:
        title, other = tongue.told(check["title"]), check["established"]
        if title is None:
            return None
        own = [tongue.say("n-of-m", n=str(check["harmed"]), m=str(check["n"]))] if check["outcome"] == "unstable" else []
        theirs = [tongue.say("established-n-of-m", n=str(other["harmed"]), m=str(other["n"]))] if (
            other and other["n"] and (other["harmed"] or own)) else []
        count = f" ({', '.join(own + theirs)})" if own or theirs else ""
        groups.setdefault(check["outcome"], []).append(title + count)
    text = "; ".join(tongue.say(key, checks=", ".join(groups[kind])) for kind, key in _OUTCOMES.items() if kind in groups)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _groups(label: Mapping[str, Any], tongue: Language) -> str | None:
    """The worst group by name, with an interval that allows for all groups; that there was no harm in any."""
    told, results = label.get("groups"), label["results"]
    if told is None:
        return ""
    worst, title = told["worst"], tongue.told(told["title"])
    if worst["harmed"]:
        sure, (low, high) = "" if told["told_apart"] else tongue.say("groups-unsure"), worst["ci95"]
        text = tongue.say("groups-worst", groups=str(told["count"]), name=shortened(worst["name"]), n=str(worst["harmed"]),
                          m=str(worst["n"]), interval=tongue.number(span(low, high, "share")), sure=sure)
    else:
        text = tongue.say("groups-none", n=str(told["count"]))
    if results is not None and results["check"] == told["check"]:
        return text
    return None if title is None else tongue.say("groups-named", title=title, text=text)


def _profile(label: Mapping[str, Any], tongue: Language) -> str:
    profile = label["profile"]
    text = tongue.say("profile", profile=f"{profile['community']} / {profile['id']} {profile['version']}",
                      rule=label["headline"]["rule"])
    if not namesake(profile["id"]):
        text += " " + tongue.say("own-profile")
    told = profile["thresholds"]
    if told["proposal"] and told["total"]:
        text += " " + tongue.say("proposals", n=str(told["proposal"]), m=str(told["total"]))
    clauses = documents(profile["clauses"], tongue)
    return f"{text} {tongue.say('relevant', clauses=clauses)}" if clauses else text


def documents(clauses: Sequence[Mapping[str, str]], tongue: Language = ENGLISH) -> str:
    """Each document once, with its clauses in brackets and, of a draft, that it is one.

    >>> one, two = {"id": "A, 1", "status": "draft"}, {"id": "A, 2", "status": "draft"}
    >>> documents([one, two, {"id": "B", "status": "published"}])
    'A (draft: 1, 2), B'
    """
    found: dict[tuple[str, str], list[str]] = {}
    for clause in clauses:
        document, _, part = clause["id"].partition(", ")
        found.setdefault((document, clause["status"]), []).extend([part] if part else [])
    words = []
    for (document, status), parts in found.items():
        inside = ": ".join(filter(None, ["" if status == "published" else tongue.say(status), ", ".join(parts)]))
        words.append(f"{document} ({inside})" if inside else document)
    return ", ".join(words)


def _auditor(label: Mapping[str, Any], tongue: Language) -> str:
    auditor = label["auditor"]
    name = tongue.say("not-attributed") if auditor["name"] == "not attributed" else auditor["name"]
    return tongue.say("tested-by", name=name, independence=tongue.say(auditor["independence"]), issued=label["issued"][:10],
                      until=label["valid_until"][:10])
