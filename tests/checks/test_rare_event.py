"""The probability that noise turns a linear decision is Φ(−d/σ); wrong samples are left out, and it is never a verdict."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import norm
from torch import nn

import small_classifier as small
from assay.arrays import InputError
from assay.checks.check import Check, run_check
from assay.metrics import protocol
from assay.perturbations.protocol import Examples
from assay.systems.torch import TorchSystem
from assay.verdicts import judge

WORDS = {"id": "rare", "method": "rare-event", "metric": "noise-risk", "unit": "share of the range", "levels": (0.02,),
         "search": {"particles": 1000, "moves": 5}, "criterion": {"kind": "measures", "sentence": "nothing is called harm"}}


class Plane(nn.Module):
    """Two classes, apart where the mean of the 16 pixels is ½: the normal has length ¼."""

    def forward(self, x):
        z = x.flatten(1).mean(1) - 0.5
        return torch.stack((z, -z), dim=1)


def asked(distances: list[float], *, label: int = 0):
    x = torch.stack([torch.full((1, 4, 4), 0.5 + d / 4) for d in distances])
    examples = Examples(ids=tuple(f"s{i}" for i in range(len(x))), inputs=x, truth=torch.full((len(x),), label),
                        box=(0.0, 1.0))
    return run_check(Check(title="", question="", sources=(), **WORDS), "net",
                     small.bench(TorchSystem(Plane(), name="net")), examples).findings


def test_of_a_linear_decision_it_is_that_of_a_halfspace():
    """No pixel comes near the ends of the range, so that nothing is clipped."""
    distances = [0.02, 0.06, 0.1]                               # σ, 3 σ, 5 σ: 0.16, 1.3e-3, 2.9e-7
    for row, d in zip(asked(distances), distances, strict=True):
        exact = norm.sf(d / 0.02)
        assert exact / 2 < row.worst < 2 * exact and row.extra["reached"] == 1 and 0 < row.extra["variation"] < 1


def test_what_is_wrong_already_is_left_out_and_nothing_is_a_verdict():
    rows = asked([0.02, 0.06], label=1)
    assert all(f.worst is None and f.extra["already-wrong"] == 1 for f in rows)
    verdict = judge(asked([0.06]), WORDS, "net", role="audited")
    assert verdict.outcome.value == "not applicable" and verdict.measured == 1


def test_a_decision_that_noise_cannot_turn_is_said():
    class Never(nn.Module):
        def forward(self, x):
            return torch.stack((torch.ones(len(x)), torch.zeros(len(x))), dim=1) + 0 * x.flatten(1)[:, :1]

    x = Examples(ids=("a",), inputs=torch.full((1, 1, 4, 4), 0.5), truth=torch.tensor([0]), box=(0.0, 1.0))
    (row,) = run_check(Check(title="", question="", sources=(), **WORDS), "net",
                       small.bench(TorchSystem(Never(), name="net")), x).findings
    assert row.extra["reached"] == 0 and "nothing below this" in row.notes


def test_inputs_without_a_range_are_refused():
    x = Examples(ids=("a",), inputs=torch.zeros(1, 3), truth=torch.tensor([0]))
    (row,) = run_check(Check(title="", question="", sources=(), **WORDS), "net", small.bench(), x).findings
    assert row.worst is None and InputError.__name__ in row.notes


def test_the_number_is_not_measured_on_an_output():
    with pytest.raises(InputError, match="splitting"):
        protocol.find("noise-risk").compute(None)
