"""The invariance check where the orbit is one line: then the shortest way is the nearer of the two straight ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.checks import manitest as asked
from assay.checks.catalogue import METHODS  # noqa: F401
from assay.checks.check import Bench, Check, UnitResult, run_check
from assay.perturbations.geometric import transform
from assay.perturbations.protocol import Examples
from assay.records import Outcome
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem
from assay.verdicts import judge

CRITERION = {"kind": "measures", "sentence": "nothing is called harm"}
TURN = Check(id="i", title="", question="", method="manitest", metric="manitest", criterion=CRITERION, sources=(),
             controls=8, search={"kind": "shortest-path"},
             perturbation={"kind": "affine", "rotation": 40.0, "shift": 0.0, "grid": [41, 1, 1]})
FREE = replace(TURN, controls=7, perturbation={"kind": "affine", "rotation": 40.0, "shift": 0.3, "grid": [21, 5, 5]})


class Side(nn.Module):
    """Class 1 where the weight in the right half exceeds that in the left by more than the bias."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        right = x[..., half:].flatten(1).sum(1) - x[..., :half].flatten(1).sum(1) - self.bias
        return torch.stack((-right, right), 1)


def bar(side: int = 17) -> Examples:
    """A bar from the centre upwards, a little to the left: turned clockwise far enough, it lies to the right."""
    image = torch.zeros(1, 1, side, side, dtype=torch.float64)
    image[0, 0, 1:8, 6:9] = 1.0
    return Examples(ids=("bar",), inputs=image, truth=torch.zeros(1, dtype=torch.long), box=(0.0, 1.0))


def result(check: Check = TURN, bias: float = 0.0, x: Examples | None = None) -> tuple[UnitResult, Bench, Examples]:
    x = x or bar()
    bench = Bench(systems={"net": Metered(TorchSystem(Side(bias)), name="net")}, roles={"net": "audited"}, seed=0,
                  families={}, fetch=lambda positions: x, count=1, classes=("left", "right"))
    return run_check(check, "net", bench, x), bench, x


def length_by_hand(x: Examples, bias: float, steps: int = 4000) -> float:
    """Σ ‖x_{θ+dθ} − x_θ‖ / ‖x‖ up to the first angle, either way, at which the decision changes."""
    lengths = []
    for sign in (1, -1):
        before, total, image = x.inputs, 0.0, x.inputs
        for k in range(1, steps + 1):
            image = transform(x.inputs, torch.tensor([[sign * 40.0 * k / steps, 0.0, 0.0]]))
            total += float((image - before).norm())
            before = image
            if int(Side(bias)(image).argmax()) != 0:
                lengths.append(total / float(x.inputs.norm()))
                break
    return min(lengths, default=math.inf)


@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_on_a_line_the_shortest_way_is_the_straight_one(bias):
    (row,) = result(bias=bias)[0].findings
    expected = length_by_hand(bar(), bias)
    assert row.worst == pytest.approx(expected, rel=0.03)
    assert row.average_low is not None and row.average_low == pytest.approx(expected, rel=0.03)
    assert row.extra["degrees"] < 0 and row.extra["decision.worst"] == 1.0        # anticlockwise is positive


def test_half_of_the_straight_ways_go_the_other_way_round():
    (row,) = result()[0].findings
    assert 0 < row.extra["random-never"] < 1


def test_more_freedom_never_makes_the_way_longer():
    assert result(FREE)[0].findings[0].worst < result()[0].findings[0].worst


def test_a_decision_that_never_changes_is_censored_and_not_a_success():
    (row,) = result(bias=1e6)[0].findings
    assert row.worst is None and row.average is None and row.extra["random-never"] == 1.0 and not row.flags
    verdict = judge([row], {"id": "i", "criterion": CRITERION, "metric": "manitest"}, "net", role="audited")
    assert verdict.outcome is Outcome.INCONCLUSIVE and "grid" in verdict.reason


def test_a_wrong_decision_is_counted_apart():
    x = bar()
    (row,) = result(x=replace(x, truth=torch.ones(1, dtype=torch.long)))[0].findings
    assert row.extra["already-wrong"] == 1.0 and row.worst is None


def test_the_witness_replays_and_a_broken_one_does_not():
    found, bench, x = result(FREE)
    (row,), (place,) = found.findings, found.witnesses.values()
    numbers = asked.replayed(FREE, row, bench, x, place[None])
    assert numbers["worst"] == row.worst and numbers["average"] == pytest.approx(row.average)
    assert numbers["decision.worst"] == row.extra["decision.worst"]
    assert asked.replayed(FREE, row, bench, x, 0 * place[None])["decision.worst"] != row.extra["decision.worst"]


def test_other_sets_have_no_orbit():
    with pytest.raises(InputError, match="affine"):
        asked.invariance(replace(TURN, perturbation={"kind": "inputs"}), "net", result()[1], bar())
