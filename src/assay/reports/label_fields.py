"""The parts of the warning label's data, each computed from the audit's folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from assay.letters import deceptive
from assay.numerics.binary import SPECIFICITY
from assay.profiles.thresholds import counts
from assay.records import Access, Finding, Outcome, Verdict, digest_of
from assay.reports.bars import bar_range
from assay.reports.comparison import (
    Comparison,
    Estimate,
    Folder,
    asked,
    at_level,
    effort,
    is_complete,
    judged,
    mean_estimate,
    rows_of,
    unequal_checks,
    worst_estimate,
)
from assay.reports.headline import Headline, noise_ratio, noun, space_of
from assay.reports.label_rules import lawful
from assay.reports.refusals import RefusalLine
from assay.reports.subgroups import Subgroups
from assay.reports.two_classes import POSITIVE, AsTest, Condition, Performance
from assay.reports.wording import WORST, plain_change, printable, sentence
from assay.verdicts import by_sample

REPLAY = "assay verify warning_label.json"
_KINDS = {"WARNING": "demonstrated", "CAUTION": "demonstrated", "NOTICE": "incomplete",
          "NONE FOUND": "searched-none-found", "BOUND PROVED": "certified"}
_TASKS = {"reconstruction": "image-reconstruction", "classification": "image-classification", "text": "text-classification",
          "codes": "code-classification", "sound": "sound-classification", "verification": "verification",
          "table": "decision"}
REDACTED = ("Replay by whoever holds this redacted copy: inputs and stored cases were withheld, and only the owner of the "
            "audit can replay them")
INDEPENDENT = "images were taken as independent, since no groups were told"
_DIGITS = 10    # of stored estimates: sums may differ in the last bits between machines, and labels must not


def first_audited(header: Mapping[str, Any]) -> str:
    """Name of the first audited system."""
    return next(str(s["name"]) for s in header["systems"] if s["role"] == "audited")


def subject(header: Mapping[str, Any], name: str, version: str) -> dict[str, Any]:
    """What was audited, bound by the digest of its files and of what stands before it."""
    system = next(s for s in header["systems"] if s["name"] == name)
    data = header["data"]
    before = {"operator": data["operator"], "options": data.get("options", {}), "simulated": data["simulated"]}
    task = _TASKS.get(str(header["profile"].get("task", "reconstruction")), "other")
    return {"name": name, "version": version, "task": task,
            "modality": str(header["profile"].get("modality", "unspecified")), "kind": system["kind"],
            "digest": _sha(system["digest"]), "access": Access(system["access"]).name.lower(),
            "preprocessing": {"digest": _sha(digest_of(before)), "description": printable(str(data["operator"]))}}


def results(row: Comparison, findings: Sequence[Finding]) -> dict[str, Any]:
    """The four bars and what belongs to them, from the check that the headline speaks of."""
    own = rows_of(findings, row.audited)
    worst = worst_estimate(row.audited)
    normal, average = (mean_estimate(by_sample(own, which)) for which in ("normal", "average"))
    established = None
    estimates = [normal, average, worst]
    if row.established is not None:
        theirs = rows_of(findings, row.established)
        their_worst = worst_estimate(row.established)
        estimates.append(their_worst)
        under = [f for f in findings if f.check == row.audited.check and f.system == row.established.system
                 and f.origin == row.audited.system and at_level(f, row.audited.level)]
        established = {
            "name": row.established.system, "normal": _estimate(mean_estimate(by_sample(theirs, "normal"))),
            "average_case": _estimate(mean_estimate(by_sample(theirs, "average"))),
            "worst_case": _estimate(their_worst, _bound_of(row.established)),
            "same_change": _estimate(mean_estimate(by_sample(under, "worst"))),
            "harmed": row.established.harmed, "n": row.established.n,
            "same_budget": row.audited.check not in unequal_checks(findings, [row])}
    low, high = bar_range(row, estimates)
    return {"check": row.audited.check, "title": printable(row.title),
            "metric": {"id": row.audited.metric, "name": printable(row.metric), "unit": row.unit,
                       "better": row.audited.better, "range": [low, high]},
            "normal": _estimate(normal), "average_case": _estimate(average),
            "worst_case": _estimate(worst, _bound_of(row.audited)),
            "harmed": {"count": row.audited.harmed, "n": row.audited.n,
                       "rate95": _interval(row.audited.rate_low, row.audited.rate_high)},
            "criterion": printable(row.audited.criterion), "established": established}


def perturbation(row: Comparison, header: Mapping[str, Any], top: Headline) -> dict[str, Any]:
    """How large the change was, in numbers and in words, and against which reference it is called harmless."""
    check, level = row.check, row.audited.level
    ratio = noise_ratio(check, level, header["data"].get("noise"))
    declared = top.signal.word == "WARNING" and row.established is not None
    detail = "no reference is claimed"
    if declared and row.established is not None:
        detail = f"{row.established.system}, searched for its own worst case with the same budget"
    return {"space": space_of(check), "norm": _norm(row.audited.unit), "radius": level, "unit": row.audited.unit,
            "relative_to_noise": None if ratio is None else _rounded(ratio),
            "plain": sentence(printable(plain_change(check, level)), limit=160),
            "human_reference": {"basis": "established-method" if declared else "none", "detail": printable(detail)}}


def as_test(told: AsTest | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """A classifier of two classes as a test for class 1; null for any other system."""
    if told is None:
        return None
    other, change = told.row.established, plain_change(told.row.check, told.level).rstrip(",")
    return {"check": told.row.audited.check, "change": sentence(printable(change), limit=160),
            "positive": printable(classes[POSITIVE]), "negative": printable(classes[1 - POSITIVE]),
            "positives": told.positives, "negatives": told.negatives, "prevalence": _rounded(told.prevalence),
            "majority_accuracy": _rounded(told.majority_accuracy), "specificity_asked": SPECIFICITY,
            "system": {"name": told.row.audited.system, **_performance(told.audited)},
            "established": None if other is None else {"name": other.system, **_performance(told.established)}}


def _performance(test: Performance | None) -> dict[str, Any]:
    """Numbers of one system; all null where they are not defined: one class only. The worst found is an upper bound."""
    if test is None:
        return {"threshold": None, "missing": 0, "unchanged": None, "average_case": None, "worst_case": None}
    return {"threshold": _rounded(test.threshold) if math.isfinite(test.threshold) else None, "missing": test.missing,
            "unchanged": _condition(test.unchanged, "estimate"),
            "average_case": None if test.random is None else _condition(test.random, "estimate"),
            "worst_case": _condition(test.worst, "upper")}


def _condition(found: Condition, bound: str) -> dict[str, Any]:
    return {name: _estimate(getattr(found, name), bound) for name in ("auroc", "sensitivity", "specificity")}


def evidence(folder: Folder, rows: Sequence[Comparison], top: Headline, findings: Sequence[Finding]) -> dict[str, Any]:
    """Which kind of evidence the signal rests on, how it was searched for, and every check's outcome."""
    row = top.on
    own = rows_of(findings, row.audited) if row else []
    witnesses = row.audited.witnesses if row else 0
    kind = _KINDS[top.signal.word]
    methods = {str(r.check.get("method", r.check["id"])): None for r in rows}
    count = max(len(own), 1)
    finished, planned = folder.done
    return {"kind": kind, "replayable": kind == "demonstrated" and witnesses > 0, "witnesses": witnesses,
            "searches": list(methods) or ["none"],
            "budget": {"forward": round(sum(f.forward for f in own) / count),
                       "backward": round(sum(f.backward for f in own) / count),
                       "controls": max((f.controls for f in own), default=0),
                       "evaluations": round(effort(findings, row.audited)) if row else 0},
            "parts": {"finished": finished, "planned": planned, "complete": is_complete(folder)},
            "checks": [{"id": r.audited.check, "title": printable(r.title), "outcome": r.audited.outcome.value,
                        "harmed": r.audited.harmed, "n": r.audited.n,
                        "established": None if r.established is None or not judged(r.established) else {
                            "harmed": r.established.harmed, "n": r.established.n}} for r in rows]}


