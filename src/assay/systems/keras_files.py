"""Looking into a .keras file before Keras does: its members, the layers it names, its weights. Nothing is built."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.systems.packages import require

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MODULES = {"keras", "keras.layers", "keras.models", "keras.initializers", "keras.regularizers", "keras.constraints",
           "keras.src.models.functional", "keras.src.models.sequential"}
OPERATIONS = "keras.src.ops."           # x + y, relu(x) in a functional model
PLAIN = {"__keras_tensor__", "__numpy__", "__tensor__", "__tuple__", "__slice__", "__ellipsis__"}
CODE = {"Lambda": "code", "__lambda__": "code", "function": "a function by name", "TorchModuleWrapper": "a pickle",
        "TFSMLayer": "a program in another folder", "JaxLayer": "code", "FlaxLayer": "code",
        "StringLookup": "the name of another file", "IntegerLookup": "the name of another file",
        "TextVectorization": "the name of another file"}
LIMIT = 2**32                           # bytes of weights that are unpacked


def check_archive(path: Path) -> None:
    """Raise `InputError` unless the file is whole and holds nothing but Keras's own layers and arrays in itself."""
    what = f"Keras model {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if extra := sorted(names - MEMBERS):
                raise InputError(f"{what}: it holds {extra[0]!r}, which layers read as a file; only models of layers and "
                                 "weights are built")
            if archive.getinfo("model.weights.h5").file_size > LIMIT:
                raise InputError(f"{what}: its weights unpack to more than 4 GiB")
            config = json.loads(archive.read("config.json"))
            weights = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, KeyError, ValueError, zlib.error, EOFError, OSError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what}: truncated or not a .keras file ({type(error).__name__}); save or fetch it again"
                         ) from None
    for node in _nodes(config):
        _check_node(node, what)
    _check_weights(weights, what)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in the configuration that names a class."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _check_node(node: dict[str, Any], what: str) -> None:
    name, module = str(node["class_name"]), node.get("module")
    if name in CODE:
        raise InputError(f"{what}: a layer {name!r} holds {CODE[name]}, which is not run; build the model in Python and "
                         "give it as module:factory")
    own = isinstance(module, str) and (module in MODULES or module.startswith(OPERATIONS))
    if not own and not (module is None and name in PLAIN):
        raise InputError(f"{what}: {name!r} of {module!r} is none of Keras's own layers, and its code is not in the file; "
                         "build the model in Python and give it as module:factory")


def _check_weights(data: bytes, what: str) -> None:
    """Raise where the HDF5 file is broken, or links to another file."""
    h5py = require("h5py", extra="keras", what=what)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            groups = [file]
            while groups:
                group = groups.pop()
                for name in group:
                    link = group.get(name, getlink=True)
                    if isinstance(link, h5py.ExternalLink):
                        raise InputError(f"{what}: its weights link to another file, {link.filename!r}; refused")
                    if isinstance(link, h5py.SoftLink):
                        continue                        # within this file, where its target is looked at too
                    item = group[name]
                    if isinstance(item, h5py.Group):
                        groups.append(item)
                    elif item.external or item.is_virtual:
                        raise InputError(f"{what}: its weights lie in another file; refused")
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(f"{what}: its weights are truncated or no HDF5 ({type(error).__name__}); save or fetch it again"
                         ) from None
