"""Foreign formats by prefix: `onnx:model.onnx?scale=255`, `torchvision:resnet18`. One file for each, loaded when asked for.

After a `?` stand settings, as in a web address: those of `Preprocessing`, those of the format, and `name`. So a recipe of
words is enough to build the system again.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from assay.arrays import InputError
from assay.systems.loaded import Adapted

PREFIXES = {                # prefix -> (module of this package, what follows the prefix)
    "onnx": ("onnx", "PATH.onnx"),
    "sklearn": ("sklearn", "PATH.skops"),
    "keras": ("keras", "PATH.keras"),
    "torchvision": ("torchvision", "NAME"),
    "timm": ("timm", "NAME"),
    "maite": ("maite", "MODULE:FACTORY"),
    "huggingface": ("huggingface", "FOLDER"),
}
NAMED = {"efficientnet-lite0": "efficientnet"}
PROGRAM = ("it can hold a program that runs as it is read: save the weights with safetensors.torch.save_file and give the "
           "network as module:factory")
SCRIPTED = ("a TorchScript archive is a program, and torch.jit.load runs parts of it, which may write files; export it with "
            "torch.onnx.export, or give the network as module:factory")
REFUSED = {
    ".pt": f"a .pt file is a pickle or TorchScript. As a pickle {PROGRAM}. As TorchScript: {SCRIPTED}",
    ".pth": f"a .pth file is a pickle: {PROGRAM}", ".ckpt": f"a .ckpt file is a pickle: {PROGRAM}",
    ".pt2": f"a .pt2 file may hold pickles: {PROGRAM}", ".bin": f"a .bin file is a pickle: {PROGRAM}",
    ".pkl": f"a .pkl file is a pickle: {PROGRAM}", ".pickle": f"a .pickle file is a pickle: {PROGRAM}",
    ".joblib": "a .joblib file is a pickle, which can hold a program that runs as it is read; save the estimator with "
               "skops.io.dump and give sklearn:PATH.skops, or hand it over in Python as SklearnSystem(estimator)",
    ".h5": "Keras reads .h5 files without its safe mode; save the model as .keras and give keras:PATH.keras",
    ".hdf5": "Keras reads .hdf5 files without its safe mode; save the model as .keras and give keras:PATH.keras",
    ".safetensors": "weights alone are no network; give the network's name (or module:factory) and --weights",
    ".onnx": "write onnx: in front of it", ".keras": "write keras: in front of it",
    ".skops": "write sklearn: in front of it",
}


def known(spec: str) -> bool:
    """Whether the spec names a foreign format, or a file that only such a format could be."""
    head = spec.partition("?")[0]
    return head in NAMED or head.partition(":")[0] in PREFIXES or _suffix(head) in REFUSED


def forms() -> tuple[str, ...]:
    """What can be written in place of a system's name: `onnx:PATH.onnx` and the like."""
    return (*(f"{prefix}:{what}" for prefix, (_, what) in PREFIXES.items()), *NAMED)


def adapt(spec: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """The system that the spec names, behind its pre-processing, with everything that enters its digest.

    Raises `InputError` naming the file, the package or the setting, and the remedy.
    """
    head, settings = parse(spec)
    settings = {**settings, **options}
    prefix, _, rest = head.partition(":")
    module = NAMED.get(head) or PREFIXES.get(prefix, ("", ""))[0]
    if not module:
        refuse(Path(head))
    if head not in NAMED and not rest:
        raise InputError(f"system {spec!r}: nothing follows {prefix}:; write {prefix}:{PREFIXES[prefix][1]}")
    name = str(settings.pop("name", ""))
    found: Adapted = importlib.import_module(f"assay.systems.{module}").load(rest, weights=weights, options=settings)
    return replace(found, name=name) if name else found


def refuse(path: Path) -> NoReturn:
    """Raise the reason why a file of this kind is not opened, with the remedy."""
    raise InputError(f"system {str(path)!r}: {REFUSED.get(_suffix(str(path)), 'not a system that can be read')}")


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """What stands in front of the `?`, and the settings behind it, numbers as numbers and lists by commas.

    >>> parse("onnx:m.onnx?scale=255&mean=0.5,0.4&layout=NHWC")
    ('onnx:m.onnx', {'scale': 255, 'mean': (0.5, 0.4), 'layout': 'NHWC'})
    """
    head, _, rest = spec.partition("?")
    settings: dict[str, Any] = {}
    for part in filter(None, rest.split("&")):
        key, equals, text = part.partition("=")
        if not equals or not key or not text:
            raise InputError(f"system {spec!r}: {part!r} is not a setting; write key=value, with & between two")
        values = tuple(_value(v) for v in text.split(","))
        settings[key] = values if len(values) > 1 else values[0]
    return head, settings


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()
