"""ONNX files against the same network called directly; gradients through a converter that is right, and one that is not."""

from __future__ import annotations

import importlib
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits
from assay.records import Access
from assay.systems import catalogue
from assay.systems.onnx import in_batches

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'assay[onnx]'")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'assay[onnx]'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - skipped without it

DIGITS = bundled_digits("tuning").fetch(range(7)).inputs
KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE,
         np.dtype(np.float16): TensorProto.FLOAT16}


def lenet() -> nn.Module:
    return catalogue.load("lenet", role="audited").system.module


def lenet_file(path, *, batch="batch", dtype=np.float32, size=8, front=(), shape=None, input_type=None):
    """The bundled LeNet as an ONNX file; `front` are nodes from "x" to "start"."""
    first = "start" if front else "x"
    nodes = [
        *front,
        helper.make_node("Conv", [first, "conv1.weight", "conv1.bias"], ["a"], pads=[2] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", "conv2.weight", "conv2.bias"], ["d"], pads=[2] * 4),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "hidden.weight", "hidden.bias"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["i"]),
        helper.make_node("Gemm", ["i", "last.weight", "last.bias"], ["y"], transB=1),
    ]
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(v.numpy()).astype(dtype), k) for k, v in lenet().state_dict().items()
    ]
    kind = KINDS[np.dtype(dtype)]
    return save(
        path, nodes, weights, [("x", input_type or kind, shape or [batch, 1, size, size])], [("y", kind, [batch, 10])]
    )


def save(path, nodes, weights, inputs, outputs, **more):
    graph = helper.make_graph(nodes, "graph", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(*o) for o in outputs], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), *more.pop("domains", [])], ir_version=8),
              str(path), **more)
    return path


