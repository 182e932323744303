"""What the label says in words, for the drawing, the plain text and the screen reader alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.reports.wording import CONTROLS, WORST, amount, area, shortened, significant, span

# Longest rows of the drawing, in lines; what is cut ends in an ellipsis and stands whole in the JSON and the text.
_LIMITS = {"As a test": 9, "Not tested": 7, "Checks": 9, "Evidence": 4, "Refusal": 6}

_INDEPENDENCE = {"self": "self-tested", "second-party": "second party", "third-party": "third party"}


@dataclass(frozen=True, kw_only=True)
class BarLine:
    """One bar: its words, its style and its estimate (None where nothing was measured)."""

    words: str
    style: str
    estimate: Mapping[str, Any] | None


def bar_lines(results: Mapping[str, Any]) -> list[BarLine]:
    """The bars of the label, from top to bottom."""
    lines = [BarLine(words="Normal input", style="normal", estimate=results["normal"]),
             BarLine(words=CONTROLS.get(results["metric"]["id"], "Average of random changes"), style="average",
                     estimate=results["average_case"]),
             BarLine(words=WORST.get(results["metric"]["id"], "Worst case found"), style="worst",
                     estimate=results["worst_case"])]
    established = results["established"]
    if established:
        usual = established["normal"]
        beside = "" if usual is None else f"; normally {amount(usual['value'], results['metric']['unit'])}"
        words = f"Established method ({shortened(established['name'], 16)}), worst found{beside}"
        lines.append(BarLine(words=words, style="own", estimate=established["worst_case"]))
    return lines


def interval_of(estimate: Mapping[str, Any] | None, unit: str) -> str:
    """The 95 % interval in brackets, or nothing.

    >>> interval_of({"value": 0.2, "ci95": [0.1, 0.3], "n": 5, "bound": "estimate"}, "fraction")
    '(10–30)'
    """
    if not estimate or not estimate["ci95"]:
        return ""
    low, high = estimate["ci95"]
    return f"({span(low, high, unit)})"


def scale_of(metric: Mapping[str, Any]) -> tuple[str, str]:
    """Both ends of the bars' fixed scale."""
    low, high = metric["range"]
    return amount(low, metric["unit"]), amount(high, metric["unit"])


