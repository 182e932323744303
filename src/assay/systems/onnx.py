"""Networks in ONNX files: run by onnxruntime, as they are deployed; gradients where onnx2torch converts them truly.

A score is always onnxruntime's. Where the converted network agrees with it, gradients are the converted network's, at the
very same scores. Nothing outside the model's folder is opened, and no operator library is loaded.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.records import Access
from assay.systems.adapter_options import behind, divide, readable_file
from assay.systems.loaded import Adapted
from assay.systems.onnx_files import external_files, read_model
from assay.systems.packages import require, version_of
from assay.systems.preprocessing import Preprocessing

DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
          "tensor(uint8)": np.uint8}
AGREE = 1e-4                # of the converted network's scores with onnxruntime's, as a share of the greatest score
TRIALS = 4                  # random inputs on which they must agree
SIDES = (32, 224, 8)        # tried where the file leaves height and width open
Shape = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slot:
    """One input or output of the file: name, element type, shape after the batch (None where it is open), fixed batch."""

    name: str
    dtype: type
    shape: Shape
    batch: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxSystem:
    """`run` (inputs to scores, by onnxruntime); `module`, where there is one, gives the gradients at those scores."""

    run: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    slot: Slot
    module: nn.Module | None = None
    name: str = "onnx"
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def access(self) -> Access:
        return Access.SCORE if self.module is None else Access.GRADIENT

    def __call__(self, inputs: Tensor) -> Tensor:
        check_inputs(self.slot, inputs, self.name)
        given = inputs.detach().cpu().numpy()
        if self.slot.dtype is np.uint8:
            given = given.round().clip(0, 255)
        scores = torch.from_numpy(in_batches(self.run, given.astype(self.slot.dtype), self.slot.batch))
        scores = scores.to(device=inputs.device, dtype=inputs.dtype)
        if self.module is None or not (inputs.requires_grad and torch.is_grad_enabled()):
            return scores
        like = self.converted(inputs)           # + 0 in value: the sum is onnxruntime's score, its gradient the module's
        return like + (scores.double() - like.detach().double()).to(like.dtype)

    def converted(self, inputs: Tensor) -> Tensor:
        """The converted network's own scores."""
        assert self.module is not None
        given = inputs.to(torch.float32)
        if self.slot.batch is None:
            return self.module(given).to(inputs.dtype)
        parts = given.split(self.slot.batch)
        short = self.slot.batch - len(parts[-1])
        padded = [*parts[:-1], torch.cat([parts[-1], *[parts[-1][-1:]] * short])]
        return torch.cat([self.module(part) for part in padded])[:len(inputs)].to(inputs.dtype)


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`onnx:PATH.onnx`; settings `output` (which one, where the file has several), `binary` and pre-processing.

    Raises `InputError` for a file that is truncated, reaches outside its folder, needs operators that onnxruntime lacks,
    or has no input (batch, …) and no output (batch, classes).
    """
    path, what = Path(rest), f"ONNX model {rest}"
    if weights is not None:
        raise InputError(f"weights {weights}: {what} holds its own; leave out --weights")
    own, preprocessing, binary = divide(options, what=what, own=("output",))
    runtime = require("onnxruntime", extra="onnx", what=what)
    model = read_model(readable_file(path, what="ONNX model"))
    outside = external_files(model, path)
    session = _session(runtime, path)
    try:
        slot, output = _slots(session, what, str(own.get("output", "")), binary)
    except UnicodeDecodeError:
        raise InputError(f"{what}: the name of an input or output is no UTF-8 text; export it again") from None
    if slot.dtype is np.uint8 and preprocessing.scale == 1:
        raise InputError(f"{what}: its input is uint8, and images are in [0, 1]; write onnx:{rest}?scale=255")

    def run(given: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([output.name], {slot.name: given})[0])

    name = f"onnx:{path.name}"
    module, reason = _convert(model, path, run, slot, preprocessing)
    gradients = f"onnx2torch {version_of('onnx2torch')}" if module is not None else "none"
    settings = {"format": "onnx", "output": output.name, "onnxruntime": version_of("onnxruntime"), "gradients": gradients,
                "preprocessing": preprocessing.settings, **({"two_class": binary} if binary else {})}
    system = OnnxSystem(run=run, slot=slot, module=module, name=name, settings=settings)
    _one_score_a_class(system, output, what, rest, binary)
    seen = f"gradients by {gradients}" if module is not None else f"query-only: {reason}"
    return Adapted(
        system=behind(system, preprocessing, binary), name=name, settings=settings,
        files={path.name: file_digest(path), **{name: file_digest(path.parent / name) for name in outside}},
        description=f"ONNX network {path.name}, onnxruntime {settings['onnxruntime']}; {seen}")


def check_inputs(slot: Slot, inputs: Tensor, name: str) -> None:
    """Raise `InputError` naming both shapes where the inputs are not what the file takes."""
    if not inputs.is_floating_point():
        raise InputError(f"system {name!r}: inputs are {inputs.dtype}; give floats: images.float() / 255")
    given = tuple(inputs.shape[1:])
    if len(given) == len(slot.shape) and all(w in (None, g) for w, g in zip(slot.shape, given, strict=True)):
        return
    wanted = ", ".join("any" if n is None else str(n) for n in ("batch", *slot.shape))
    remedy = "give images of that size, or say ?size=height,width"
    if len(given) == 3 and len(slot.shape) == 3 and slot.shape[-1] == given[0] != slot.shape[0]:
        remedy = "it wants the channels last: say ?layout=NHWC"
    elif len(given) == 3 and len(slot.shape) == 3 and slot.shape[0] not in (None, given[0]):
        remedy = "it wants another number of channels: give images of its kind, or say ?channels= to repeat a grey channel"
    raise InputError(f"system {name!r}: inputs have shape {tuple(inputs.shape)}, the file takes ({wanted}); {remedy}")


def in_batches(run: Callable[[np.ndarray], np.ndarray], given: np.ndarray, batch: int | None) -> np.ndarray:
    """run(given), in batches of the one size that the file takes, the last filled up with copies.

    >>> in_batches(lambda x: 2 * x[:2], np.arange(3), 2).tolist()
    [0, 2, 4]
    """
    if batch is None or len(given) == batch:
        return run(given)
    short = -len(given) % batch
    full = np.concatenate([given, np.repeat(given[-1:], short, axis=0)]) if short else given
    return np.concatenate([run(full[i:i + batch]) for i in range(0, len(full), batch)])[:len(given)]


def _session(runtime: Any, path: Path) -> Any:
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.inter_op_num_threads = 1
    settings.use_deterministic_compute = True
    try:
        return runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class but Exception
        line = str(error).strip().splitlines()[0][:300]
        raise InputError(f"ONNX model {path}: onnxruntime cannot run it ({line}); export it with standard operators only, "
                         "and an opset that this onnxruntime knows") from None


def _slots(session: Any, what: str, wanted: str, binary: str) -> tuple[Slot, Slot]:
    """The one input, and the output that is asked for, or the only one of floats (batch, classes)."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise InputError(f"{what}: {len(inputs)} inputs ({', '.join(i.name for i in inputs)}); one is needed, the images: "
                         "fix the others in the file")
    if inputs[0].type not in DTYPES:
        raise InputError(f"{what}: its input is {inputs[0].type}; known: {', '.join(DTYPES)}")
    floats = [o for o in outputs if o.type in DTYPES and o.type != "tensor(uint8)"]
    chosen = [o for o in outputs if o.name == wanted] if wanted else floats
    if len(chosen) != 1 or chosen[0] not in floats:
        listing = ", ".join(f"{o.name} {o.type}" for o in outputs)
        raise InputError(f"{what}: outputs are {listing}; say ?output= with the one that holds a score (a float) for each "
                         "class")
    return _slot(inputs[0]), _slot(chosen[0])


