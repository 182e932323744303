"""Keras 3 models on the torch backend, through which gradients run: from a .keras file, or a model in memory.

A .keras file describes layers by their Python names. Only Keras's own layers are built: nothing that holds code (Lambda),
unpickles (TorchModuleWrapper) or reads other files. A last softmax or sigmoid of a file's model is taken off: the decision
is the same, and scores before it do not round to 0 and 1.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.systems.adapter_options import behind, divide, readable_file
from assay.systems.keras_files import check_archive
from assay.systems.loaded import Adapted
from assay.systems.packages import require, version_of
from assay.systems.preprocessing import Preprocessed, Preprocessing
from assay.systems.protocol import System
from assay.systems.torch import TorchSystem

OLDEST = (3, 12)            # before it, safe mode could be got round (CVE-2025-1550, -8747, -9906)
TAKEN_OFF = {"softmax": "", "sigmoid": "logit"}     # last activation -> what one output then is


class Inference(nn.Module):
    """The Keras model called for inference: `training=False`, whatever torch's own mode."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x, training=False)
        return output


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`keras:PATH.keras`; settings `binary` and pre-processing, whose layout is the model's own unless said.

    Raises `InputError` for another backend than torch, an older Keras, a broken file, and layers that hold code.
    """
    path, what = Path(rest), f"Keras model {rest}"
    if weights is not None:
        raise InputError(f"weights {weights}: {what} holds its own; leave out --weights")
    if path.suffix != ".keras":
        raise InputError(f"{what}: only .keras files are read; Keras reads .h5 files without its safe mode, and others are "
                         "programs: save it with model.save('model.keras')")
    divide(options, what=what)
    check_archive(readable_file(path, what="Keras model"))
    keras = torch_keras(what)
    try:
        model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:  # a broken or unknown configuration raises whatever its first broken part raises
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise InputError(f"{what}: Keras {keras.__version__} cannot build it ({type(error).__name__}: {line})") from None
    removed = _take_off_last(keras, model)
    _, steps, binary = divide(options, what=what, usual=Preprocessing(layout=_layout(model)))
    binary = _check_output(model, what, rest, binary or TAKEN_OFF.get(removed, ""))
    settings = {"format": "keras", "keras": version_of("keras"), "backend": "torch", "last_activation_removed": removed,
                "preprocessing": steps.settings, **({"two_class": binary} if binary else {})}
    name = f"keras:{path.name}"
    system = TorchSystem(Inference(model).requires_grad_(False), name=name, settings=settings)
    return Adapted(system=behind(system, steps, binary), name=name, settings=settings, files={path.name: file_digest(path)},
                   description=f"Keras {settings['keras']} model {path.name} on torch"
                               + (f", its last {removed} taken off" if removed else ""))


def in_memory(model: Any, name: str = "") -> System:
    """A Keras model in memory as a system on images (batch, channels, height, width); the model is left as it is."""
    torch_keras(f"Keras model {model.name!r}")
    inner = TorchSystem(Inference(model), name=name or str(model.name), settings={"keras": version_of("keras")})
    layout = _layout(model)
    return inner if layout == "NCHW" else Preprocessed(system=inner, preprocessing=Preprocessing(layout=layout))


def is_keras(value: Any) -> bool:
    """Whether the object is a Keras model; Keras is not imported to find out."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, getattr(keras, "Model", ()))


def torch_keras(what: str) -> Any:
    """Keras on the torch backend; `InputError` where it runs on another one already, or is older than is safe."""
    before = os.environ.get("KERAS_BACKEND")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"       # read once, when Keras is imported; put back at once
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # of Keras's own import, none of which the user can mend
            keras = require("keras", extra="keras", what=what)
    finally:
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before
    if keras.config.backend() != "torch":
        raise InputError(f"{what}: Keras runs on {keras.config.backend()}, and gradients are seen on torch only; set "
                         "KERAS_BACKEND=torch before Keras is imported, or export it with model.export(format='onnx')")
    if tuple(int(n) for n in keras.__version__.split(".")[:2]) < OLDEST:
        raise InputError(f"{what}: Keras {keras.__version__} may run code that a file holds; install "
                         f"{'.'.join(map(str, OLDEST))} or later: pip install 'assay[keras]'")
    return keras


def _layout(model: Any) -> Any:
    """NCHW only where the model's layers say that channels come first."""
    formats = {layer.data_format for layer in model.layers if getattr(layer, "data_format", None)}
    return "NCHW" if formats == {"channels_first"} or len(model.input_shape) != 4 else "NHWC"


def _take_off_last(keras: Any, model: Any) -> str:
    """Make a last softmax or sigmoid linear, and return its name; "" where there is none to be made so."""
    last = next((layer for layer in model.layers if getattr(layer, "output", None) is model.outputs[0]), None)
    activation = getattr(last, "activation", None)
    for name in TAKEN_OFF:
        if activation is getattr(keras.activations, name):
            last.activation = keras.activations.linear      # type: ignore[union-attr]
            return name
    return ""


def _check_output(model: Any, what: str, rest: str, binary: str) -> str:
    """`binary` where the model has one output, "" where it has a score for each class; raises where it has neither."""
    if not isinstance(model.input_shape, tuple) or not isinstance(model.output_shape, tuple):
        raise InputError(f"{what}: several inputs or outputs; one of each is needed: images, and a score for each class")
    shape = model.output_shape[1:]
    if len(shape) != 1:
        raise InputError(f"{what}: its output has shape (batch, {', '.join(map(str, shape))}); a classifier returns "
                         "(batch, classes)")
    if shape[0] != 1:
        return ""
    if not binary:
        raise InputError(f"{what}: its output is one number for each input; say which kind of binary classifier it is: "
                         f"keras:{rest}?binary=logit (class 1 where it is above 0) or ?binary=probability")
    return binary
