"""Reading an ONNX file with suspicion: whole, and with no tensor kept in a file outside the model's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.systems.packages import require

EXTERNAL = 1                # TensorProto.EXTERNAL
LIMIT = 2**31 - 1           # bytes that one protobuf message can have


def read_model(path: Path) -> Any:
    """The model's graph, tensors in other files left where they are; `InputError` if the file is not a whole model."""
    onnx = require("onnx", extra="onnx", what=f"ONNX model {path}")
    if path.stat().st_size > LIMIT:
        raise InputError(f"ONNX model {path}: larger than 2 GiB, which no whole ONNX file is; export it with external data")
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, which has no public class of its own
        raise InputError(f"ONNX model {path}: truncated or not an ONNX file ({type(error).__name__}); fetch or export it "
                         "again") from None
    if not model.graph.node or not model.opset_import:
        raise InputError(f"ONNX model {path}: truncated or not an ONNX file (no operators); fetch or export it again")
    return model


def external_files(model: Any, path: Path) -> tuple[str, ...]:
    """The other files, relative to the model's folder, that hold its tensors.

    Raises `InputError` for one that is missing, or that lies outside the folder once links are followed: a model that
    reads /etc/passwd as weights is an attack.
    """
    folder = path.parent.resolve()
    found = set()
    for tensor in _tensors(model):
        if tensor.data_location != EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        place = (folder / location).resolve() if location else folder
        if "\\" in location or Path(location).is_absolute() or not place.is_relative_to(folder) or place == folder:
            raise InputError(f"ONNX model {path}: tensor {tensor.name!r} is kept in {location!r}, outside the model's "
                             "folder; such a file is refused: put its data beside the model and export it again")
        if not place.is_file():
            raise InputError(f"ONNX model {path}: its file of tensors {location!r} is missing; put it beside the model")
        found.add(location)
    return tuple(sorted(found))


def _tensors(model: Any) -> Iterator[Any]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(graph)
