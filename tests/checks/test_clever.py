"""CLEVER of a linear system is the exact distance; of a masked one it is too large, and a flip below it says so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import small_classifier as small
from assay.systems.torch import TorchSystem
from assay.verdicts import judge

RIGHT = small.N - small.WRONG
SEARCH = {"batches": 10, "draws": 16, "radius": 2.0}
WORDS = {"id": "clever", "method": "clever", "metric": "clever", "unit": "ℓ2", "search": SEARCH,
         "perturbation": {"kind": "inputs", "norm": "l2", "relative": False},
         "criterion": {"kind": "measures", "sentence": "nothing is called harm"}}


def asked(module=None, **changes):
    return small.ask(TorchSystem(module or small.Linear(), name="net"), **{**WORDS, **changes}).findings


def test_of_a_linear_system_it_is_the_exact_distance():
    known = small.distances()
    for i, row in enumerate(asked()[:RIGHT]):
        assert row.worst == pytest.approx(float(known[i]), rel=1e-4) and row.extra["fit.good"] == 1
    assert all(row.worst is None and row.extra["already-wrong"] for row in asked()[RIGHT:])


def test_in_the_other_norm_and_no_further_than_the_radius():
    x, label = small.images()
    w = small.Linear().linear.weight.detach().double()
    scores = small.Linear()(x).detach().double()
    rows = asked(perturbation={"kind": "inputs", "norm": "linf", "relative": "range"})
    for i in range(3):
        gap, slope = scores[i, label[i]] - scores[i], (w - w[label[i]]).abs().sum(1)
        exact = min(float(gap[k] / slope[k]) for k in range(3) if k != int(label[i]))
        assert rows[i].worst == pytest.approx(exact, rel=1e-4)
    near = asked(search={**SEARCH, "radius": 1e-4})
    assert all(f.worst == pytest.approx(1e-4) and f.extra["reached"] == 1 for f in near[:RIGHT])


class Masked(small.Linear):
    """The same decisions, with slopes that have been taken away almost everywhere."""

    def spoiled(self, x, scores):
        return scores.detach().sign() * scores.detach().abs() + 1e-3 * (scores - scores.detach())


def test_masked_gradients_make_it_too_large():
    known = small.distances()
    rows = asked(Masked(), search={**SEARCH, "radius": 1e3})
    assert all(row.worst > 100 * float(known[i]) for i, row in enumerate(rows[:RIGHT]))


def test_it_is_a_measurement_and_never_a_verdict():
    verdict = judge(asked(), {"id": "clever", "metric": "clever", "criterion": WORDS["criterion"]}, "net", role="audited")
    assert verdict.outcome.value == "not applicable" and verdict.measured == RIGHT


def test_a_curved_network_is_estimated_from_its_neighbourhood():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.Tanh(), nn.Linear(20, 3))
    x, _ = small.images()
    right = module(x).argmax(1)
    found = asked(module, search={**SEARCH, "batches": 20})
    known = [f for f in found if f.worst is not None]
    assert all(0 < f.worst <= 2.0 and 0 <= f.extra["fit.distance"] <= 1 for f in known) and len(right) == small.N
