"""The set of rewordings: its members, its random ones, its neighbours, and what it refuses."""

from __future__ import annotations

import itertools

import pytest
import torch

from assay.arrays import InputError
from assay.numerics.texts import encode
from assay.perturbations.phrases import table_from
from assay.perturbations.protocol import Examples, PerturbationSet, stream
from assay.perturbations.substitutions import Substitutions
from assay.perturbations.written import texts_of
from assay.searches.substitution import count

TABLE = table_from(b"""phrase,alternative,grade,source
back pain,lumbago,same,x
fever,pyrexia,same,x
fever,high temperature,near,x
headache,cephalgia,same,x
""", "mine")


def examples(*texts: str) -> Examples:
    return Examples(ids=tuple(map(str, range(len(texts)))), inputs=torch.from_numpy(encode(texts)))


X = examples("Back pain and fever.", "Nothing.", "Headache, fever, back pain.")


def members(most: int) -> list[torch.Tensor]:
    """Brute force: every row of choices for the third text."""
    within = Substitutions(table=TABLE, most=most)
    choices = within.choices(X)[2].tolist()
    return [torch.tensor(p) for p in itertools.product(*(range(c + 1) for c in choices)) if sum(map(bool, p)) <= most]


def test_places_and_choices_of_each_text():
    assert Substitutions(table=TABLE, most=2).choices(X).tolist() == [[1, 2, 0], [0, 0, 0], [1, 2, 1]]
    assert Substitutions(table=TABLE, most=2, grades=("same",)).choices(X).tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_all_members_are_different_texts_and_as_many_as_counted(most):
    within = Substitutions(table=TABLE, most=most)
    found = members(most)
    texts = {texts_of(within.apply(X.only(2), p[None]))[0] for p in found}
    assert len(texts) == len(found) == count(within.choices(X)[2], most)


def test_random_members_have_the_size_asked_and_reach_every_member():
    within = Substitutions(table=TABLE, most=3)
    assert isinstance(within, PerturbationSet)
    drawn = [within.sample(X, [stream(draw, i) for i in range(3)], torch.tensor([1.0, 2.0, 2.0])) for draw in range(200)]
    assert all(within.size(X, p).tolist() == [1, 0, 2] for p in drawn)          # a text without places stays as it is
    assert len({tuple(p[2].tolist()) for p in drawn}) == 2 + 2 + 1
    assert texts_of(within.apply(X, within.zero(X))) == texts_of(X)


def test_a_change_made_for_another_text_is_refused():
    within = Substitutions(table=TABLE, most=2)
    with pytest.raises(InputError, match="other places or alternatives"):
        within.apply(X, torch.tensor([[0, 0, 1], [0, 0, 0], [0, 0, 0]]))
    with pytest.raises(InputError, match="and the change more"):
        within.of_one(X.only(0), torch.tensor([[1, 0, 1]]))
    assert within.of_one(X.only(0), torch.tensor([[1, 2, 0]])).tolist() == [[1, 2]]


def test_images_are_no_texts():
    with pytest.raises(InputError, match="needs texts"):
        Substitutions(table=TABLE, most=1).choices(Examples(ids=("a",), inputs=torch.zeros(1, 1, 8, 8)))
    with pytest.raises(InputError, match="unknown 'sure'"):
        Substitutions(table=TABLE, most=1, grades=("sure",))
