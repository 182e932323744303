"""What a plan says a unit will ask of every system, beside what the unit asks of them: within a factor of two."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from assay.audits import cost
from assay.checks.check import Bench, run_check
from assay.systems.function import FunctionSystem
from planes import CARRIED, EPSILON, UNION, Masked, Plane, asked, bench, examples, normals

LEVELS = (EPSILON, 0.6 * EPSILON)


def planned_and_asked(search: Mapping[str, object], *, blind: bool) -> dict[str, tuple[float, float]]:
    """Evaluations per sample of each system, as planned and as counted; without the questions before and after a search."""
    one, two = normals(1.4)
    x = examples(one)
    plain = FunctionSystem(lambda inputs: Plane(one)(torch.as_tensor(inputs)).detach(), name="net")
    system = plain if blind else Masked(one)
    check = asked(1.4, dict(search), levels=LEVELS)[2]
    for_plan, for_run = (bench(system, Plane(two), x, surrogate=False) for _ in range(2))
    planned = {name: sum(of) for name, of in cost.of_each_system(check, "net", for_plan).items()}
    run_check(check, "net", for_run, x)
    again = {"net": cost.ASKED_AGAIN * 3.0}                         # three places for each sample
    return {name: (planned[name], for_run.systems[name].examples / len(x) - again.get(name, 0.0)) for name in planned}


CASES = [(CARRIED, False), (UNION, False), ({**UNION, "query": 30}, True), (CARRIED, True)]


def within_two(search: Mapping[str, object], *, blind: bool) -> None:
    for name, (planned, counted) in planned_and_asked(search, blind=blind).items():
        assert counted / 2 <= planned <= 2 * counted, (name, planned, counted)


@pytest.mark.parametrize(("search", "blind"), CASES, ids=["carried", "union", "union, blind", "carried, blind"])
def test_a_plan_counts_what_every_system_will_be_asked(search, blind):
    within_two(search, blind=blind)


@pytest.mark.parametrize(("search", "blind"), CASES, ids=["carried", "union", "union, blind", "carried, blind"])
def test_a_plan_that_forgets_second_systems_is_caught(search, blind, monkeypatch):
    def forgetful(check, system: str, bench: Bench) -> dict[str, tuple[int, int]]:
        return {name: cost.evaluations(check) if name == system else (0, 0) for name in bench.systems}

    monkeypatch.setattr(cost, "of_each_system", forgetful)
    with pytest.raises(AssertionError):
        within_two(search, blind=blind)
