"""The small medical classifier: shapes, batch independence, and the figures in the header of the weights that ship."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from assay.arrays import InputError
from assay.numerics import binary
from assay.systems.literature.medmnist_cnn import MedmnistCnn
from assay.systems.weights import SHIPPED, fill, read_weights


def shipped() -> tuple[MedmnistCnn, dict[str, str], Path]:
    path = Path(str(SHIPPED / "pneumonia.safetensors"))
    state, facts = read_weights(path)
    model = MedmnistCnn().eval()
    fill(model, state, path)
    return model, facts, path


def test_six_convolutions_and_a_dense_layer():
    model = MedmnistCnn().eval()
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == [16, 16, 32, 32, 64, 64]
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 2)


def test_logits_do_not_depend_on_the_batch():
    model, x = shipped()[0], torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = model(x), torch.cat([model(x[i: i + 1]) for i in range(4)])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [torch.zeros(1, 3, 28, 28), torch.zeros(1, 28, 28),
                                 torch.zeros(1, 1, 28, 28, dtype=torch.uint8)], ids=["colour", "no channel", "uint8"])
def test_other_images_are_refused(bad):
    with pytest.raises(InputError, match=r"\(batch, 1, 28, 28\)"):
        MedmnistCnn()(bad)


def test_the_header_attributes_the_data_and_says_what_the_accuracy_must_beat():
    _, facts, path = shipped()
    assert path.stat().st_size < 3e5
    assert "CC BY 4.0" in facts["data_licence"] and "Kermany" in facts["data_licence"]
    assert facts["use"] == "to be audited; not a medical device" and facts["positive"] == "pneumonia"
    assert float(facts["held_out_accuracy"].split()[0]) > float(facts["held_out_majority_accuracy"])
    assert float(facts["held_out_auroc"]) > 0.9


@pytest.mark.data
def test_figures_in_the_header_are_measured_again(real_data):
    model, facts, _ = shipped()
    path = real_data / "medmnist28" / "pneumoniamnist_reduced_train.npz"
    with np.load(path, allow_pickle=False) as file:
        images = torch.from_numpy(file["test_images"])[:, None].float() / 255
        labels = torch.from_numpy(file["test_labels"].reshape(-1).astype(np.int64))
    with torch.no_grad():
        logits = model(images)
    scores, threshold = logits[:, 1] - logits[:, 0], float(facts["threshold"].split()[0])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["data_sha256"]
    assert binary.auroc(scores, labels) == pytest.approx(float(facts["held_out_auroc"]), abs=2e-3)
    assert binary.prevalence(labels) == pytest.approx(float(facts["held_out_prevalence"]), abs=1e-4)
    for name, measure in (("sensitivity", binary.sensitivity_at_threshold),
                          ("specificity", binary.specificity_at_threshold)):
        assert measure(scores, labels, threshold=threshold) == pytest.approx(float(facts[f"held_out_{name}"]), abs=0.01)
    accuracy = float((logits.argmax(1) == labels).float().mean())
    assert accuracy == pytest.approx(float(facts["held_out_accuracy"].split()[0]), abs=0.005)