def linear_file(path, *, classes=2, outputs=None, weight=None):
    weight = np.arange(64 * classes, dtype=np.float32).reshape(64, classes) / 64 if weight is None else weight
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    return save(path, nodes, [numpy_helper.from_array(weight, "w")], [("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
                outputs or [("y", TensorProto.FLOAT, ["n", classes])])


def load(path, query="", **words):
    return catalogue.load(f"onnx:{path}{query}", role="audited", **words)


@pytest.fixture
def no_converter(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx2torch", None)


def converter(monkeypatch, module: nn.Module) -> None:
    """An onnx2torch that returns this module, whatever the file."""
    monkeypatch.setitem(sys.modules, "onnx2torch", types.SimpleNamespace(convert=lambda model: module))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_scores_are_the_networks_own_whatever_batch_the_file_takes(batch, tmp_path, no_converter):
    loaded = load(lenet_file(tmp_path / "m.onnx", batch=batch))
    assert loaded.system.access is Access.SCORE
    torch.testing.assert_close(loaded.system(DIGITS), lenet()(DIGITS), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([loaded.system(x[None]) for x in DIGITS]), loaded.system(DIGITS), atol=1e-5, rtol=0)


def test_half_precision_is_given_what_it_takes(tmp_path, no_converter):
    scores = load(lenet_file(tmp_path / "m.onnx", dtype=np.float16)).system(DIGITS)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, lenet()(DIGITS), atol=0.05, rtol=0)


def test_an_operator_without_double_precision_is_said_to_lack_it(tmp_path, no_converter):
    with pytest.raises(InputError, match="onnxruntime cannot run it"):
        load(lenet_file(tmp_path / "m.onnx", dtype=np.float64))


def test_double_inputs_give_double_scores(tmp_path, no_converter):
    assert load(linear_file(tmp_path / "m.onnx")).system(DIGITS.double()).dtype == torch.float64


def test_without_a_converter_the_record_says_why_it_is_query_only(tmp_path, no_converter):
    record = load(lenet_file(tmp_path / "m.onnx")).record
    assert record.access == Access.SCORE
    assert "query-only: a gradient needs the package 'onnx2torch': pip install 'assay[onnx-gradients]'" in record.description


def test_a_true_converter_gives_gradients_at_onnxruntimes_scores(tmp_path, monkeypatch):
    converter(monkeypatch, lenet())
    for batch in ("batch", 4):
        loaded = load(lenet_file(tmp_path / "m.onnx", batch=batch))
        assert loaded.system.access is Access.GRADIENT and "gradients by onnx2torch" in loaded.record.description
        leaf, own = (DIGITS.clone().requires_grad_(True) for _ in range(2))
        scores = loaded.system(leaf)
        assert torch.equal(scores, loaded.system(DIGITS)), "one value with and without a gradient"
        (found,), (right,) = (torch.autograd.grad(s[:, 3].sum(), x) for s, x in ((scores, leaf), (lenet()(own), own)))
        torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-4)


class Perturbed(nn.Module):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.inner, self.share = lenet(), share

    def forward(self, x):
        return self.inner(x) * (1 + self.share)


class FirstOnly(Perturbed):
    """A reshape to the trial's batch that the converter froze."""

    def forward(self, x):
        return self.inner(x).reshape(4, 10)


class Detached(Perturbed):
    def forward(self, x):
        return self.inner(x).detach()


@pytest.mark.parametrize(("module", "words"), [
    (lambda: Perturbed(1e-3), "differs from onnxruntime's by 1.0e-03"), (lambda: FirstOnly(0), "raises"),
    (lambda: Detached(0), "no gradient runs through"), (lambda: nn.Flatten(), "differs from onnxruntime's by inf")])
def test_a_converter_that_is_wrong_is_not_believed(module, words, tmp_path, monkeypatch):
    converter(monkeypatch, module())
    record = load(lenet_file(tmp_path / "m.onnx")).record
    assert record.access == Access.SCORE and words in record.description


def test_a_converter_that_raises_leaves_it_query_only(tmp_path, monkeypatch):
    def convert(model):
        raise NotImplementedError("Converter is not implemented (OperationDescription(domain='', operation_type='Foo'))")

    monkeypatch.setitem(sys.modules, "onnx2torch", types.SimpleNamespace(convert=convert))
    record = load(lenet_file(tmp_path / "m.onnx")).record
    assert record.access == Access.SCORE and "cannot convert it (NotImplementedError" in record.description


def test_pre_processing_stands_in_front_and_enters_the_digest(tmp_path, no_converter):
    path = lenet_file(tmp_path / "m.onnx")
    plain, scaled = load(path), load(path, "?scale=2&mean=0.5&std=0.25")
    torch.testing.assert_close(scaled.system(DIGITS), lenet()((2 * DIGITS - 0.5) / 0.25), atol=1e-4, rtol=1e-5)
    assert plain.record.digest != scaled.record.digest
    assert load(path, "?scale=2&mean=0.5&std=0.25").record.digest == scaled.record.digest


def test_the_version_of_the_runtime_enters_the_digest(tmp_path, no_converter, monkeypatch):
    path = linear_file(tmp_path / "m.onnx")
    before = load(path).record.digest
    monkeypatch.setattr("assay.systems.onnx.version_of", lambda name: "0.0")
    assert load(path).record.digest != before


def test_whole_numbers_are_rounded_to_and_refused_without_a_scale(tmp_path, no_converter):
    cast = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["real", "full"], ["start"]),
        helper.make_node("Constant", [], ["full"], value=numpy_helper.from_array(np.float32(255), "v")),
    ]
    path = lenet_file(tmp_path / "m.onnx", front=[cast[2], cast[0], cast[1]], input_type=TensorProto.UINT8)
    with pytest.raises(InputError, match=r"its input is uint8, and images are in \[0, 1\]; write onnx:.*\?scale=255"):
        load(path)
    torch.testing.assert_close(
        load(path, "?scale=255").system(DIGITS), lenet()((DIGITS * 255).round() / 255), atol=1e-5, rtol=1e-5
    )