def _slot(given: Any) -> Slot:
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in given.shape)
    return Slot(name=given.name, dtype=DTYPES[given.type], shape=shape[1:], batch=shape[0] if shape else None)


def _one_score_a_class(system: OnnxSystem, output: Slot, what: str, rest: str, binary: str) -> None:
    """Raise where the output's declared shape cannot be scores of two or more classes."""
    shape = output.shape
    if shape in ((1,), ()) and not binary:
        raise InputError(f"{what}: its output {output.name!r} is one number for each input; say which kind of binary "
                         f"classifier it is: onnx:{rest}?binary=logit (class 1 where it is above 0) or ?binary=probability")
    if len(shape) > 1:
        raise InputError(f"{what}: its output {output.name!r} has shape (batch, {', '.join(map(str, shape))}); a classifier "
                         "returns (batch, classes): say another ?output=")


def _convert(model: Any, path: Path, run: Callable[[np.ndarray], np.ndarray], slot: Slot,
             preprocessing: Preprocessing) -> tuple[nn.Module | None, str]:
    """The network in torch if it agrees with onnxruntime on random inputs, else None with the reason."""
    if slot.dtype is not np.float32:
        return None, f"its input is {np.dtype(slot.dtype).name}"
    try:
        converter = require("onnx2torch", extra="onnx-gradients", what="a gradient")
    except InputError as error:
        return None, str(error)
    logging.getLogger("onnx2torch").setLevel(logging.CRITICAL)
    try:
        require("onnx", extra="onnx", what="a gradient").load_external_data_for_model(model, str(path.parent))
        module = converter.convert(model).eval().requires_grad_(False)
    except Exception as error:  # whatever a converter of foreign graphs may raise
        return None, f"onnx2torch cannot convert it ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]})"
    try:
        return _agreeing(OnnxSystem(run=run, slot=slot, module=module), _trials(run, slot, preprocessing))
    except InputError as error:
        return None, str(error)
    except Exception as error:
        return None, f"the network converted by onnx2torch raises ({type(error).__name__})"