def scope(header: Mapping[str, Any], row: Comparison | None) -> dict[str, Any]:
    """Which samples the numbers are about."""
    data = header["data"]
    return {"dataset": {"id": printable(str(data["id"])), "digest": _sha(data["digest"]),
                        "licence": printable(str(data["licence"])), "simulated": data["simulated"]},
            "n": row.audited.n if row else 0, "noun": noun(header["profile"], row.check if row else None),
            "sampling": printable(str(data["description"]))}


def not_tested(folder: Folder, rows: Sequence[Comparison]) -> list[str]:
    """What the profile leaves out, what the plan left out, and what could not be judged; never empty."""
    lines = [REDACTED] if folder.header.get("redaction") else []
    lines += [printable(str(item)) for item in folder.header["profile"]["not_tested"]]
    titles = {str(c["id"]): str(c.get("title") or c["id"]) for c in asked(folder.header["profile"])}
    skipped = {str(s["check"]): str(s["reason"]) for s in folder.skipped}
    lines += [_untested(titles.get(check, check), reason) for check, reason in skipped.items()]
    lines += [_untested(r.title, r.audited.reason) for r in rows if r.audited.check not in skipped
              and r.audited.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)]
    lines += [f"{r.title}: {INDEPENDENT}" for r in rows if r.check.get("criterion", {}).get("kind") == "invents"
              and r.audited.outcome in (Outcome.UNSTABLE, Outcome.NONE_FOUND) and not folder.header.get("groups")]
    seen = {r.audited.check for r in rows} | set(skipped)
    lines += [f"{title}: no result" for identity, title in titles.items() if identity not in seen]
    return list(dict.fromkeys(lines)) or ["anything beyond the checks listed on this label"]


