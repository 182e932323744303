"""Numbers of decisions against second implementations in numpy, at ties and ends, and metrics that are broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.metrics import protocol
from assay.metrics.classification import CLIMBS, confidence, decision, flip_distance, input_scale, positive_score, wrong
from assay.metrics.protocol import Response
from assay.perturbations.protocol import Examples

GENERATOR = torch.Generator().manual_seed(0)
SCORES = 5 * torch.randn(40, 7, generator=GENERATOR)
LABEL = torch.randint(7, (40,), generator=GENERATOR)
X = torch.rand(40, 1, 3, 4, generator=GENERATOR)
CHANGE = 0.1 * torch.randn(40, 1, 3, 4, generator=GENERATOR)


def response(scores: Tensor = SCORES, label: Tensor | None = LABEL, *, normal: Tensor = SCORES, change: Tensor = CHANGE,
             box: tuple[float, float] | None = (0.0, 1.0)) -> Response:
    x = Examples(ids=tuple(map(str, range(len(scores)))), inputs=X[: len(scores)], truth=label, box=box)
    return Response(output=scores, normal=normal, original=x,
                    changed=x.changed(inputs=x.inputs + change[: len(scores)], truth=label))


def same_as_numpy(decide, sure, is_wrong) -> None:
    z = SCORES.double().numpy()
    odds = np.exp(z - z.max(1, keepdims=True))
    assert decide(SCORES).tolist() == [int(np.flatnonzero(row == row.max())[0]) for row in z]
    np.testing.assert_allclose(sure(SCORES).numpy(), odds.max(1) / odds.sum(1), rtol=1e-12)
    assert is_wrong(SCORES, LABEL).tolist() == [float(i != j) for i, j in zip(z.argmax(1), LABEL.tolist(), strict=True)]
    ties = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert decide(ties).tolist() == [1, 0] and is_wrong(ties, torch.tensor([2, 0])).tolist() == [1.0, 0.0]
    assert sure(torch.tensor([[1e4, 0.0], [-1e4, -1e4]])).tolist() == [1.0, 0.5]


def test_decisions_and_confidence():
    same_as_numpy(decision, confidence, wrong)


@pytest.mark.parametrize("broken", [
    (lambda s: s.shape[1] - 1 - s.flip(1).argmax(1), confidence, wrong),                    # the last of equal ones
    (decision, lambda s: s.double().sigmoid().amax(1), wrong),
    (decision, lambda s: s.double().exp().amax(1) / s.double().exp().sum(1), wrong),        # overflows
    (decision, confidence, lambda s, y: 1 - wrong(s, y)),
    (decision, confidence, lambda s, y: (s.gather(1, y[:, None])[:, 0] < s.amax(1)).double()),
], ids=["last of ties", "sigmoid", "overflow", "right", "ties are right"])
def test_broken_decisions_are_caught(broken):
    with pytest.raises(AssertionError):
        same_as_numpy(*broken)


def is_the_log_odds_of_class_1(compute) -> None:
    for scores in (SCORES, SCORES[:, :2]):
        z = scores.double().numpy()
        p = np.exp(z[:, 1]) / np.exp(z).sum(1)
        np.testing.assert_allclose(compute(scores).numpy(), np.log(p / (1 - p)), rtol=1e-9, atol=1e-12)
    assert compute(torch.tensor([[0.0, 200.0], [1e4, 0.0]])).tolist() == [200.0, -1e4]
    assert torch.equal(compute(SCORES[:, :2]) > 0, decision(SCORES[:, :2]) == 1)


def test_the_score_of_class_1_is_its_log_odds():
    is_the_log_odds_of_class_1(positive_score)
    ends = positive_score(torch.tensor([[0.0, torch.inf], [torch.inf, 0.0], [torch.nan, 0.0], [torch.inf, torch.inf]]))
    assert 1e38 < ends[0] == -ends[1] < torch.inf and bool(ends[2:].isnan().all())


@pytest.mark.parametrize("broken", [
    lambda s: s[:, 1].double(), lambda s: (s[:, 0] - s[:, 1]).double(), lambda s: s.double().softmax(1)[:, 1],
    lambda s: s.double().softmax(1)[:, 1].logit(),
], ids=["one logit", "class 0", "probability", "overflow"])
def test_a_wrong_score_is_caught(broken):
    with pytest.raises(AssertionError):
        is_the_log_odds_of_class_1(broken)


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_the_flip_distance_is_the_relative_size_where_wrong_and_infinite_elsewhere(kind):
    box = (-1.0, 3.0)
    found = flip_distance(response(box=box), kind)
    moved = ((X + CHANGE) - X).double().numpy().reshape(40, -1)
    if kind == "l2":
        expected = np.linalg.norm(moved, axis=1) / np.linalg.norm(X.double().numpy().reshape(40, -1), axis=1)
    else:
        expected = np.abs(moved).max(1) / 4
    right = SCORES.argmax(1) == LABEL
    assert 0 < int(right.sum()) < 40 and bool((found.isinf() == right).all())
    np.testing.assert_allclose(found[~right].numpy(), expected[~right.numpy()], rtol=1e-6)
    assert protocol.find(f"flip-distance-{kind}").compute(response(box=box)).tolist() == found.tolist()


def test_scales():
    x = response().original
    assert input_scale(x, "linf").tolist() == [1.0] * 40
    torch.testing.assert_close(input_scale(x, "l2"), X.flatten(1).double().norm(dim=1), rtol=1e-6, atol=0.0)
    assert bool((input_scale(Examples(ids=("a",), inputs=torch.zeros(1, 2)), "l2") > 0).all())
    with pytest.raises(InputError, match="range"):
        input_scale(response(box=None).original, "linf")


def test_the_error_rate_ranks_by_the_margin_and_has_its_goal_at_the_boundary():
    metric = protocol.find("error-rate")
    assert metric.compute(response()).tolist() == wrong(SCORES, LABEL).tolist()
    others = SCORES.scatter(1, LABEL[:, None], -torch.inf).amax(1)
    margin = others - SCORES.gather(1, LABEL[:, None])[:, 0]
    assert metric.harm(response()).tolist() == metric.climbed(response()).tolist() == margin.tolist()
    assert ((margin > metric.goal).double() == metric.compute(response())).all()
    odds = torch.logsumexp(SCORES.scatter(1, LABEL[:, None], -torch.inf), 1) - SCORES.gather(1, LABEL[:, None])[:, 0]
    torch.testing.assert_close(metric.climbed(response(), "log-odds"), odds)
    assert bool((metric.climbed(response(), "log-odds") >= margin).all())      # above the margin: same sign is not promised
    with pytest.raises(InputError, match="'entropy' to climb"):
        metric.climbed(response(), "entropy")


def test_changed_decisions_ask_nobody_for_the_truth():
    metric = protocol.find("changed-decisions")
    normal = SCORES.roll(1, 0)
    found = metric.compute(response(normal=normal, label=None))
    assert found.tolist() == (SCORES.argmax(1) != normal.argmax(1)).double().tolist() and 0 < float(found.sum()) < 40
    assert bool(((metric.harm(response(normal=normal, label=None)) > metric.goal) == found.bool()).all())
    assert metric.compute(response()).tolist() == [0.0] * 40


def test_numbers_reported_beside():
    assert protocol.find("decision").compute(response()).tolist() == SCORES.argmax(1).tolist()
    assert protocol.find("confidence").compute(response()).tolist() == confidence(SCORES).tolist()


@pytest.mark.parametrize(("scores", "label", "words"), [
    (torch.zeros(4, 2, 2), torch.zeros(4, dtype=torch.long), r"real scores \(batch, classes\)"),
    (torch.zeros(4, 2, dtype=torch.complex64), torch.zeros(4, dtype=torch.long), "real scores"),
    (torch.zeros(4, 2, dtype=torch.long), torch.zeros(4, dtype=torch.long), "torch.int64"),
    (torch.zeros(4, 2), torch.zeros(4), "whole numbers"),
    (torch.zeros(4, 2), torch.zeros(4, 2, dtype=torch.long), "whole numbers"),
    (torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]), "label 2 is out of range: the system has 2 classes, 0 to 1"),
])
def test_outputs_that_are_no_scores_and_labels_that_are_no_classes(scores, label, words):
    for name in ("error-rate", "flip-distance-l2"):
        with pytest.raises(InputError, match=words):
            protocol.find(name).compute(response(scores, label))


def test_each_rival_in_turn_is_climbed_and_the_last_stands_for_those_that_are_missing():
    metric = protocol.METRICS["error-rate"]
    scores, normal = torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[9.0, 3.0, 4.0]])
    x = Examples(ids=("a",), inputs=torch.zeros(1, 2), truth=torch.tensor([0]))
    seen = Response(output=scores, changed=x, normal=normal, original=x)
    assert [float(metric.climbed(seen, f"rival-{place}")) for place in (1, 2, 3)] == [1.0, 4.0, 4.0]


def test_of_two_classes_the_dlr_that_is_climbed_is_the_margin():
    """It needs a third class; a search that climbs it among others would lose the example to an error instead."""
    two, three = torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])
    label = torch.tensor([0])

    def climbed(scores):
        x = Examples(ids=("a",), inputs=torch.zeros(1, 1), truth=label)
        return float(CLIMBS["dlr"](Response(output=scores, changed=x, normal=scores, original=x)))
    assert climbed(two) == 2.0 and climbed(three) == 1.0
