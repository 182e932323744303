"""A classifier as a test: numbers from rows against scikit-learn, broken twins, and what is not defined said so."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_audit
from rich.console import Console
from sklearn.metrics import recall_score, roc_auc_score, roc_curve
from synthetic_audit import ESTABLISHED, HOSTILE, NETWORK, ROLES, SyntheticFolder

from assay.numerics.binary import auroc_interval
from assay.numerics.intervals import wilson
from assay.records import Finding, Stop
from assay.reports import html, terminal, warning_label
from assay.reports.comparison import compare
from assay.reports.label_statements import as_test_text, rows
from assay.reports.two_classes import AsTest, as_tests, populations, told_with
from assay.reports.warning_label import LabelError

N, DRAWS, LEVEL = 70, 3, 0.06
NOW = datetime(2026, 11, 23, tzinfo=UTC)
CRITERION = {"kind": "grows", "level": LEVEL, "absolute": 0.5, "sentence": "a right decision became wrong"}
PROFILE = {
    "id": "two", "task": "classification", "title": "Two", "community": "research", "version": "0.1", "rate": 0.05,
    "headline": "tiny", "not_tested": ["All else"], "actions": ["Look."], "digest": "ab" * 32, "noun": "images",
    "checks": [{"id": name, "title": name, "question": "", "method": "worst-case", "metric": "error-rate", "sources": [],
                "unit": "share of the range, ℓ∞", "plain": "a change of {level}", "criterion": CRITERION}
               for name in ("tiny", "part")]}


def labels(n: int = N) -> np.ndarray:
    return (np.arange(n) % 5 < 2).astype(int)


def drawn(system: str, check: str) -> dict[str, np.ndarray]:
    """Scores (N,) of every condition: ties, and a boundary that is not at the operating point."""
    generator = np.random.default_rng([len(system), len(check)])
    y = labels()
    normal = (4 * (generator.normal(size=N) + 2 * y + 0.5)).round() / 4
    made = {"normal": normal, "worst": normal - (2 * y - 1) * generator.uniform(0, 2.5, size=N)}
    return made | {f"random.{k}": normal + 0.5 * generator.normal(size=N) for k in range(1, DRAWS + 1)}


def findings(check: str = "tiny", n: int = N, systems: Sequence[str] = (NETWORK, ESTABLISHED)) -> list[Finding]:
    """Rows at the judged level and at another, own and under another's change."""
    found = []
    for system in systems:
        made, y = drawn(system, "tiny"), labels()       # the unchanged scores are those of the system, whatever the check
        for i in range(n):
            extra = {f"score.{name}": float(v[i]) for name, v in made.items()} | {
                "label": float(y[i]), "already-wrong": float((made["normal"][i] > 0) != y[i])}
            own = Finding(
                check=check, system=system, role=ROLES[system], sample=f"s{i}", origin=system, origin_sample=f"s{i}",
                level=LEVEL, unit="share of the range, ℓ∞", metric="error-rate", better="lower",
                normal=extra["already-wrong"], average=0.1, average_low=0.0, average_high=1.0,
                worst=float((made["worst"][i] > 0) != y[i]), size=LEVEL, control_size=LEVEL, controls=DRAWS,
                stop=Stop.BUDGET, witness="w", extra=extra)
            other = dataclasses.replace(own, level=2 * LEVEL, extra={**extra, "score.worst": 0.0})
            moved = dataclasses.replace(own, origin=next(s for s in ROLES if s != system), extra={"score.worst": 9.0})
            found += [own, other, moved]
    return found


def folder(made: list[Finding], classes: Sequence[str] = ("well", "ill")) -> SyntheticFolder:
    plain = synthetic_audit.make(Path("audit"))
    header = {**plain.header, "profile": PROFILE, "data": {**plain.header["data"], "classes": list(classes)}}
    return dataclasses.replace(plain, rows=made, pictures=[], header=header)


def seen_as_tests(made: list[Finding], classes: Sequence[str] = ("well", "ill")) -> list[AsTest]:
    audit = folder(made, classes)
    return as_tests([r for r in compare(audit.verdicts(), PROFILE) if r.audited.n], made, audit.header)


