"""LISA-CNN: the authors' layout against a convolution written out in numpy, refusals, and the published figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from assay.arrays import InputError
from assay.systems.literature.lisa_cnn import CLASSES, LisaCnn, from_author

SHAPES = {"convolution2d_1": ((8, 8, 3, 64), (64,)), "convolution2d_2": ((6, 6, 64, 128), (128,)),
          "convolution2d_3": ((5, 5, 128, 128), (128,)), "dense_1": ((512, 18), (18,))}


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {}
    for layer, (weight, bias) in SHAPES.items():
        made[f"{layer}_W"] = (rng.normal(size=weight) / np.sqrt(np.prod(weight[:-1]))).astype(np.float32)
        made[f"{layer}_b"] = (rng.normal(size=bias) / 10).astype(np.float32)
    return made


def network(given: dict[str, np.ndarray]) -> LisaCnn:
    model = LisaCnn().eval()
    model.load_state_dict(from_author(given))
    return model


def correlate(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Valid correlation of one image (height, width, in) with filters (height, width, in, out)."""
    high, wide = weight.shape[:2]
    rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape, (high, wide), strict=False))
    return np.stack([[np.tensordot(x[stride * i: stride * i + high, stride * j: stride * j + wide], weight, 3)
                      for j in range(columns)] for i in range(rows)]) + bias


def by_numpy(given: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    """The network as the authors wrote it: height, width, channel, and a first layer padded by three on every side."""
    x = np.pad(image, ((3, 3), (3, 3), (0, 0)))
    for layer, stride in (("convolution2d_1", 2), ("convolution2d_2", 2), ("convolution2d_3", 1)):
        x = np.maximum(correlate(x, given[f"{layer}_W"], given[f"{layer}_b"], stride), 0)
    return x.reshape(-1) @ given["dense_1_W"] + given["dense_1_b"]


def agrees(given: dict[str, np.ndarray], model: LisaCnn) -> None:
    images = np.random.default_rng(1).random((2, 32, 32, 3)).astype(np.float32)
    with torch.no_grad():
        logits = model(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert np.allclose(logits.numpy(), np.stack([by_numpy(given, i) for i in images]), atol=1e-5)


def test_it_computes_what_the_authors_network_computes():
    given = arrays()
    agrees(given, network(given))


def test_a_dense_layer_that_sees_channels_first_is_caught():
    given, model = arrays(), network(arrays())
    model.dense.weight.data = torch.from_numpy(given["dense_1_W"]).T.contiguous()
    with pytest.raises(AssertionError):
        agrees(given, model)


def test_filters_turned_by_180_degrees_are_caught():
    given, model = arrays(), network(arrays())
    model.first.weight.data = model.first.weight.data.flip(-2, -1)
    with pytest.raises(AssertionError):
        agrees(given, model)


def test_published_perturbations_beside_the_weights_are_passed_over():
    given = arrays()
    assert from_author(given | {"noise": np.zeros((32, 32, 3))}).keys() == from_author(given).keys()


@pytest.mark.parametrize(("change", "what"), [
    ({"dense_1_b": None}, "'dense_1_b' is missing"),
    ({"convolution2d_2_W": np.zeros((128, 64, 6, 6), np.float32)}, r"'convolution2d_2_W' .* shape \(128, 64, 6, 6\)"),
    ({"dense_1_W": np.zeros((18, 512), np.float32)}, r"'dense_1_W' .* shape \(18, 512\)"),
])
def test_other_arrays_are_refused_by_name(change, what):
    given = {k: v for k, v in (arrays() | change).items() if v is not None}
    with pytest.raises(InputError, match=what):
        from_author(given)


def test_images_with_channels_last_are_refused():
    with pytest.raises(InputError, match="channels second"):
        LisaCnn()(torch.zeros(1, 32, 32, 3))


@pytest.mark.data
def test_the_published_weights_and_stickers_give_the_published_figures(real_data):
    folder = real_data / "lisa_cnn"
    with np.load(folder / "lisa_cnn_weights.npz", allow_pickle=False) as file:
        given = {name: file[name] for name in file.files}
    model = network(given)
    assert ("unused", *(folder / "mapping.txt").read_text().split()) == CLASSES
    signs = np.stack([picture(path) for path in sorted((folder / "victim_stop_32").glob("*.png"))])

    def called(images: np.ndarray, name: str) -> int:
        with torch.no_grad():
            logits = model(torch.from_numpy(images).float().permute(0, 3, 1, 2))
        return int((logits.argmax(1) == CLASSES.index(name)).sum())

    rectangles, octagon = picture(folder / "mask_l1loss_uniform_rectangles.png"), picture(folder / "octagon.png")
    assert len(signs) == 40 and called(signs, "stop") == 40
    assert called(np.clip(signs + rectangles * given["noise"], 0, 1), "speedLimit45") == 36
    assert called(np.clip(signs + octagon * given["noise_subliminal"], 0, 1), "speedLimit45") == 40
    assert called(np.clip(signs + rectangles * given["noise"][::-1], 0, 1), "speedLimit45") < 10     # the control


def picture(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255
