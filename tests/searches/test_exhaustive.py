"""The exhaustive search equals brute force, keeps the first of equals, and does not depend on the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import oracles
from assay.arrays import InputError
from assay.records import Stop
from assay.searches.exhaustive import exhaustive


def landscape(batch: int = 4, members: int = 60) -> tuple[Tensor, list[Tensor]]:
    """Harm of member m for example i is table[i, m]; parameters are the member's number."""
    table = torch.randint(0, 12, (batch, members), generator=torch.Generator().manual_seed(0)).double()
    return table, [torch.full((batch, 1), float(m), dtype=torch.float64) for m in range(members)]


def harm(table: Tensor):
    return lambda p: table.gather(1, p.long())[:, 0]


def worst(found, table: Tensor) -> bool:
    """Brute force: the first member of greatest harm (the table has ties)."""
    return bool(torch.equal(found.value, table.amax(1)) and torch.equal(found.parameters[:, 0].long(), table.argmax(1)))


def test_the_worst_of_all_members_is_found_and_the_first_of_equals_kept():
    table, members = landscape()
    x, _ = oracles.unit_ball(1, batch=4)
    found = exhaustive(harm(table), iter(members), x=x)
    assert worst(found, table)
    assert found.stop == (Stop.EXHAUSTED,) * 4 and (found.forward, found.backward) == (60, 0)
    assert found.history.shape == (60, 4) and bool((found.history.diff(dim=0) >= 0).all())


def test_brute_force_catches_a_search_that_stops_early_or_keeps_the_last():
    table, members = landscape()
    x, _ = oracles.unit_ball(1, batch=4)
    assert not worst(exhaustive(harm(table), members[:10], x=x), table)
    assert not worst(exhaustive(harm(table), members[::-1], x=x), table)


def test_results_do_not_depend_on_the_batch():
    table, members = landscape()
    x, _ = oracles.unit_ball(1, batch=4)
    alone_x, _ = oracles.unit_ball(1)
    together = exhaustive(harm(table), members, x=x)
    for i in range(4):
        alone = exhaustive(harm(table[i:i + 1]), [m[i:i + 1] for m in members], x=alone_x)
        assert torch.equal(alone.parameters[0], together.parameters[i]) and alone.value[0] == together.value[i]


def test_no_gradient_is_recorded_and_members_are_not_changed():
    x, _ = oracles.unit_ball(1)
    weight = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    members = [torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64)]
    found = exhaustive(lambda p: (p @ weight)[:, 0], members, x=x)
    assert not found.value.requires_grad and weight.requires_grad and float(members[0]) == 1.0


def test_what_is_not_finite_is_said_and_not_kept():
    x, _ = oracles.unit_ball(1)
    members = [torch.tensor([[v]], dtype=torch.float64) for v in (1.0, float("nan"), 3.0)]
    found = exhaustive(lambda p: p[:, 0], members, x=x)
    assert found.stop == (Stop.NON_FINITE,) and float(found.value) == 3.0


def test_an_empty_set_and_a_shared_member_are_refused():
    x, _ = oracles.unit_ball(1, batch=2)
    with pytest.raises(InputError, match="empty"):
        exhaustive(lambda p: p[:, 0], [], x=x)
    with pytest.raises(InputError, match="expand"):
        exhaustive(lambda p: p[:, 0], [torch.zeros(1, 1)], x=x)