def test_one_output_is_scores_of_two_classes_once_its_kind_is_said(tmp_path, no_converter):
    weight = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    path = linear_file(tmp_path / "m.onnx", classes=1, weight=weight)
    with pytest.raises(InputError, match=r"one number for each input; .*\?binary=logit .*\?binary=probability"):
        load(path)
    z = DIGITS.flatten(1) @ torch.from_numpy(weight)
    torch.testing.assert_close(load(path, "?binary=logit").system(DIGITS), torch.cat((torch.zeros_like(z), z), 1))


def test_of_several_outputs_the_one_of_floats_or_the_one_that_is_named(tmp_path, no_converter):
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"]),
             helper.make_node("ArgMax", ["y"], ["label"], axis=1), helper.make_node("Neg", ["y"], ["z"])]
    weight = numpy_helper.from_array(np.eye(64, 3, dtype=np.float32), "w")
    inputs, floats = [("x", TensorProto.FLOAT, ["n", 1, 8, 8])], ("y", TensorProto.FLOAT, ["n", 3])
    path = save(tmp_path / "a.onnx", nodes, [weight], inputs, [("label", TensorProto.INT64, ["n", 1]), floats])
    assert torch.equal(load(path).system(DIGITS), DIGITS.flatten(1)[:, :3])
    two = save(tmp_path / "b.onnx", nodes, [weight], inputs, [floats, ("z", TensorProto.FLOAT, ["n", 3])])
    with pytest.raises(InputError, match=r"outputs are y tensor\(float\), z tensor\(float\); say \?output="):
        load(two)
    assert torch.equal(load(two, "?output=z").system(DIGITS), -DIGITS.flatten(1)[:, :3])


@pytest.mark.parametrize(("images", "words"), [
    (torch.zeros(2, 1, 9, 8), r"inputs have shape \(2, 1, 9, 8\), the file takes \(batch, 1, 8, 8\); .*size"),
    (torch.zeros(2, 3, 8, 8), "another number of channels"), (torch.zeros(2, 64), "the file takes"),
    (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "torch.uint8; give floats"),
])
def test_inputs_of_another_shape_or_type_are_refused(images, words, tmp_path, no_converter):
    with pytest.raises(InputError, match=words):
        load(lenet_file(tmp_path / "m.onnx")).system(images)


