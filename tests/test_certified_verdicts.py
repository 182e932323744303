"""What a proof makes of a verdict, of a signal and of a label; a change found within what was proved is a contradiction."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import assay
import small_classifier as small
from assay.records import Finding, Flag, Outcome, Stop
from assay.reports import brackets
from assay.reports.signals import signal_for
from assay.reports.warning_label import validate
from assay.systems import catalogue
from assay.verdicts import contradictions, flips_found, judge

PROOF = {"id": "proof", "title": "Proof", "method": "certificate", "metric": "certified-radius", "unit": "ℓ2",
         "criterion": {"kind": "certifies", "within": 0.1, "share": 0.75, "sentence": "held"}}
FLIP = {"id": "flip", "title": "Flip", "method": "smallest-change", "metric": "flip-distance-l2", "unit": "ℓ2",
        "criterion": {"kind": "flips-within", "within": 0.01, "sentence": "flipped"}}
EXAMPLE = Path(__file__).parents[1] / "examples" / "proved.toml"


def row(sample: str, worst: float | None, *, check: str = "proof", metric: str = "certified-radius", **changes) -> Finding:
    empty = Finding.empty(check=check, system="net", role="audited", sample=sample, unit="ℓ2", metric=metric,
                          better="higher", stop=Stop.CONVERGED)
    return dataclasses.replace(empty, worst=worst, **{"extra": {"already-wrong": float(worst is None)}, **changes})


def flip(sample: str, size: float, **changes) -> Finding:
    return row(sample, size, **{"check": "flip", "metric": "flip-distance-l2", **changes})


def judged(rows, **options):
    return judge(rows, PROOF, "net", role="audited", **options)


ROWS = [row("a", 0.2), row("b", 0.1), row("c", 0.3), row("d", 0.0999), row("e", None)]


def test_enough_proofs_are_a_certificate():
    verdict = judged(ROWS, expected=5)
    assert verdict.outcome is Outcome.CERTIFIED and (verdict.certified, verdict.n, verdict.apart) == (3, 4, 1)
    assert verdict.harmed == 0 and verdict.rate is None and verdict.rate_high is None and verdict.failure is None
    assert verdict.reason == ("a bound of 0.1 was proved for 3 of 4 samples; 1 more were wrong without any change and are "
                              "counted apart")


def test_too_few_proofs_are_no_verdict_and_no_harm():
    verdict = judged([*ROWS, row("f", 0.0)])
    assert verdict.outcome is Outcome.NOT_APPLICABLE and "too few for a verdict" in verdict.reason
    profile = {"id": "p", "rate": 0.05, "headline": "flip", "checks": [PROOF, FLIP]}
    none = judge([flip(s, 0.5) for s in "abcd"], FLIP, "net", role="audited")
    assert none.outcome is Outcome.NONE_FOUND
    assert signal_for([verdict, none], profile, True).word == "NONE FOUND"          # a bound that fails softens nothing
    assert signal_for([verdict, none], {**profile, "headline": "proof"}, True).rule == "p/N5"
    skipped = judge([], PROOF, "net", role="audited", skipped="no bound can be proved: its layer GRU has no bounds here")
    assert signal_for([skipped, none], profile, True).word == "NONE FOUND"


def test_a_certificate_is_the_signal_only_as_headline():
    profile = {"id": "p", "rate": 0.05, "headline": "proof", "checks": [PROOF, FLIP]}
    none = judge([flip(s, 0.5) for s in "abcd"], FLIP, "net", role="audited")
    assert signal_for([judged(ROWS), none], profile, True).word == "BOUND PROVED"
    assert signal_for([judged(ROWS), none], {**profile, "headline": "flip"}, True).word == "NONE FOUND"
    assert signal_for([judged(ROWS), none], profile, False).rule.endswith("N2")
    harm = judge([flip(s, 0.005, witness="w") for s in "abcd"], FLIP, "net", role="audited")
    assert signal_for([judged(ROWS), harm], profile, True).word == "CAUTION"


@pytest.mark.parametrize("flag", ["not-deterministic", "changes-with-use", "batch-dependent", "training-mode", "raised"])
def test_what_puts_a_proof_in_doubt_is_inconclusive(flag):
    assert judged(ROWS, blocked=[Flag(id=flag)]).outcome is Outcome.INCONCLUSIVE
    assert judged(ROWS, expected=9).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("flag", ["zero-gradient", "query-only", "jumps", "probabilities"])
def test_a_proof_needs_no_gradient_and_no_search(flag):
    assert judged(ROWS, blocked=[Flag(id=flag)]).outcome is Outcome.CERTIFIED


CONTRADICTING = [
    flip("a", 0.19), flip("a", 0.19, origin="other"),
    row("a", 1.0, check="tiny", metric="error-rate", normal=0.0, size=0.19, level=0.2),
]
AGREEING = [
    flip("a", 0.2), flip("a", 0.19, unit="ℓ∞"), flip("a", 0.19, system="svm"), flip("z", 0.01),
    flip("d", 0.11), row("a", 1.0, check="tiny", metric="error-rate", normal=1.0, size=0.19),
    row("a", 0.0, check="tiny", metric="error-rate", normal=0.0, size=0.19), flip("e", None),
    row("a", 1.0, check="tiny", metric="changed-decisions", normal=0.0, size=0.19),
]


@pytest.mark.parametrize("found", CONTRADICTING)
def test_a_change_within_what_was_proved_is_a_contradiction(found):
    verdict = judged([*ROWS, found])
    assert verdict.outcome is Outcome.INCONCLUSIVE and [g.id for g in verdict.flags] == ["certificate-contradicted"]
    assert "a first: proved to 0.2, flipped by 0.19" in verdict.flags[0].detail
    profile = {"id": "p", "rate": 0.05, "headline": "proof", "checks": [PROOF]}
    assert signal_for([verdict], profile, True).rule == "p/proof/N3"
    (known,) = [b for b in brackets.of("proof", "net", [*ROWS, found]).samples if b.sample == "a"]
    assert known.contradicts and brackets.bracket_table(brackets.of("proof", "net", [*ROWS, found]))[1][0][0] == "a"


@pytest.mark.parametrize("found", AGREEING)
def test_what_is_no_contradiction(found):
    assert contradictions([*ROWS, found], ROWS) == []
    assert judged([*ROWS, found]).outcome is Outcome.CERTIFIED


def test_the_smallest_flip_of_all_searches_counts():
    rows = [flip("a", 0.5), flip("a", 0.3), flip("b", 0.9)]
    assert flips_found(rows, system="net", unit="ℓ2") == {"a": 0.3, "b": 0.9}
    known = brackets.of("proof", "net", [*ROWS, *rows])
    assert [(b.sample, b.proved, b.found) for b in known.samples] == [
        ("a", 0.2, 0.3), ("b", 0.1, 0.9), ("c", 0.3, None), ("d", 0.0999, None)]
    chart = brackets.bracket_chart(PROOF, known)
    found, unproved = (dict(s.points) for s in chart.series)
    assert all(found[x] <= unproved[x] for x in found)
    assert max(found.values()) == 0.5 and max(unproved.values()) == 1.0


def test_an_estimate_from_slopes_is_told_with_what_speaks_against_it():
    words = {"id": "clever", "method": "clever"}
    rows = [row(s, size, check="clever", metric="clever", extra={"already-wrong": 0.0, "fit.good": good})
            for s, size, good in (("a", 0.4, 1.0), ("b", 0.1, 0.0), ("c", 0.2, 1.0))]
    note = brackets.estimate_note(words, "net", [*rows, flip("a", 0.3), flip("b", 0.3)])
    assert "1 of 3 samples were flipped by a smaller change than estimated; on 1 the fitted law does not hold" in note
    assert brackets.estimate_note(PROOF, "net", rows) == ""


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """The shipped linear classifier under the example's profile: a user's command, end to end."""
    system = catalogue.load("multinomial", role="audited")
    folder = tmp_path_factory.mktemp("proved")
    from assay.datasets.labelled import bundled_digits
    from assay.datasets.measured import Part

    return assay.audit(system, Part(bundled_digits(), tuple(range(40))), profile=str(EXAMPLE), established=("none",),
                       out=folder / "audit")


def test_bound_proved_is_reached_end_to_end(proved):
    label = proved.warning_label
    validate(label)
    assert label["headline"]["signal"] == "BOUND PROVED" and label["headline"]["rule"] == "proved/proved-pixels/B1"
    assert label["evidence"]["kind"] == "certified" and label["results"]["worst_case"]["bound"] == "lower"
    (verdict,) = [v for v in proved.verdicts if v.check == "proved-pixels"]
    assert verdict.certified == verdict.n > 35 and verdict.witnesses == verdict.n
    assert f"it holds for {verdict.certified} of {verdict.n} rightly decided images" in label["headline"]["hazard"]
    text = proved.write() and (proved.folder / "warning_label.txt").read_text(encoding="utf-8")
    assert "Proof means" in text and "Size proved harmless" in text and "Worst case found" not in text
    page = (proved.folder / "report.html").read_text(encoding="utf-8")
    assert "From both sides" in page and "not proved to hold" in page and f"proved for {verdict.certified} of" in page


def test_the_searches_come_close_to_the_proofs_and_never_below(proved):
    """The classifier is linear: the proof is exact to rounding, and the search ends at most a few per cent above it."""
    known = brackets.of("proved-pixels", "multinomial", list(proved.store.findings())).samples
    assert all(b.found is not None and not b.contradicts for b in known)
    ratios = [b.found / b.proved for b in known]
    assert min(ratios) >= 1 - 1e-5 and sorted(ratios)[len(ratios) // 2] < 1.02


def test_a_radius_that_was_raised_is_contradicted_by_the_search(proved):
    rows = [dataclasses.replace(f, worst=1.2 * f.worst) if f.check == "proved-pixels" and f.worst else f
            for f in proved.store.findings()]
    check = next(c for c in proved.header["profile"]["checks"] if c["id"] == "proved-pixels")
    verdict = judge(rows, check, "multinomial", role="audited")
    assert verdict.outcome is Outcome.INCONCLUSIVE and verdict.flags[0].id == "certificate-contradicted"


class Curved(small.Linear):
    """The same decisions through a layer that has no bounds here."""

    def spoiled(self, x, scores):
        return torch.tanh(scores / 8)


def test_a_network_that_cannot_be_bounded_gets_a_reason_and_no_notice_of_its_own(tmp_path):
    """With and without the question for a proof: the same signal, and the reason among what was not tested."""
    text = Path(small.profile(tmp_path)).read_text(encoding="utf-8")
    asked = EXAMPLE.read_text(encoding="utf-8").split("[[checks]]")[2]
    assert 'method = "certificate"' in asked
    (tmp_path / "both.toml").write_text(f"{text}\n[[checks]]{asked}", encoding="utf-8")
    labels = [assay.audit(Curved(), small.data(tmp_path), profile=str(tmp_path / f"{name}.toml"), established=("none",),
                          out=tmp_path / name).warning_label for name in ("small", "both")]
    without, both = labels
    assert both["headline"] == without["headline"]
    assert any("no bound can be proved: its step truediv has no bounds here" in line for line in both["not_tested"])
    assert {c["outcome"] for c in both["evidence"]["checks"] if c["id"] == "proved-pixels"} == {"not applicable"}
