"""Keras models against Keras's own predictions, and .keras archives that must not be built (looked at without Keras)."""

from __future__ import annotations

import io
import json
import sys
import types
import zipfile
from importlib import util

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.records import Access
from assay.systems import catalogue
from assay.systems.keras import torch_keras
from assay.systems.keras_files import check_archive

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'assay[keras]'")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # Keras as it saves
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}, "registered_name": None}
IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(2))


def weights(change=lambda file: None) -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.zeros((3, 2), np.float32))
        change(file)
    return data.getvalue()


def archive(path, *, layers=(DENSE,), arrays=None, more=(), config=None):
    model = {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}, "registered_name": None}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", json.dumps(model) if config is None else config)
        file.writestr("model.weights.h5", weights() if arrays is None else arrays)
        for name in more:
            file.writestr(name, "x")
    return path


def test_a_plain_archive_has_nothing_against_it(tmp_path):
    """The twin of all tests below."""
    add = {"module": "keras.src.ops.numpy", "class_name": "Add", "config": {}}
    check_archive(archive(tmp_path / "m.keras", layers=(DENSE, add)))


def node(name: str, module: str | None = "keras.layers", /, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


@pytest.mark.parametrize(("layer", "words"), [
    (node("Lambda", function=node("__lambda__", None, code="4wEA")), "'Lambda' holds code|'__lambda__' holds code"),
    (node("Dense", activation=node("function", "os", name="system")), "'function' holds a function by name"),
    (node("Dense", activation=node("function", "keras.utils", name="get_file")), "'function' holds a function by name"),
    (node("TorchModuleWrapper", module="x"), "holds a pickle"), (node("TFSMLayer"), "a program in another folder"),
    (node("StringLookup", vocabulary="/etc/passwd"), "the name of another file"),
    (node("Mine", "my_package.layers"), "none of Keras's own layers.*module:factory"),
    (node("Popen", "subprocess"), "none of Keras's own"), (node("run", "keras.srcx"), "none of Keras's own"),
    (node("Mine", None), "none of Keras's own")])
def test_layers_that_hold_code_or_come_from_elsewhere_are_refused(layer, words, tmp_path):
    path = archive(tmp_path / "m.keras", layers=(DENSE, layer))
    with pytest.raises(InputError, match=words):
        check_archive(path)
    with pytest.raises(InputError, match=words):      # before Keras is even imported
        catalogue.load(f"keras:{path}", role="audited")


def _virtual(file) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(3,))
    file.create_virtual_dataset("v", layout)


@pytest.mark.parametrize("change", [
    lambda f: f.__setitem__("linked", h5py.ExternalLink("/etc/passwd", "/x")),
    lambda f: f.create_dataset("raw", (4,), "u1", external=[("/etc/passwd", 0, 4)]), _virtual])
def test_weights_in_other_files_are_refused(change, tmp_path):
    with pytest.raises(InputError, match=r"its weights (link to|lie in) another file"):
        check_archive(archive(tmp_path / "m.keras", arrays=weights(change)))


@pytest.mark.parametrize("more", ["assets/vocabulary.txt", "../../etc/cron.d/x"])
def test_further_members_are_refused(more, tmp_path):
    with pytest.raises(InputError, match="which layers read as a file"):
        check_archive(archive(tmp_path / "m.keras", more=(more,)))


def test_broken_archives_are_said_to_be_broken(tmp_path):
    path = archive(tmp_path / "m.keras")
    data = path.read_bytes()
    for keep in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:keep])
        with pytest.raises(InputError, match=r"truncated or not a .keras file|the file is empty"):
            catalogue.load(f"keras:{path}", role="audited")
    with pytest.raises(InputError, match=r"truncated or not a .keras file"):
        check_archive(archive(path, config="{"))
    with pytest.raises(InputError, match=r"truncated or not a .keras file"):
        check_archive(archive(path, config="[" * 100_000))
    with pytest.raises(InputError, match="its weights are truncated or no HDF5"):
        check_archive(archive(path, arrays=b"no HDF5"))