def test_channels_last_are_recognised(tmp_path, no_converter):
    front = [helper.make_node("Transpose", ["x"], ["start"], perm=[0, 3, 1, 2])]
    path = lenet_file(tmp_path / "m.onnx", front=front, shape=["n", 8, 8, 1])
    with pytest.raises(InputError, match=r"it wants the channels last: say \?layout=NHWC"):
        load(path).system(DIGITS)
    torch.testing.assert_close(load(path, "?layout=NHWC").system(DIGITS), lenet()(DIGITS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_said_to_be_one(keep, tmp_path, no_converter):
    path = lenet_file(tmp_path / "m.onnx")
    data = path.read_bytes()
    path.write_bytes(data[:keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(InputError, match=r"truncated|empty|cannot run it"):
        load(path)


def test_no_file_and_no_onnx_are_said_to_be_so(tmp_path, no_converter):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("this is no network", encoding="utf-8")
    with pytest.raises(InputError, match="truncated or not an ONNX file"):
        load(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="not a file"):
        load(tmp_path)
    with pytest.raises(InputError, match="holds its own; leave out --weights"):
        load(tmp_path / "m.onnx", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("domain", ["", "my.company"])
def test_an_operator_that_nobody_knows_is_refused(domain, tmp_path, no_converter):
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Quux", ["f"], ["y"], domain=domain)]
    path = save(
        tmp_path / "m.onnx",
        nodes,
        [],
        [("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [("y", TensorProto.FLOAT, ["n", 64])],
        domains=[helper.make_opsetid("my.company", 1)],
    )
    with pytest.raises(InputError, match=r"onnxruntime cannot run it.*standard operators only"):
        load(path)


def test_a_second_input_is_refused(tmp_path, no_converter):
    path = save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "z"], ["y"])], [],
                [(n, TensorProto.FLOAT, ["n", 4]) for n in "xz"], [("y", TensorProto.FLOAT, ["n", 4])])
    with pytest.raises(InputError, match=r"2 inputs \(x, z\); one is needed"):
        load(path)


def test_images_out_are_no_scores(tmp_path, no_converter):
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [],
                *[[(n, TensorProto.FLOAT, ["n", 1, 8, 8])] for n in "xy"])
    with pytest.raises(InputError, match=r"shape \(batch, 1, 8, 8\); a classifier returns \(batch, classes\)"):
        load(path)


def external(path, location: str):
    """A network whose weight is kept in another file, at `location`."""
    linear_file(path)
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    return data


def test_tensors_beside_the_model_are_read_and_enter_the_digest(tmp_path, no_converter):
    path = tmp_path / "m.onnx"
    data = external(path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(data)
    loaded = load(path)
    inside = load(linear_file(tmp_path / "inside.onnx"))
    assert torch.equal(loaded.system(DIGITS), inside.system(DIGITS))
    assert set(loaded.record.files) == {"m.onnx", "weights.bin", "settings.json"}
    (tmp_path / "weights.bin").write_bytes(bytes(len(data)))
    assert load(path).record.digest != loaded.record.digest


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "", ".", "link"])
def test_tensors_outside_the_folder_are_refused(location, tmp_path, no_converter):
    folder = tmp_path / "model"
    folder.mkdir()
    data = external(folder / "m.onnx", location)
    (tmp_path / "secret").write_bytes(data)
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="outside the model's folder; such a file is refused"):
        load(folder / "m.onnx")


def test_tensors_outside_are_found_inside_an_attribute_too(tmp_path, no_converter):
    value = numpy_helper.from_array(np.ones((64, 2), np.float32), "value")
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../secret")
    nodes = [helper.make_node("Constant", [], ["w"], value=value), helper.make_node("Flatten", ["x"], ["f"]),
             helper.make_node("MatMul", ["f", "w"], ["y"])]
    path = save(
        tmp_path / "m.onnx", nodes, [], [("x", TensorProto.FLOAT, ["n", 1, 8, 8])], [("y", TensorProto.FLOAT, ["n", 2])]
    )
    with pytest.raises(InputError, match="outside the model's folder"):
        load(path)


def test_a_missing_file_of_tensors_is_named(tmp_path, no_converter):
    external(tmp_path / "m.onnx", "weights.bin")
    with pytest.raises(InputError, match=r"'weights.bin' is missing; put it beside the model"):
        load(tmp_path / "m.onnx")


def test_a_short_file_of_tensors_is_refused(tmp_path, no_converter):
    (tmp_path / "weights.bin").write_bytes(external(tmp_path / "m.onnx", "weights.bin")[:10])
    with pytest.raises(InputError, match="cannot run it"):
        load(tmp_path / "m.onnx")


def test_batches_are_filled_up_and_the_filling_is_thrown_away():
    seen = []

    def run(x):
        seen.append(len(x))
        return 2 * x

    assert in_batches(run, np.arange(7), 3).tolist() == [0, 2, 4, 6, 8, 10, 12] and seen == [3, 3, 3]


@pytest.mark.filterwarnings("ignore")
def test_the_real_converter_on_the_real_network(tmp_path):
    try:
        importlib.import_module("onnx2torch")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"onnx2torch does not import: {error}")
    loaded = load(lenet_file(tmp_path / "m.onnx"))
    assert loaded.system.access is Access.GRADIENT
    leaf = DIGITS.clone().requires_grad_(True)
    weights = torch.eye(10)[:, None].expand(10, 7, 10)
    assert torch.autograd.grad(loaded.system(leaf), leaf, weights, is_grads_batched=True)[0].shape == (10, *DIGITS.shape)
