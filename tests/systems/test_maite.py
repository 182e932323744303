"""MAITE models and systems, both ways; a round trip changes no score."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits
from assay.records import Access
from assay.systems import catalogue
from assay.systems.maite import MaiteSystem, as_maite

DIGITS = bundled_digits("tuning").fetch(range(5)).inputs


def lenet():
    return catalogue.load("lenet", role="audited").system


class Linear:
    """A MAITE classifier in numpy."""

    metadata = types.MappingProxyType({"id": "linear", "index2label": {0: "no", 1: "yes"}})

    def __init__(self, scale: float = 1.0) -> None:
        self.weight = scale * np.linspace(-1, 1, 128).reshape(64, 2)

    def __call__(self, batch):
        return [np.asarray(image).reshape(-1) @ self.weight for image in batch]


def test_scores_are_the_models_own():
    system = MaiteSystem(Linear())
    assert (system.name, system.access) == ("linear", Access.SCORE)
    expected = DIGITS.flatten(1).double() @ torch.from_numpy(Linear().weight)
    torch.testing.assert_close(system(DIGITS), expected.float(), atol=1e-5, rtol=1e-5)


def test_a_round_trip_through_maite_changes_no_score():
    there = as_maite(lenet(), classes=tuple("0123456789"))
    back = MaiteSystem(there)
    assert back.settings["index2label"]["3"] == "3"
    with torch.no_grad():
        torch.testing.assert_close(back(DIGITS), lenet()(DIGITS))
    assert [row.shape for row in there(list(DIGITS.numpy()))] == [(10,)] * 5


def test_rows_that_are_tensors_or_need_gradients_are_read_too():
    class Torch(Linear):
        def __call__(self, batch):
            return torch.stack([torch.as_tensor(np.asarray(b)).flatten() for b in batch]).requires_grad_(True)

    assert torch.equal(MaiteSystem(Torch())(DIGITS), DIGITS.flatten(1))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: lambda batch: batch, "not a MAITE model"),
        (lambda: types.SimpleNamespace(metadata={"id": "x"}), "not a MAITE model"),
    ],
)
def test_what_is_no_maite_model_is_refused(made, words):
    with pytest.raises(InputError, match=words):
        MaiteSystem(made())


@pytest.mark.parametrize("call", [lambda batch: [np.zeros(2)], lambda batch: [np.zeros((1, 2)) for _ in batch],
                                  lambda batch: [np.zeros(i + 1) for i, _ in enumerate(batch)]])
def test_outputs_that_are_not_one_row_an_image_are_refused(call):
    class Wrong(Linear):
        def __call__(self, batch):
            return call(batch)

    with pytest.raises(InputError, match=r"5 images gave .*one \(classes,\) for each image"):
        MaiteSystem(Wrong())(DIGITS)


def test_from_the_command_line_with_pre_processing_and_a_digest_of_the_weights(monkeypatch):
    module = types.ModuleType("planted_models")
    module.make, module.other = Linear, lambda: Linear(2.0)
    monkeypatch.setitem(sys.modules, "planted_models", module)
    loaded = catalogue.load("maite:planted_models:make?scale=2", role="audited")
    torch.testing.assert_close(loaded.system(DIGITS), MaiteSystem(Linear())(2 * DIGITS))
    assert loaded.record.digest != catalogue.load("maite:planted_models:other?scale=2", role="audited").record.digest
    for spec, words in (
        ("maite:planted_models:none", "has no 'none'"),
        ("maite:no_such_module:make", "is its folder on PYTHONPATH"),
        ("maite:planted_models", "write maite:MODULE:FACTORY"),
    ):
        with pytest.raises(InputError, match=words):
            catalogue.load(spec, role="audited")


def test_they_satisfy_maites_own_protocol():
    protocol = pytest.importorskip(
        "maite.protocols.image_classification", reason="maite is not installed: pip install 'assay[maite]'"
    )
    assert isinstance(as_maite(lenet()), protocol.Model) and isinstance(Linear(), protocol.Model)