def _untested(title: str, reason: str) -> str:
    """A check and why it told nothing; a reason in words that no label says stands in the report alone."""
    return lawful(f"{title}: {printable(reason)}", f"{title}: the report says why")


def profile_of(profile: Mapping[str, Any], rows: Sequence[Comparison]) -> dict[str, Any]:
    """The question list that was asked, bound by its digest, where its numbers come from, and the clauses that evidence of
    checks that gave a result is relevant to."""
    told = {row.audited.check for row in rows if row.audited.n or row.audited.measured}
    clauses = [c for c in profile.get("clauses", []) if "checks" not in c or told & set(c["checks"])]
    return {"community": profile["community"], "id": profile["id"], "version": profile["version"],
            "digest": _sha(profile["digest"]), "rate": profile["rate"], "thresholds": counts(profile),
            "clauses": [{key: str(c[key]) for key in ("id", "title", "status", "checked")} for c in clauses]}


def refusal(lines: Sequence[RefusalLine]) -> list[dict[str, Any]]:
    """Each refusal line of the profile, with its number and where that lies; empty where the profile has none."""
    lines = [replace(line, why=lawful(line.why, "the report says why")) for line in lines]
    return [{"id": line.id, "check": line.check, "sentence": printable(line.sentence), "state": line.state,
             "limit": line.limit, "value": None if line.measured.value is None else _rounded(line.measured.value),
             "ci95": _interval(line.measured.low, line.measured.high), "n": line.measured.n, "why": printable(line.why),
             "status": line.status, "source": printable(line.source), "words": printable(line.words)} for line in lines]


def groups(told: Sequence[Subgroups], row: Comparison | None, system: str) -> dict[str, Any] | None:
    """The worst group of samples under the headline's check, else under the first that has groups; None without any.

    A name whose letters deceive stands there as its escapes: a label that refused it could never be written.
    """
    mine = [one for one in told if one.system == system]
    if not mine:
        return None
    one = next((s for s in mine if row is not None and s.check == row.audited.check), mine[0])
    worst, name = one.worst, printable(one.worst.name)
    if deceptive(name):
        name = ascii(name)[1:-1]
    return {"check": one.check, "title": printable(one.title), "count": len(one.groups), "told_apart": one.apart,
            "worst": {"name": name, "harmed": worst.harmed, "n": worst.n,
                      "ci95": _interval(worst.low, worst.high)}}


def provenance(header: Mapping[str, Any], sealed: str) -> dict[str, Any]:
    """Which run of which tool the label comes from, and the command that checks it."""
    p = header["provenance"]
    return {"tool": "assay", "tool_version": p["tool_version"], "audit_digest": _sha(sealed),
            "seed": header["seed"], "precision": p["precision"],
            "replay": f"{REPLAY} --no-replay" if header.get("redaction") else REPLAY,
            "environment": {**{str(k): str(v) for k, v in p["versions"].items()}, "hardware": str(p["hardware"])}}


def stamp(when: datetime) -> str:
    """Time in UTC to the second, RFC 3339."""
    return when.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def actions(profile: Mapping[str, Any]) -> list[str]:
    """One to four things to do."""
    listed = [sentence(printable(str(text)), limit=140) for text in profile["actions"][:4]]
    return listed or ["Do not use the output as the only basis for a decision."]


def _sha(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _interval(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [_rounded(low), _rounded(high)]


def _estimate(estimate: Estimate, bound: str = "estimate") -> dict[str, Any] | None:
    """A worst case that was found bounds the true one: from below where lower is better, else from above."""
    if estimate.value is None:
        return None
    return {"value": _rounded(estimate.value), "ci95": _interval(estimate.low, estimate.high), "n": estimate.n,
            "bound": bound}


def _bound_of(verdict: Verdict) -> str:
    """On which side of the true worst case the number lies: what was found is milder, what was proved lies below."""
    return "lower" if (verdict.better == "lower") != (verdict.metric in WORST) else "upper"


def _norm(unit: str) -> str:
    if "∞" in unit:
        return "Linf"
    if "ℓ2" in unit:
        return "relative-L2" if unit.startswith("relative") else "L2"
    return "parametric"