def numbers_are_right(made: list[Finding]) -> None:
    (found,) = seen_as_tests(made)
    y = labels()
    assert (found.positives, found.negatives) == (int(y.sum()), int((1 - y).sum())) and found.samples == {
        f"s{i}" for i in range(N)}
    for system, told in ((NETWORK, found.audited), (ESTABLISHED, found.established)):
        scores = drawn(system, "tiny")
        false, true, _ = roc_curve(y, scores["normal"], drop_intermediate=False)
        assert told.unchanged.sensitivity.value == pytest.approx(true[1 - false >= 0.9].max())
        assert told.unchanged.specificity.value >= 0.9
        draws = [scores[f"random.{k}"] for k in range(1, DRAWS + 1)]
        for condition, seen in ((told.unchanged, [scores["normal"]]), (told.worst, [scores["worst"]]),
                                (told.random, draws)):
            area = np.mean([roc_auc_score(y, s) for s in seen])
            assert condition.auroc.value == pytest.approx(area)
            assert (condition.auroc.low, condition.auroc.high) == pytest.approx(
                auroc_interval(area, positives=int(y.sum()), negatives=int((1 - y).sum())))
            for which, share in ((1, condition.sensitivity), (0, condition.specificity)):
                expected = np.mean([recall_score(y, s >= told.threshold, pos_label=which) for s in seen])
                n = int((y == which).sum())
                assert share.value == pytest.approx(expected) and share.n == n
                assert (share.low, share.high) == pytest.approx(wilson(expected * n, n))


def test_numbers_are_those_of_scikit_learn():
    numbers_are_right(findings())


def changed(made: list[Finding], change: Callable[[Finding], dict[str, float] | None]) -> list[Finding]:
    """The rows with other extras, or without those for which `change` gives None."""
    return [dataclasses.replace(f, extra=extra) for f in made if (extra := change(f)) is not None]


@pytest.mark.parametrize("broken", [
    lambda f: None if f.extra.get("already-wrong") else f.extra,
    lambda f: {**f.extra, "score.worst": f.extra.get("score.normal", 0.0)},
    lambda f: {**f.extra, **{f"score.random.{k}": f.extra.get("score.random.1", 0.0) for k in (2, 3)}},
    lambda f: {**f.extra, "label": 1 - f.extra["label"]} if "label" in f.extra else f.extra,
], ids=["wrong ones left out", "worst is unchanged", "one draw for all", "the other class"])
def test_wrong_rows_are_caught(broken):
    with pytest.raises(AssertionError):
        numbers_are_right(changed(findings(), broken))


def test_a_threshold_chosen_again_in_each_condition_is_caught(monkeypatch):
    from assay.numerics import binary
    monkeypatch.setattr(binary, "sensitivity_at_threshold", lambda scores, truth, *, threshold:
                        binary.sensitivity_at_specificity(scores, truth, specificity=0.9).sensitivity)
    with pytest.raises(AssertionError):
        numbers_are_right(findings())


def test_a_score_averaged_over_draws_is_another_test():
    """Averaging takes the noise away that the system is judged under."""
    (found,) = seen_as_tests(findings())
    scores = drawn(NETWORK, "tiny")
    mean = np.mean([scores[f"random.{k}"] for k in range(1, DRAWS + 1)], axis=0)
    assert roc_auc_score(labels(), mean) > found.audited.random.auroc.value + 0.002


