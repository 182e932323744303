"""The union of sets of places: members, draws and neighbours are those of its sets, one at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations import registry
from assay.perturbations.occlusion import AddedDetail
from assay.perturbations.protocol import Examples, PerturbationSet, stream
from assay.perturbations.union import OfKinds, OneOf
from assay.searches.exhaustive import exhaustive

WORDS = {"kind": "added-detail", "names": ["marker", "hair", "text"], "area": 0.1}


def examples(batch: int = 3, side: int = 16) -> Examples:
    g = torch.Generator().manual_seed(1)
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=torch.rand(batch, 1, side, side, generator=g),
                    truth=torch.arange(batch), box=(0.0, 1.0))


def union() -> OneOf:
    return OneOf(sets={"marker": AddedDetail(mark="marker", area=0.1), "hair": AddedDetail(mark="hair", area=0.1)})


def test_a_member_is_a_member_of_the_set_it_names():
    x, within = examples(), union()
    p = torch.tensor([[0.0, 2.0, 3.0], [1.0, 4.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    changed = within.apply(x, p)
    for i, name in enumerate(("marker", "hair", "marker")):
        alone = within.sets[name].apply(x.only(i), p[i:i + 1, 1:])
        assert torch.equal(changed.inputs[i:i + 1], alone.inputs)
    assert within.kind_of(p).tolist() == [0, 1, 0] and torch.equal(changed.truth, x.truth)
    assert isinstance(within, PerturbationSet) and isinstance(within, OfKinds)


def test_members_are_those_of_every_set_once():
    x, within = examples(batch=1), union()
    members = torch.stack([m[0] for m in within.members(x)])
    assert len(members) == len(members.unique(dim=0)) == within.count(x) == sum(s.count(x) for s in within.sets.values())
    assert set(members[:, 0].tolist()) == {0.0, 1.0}


def test_draws_come_from_every_set_and_belong_to_their_example_alone():
    x, within = examples(), union()
    draws = [within.sample(x, [stream(k, i) for i in range(3)]) for k in range(20)]
    assert {float(v) for draw in draws for v in draw[:, 0]} == {0.0, 1.0}
    assert torch.equal(within.sample(x.only(2), [stream(7, 2)]), draws[7][2:])
    assert all(torch.equal(draw, within.project(x, draw)) for draw in draws)
    assert within.sample_of(1, x, [stream(i) for i in range(3)])[:, 0].tolist() == [1.0, 1.0, 1.0]


def test_neighbours_stay_in_the_set_of_their_member():
    x, within = examples(), union()
    p = within.sample(x, [stream(3, i) for i in range(3)])
    moves = within.neighbours(x, p, 2.0)
    assert len(moves) == 8 and all(torch.equal(m[:, 0], p[:, 0]) for m in moves)
    i = 1
    alone = within.sets[within.kinds[int(p[i, 0])]].neighbours(x.only(i), p[i:i + 1, 1:], 2.0)
    assert all(torch.equal(m[i:i + 1, 1:], a) for m, a in zip(moves, alone, strict=True))


def worst(within: OneOf, x: Examples) -> Tensor:
    """Harm: how bright the image became as a whole, which the larger mark of the two does more."""
    return exhaustive(lambda p: within.apply(x, p).inputs.flatten(1).sum(1).double(), within.members(x), x=x).value


def test_the_worst_of_a_union_is_the_worst_of_the_worst():
    x, within = examples(), union()
    each = torch.stack([worst(OneOf(sets={name: s}), x) for name, s in within.sets.items()])
    assert torch.equal(worst(within, x), each.amax(0))
    assert not torch.equal(each[0], each[1])                    # a union that forgot a set would be seen


def test_words_make_a_union_of_the_marks_that_fit():
    large, small = registry.build(WORDS, 0.5, examples(side=32)), registry.build(WORDS, 0.5, examples(side=8))
    assert isinstance(large, OneOf) and large.kinds == ("marker", "hair", "text")
    assert isinstance(small, OneOf) and "text" not in small.kinds and "marker" in small.kinds
    assert registry.unfit(WORDS, examples(side=8)) == ""
    assert "no mark" in registry.unfit({**WORDS, "area": 0.001}, examples(side=8))


@pytest.mark.parametrize("spec", [{"kind": "affine", "least": 24}, {"kind": "occlusion"}, {"kind": "corruption"}])
def test_words_that_do_not_suit_the_inputs_are_refused_with_a_reason(spec):
    flat = Examples(ids=("a",), inputs=torch.rand(1, 10), truth=torch.zeros(1).long(), box=(0.0, 1.0))
    assert "shape" in registry.unfit(spec, flat)
    assert registry.unfit(spec, examples(side=32)) == ""
    assert ("24 pixels" in registry.unfit(spec, examples(side=8))) == ("least" in spec)


def test_an_empty_union_and_an_unknown_set_are_refused():
    with pytest.raises(InputError, match="at least one"):
        OneOf(sets={})
    with pytest.raises(InputError, match="2 sets"):
        union().apply(examples(batch=1), torch.tensor([[2.0, 0.0, 0.0]]))