def _trials(run: Callable[[np.ndarray], np.ndarray], slot: Slot, preprocessing: Preprocessing) -> Tensor:
    """Random inputs of the range that pre-processed images have, of the first shape that the file takes."""
    mean, std = preprocessing.mean or (0.0,), preprocessing.std or (1.0,)
    low = min(-m / s for m in mean for s in std)
    high = max((preprocessing.scale - m) / s for m in mean for s in std)
    for side in SIDES if None in slot.shape else SIDES[:1]:
        open_sizes = iter((3, side, side) if len(slot.shape) == 3 and slot.shape[0] is None else (side,) * 9)
        shape = [next(open_sizes) if n is None else n for n in slot.shape]
        x = low + (high - low) * torch.rand(TRIALS, *shape, generator=torch.Generator().manual_seed(0))
        try:
            in_batches(run, x.numpy(), slot.batch)
            return x
        except Exception:  # the next size may fit
            continue
    raise InputError("no size of input that it takes was found on which to compare a converted network")


def _agreeing(trial: OnnxSystem, x: Tensor) -> tuple[nn.Module | None, str]:
    scores = torch.from_numpy(in_batches(trial.run, x.numpy(), trial.slot.batch)).double()
    for part in (x, x[:1]):     # alone too: a reshape to the file's own batch shows there
        with torch.no_grad():
            found = trial.converted(part).double()
        wrong = float((found - scores[:len(part)]).abs().max()) / max(float(scores.abs().max()), 1e-30) \
            if found.shape == scores[:len(part)].shape else math.inf
        if not wrong <= AGREE:
            return None, f"the network converted by onnx2torch differs from onnxruntime's by {wrong:.1e} of its scores"
    leaf = x.clone().requires_grad_(True)
    value = trial.converted(leaf).sum()
    if not value.requires_grad:
        return None, "no gradient runs through the network converted by onnx2torch"
    return trial.module, ""
