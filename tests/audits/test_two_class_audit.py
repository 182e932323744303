"""An audit of two classes, end to end: a linear score whose worst case has a closed form, read as a test for class 1."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import assay
import small_classifier as small
from assay.api import session_for, verify
from assay.audits.replayed_rows import differing, replays
from assay.checks import worst_case
from assay.checks.check import Bench, Check
from assay.checks.operating_point import enough
from assay.datasets.labelled import load_labelled
from assay.numerics import binary
from assay.perturbations.protocol import Examples
from assay.reports import exports
from assay.reports.comparison import compare
from assay.reports.two_classes import AsTest, as_tests
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

N, RADIUS, BIAS = 40, 0.04, 0.5
CHECK = Check(id="tiny", title="", question="", method="worst-case", metric="error-rate", criterion={}, sources=(),
              search={"kind": "bounded"})
PROFILE = """
id = "two"
task = "classification"
title = "Two"
community = "research"
version = "0.1"
rate = 0.05
headline = "tiny"
not_tested = ["Everything else"]
actions = ["Look at the numbers."]

[[checks]]
id = "tiny"
title = "Tiny change"
question = "How many decisions turn wrong?"
method = "worst-case"
perturbation = {{ kind = "inputs", norm = "l2", relative = false }}
unit = "ℓ2"
plain = "a change of {{level}}"
levels = [{radius!r}]
search = {{ kind = "bounded", steps = 15, restarts = 1, climbs = ["margin"], query = 20 }}
metric = "error-rate"
controls = 3
sources = ["a test"]
criterion = {{ kind = "grows", level = {radius!r}, absolute = 0.5, sentence = "a right decision became wrong" }}
"""


class Linear(nn.Module):
    """Scores (0, w·x + b): class 1 is named too readily, so its operating point lies above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(36, generator=torch.Generator().manual_seed(3)))

    def forward(self, x: Tensor) -> Tensor:
        score = (x.flatten(1) - 0.5) @ self.w + BIAS
        return torch.stack((torch.zeros_like(score), score), dim=1)


