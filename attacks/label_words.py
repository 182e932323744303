"""Attacks on the label itself: its numbers and words, its form as a text, its report and drawings."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta

from attacks.attack import DEEP, LABEL, OTHER, Attack, put, scaled, several

ATTACKS: list[Attack] = []

# --- the label's words and numbers, made to agree with its own digest ---

ATTACKS += several("hashes", {
    "a number of the label changed": (
        lambda f: f.label(scaled("results", "worst_case", "value", by=0.5), sealed=False), "changed after it was issued"),
    "a number changed, the label's digest made anew": (
        lambda f: f.label(scaled("results", "worst_case", "value", by=0.5)), "results.worst_case.value"),
    "fewer harmed": (lambda f: f.label(put("results", "harmed", "count", value=9)), "results.harmed.count"),
    "an interval narrowed": (
        lambda f: f.label(put("results", "worst_case", "ci95", value=[0, 0])), "results.worst_case.ci95"),
    "the established method's numbers and ours exchanged": (
        lambda f: f.label(lambda d: d["results"].update(
            worst_case=d["results"]["established"]["worst_case"], established={
                **d["results"]["established"], "worst_case": d["results"]["worst_case"]})),
        "results.established.worst_case"),
    "more samples than were audited": (lambda f: f.label(put("scope", "n", value=4000)), "scope.n"),
    "a milder signal": (lambda f: f.label(put("headline", "signal", value="NOTICE")), "headline.signal"),
    "a proof claimed": (lambda f: f.label(put("headline", "signal", value="BOUND PROVED")), "evidence.checks"),
    "a milder sentence": (lambda f: f.label(put("headline", "hazard", value="All is well.")), "headline.hazard"),
    "what was not tested shortened": (lambda f: f.label(put("not_tested", value=["nothing of note"])), "not_tested"),
    "nothing left untested": (lambda f: f.label(put("not_tested", value=[])), "not_tested"),
    "other actions": (lambda f: f.label(put("actions", value=["Use it without a second look."])), "actions"),
    "another model's digest": (lambda f: f.label(put("subject", "digest", "sha256", value=OTHER)), "subject.digest.sha256"),
    "another model's name": (lambda f: f.label(put("subject", "name", value="unet")), "subject.name"),
    "another evidence's digest": (
        lambda f: f.label(put("provenance", "audit_digest", "sha256", value=OTHER)), "provenance.audit_digest"),
    "another profile's digest": (lambda f: f.label(put("profile", "digest", "sha256", value=OTHER)), "profile.digest"),
    "clauses that nobody checked": (
        lambda f: f.label(put("profile", "clauses", value=[
            {"id": "AI Act Art. 15", "title": "complied with", "status": "published", "checked": "2026-01-01"}])),
        "profile.clauses"),
    "measured where it was simulated": (lambda f: f.label(put("scope", "dataset", "simulated", value=False)), "simulated"),
    "valid for a lifetime": (lambda f: f.label(put("valid_until", value="2099-01-01T00:00:00Z")), "valid_until"),
    "a day that does not exist": (lambda f: f.label(put("issued", value="2026-02-31T00:00:00Z")), "no date"),
    "the label of another audit": (lambda f: shutil.copy(f.other / LABEL, f.folder / LABEL), "provenance.audit_digest"),
    "an expired label": (lambda f: f.issued(now=datetime.now(UTC) - timedelta(days=400)), "has not expired"),
    "a label from the future": (lambda f: f.issued(now=datetime.now(UTC) + timedelta(days=3000)), "in the future"),
})

# --- the label as a text ---

ATTACKS += several("hashes", {
    "an unknown field": (lambda f: f.label(put("approved_by", value="everyone")), "'approved_by' was unexpected"),
    "an unknown field deep inside": (lambda f: f.label(put("evidence", "budget", "note", value="x")), "evidence.budget"),
    "a missing field": (lambda f: f.label(lambda d: d.pop("not_tested")), "'not_tested' is a required property"),
    "a number as a text": (lambda f: f.label(put("scope", "n", value="4")), "scope.n"),
    "a negative count": (lambda f: f.label(put("scope", "n", value=-4)), "scope.n"),
    "a number beyond all numbers": (lambda f: f.text(LABEL, '"seed":0', '"seed":1e999'), "beyond every number"),
    "an integer of 5,000 digits": (lambda f: f.text(LABEL, '"seed":0', '"seed":' + "7" * 5000), "not JSON"),
    "an integer beyond 2^53": (lambda f: f.text(LABEL, '"seed":0', '"seed":9007199254740993'), "canonical JSON"),
    "NaN": (lambda f: f.text(LABEL, '"seed":0', '"seed":NaN'), "NaN is not a number"),
    "minus infinity": (lambda f: f.text(LABEL, '"seed":0', '"seed":-Infinity'), "-Infinity is not a number"),
    "a key given twice": (lambda f: f.text(LABEL, '"signal":', '"signal":"NONE FOUND","signal":'), "signal: given twice"),
    "nesting 200,000 deep": (lambda f: (f.folder / LABEL).write_text(DEEP), "nested too deeply"),
    "half a surrogate pair": (lambda f: f.text(LABEL, '"contact":"', '"contact":"\\ud800'), "half a surrogate pair"),
    "bytes that are no UTF-8": (lambda f: (f.folder / LABEL).write_bytes(b'{"a":"\xff"}'), "not JSON"),
    "a byte order mark": (lambda f: f.text(LABEL, '{"actions"', '\ufeff{"actions"'), "not its canonical bytes"),
    "other white space": (lambda f: f.text(LABEL, '{"actions"', '{ "actions"'), "not its canonical bytes"),
    "the first half": (lambda f: os.truncate(f.folder / LABEL, 900), "not JSON"),
    "an empty file": (lambda f: os.truncate(f.folder / LABEL, 0), "not JSON"),
    "two megabytes of white space": (lambda f: f.text(LABEL, "{", " " * (2 << 20) + "{"), "more than 1 MB"),
    "a list": (lambda f: (f.folder / LABEL).write_text("[]"), "is not of type 'object'"),
    "a direction character in the auditor's name": (
        lambda f: f.label(put("auditor", "name", value="Lab \u202egnitseT")), "hidden character (U+202E)"),
    "a zero-width character in the version": (
        lambda f: f.label(put("subject", "version", value="1\u200b.0")), "hidden character (U+200B)"),
    "a control sequence of terminals": (lambda f: f.label(put("auditor", "name", value="Lab\x1b[2J")), "hidden character"),
    "a Cyrillic letter in a Latin name": (
        lambda f: f.label(put("auditor", "name", value="Ex\u0430mple Lab")), "mixes letters that look alike (U+0430)"),
    "a Greek letter in a Latin name": (
        lambda f: f.label(put("auditor", "name", value="Example L\u03bfb")), "mixes letters that look alike (U+03BF)"),
    "a full-width letter": (lambda f: f.label(put("auditor", "name", value="\uff25xample Lab")), "letter in disguise"),
})

# --- report and drawings ---

ATTACKS += several("hashes", {
    "another text beside the label": (
        lambda f: f.text("warning_label.txt", "deep-cascade", "deep-cascadE"), "warning_label.txt"),
    "a script in the drawing": (
        lambda f: f.text("warning_label.svg", "</svg>", "<script>alert(1)</script></svg>"),
        "warning_label.svg: bytes differ"),
    "a word in the report": (
        lambda f: f.text("report.html", "</body>", "<p>Approved.</p></body>"), "report.html: bytes differ"),
    "the drawing of another label": (
        lambda f: shutil.copy(f.other / "warning_label.png", f.folder / "warning_label.png"),
        "warning_label.png: bytes differ"),
}, blind=True)