def test_answers_that_are_no_number_count_as_wrong():
    """Two positives and a negative answer NaN under the change, and one row raised: as if each had scored the other way."""
    def without(f: Finding) -> dict[str, float]:
        return {k: v for k, v in f.extra.items() if k != "score.worst" or f.sample not in ("s0", "s1", "s2")}
    made = changed(findings(), without)
    made = [Finding.empty(check="tiny", system=NETWORK, role="audited", sample="s5", unit=f.unit, metric=f.metric,
                          better="lower", level=LEVEL, stop=Stop.RAISED)
            if f.sample == "s5" and f.system == f.origin == NETWORK and f.level == LEVEL else f for f in made]
    (found,) = seen_as_tests(made)
    y, scores = labels(), drawn(NETWORK, "tiny")
    normal, worst = scores["normal"].copy(), scores["worst"].copy()
    assert y[[0, 1, 2, 5]].tolist() == [1, 1, 0, 1]
    worst[[0, 1, 5]], worst[2], normal[5] = -1e9, 1e9, -1e9
    assert found.audited.missing == 4 and len(found.samples) == N
    assert found.audited.unchanged.auroc.value == pytest.approx(roc_auc_score(y, normal))
    assert found.audited.worst.auroc.value == pytest.approx(roc_auc_score(y, worst))
    assert found.audited.worst.sensitivity.value == pytest.approx(recall_score(y, worst >= found.audited.threshold))
    audit = folder(made)
    told = warning_label.build(audit, audit.verdicts(), issued=NOW)
    assert told["as_test"]["system"]["missing"] == 4
    assert "Answers that were no number count as wrong (4)" in dict(row[:2] for row in rows(told))["As a test"]
    assert "4 answers of deep-cascade were no number" in html.render(audit, audit.verdicts())


@pytest.mark.parametrize("made", [
    [f for f in findings() if f.extra.get("label") != 1.0],
    changed(findings(), lambda f: {**f.extra, "label": 0.0} if "label" in f.extra else f.extra),
], ids=["the others left out", "all negative"])
def test_of_one_class_only_nothing_is_defined_and_nothing_breaks(made):
    (found,) = seen_as_tests([f for f in made if "label" in f.extra])
    assert found.audited is found.established is None and found.positives == 0 and found.prevalence == 0
    audit = folder(made)
    told = warning_label.build(audit, audit.verdicts(), issued=NOW)
    assert told["as_test"]["system"]["unchanged"] is None
    text = dict(row[:2] for row in rows(told))["As a test"]
    assert text == f"0 of {found.negatives} samples (0 %) are “ill”: not defined, one class only."
    assert "not defined: one class only" in html.render(audit, audit.verdicts())
    assert warning_label.differences(told, audit, audit.verdicts()) == []


def test_where_nothing_can_be_called_positive_the_label_has_no_threshold():
    made = changed(findings(), lambda f: {**f.extra, "score.normal": -f.extra["label"]} if "label" in f.extra else f.extra)
    (found,) = seen_as_tests(made)
    assert math.isinf(found.audited.threshold) and found.audited.unchanged.sensitivity.value == 0
    audit = folder(made)
    told = warning_label.build(audit, audit.verdicts(), issued=NOW)
    assert told["as_test"]["system"]["threshold"] is None
    assert "no threshold" in html.render(audit, audit.verdicts())


@pytest.mark.parametrize(("made", "classes"), [
    (findings(), ("a", "b", "c")), (findings(), ()), (changed(findings(), lambda f: {"label": 1.0}), ("a", "b"))],
    ids=["three classes", "no classes", "rows without scores"])
def test_other_audits_tell_nothing(made, classes):
    audit = folder(made, classes)
    assert seen_as_tests(made, classes) == []
    told = warning_label.build(audit, audit.verdicts(), issued=NOW)
    assert told["as_test"] is None and "As a test" not in dict(row[:2] for row in rows(told))
    assert "as-a-test" not in html.render(audit, audit.verdicts())


def test_checks_on_other_samples_have_a_table_of_their_own():
    made = [*findings(), *findings("part", 40)]
    first, second = seen_as_tests(made)
    assert [len(group) for group in populations([first, second])] == [1, 1] and len(second.samples) == 40
    same = seen_as_tests([*findings(), *findings("part")])
    assert [len(group) for group in populations(same)] == [2] and same[0].audited.threshold == same[1].audited.threshold
    rows_ = compare(folder(made).verdicts(), PROFILE)
    assert told_with([first, second], rows_[1], "tiny") is second
    assert told_with([first, second], None, "tiny") is told_with([second, first], None, "tiny") is first
    assert told_with([second], rows_[0], "tiny") is second and told_with([], None, "tiny") is None
    page = html.render(folder(made), folder(made).verdicts())
    assert "70 samples: 28 of “ill”" in page and "40 samples: 16 of “ill”" in page


