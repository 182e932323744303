"""A linear classifier audited from end to end, where every answer is known; and classifiers that misbehave."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from torch import Tensor

import assay
import small_classifier as small
from assay.api import verify
from assay.arrays import InputError
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.unchanged import counted_apart_wrongly
from assay.records import Access, Outcome, Verdict
from assay.systems.function import FunctionSystem
from assay.systems.torch import TorchSystem

RIGHT = small.N - small.WRONG


class WrongSign(small.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x.detach() - x)


class Softmax(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores.softmax(1)


class Constant(small.Linear):
    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0, 0.0]).expand(len(x), 3) + 0 * scores


def verdicts(audit: assay.Audit) -> dict[str, Verdict]:
    return {v.check: v for v in audit.verdicts}


def flags(verdict: Verdict) -> set[str]:
    return {flag.id for flag in verdict.flags}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> assay.Audit:
    return small.audited(TorchSystem(small.Linear(), name="linear"), tmp_path_factory.mktemp("linear"))


def bounded_fires_within_the_distance(rows) -> None:
    assert len(rows) == 2 * small.N
    distance = {f.sample: float(d) for f, d in zip([f for f in rows if f.level == rows[0].level], small.distances(),
                                                   strict=True)}
    for f in rows:
        if f.extra["already-wrong"]:
            assert f.normal == f.worst == 1.0
        else:
            assert (f.normal, f.worst) == (0.0, float(distance[f.sample] < f.level)), (f.sample, f.level)
            assert f.size <= f.level * (1 + 1e-5)


def test_the_bounded_check_fires_exactly_where_the_distance_is_smaller(finished):
    rows = small.rows(finished, "tiny-energy")
    bounded_fires_within_the_distance(rows)
    fired = int((small.distances()[:RIGHT] < small.radius()).sum())
    found = verdicts(finished)["tiny-energy"]
    assert (found.outcome, found.n, found.harmed) == (Outcome.UNSTABLE, RIGHT, fired) and 0 < fired < RIGHT
    assert found.witnesses > 0 and not flags(found)


def test_broken_rows_are_caught(finished):
    import dataclasses

    rows = small.rows(finished, "tiny-energy")
    for i in (0, 5, len(rows) - 1):
        broken = [*rows[:i], dataclasses.replace(rows[i], worst=1.0 - rows[i].worst), *rows[i + 1:]]
        with pytest.raises(AssertionError):
            bounded_fires_within_the_distance(broken)


def test_the_smallest_flip_is_the_distance_to_the_hyperplane(finished):
    x, _ = small.images()
    known = small.distances() / x.flatten(1).double().norm(dim=1)
    rows = small.rows(finished, "smallest-flip")
    for f, exact in zip(rows[:RIGHT], known.tolist(), strict=False):
        assert abs(f.worst - exact) < 1e-3 and exact * (1 - 1e-6) <= f.worst <= 1.002 * exact
    found, within = verdicts(finished)["smallest-flip"], sum(k <= 0.05 for k in known[:RIGHT].tolist())
    assert (found.outcome, found.n, found.harmed) == (Outcome.UNSTABLE, RIGHT, within)


def test_what_was_wrong_without_change_is_counted_apart(finished):
    found = verdicts(finished)
    for check in ("tiny-energy", "smallest-flip", "boundary"):
        apart = [f for f in small.rows(finished, check) if f.extra["already-wrong"]]
        assert len({f.sample for f in apart}) == small.WRONG
        assert f"{small.WRONG} more were wrong without any change and are counted apart" in found[check].reason
    assert found["tiny-energy"].normal == pytest.approx(small.WRONG / small.N)          # accuracy stays on the label


def test_a_measurement_is_told_and_accuses_nobody(finished):
    found = verdicts(finished)["boundary"]
    assert found.outcome is Outcome.NOT_APPLICABLE and f"{RIGHT} samples were measured" in found.reason
    assert found.measured == RIGHT and (found.n, found.harmed) == (0, 0) and 0.3 < found.average < 2
    label = json.loads((finished.folder / "warning_label.json").read_text(encoding="utf-8"))
    assert any("a measurement, not a test" in line for line in label["not_tested"])


def test_label_and_report_say_what_was_decided(finished):
    for name in ("warning_label.json", "warning_label.svg", "warning_label.png", "warning_label.txt", "report.html"):
        assert (finished.folder / name).stat().st_size > 0
    label, page = finished.warning_label, (finished.folder / "report.html").read_text(encoding="utf-8")
    assert label["headline"]["signal"] == "CAUTION" and label["subject"]["task"] == "image-classification"
    found = verdicts(finished)["tiny-energy"]
    assert label["results"]["harmed"] == {"count": found.harmed, "n": found.n,
                                          "rate95": pytest.approx([found.rate_low, found.rate_high])}
    row = next(f for f in small.rows(finished, "tiny-energy") if f.sample in finished.store.plan["units"][0]["samples"][:4]
               and f.extra["decision.worst"] != f.extra["decision.normal"])
    for when in ("normal", "worst"):
        assert f"“{int(row.extra[f'decision.{when}'])}”" in page or f"class {int(row.extra[f'decision.{when}'])}" in page
    assert "right: " in page and "Original + change" in page


def test_the_folder_verifies_and_its_witnesses_replay(finished, tmp_path):
    claims = verify(finished.folder)
    assert claims and all(c.holds for c in claims if "built again" not in c.claim), [c for c in claims if not c.holds]
    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    witnesses = next((copy / "witnesses").glob("smallest-flip*"))
    witnesses.write_bytes(witnesses.read_bytes()[:-1] + b"!")
    assert not all(c.holds for c in verify(copy))


def test_stored_witnesses_replay_to_the_recorded_numbers(finished):
    """Through the same code as `assay verify`, which cannot itself build a system that lives in memory."""
    from assay.api import session_for
    from assay.audits.replayed_rows import differing, replays, undeclared

    folder = finished.folder.parent
    session = session_for(TorchSystem(small.Linear(), name="linear"), small.data(folder), profile=str(folder / "small.toml"),
                          budget="standard", established=("none",), seed=0)
    count = 0
    for finding, numbers in replays(finished.store, session, everything=True):
        count += 1
        assert not differing(finding, numbers), finding.key
        method = session.checks()[finding.check].method
        assert finding.origin != finding.system or not undeclared(finding, method, numbers)
    assert count >= 8
    told, wrong = counted_apart_wrongly(finished.store.findings(), session, session.bench())
    assert told > 3 * small.N and wrong == []


def test_a_replay_sees_rows_that_are_falsely_counted_apart(finished):
    """In every check, with a witness or without; a decision by a hair may turn on another processor and proves nothing."""
    from assay.api import session_for

    class Hair(small.Linear):
        def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
            return 1e-6 * scores + torch.tensor([1.0, 1.0, 1.0])

    folder, rows = finished.folder.parent, finished.store.findings()
    for module, seen in ((small.Linear(), True), (Hair(), False)):
        session = session_for(TorchSystem(module, name="linear"), small.data(folder), profile=str(folder / "small.toml"),
                              budget="standard", established=("none",), seed=0)
        mine = [i for i, f in enumerate(rows) if f.origin == f.system and "already-wrong" in f.extra]
        for check in {rows[i].check for i in mine}:
            i = next(i for i in mine if rows[i].check == check and not rows[i].extra["already-wrong"])
            lie = [*rows[:i], dataclasses.replace(rows[i], worst=None, witness=None, extra={
                **rows[i].extra, "already-wrong": 1.0}), *rows[i + 1:]]
            wrong = counted_apart_wrongly(lie, session, session.bench())[1]
            assert (len(wrong) == 1 and check in wrong[0] and "rightly without change" in wrong[0]) if seen else wrong == []


def test_a_system_and_data_of_different_tasks_are_refused():
    with pytest.raises(InputError, match="do not go together"):
        session_from(Recipe(systems=("lenet",), data="bundled:brain"))
    with pytest.raises(InputError, match="unknown bundled set"):
        session_from(Recipe(systems=("lenet",), data="bundled:letters"))


def test_an_audit_without_established_method_verifies(tmp_path):
    """Built again from its words it has no established method either: "none" is not "whatever is usual"."""
    session = session_from(Recipe(systems=("multinomial",), established=("none",), limit=6))
    again = session_from(session.recipe)
    assert [s.record.name for s in session.systems] == [s.record.name for s in again.systems] == ["multinomial"]
    audit = assay.audit("multinomial", "bundled:digits", profile=small.profile(tmp_path), established=("none",), limit=6,
                        out=tmp_path / "audit")
    assert all(c.holds for c in verify(audit.folder)), [c for c in verify(audit.folder) if not c.holds]


def test_nothing_is_set_aside_and_the_established_one_stands_beside():
    session = session_from(Recipe(systems=("lenet",), limit=6))
    assert [s.record.name for s in session.systems] == ["lenet", "hog-svm"] and len(session.data.ids) == 6
    assert session.shard == 50 and session.data.record.task == "classification"


def test_a_constant_classifier_is_inconclusive(tmp_path):
    audit = small.audited(TorchSystem(Constant(), name="constant"), tmp_path)
    found = verdicts(audit)
    assert all(v.outcome is Outcome.INCONCLUSIVE for v in found.values()), found
    assert all("constant-decision" in flags(v) for v in found.values())
    assert audit.warning_label["headline"]["signal"] == "NOTICE"


def test_softmax_outputs_are_flagged_and_still_searched(tmp_path):
    found = verdicts(small.audited(TorchSystem(Softmax(), name="softmax"), tmp_path))
    assert all("probabilities" in flags(v) for v in found.values())
    assert found["tiny-energy"].outcome is Outcome.UNSTABLE                     # harm that was found remains found
    assert "in doubt for some: probabilities" in found["boundary"].reason


def test_a_gradient_of_the_wrong_sign_is_flagged(tmp_path):
    found = verdicts(small.audited(TorchSystem(WrongSign(), name="wrong-sign"), tmp_path))
    assert all("gradient-mismatch" in flags(v) for v in found.values())
    assert all(v.outcome is not Outcome.NONE_FOUND for v in found.values())
    exact = int((small.distances()[:RIGHT] < small.radius()).sum())
    assert found["tiny-energy"].harmed <= exact                                # nothing is invented


def test_a_classifier_without_gradients_is_searched_by_queries_and_says_so(tmp_path):
    audit = small.audited(FunctionSystem(lambda x: small.Linear()(x), name="black-box", access=Access.SCORE), tmp_path)
    found = verdicts(audit)
    assert "query-only" in flags(found["tiny-energy"])
    assert found["tiny-energy"].outcome in (Outcome.UNSTABLE, Outcome.INCONCLUSIVE)
    assert found["boundary"].outcome is Outcome.NOT_APPLICABLE and "needs gradients" in found["boundary"].reason
    distance = small.distances().tolist()
    for i, f in enumerate(f for f in small.rows(audit, "tiny-energy") if f.level == pytest.approx(small.radius(), rel=1e-4)):
        assert f.extra["already-wrong"] or f.worst <= float(distance[i] < f.level)
    flip = found["smallest-flip"]
    assert flip.outcome is not Outcome.NONE_FOUND