class Weaker(Linear):
    """Half as steep."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


def samples() -> tuple[Tensor, Tensor]:
    """Images far from both ends of the range, and labels that agree with the score but for noise."""
    generator = torch.Generator().manual_seed(1)
    x = 0.5 + 0.1 * torch.randn(N, 1, 6, 6, generator=generator)
    noisy = Linear()(x)[:, 1] - BIAS + 0.3 * torch.randn(N, generator=generator)
    return x, (noisy > 0.2).long()


def scores() -> tuple[np.ndarray, np.ndarray]:
    x, label = samples()
    return Linear()(x)[:, 1].detach().double().numpy(), label.numpy()


def data(folder: Path):
    x, label = samples()
    np.savez(folder / "two.npz", images=x[:, 0].numpy(), labels=label.numpy())
    return load_labelled(folder / "two.npz", classes=("well", "ill"))


def audited(folder: Path) -> assay.Audit:
    (folder / "two.toml").write_text(PROFILE.format(radius=RADIUS), encoding="utf-8")
    return assay.audit(TorchSystem(Linear(), name="linear"), data(folder), profile=str(folder / "two.toml"),
                       established=(TorchSystem(Weaker(), name="weaker"),), out=folder / "audit")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> assay.Audit:
    return audited(tmp_path_factory.mktemp("two"))


def told(audit: assay.Audit) -> AsTest:
    rows = compare(audit.verdicts, audit.header["profile"])
    (found,) = as_tests(rows, audit.store.findings(), audit.header)
    return found


def worst_shares_are_those_of_the_closed_form(found: AsTest) -> None:
    """Within ‖δ‖ ≤ ε a linear score moves by at most ε‖w‖: so many stay on their side of the threshold, and no fewer."""
    s, y = scores()
    reach, t = RADIUS * float(Linear().w.detach().norm()), found.audited.threshold
    assert abs(t) > 0.5                                        # the operating point is not the system's own boundary
    assert min(abs(s - reach - t)[y == 1].min(), abs(s + reach - t)[y == 0].min()) > 0.01 * reach    # no case is close
    assert found.audited.worst.sensitivity.value == pytest.approx((s[y == 1] - reach >= t).mean())
    assert found.audited.worst.specificity.value == pytest.approx((s[y == 0] + reach < t).mean())
    assert 0 < found.audited.worst.sensitivity.value < found.audited.unchanged.sensitivity.value
    assert 0 < found.audited.worst.specificity.value < found.audited.unchanged.specificity.value


def test_worst_shares_are_those_of_the_closed_form(finished):
    worst_shares_are_those_of_the_closed_form(told(finished))


def test_a_search_that_stops_at_the_systems_own_boundary_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(worst_case, "enough", lambda *anything: None)
    with pytest.raises(AssertionError):
        worst_shares_are_those_of_the_closed_form(told(audited(tmp_path)))


def test_areas_are_those_of_the_scores(finished):
    found, (s, y) = told(finished), scores()
    assert (found.positives, found.negatives) == (y.sum(), N - y.sum())
    assert found.prevalence == y.mean() and found.majority_accuracy == max(y.mean(), 1 - y.mean())
    assert found.audited.unchanged.auroc.value == pytest.approx(roc_auc_score(y, s))
    reach = RADIUS * float(Linear().w.detach().norm())
    least = roc_auc_score(y, s + np.where(y == 1, -reach, reach))
    assert least <= found.audited.worst.auroc.value < found.audited.random.auroc.value
    assert found.established.unchanged.auroc.value == pytest.approx(roc_auc_score(y, s))         # the order is the same
    assert found.established.threshold == pytest.approx(found.audited.threshold / 2, rel=1e-5)


def test_rows_of_two_classes_carry_scores_and_the_profile_says_nothing_of_them(finished):
    assert not any("extra_metrics" in check for check in finished.header["profile"]["checks"])
    known = dict(zip(data(finished.folder.parent).ids, scores()[0], strict=True))
    for row in finished.store.findings():
        own = row.origin == row.system
        assert {f"score.random.{k}" for k in (1, 2, 3)} <= set(row.extra) or not own
        assert "score.worst" in row.extra and ("score.normal" in row.extra) == own
        if own:
            scale = 1 if row.system == "linear" else 2
            assert row.extra["score.normal"] * scale == pytest.approx(known[row.sample], abs=1e-5)
            assert row.extra["score.average"] == pytest.approx(np.mean([row.extra[f"score.random.{k}"] for k in (1, 2, 3)]))


def test_rows_of_more_classes_carry_none(tmp_path):
    audit = small.audited(TorchSystem(small.Linear(), name="linear"), tmp_path)
    assert not any(name.startswith("score") for row in audit.store.findings() for name in row.extra)
    assert audit.warning_label["as_test"] is None and "As a test" not in audit.report().read_text(encoding="utf-8")
    assert exports.json_object(audit.store, audit.verdicts)["as_test"] == []


def test_label_report_and_json_tell_it_and_verify(finished):
    label, found = finished.warning_label, told(finished)
    field = label["as_test"]
    assert (field["positive"], field["negative"], field["check"]) == ("ill", "well", "tiny")
    assert field["system"]["worst_case"]["sensitivity"]["value"] == pytest.approx(found.audited.worst.sensitivity.value)
    assert field["established"]["name"] == "weaker"
    assert exports.json_object(finished.store, finished.verdicts)["as_test"] == [field]
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "As a test for “ill”" in page and "weaker (established)" in page and "that is optimistic" in page
    text = " ".join((finished.folder / "warning_label.txt").read_text(encoding="utf-8").split())
    assert f"{found.positives} of {N} samples" in text and "Established method (weaker): AUROC" in text
    claims = verify(finished.folder)
    assert all(c.holds for c in claims if "built again" not in c.claim), [c for c in claims if not c.holds]


def test_a_label_with_another_sensitivity_is_found_out(finished):
    from assay.reports import warning_label

    label = json.loads((finished.folder / "warning_label.json").read_text(encoding="utf-8"))
    label["as_test"]["system"]["worst_case"]["sensitivity"]["value"] = 0.9
    assert warning_label.differences(label, finished.store, finished.verdicts) == [
        "as_test.system.worst_case.sensitivity.value"]


@pytest.mark.parametrize("field", ["score.normal", "score.worst", "score.random.2", "label"])
def test_replaying_a_witness_finds_out_a_changed_row(finished, field):
    folder = finished.folder.parent
    session = session_for(TorchSystem(Linear(), name="linear"), data(folder), profile=str(folder / "two.toml"),
                          budget="standard", established=(TorchSystem(Weaker(), name="weaker"),), seed=0)
    replayed = [(row, numbers) for row, numbers in replays(finished.store, session) if row.origin == row.system]
    assert replayed
    for row, numbers in replayed:
        assert not differing(row, numbers)
        forged = dataclasses.replace(row, extra={**row.extra, field: row.extra[field] + 0.5})
        assert [line.split(" ")[0] for line in differing(forged, numbers)] == [field]


def bench(system, truth: Tensor, classes: tuple[str, ...] = ("well", "ill")) -> Bench:
    x, _ = samples()

    def fetch(positions: tuple[int, ...]) -> Examples:
        return Examples(ids=tuple(map(str, positions)), inputs=x[list(positions)], truth=truth[list(positions)],
                        box=(0.0, 1.0))
    return Bench(systems={"s": Metered(system, name="s")}, roles={"s": "audited"}, seed=0, families={}, fetch=fetch, count=N,
                 classes=classes)


def test_the_goal_lies_beyond_both_boundaries():
    s, y = scores()
    made = bench(TorchSystem(Linear(), name="s"), samples()[1])
    goals = enough(CHECK, "s", made, made.fetch(tuple(range(N)))).numpy()
    threshold = goals[y == 0].max()
    assert set(goals[y == 1]) == {0.0} and set(goals[y == 0]) == {threshold}
    assert (s[y == 0] < threshold).mean() >= 0.9 > (s[y == 0] < s[(s < threshold) & (y == 1)].max()).mean()
    few = enough(dataclasses.replace(CHECK, samples=20), "s", made, made.fetch((0, 1)))
    assert few.shape == (2,) and set(few.tolist()) != {0.0, float(threshold)}


@pytest.mark.parametrize(("classes", "truth", "change"), [
    (("a", "b", "c"), samples()[1], {}), (("a", "b"), torch.ones(N, dtype=torch.long), {}),
    (("a", "b"), samples()[1], {"metric": "changed-decisions"}), (("a", "b"), samples()[1], {"search": {"kind": "random"}})],
    ids=["three classes", "one class only", "another metric", "a search that does not stop"])
def test_elsewhere_the_metrics_own_goal_stands(classes, truth, change):
    made = bench(TorchSystem(Linear(), name="s"), truth, classes)
    assert enough(dataclasses.replace(CHECK, **change), "s", made, made.fetch((0, 1))) is None


def test_samples_on_which_the_system_raises_do_not_stop_the_others():
    x, y = samples()
    brightest = int(x[:, 0, 0, 0].argmax())

    def fragile(inputs: Tensor) -> Tensor:
        if bool((inputs[:, 0, 0, 0] >= x[brightest, 0, 0, 0]).any()):
            raise RuntimeError("too bright")
        return Linear()(inputs)
    made = bench(FunctionSystem(fragile, name="s"), y)
    known = scores()[0].copy()
    known[brightest] = np.inf if y[brightest] == 0 else -np.inf
    expected = binary.sensitivity_at_specificity(known, y, specificity=0.9).threshold
    goals = enough(CHECK, "s", made, made.fetch(tuple(range(N))))
    assert goals is not None and goals.max().item() == pytest.approx(expected) and expected > 0
