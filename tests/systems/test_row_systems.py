"""Functions of rows as systems, indicators for networks, and a gradient that runs through them."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError
from assay.perturbations.fields import fields_from
from assay.systems.metered import ContractError
from assay.systems.sklearn import SklearnSystem
from assay.systems.tables import RowSystem, one_hot
from assay.systems.torch import TorchSystem

FIELDS = fields_from({"fields": {"sex": {"kind": "category", "values": ["f", "m", "x"]},
                                 "age": {"kind": "whole", "range": [0, 100]}, "dose": {"kind": "number", "range": [0, 10]},
                                 "smokes": {"kind": "flag"}}})
ROWS = torch.tensor([[1, 61, 7.1, 1], [0, 20, 0.5, 0]], dtype=torch.float64)


def test_a_function_sees_values_by_name_in_their_own_kinds():
    seen = []

    def scores(rows):
        seen.extend(rows)
        return [[0, 1 if row["dose"] >= 7.1 else -1] for row in rows]
    system = RowSystem(scores, fields=FIELDS)
    assert system(ROWS).tolist() == [[0.0, 1.0], [0.0, -1.0]]               # 7.1 is 7.1
    assert seen[0] == {"sex": "m", "age": 61, "dose": 7.1, "smokes": True}
    assert [type(v) for v in seen[0].values()] == [str, int, float, bool]


@pytest.mark.parametrize(("answer", "words"), [
    (lambda rows: [[0, 1]], "2 rows were given and answers of shape"), (lambda rows: [["a", "b"]] * 2, "not numbers"),
    (lambda rows: [0.0, 1.0], "return real scores"), (lambda rows: torch.zeros(2, 2, dtype=torch.complex64), "real scores"),
])
def test_answers_that_are_no_scores_are_refused(answer, words):
    with pytest.raises(ContractError, match=words):
        RowSystem(answer, fields=FIELDS)(ROWS)


def test_inputs_that_are_no_rows_are_refused():
    with pytest.raises(InputError, match="rows of 4 fields"):
        RowSystem(lambda rows: rows, fields=FIELDS)(torch.zeros(2, 3))


def test_indicators_by_hand_and_a_gradient_for_numbers_alone():
    layer = one_hot(FIELDS)
    assert layer.columns == 6
    found = layer(ROWS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([[0, 1, 0, .61, .71, 1], [1, 0, 0, .2, .05, 0]]))
    x = ROWS.clone().requires_grad_(True)
    layer(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[0, .01, .1, 1], [0, .01, .1, 1]], dtype=torch.float64))


def test_a_network_behind_indicators_is_a_system():
    network = torch.nn.Sequential(one_hot(FIELDS), torch.nn.Linear(6, 2))
    assert TorchSystem(network)(ROWS).shape == (2, 2)


def test_an_estimator_takes_rows_as_they_are():
    pytest.importorskip("sklearn")
    from sklearn.tree import DecisionTreeClassifier

    fitted = DecisionTreeClassifier(random_state=0).fit(ROWS.numpy(), [1, 0])
    assert SklearnSystem(fitted)(ROWS).argmax(1).tolist() == [1, 0]