def label_of(made: list[Finding]) -> dict[str, Any]:
    audit = folder(made)
    return warning_label.build(audit, audit.verdicts(), issued=NOW)


def test_the_label_says_it_in_a_few_words_and_the_terminal_too():
    made = findings()
    label, audit = label_of(made), folder(made)
    text = dict(row[:2] for row in rows(label))["As a test"]
    (found,) = seen_as_tests(made)
    assert text.startswith("28 of 70 samples (40 %) are “ill”; all count, those wrong without change too. AUROC 0.8")
    assert f"worst found {found.audited.worst.auroc.value:.2f}" in text
    assert "90 % specificity" in text and "optimistic" in text
    assert f"Established method (total-variation): AUROC {found.established.unchanged.auroc.value:.2f}" in text
    assert "A change of 6 %: AUROC" in as_test_text(label["as_test"])
    stream = io.StringIO()
    Console(file=stream, width=3000, color_system=None).print(terminal.summary(audit, audit.verdicts()))
    assert as_test_text(label["as_test"]) in stream.getvalue()


@pytest.mark.parametrize(("path", "value"), [
    (("prevalence",), 1.2), (("positives",), -1), (("system", "worst_case", "auroc", "value"), "0.4"),
    (("system", "unchanged", "sensitivity"), 0.9), (("grade",), "A"), (("positive",), "")])
def test_the_schema_refuses_what_is_no_such_field(path, value):
    label = label_of(findings())
    *parents, last = path
    inner = label["as_test"]
    for name in parents:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(LabelError, match="as_test"):
        warning_label.validate(label)


def test_names_of_classes_stay_text():
    audit = folder(findings(), classes=("well", HOSTILE))
    page = html.render(audit, audit.verdicts())
    assert "<script>alert" not in page and "\x1b" not in page
    label = warning_label.build(audit, audit.verdicts(), issued=NOW)
    assert "\x1b" not in as_test_text(label["as_test"]) and "\u202e" not in as_test_text(label["as_test"])


def brings_back(told: Any, scores: dict[str, np.ndarray]) -> None:
    """No lower threshold among the scores would do, and the share found there is that of the unchanged positives."""
    y = labels()
    allowed = int((scores["normal"][y == 0] >= told.threshold).sum())
    tried = [t for t in sorted({*scores["worst"].tolist(), *np.nextafter(scores["worst"], np.inf).tolist()})
             if int((scores["worst"][y == 0] >= t).sum()) <= allowed]
    assert max(s for s in [-np.inf, *scores["worst"]] if s < tried[0]) < told.restored.threshold <= tried[0]
    assert told.restored.threshold > told.threshold
    share = float((scores["normal"][y == 1] >= told.restored.threshold).mean())
    assert told.restored.sensitivity.value == pytest.approx(share) and share < told.unchanged.sensitivity.value
    assert (told.restored.sensitivity.low, told.restored.sensitivity.high) == pytest.approx(
        wilson(share * y.sum(), int(y.sum())))


def test_the_threshold_that_brings_false_alarms_back_is_the_least_that_does():
    (found,) = seen_as_tests(findings())
    for system, told in ((NETWORK, found.audited), (ESTABLISHED, found.established)):
        brings_back(told, drawn(system, "tiny"))
        with pytest.raises(AssertionError):         # that of the unchanged scores brings nothing back
            brings_back(dataclasses.replace(told, restored=dataclasses.replace(told.restored, threshold=told.threshold)),
                        drawn(system, "tiny"))


def test_where_no_more_false_alarms_are_raised_there_is_nothing_to_bring_back():
    same = changed(findings(), lambda f: {**f.extra, "score.worst": f.extra.get("score.normal", 0.0)})
    (found,) = seen_as_tests(same)
    assert found.audited.restored is None and found.established.restored is None
    assert "the threshold of" not in html.render(folder(same), folder(same).verdicts())
    assert "the threshold of" in html.render(folder(findings()), folder(findings()).verdicts())
