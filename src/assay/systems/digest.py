"""The digest that names a system: the OMS root digest of its files, or one made alike of what it holds in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.file_digests import root_digest


def module_digest(module: nn.Module) -> str:
    """Digest of a module in memory: of its state, tensor by tensor in name order."""
    return root_digest({name: _tensor(value) for name, value in module.state_dict().items()})


def object_digest(value: Any) -> str:
    """Digest of an object in memory by its structure: class names, plain values and arrays, through all attributes.

    No pickle. Two objects fitted alike have one digest; what cannot be looked into counts by the name of its class.

    >>> object_digest({"a": np.zeros(2)}) == object_digest({"a": np.zeros(2)}) != object_digest({"a": np.ones(2)})
    True
    """
    root = hashlib.sha256()
    for part in _parts(value, ()):
        root.update(hashlib.sha256(part).digest())
    return root.hexdigest()


def _tensor(value: Tensor) -> str:
    data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8) if value.numel() else value
    return hashlib.sha256(f"{value.dtype}{tuple(value.shape)}".encode() + data.numpy().tobytes()).hexdigest()


def _parts(value: Any, above: tuple[int, ...]) -> list[bytes]:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return [f"{type(value).__name__}:{value!r}".encode()]
    if id(value) in above:                      # an object that holds itself
        return [b"above"]
    above = (*above, id(value))
    kind = f"{type(value).__module__}.{type(value).__qualname__}".encode()
    if isinstance(value, Tensor):
        return [kind, _tensor(value).encode()]
    if isinstance(value, nn.Module):
        return [kind, module_digest(value).encode()]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return [kind, str(value.shape).encode(), *(p for v in value.ravel().tolist() for p in _parts(v, above))]
        if value.dtype.names:                   # field by field: the bytes between fields are anything
            return [kind, *(p for name in value.dtype.names for p in (name.encode(), *_parts(value[name], above)))]
        return [kind, f"{value.dtype}{value.shape}".encode(), np.ascontiguousarray(value).tobytes()]
    if isinstance(value, (list, tuple)):
        return [kind, str(len(value)).encode(), *(p for v in value for p in _parts(v, above))]
    if isinstance(value, (set, frozenset)):
        return [kind, *sorted(b"".join(_parts(v, above)) for v in value)]
    if isinstance(value, Mapping):
        pairs = [v for k in sorted(value, key=repr) for v in (k, value[k])]
        return [kind, str(len(value)).encode(), *(p for v in pairs for p in _parts(v, above))]
    if callable(value) and isinstance(name := getattr(value, "__qualname__", None), str):
        return [kind, f"{getattr(value, '__module__', '')}.{name}".encode()]
    return [kind, *_parts(_state(value), above)]


def _state(value: Any) -> Any:
    """What the object would give to be copied: its attributes, or the arrays of a compiled class."""
    try:
        return value.__getstate__()
    except (TypeError, NotImplementedError):
        return None