@pytest.mark.parametrize(
    ("backend", "version", "words"),
    [
        ("tensorflow", "3.15.0", "Keras runs on tensorflow.*set KERAS_BACKEND=torch"),
        ("torch", "3.9.2", "may run code.*3.12 or later"),
        ("torch", "2.15.0", "may run code"),
    ],
)
def test_another_backend_and_an_older_keras_are_refused(backend, version, words, monkeypatch, tmp_path):
    keras = types.ModuleType("keras")
    keras.config, keras.__version__ = types.SimpleNamespace(backend=lambda: backend), version
    monkeypatch.setitem(sys.modules, "keras", keras)
    with pytest.raises(InputError, match=words):
        catalogue.load(f"keras:{archive(tmp_path / 'm.keras')}", role="audited")


@pytest.fixture
def keras():
    if util.find_spec("keras") is None:
        pytest.skip("keras is not installed: pip install 'assay[keras]'")
    return torch_keras("test")


def convolution(keras, last="softmax", units=10):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
                             layers.Dropout(0.5), layers.Flatten(), layers.Dense(units, activation=last)])


def predicted(model) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(model(IMAGES.permute(0, 2, 3, 1), training=False))


@pytest.mark.parametrize("last", [None, "softmax"])
def test_scores_are_keras_own_before_a_last_softmax(last, keras, tmp_path):
    model = convolution(keras, last)
    model.save(tmp_path / "m.keras")
    loaded = catalogue.load(f"keras:{tmp_path / 'm.keras'}", role="audited")
    scores = loaded.system(IMAGES)
    torch.testing.assert_close(scores.softmax(1) if last else scores, predicted(model), atol=1e-5, rtol=1e-5)
    assert loaded.system.access is Access.GRADIENT and ("softmax taken off" in loaded.record.description) is (
        last == "softmax"
    )
    leaf = IMAGES.clone().requires_grad_(True)
    assert bool(torch.autograd.grad(loaded.system(leaf)[:, 0].sum(), leaf)[0].any())
    assert torch.equal(scores, loaded.system(IMAGES)), "dropout is off"


def test_a_sigmoid_becomes_two_classes(keras, tmp_path):
    model = convolution(keras, "sigmoid", 1)
    model.save(tmp_path / "m.keras")
    scores = catalogue.load(f"keras:{tmp_path / 'm.keras'}", role="audited").system(IMAGES)
    torch.testing.assert_close(scores.softmax(1)[:, 1:], predicted(model), atol=1e-5, rtol=1e-5)
    convolution(keras, None, 1).save(tmp_path / "l.keras")
    with pytest.raises(InputError, match=r"one number for each input.*\?binary=logit"):
        catalogue.load(f"keras:{tmp_path / 'l.keras'}", role="audited")


def test_a_model_in_memory_is_left_as_it_is(keras):
    model = convolution(keras)
    before = predicted(model)
    loaded = catalogue.adopt(model, role="audited")
    torch.testing.assert_close(loaded.system(IMAGES), before, atol=1e-5, rtol=1e-5)
    assert (
        torch.equal(predicted(model), before)
        and loaded.record.digest == catalogue.adopt(model, role="audited").record.digest
    )
    assert loaded.record.digest != catalogue.adopt(convolution(keras, None, 9), role="audited").record.digest


def test_functional_models_with_operations_are_built(keras, tmp_path):
    start = keras.Input((8, 8, 1))
    kept = keras.layers.Flatten()(keras.ops.relu(start * 2 - 1))
    model = keras.Model(start, keras.layers.Dense(3, kernel_regularizer="l2")(kept))
    model.save(tmp_path / "m.keras")
    loaded = catalogue.load(f"keras:{tmp_path / 'm.keras'}", role="audited")
    torch.testing.assert_close(loaded.system(IMAGES), predicted(model), atol=1e-5, rtol=1e-5)


def test_a_lambda_layer_is_never_built(keras, tmp_path):
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: 2 * x)]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(InputError, match="holds code, which is not run"):
        catalogue.load(f"keras:{tmp_path / 'm.keras'}", role="audited")