def rows(label: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """The named rows under the bars: name, text, greatest number of lines in the drawing."""
    listed = [("Change used", _change(label)), ("Proof means" if _proves(label) else "Harm means", _harm(label)),
              ("As a test", _as_test(label)), ("Evidence", _evidence(label)),
              ("Checks", _checks(label)), ("Groups", _groups(label)),
              ("Refusal", " ".join(line["words"] for line in label["refusal"])),
              ("Not tested", " ".join(f"{t[:1].upper()}{t[1:].rstrip('.')}." for t in label["not_tested"])),
              ("What to do", " ".join(label["actions"])), ("Profile", _profile(label)), ("Tested by", _auditor(label))]
    return [(name, text, _LIMITS.get(name, 5)) for name, text in listed if text]


def statement(label: Mapping[str, Any]) -> str:
    """The whole label in running text: what a screen reader says for the drawing."""
    head = label["headline"]
    parts = [f"{head['signal']}. {head['manner']}. {head['hazard']} {head['consequence']}"]
    if results := label["results"]:
        unit = results["metric"]["unit"]
        bars = "; ".join(f"{line.words}: {amount(line.estimate['value'] if line.estimate else None, unit)} "
                         f"{interval_of(line.estimate, unit)}".strip() for line in bar_lines(results))
        parts.append(f"{results['metric']['name']}, {results['metric']['better']} is better. {bars}.")
    parts += [f"{name}: {text}" for name, text, _ in rows(label)]
    parts.append(f"Subject: {label['subject']['name']}, sha256 {label['subject']['digest']['sha256']}. "
                 f"Check it: {label['provenance']['replay']}.")
    return " ".join(parts)


MADE = {"text-classification": "The records were made up.", "code-classification": "The records were made up.",
        "sound-classification": "The sounds were synthesised.",
        "verification": "The voices were synthesised."}                  # told of data that no one measured


def _change(label: Mapping[str, Any]) -> str:
    change = label["perturbation"]
    if change is None:
        return ""
    text = change["plain"][:1].upper() + change["plain"][1:].rstrip(",")
    if change["relative_to_noise"] is not None:
        text += f", {significant(change['relative_to_noise'])} times its noise"
    made = MADE.get(str(label["subject"]["task"]), "Measurements were simulated.")
    simulated = f" {made}" if label["scope"]["dataset"]["simulated"] else ""
    return f"{text}.{simulated}"


def _proves(label: Mapping[str, Any]) -> bool:
    """Whether the numbers on the label are of a proof, and not of a search."""
    return label["results"] is not None and label["results"]["metric"]["id"] in WORST


def _harm(label: Mapping[str, Any]) -> str:
    results = label["results"]
    if results is None or not results["criterion"]:
        return ""
    criterion = results["criterion"].rstrip(".")
    return f"{criterion[:1].upper()}{criterion[1:]}."


def _as_test(label: Mapping[str, Any]) -> str:
    """Nothing but for two classes; the change is named where the rest of the label speaks of another one."""
    told, results = label["as_test"], label["results"]
    if told is None:
        return ""
    return as_test_text(told, named=results is None or results["check"] != told["check"])


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


def _evidence(label: Mapping[str, Any]) -> str:
    evidence, scope = label["evidence"], label["scope"]
    kind = {"demonstrated": "Demonstrated", "searched-none-found": "Searched, none found", "certified": "Certified",
            "incomplete": "Incomplete"}[evidence["kind"]]
    if evidence["replayable"]:
        by = "by the owner only" if "redaction" in label else ""
        kind += f"; {evidence['witnesses']} stored cases can be replayed {by}".rstrip()
    text = f"{kind}; {scope['n']} {scope['noun']}"
    if evidence["budget"]["evaluations"]:
        text += f", about {significant(evidence['budget']['evaluations'])} evaluations each"
    if not evidence["parts"]["complete"]:
        text += f"; unfinished: {evidence['parts']['finished']} of {evidence['parts']['planned']} parts ran"
    results = label["results"]
    if results and results["established"] and not _proves(label):
        effort = "same budget" if results["established"]["same_budget"] else "smaller budget"
        text += f"; established method: {effort}, harmed {results['established']['harmed']} of " \
                f"{results['established']['n']}"
    return text + "."


def _checks(label: Mapping[str, Any]) -> str:
    words = {"unstable": "harm found", "none found": "none found", "certified": "certified",
             "inconclusive": "could not be judged", "not applicable": "not applicable"}
    groups: dict[str, list[str]] = {}
    for check in label["evidence"]["checks"]:
        own = [f"{check['harmed']} of {check['n']}"] if check["outcome"] == "unstable" else []
        other = check["established"]
        theirs = [f"established method {other['harmed']} of {other['n']}"] if other and other["n"] and (
            other["harmed"] or own) else []
        count = f" ({', '.join(own + theirs)})" if own or theirs else ""
        groups.setdefault(check["outcome"], []).append(check["title"] + count)
    text = "; ".join(f"{words[kind]}: {', '.join(groups[kind])}" for kind in words if kind in groups)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _groups(label: Mapping[str, Any]) -> str:
    """The worst group by name, with an interval that allows for all groups; that there was no harm in any."""
    told, results = label.get("groups"), label["results"]
    if told is None:
        return ""
    worst = told["worst"]
    named = "" if results is not None and results["check"] == told["check"] else f"{told['title']}: "
    if not worst["harmed"]:
        return f"{named}no harm was found in any of {told['count']} groups of samples."
    low, high = worst["ci95"]
    sure = "" if told["told_apart"] else "; so few samples do not tell it apart from the others"
    return (f"{named}the worst of {told['count']} groups is “{shortened(worst['name'])}”, {worst['harmed']} of {worst['n']} "
            f"({span(low, high, 'share')} %){sure}.")


def _profile(label: Mapping[str, Any]) -> str:
    profile = label["profile"]
    text = f"{profile['community']} / {profile['id']} {profile['version']}, rule {label['headline']['rule']}."
    if told := profile["thresholds"]:
        total, proposed = told["total"], told["proposal"]
        text += f" {proposed} of its {total} thresholds are proposals." if proposed and total else ""
    clauses = documents(profile["clauses"])
    return f"{text} Evidence relevant to {clauses}." if clauses else text


def documents(clauses: Sequence[Mapping[str, str]]) -> str:
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
        inside = ": ".join(filter(None, ["" if status == "published" else status, ", ".join(parts)]))
        words.append(f"{document} ({inside})" if inside else document)
    return ", ".join(words)


def _auditor(label: Mapping[str, Any]) -> str:
    auditor = label["auditor"]
    return (f"{auditor['name']} ({_INDEPENDENCE[auditor['independence']]}), {label['issued'][:10]}, "
            f"valid to {label['valid_until'][:10]}.")
