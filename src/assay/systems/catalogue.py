"""Systems by name: `deep-cascade`, `total-variation`, `module:factory`. Loading returns the system and its record."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from assay.arrays import InputError
from assay.file_digests import file_digest, root_digest
from assay.records import Role, SystemRecord, digest_of, to_json
from assay.systems import adapters, classical, keras
from assay.systems.digest import module_digest, object_digest
from assay.systems.function import FunctionSystem
from assay.systems.loaded import SETTINGS
from assay.systems.loaded import Loaded as Loaded
from assay.systems.protocol import System, SystemFamily
from assay.systems.shipped import NETWORKS
from assay.systems.sklearn import SklearnSystem, is_estimator
from assay.systems.texts import TextSystem
from assay.systems.torch import OperatorNetwork, PhysicsNetwork, TorchSystem
from assay.systems.weights import SHIPPED, State, fill, read_weights

CLASSICAL: dict[str, Callable[..., SystemFamily]] = {
    "total-variation": classical.TotalVariation,
    "wavelet": classical.WaveletL1,
    "tikhonov": classical.Tikhonov,
    "zero-filled": classical.ZeroFilled,
}


def names() -> tuple[str, ...]:
    """The systems that come with Assay."""
    return (*NETWORKS, *CLASSICAL)


def tasks_of(spec: str) -> tuple[str, ...]:
    """What a system can do, the usual first; nothing is known of a user's own."""
    if spec in NETWORKS:
        return (NETWORKS[spec].task,)
    if spec in CLASSICAL:
        return ("reconstruction",)
    if spec.startswith("huggingface:"):
        return ("text",)
    if spec.startswith("sklearn:"):
        return ("classification", "text", "codes", "table")    # an estimator says what it takes by taking it
    return ("classification",) if adapters.known(spec) else ()


def runs_code(spec: str) -> bool:
    """Whether making the system runs a function that the spec names by module.

    >>> runs_code("lenet"), runs_code("onnx:m.onnx"), runs_code("my_network:make"), runs_code("maite:my_model:make")
    (False, False, True, True)
    """
    return spec.startswith("maite:") or (":" in spec and not adapters.known(spec))


def load(spec: str, *, role: Role, weights: Path | None = None, options: Mapping[str, Any] | None = None) -> Loaded:
    """The system a user names: a built-in network or method, a foreign format, or `module:factory` of their own.

    Raises `InputError` naming what exists, the file that is missing, or the weight whose shape is wrong.
    """
    options = dict(options or {})
    if spec in NETWORKS:
        return _network(spec, role, weights)
    if spec not in CLASSICAL and adapters.known(spec):
        return _foreign(spec, role, weights, options)
    if weights is not None:
        raise InputError(f"weights {weights}: system {spec!r} takes none; leave out --weights")
    if spec in CLASSICAL:
        return _classical(spec, role, options)
    if ":" in spec:
        return _factory(spec, role, options)
    raise InputError(f"unknown system {spec!r}; known: {', '.join((*names(), *adapters.forms()))}, or your own "
                     "as module:factory")


def adopt(system: Any, *, role: Role, name: str | None = None) -> Loaded:
    """A user's object as a system: a torch module, a scikit-learn estimator, a system or family, or any callable."""
    if isinstance(system, Loaded):
        return system
    if is_estimator(system):
        system = SklearnSystem(system)
    elif keras.is_keras(system):
        system = keras.in_memory(system, name or "")
    elif isinstance(system, nn.Module):
        system = TorchSystem(system, name=name or type(system).__name__)
    elif isinstance(system, Path):
        adapters.refuse(system)
    elif not isinstance(system, (SystemFamily, System)):
        if not callable(system):
            raise InputError(f"{system!r} is not a system: it must be callable, or have bind(operator)")
        system = FunctionSystem(system, name=name or str(getattr(system, "__name__", "function")))
    return Loaded(system=system, record=SystemRecord(
        name=name or system.name, role=role, kind=system.kind, description=(system.__doc__ or "").split("\n")[0],
        digest=_digest(system), access=int(system.access), loader="", options={}))


def adopt_reconstructor(module: nn.Module, *, name: str = "") -> PhysicsNetwork:
    """A reconstructor called as `module(measurements, physics)`, as deepinv's are, as a system for any adopted physics."""
    if not isinstance(module, nn.Module):
        raise InputError(f"{type(module).__name__} is not a torch module called as module(measurements, physics)")
    return PhysicsNetwork(module, name=name or type(module).__name__)


def _digest(system: Any) -> str:
    """Digest of a system in memory: of its weights, of what it wraps and how, else of its name and settings."""
    settings, inner = dict(getattr(system, "settings", {})), getattr(system, "system", None)
    if isinstance(inner, System):
        return root_digest({"system": _digest(inner), SETTINGS: digest_of(settings)})
    module, estimator = getattr(system, "module", None), getattr(system, "estimator", None)
    if isinstance(module, nn.Module):
        return module_digest(module)
    if estimator is not None:
        return root_digest({"estimator": object_digest(estimator), SETTINGS: digest_of(settings)})
    return digest_of({"name": system.name, "settings": settings})


def _foreign(spec: str, role: Role, weights: Path | None, options: dict[str, Any]) -> Loaded:
    found = adapters.adapt(spec, weights=weights, options=options)
    said = options if weights is None else {**options, "weights": str(weights)}
    return Loaded(system=found.system, record=SystemRecord(
        name=found.name, role=role, kind=found.kind, description=found.description, digest=found.digest,
        access=int(found.system.access), loader=spec, options=said, files=found.identity))


def _network(spec: str, role: Role, weights: Path | None) -> Loaded:
    network = NETWORKS[spec]
    if weights is None and not network.weights:
        raise InputError(f"system {spec!r}: its author's weights do not ship with Assay; give them by --weights FILE")
    path = weights if weights is not None else Path(str(SHIPPED / network.weights))
    state, facts = read_weights(path, network.from_author)
    options = {} if weights is None else {"weights": str(weights)}
    description = network.description if weights is None else f"{network.description.split(',')[0]}, weights {path.name}"
    return _filled(spec, role, state, facts, path, file_digest(path), description=description, options=options)


def fitted(spec: str, *, role: Role, state: State, facts: Mapping[str, Any], description: str) -> Loaded:
    """The built-in system with weights that were fitted for this audit; `facts` say how, in the header of their file.

    Its digest is that of the weights file, so loading the file that an audit keeps gives the same system.
    """
    content = save({name: value.detach().contiguous() for name, value in state.items()},
                   {"fitted": to_json(facts)})      # one entry: safetensors writes several in any order
    said = f"{NETWORKS[spec].description.split(',')[0]}, {description}"
    loaded = _filled(spec, role, state, {}, Path(f"{spec}.safetensors"), hashlib.sha256(content).hexdigest(),
                     description=said, options={})
    return replace(loaded, weights=content)


def _filled(spec: str, role: Role, state: State, facts: Mapping[str, str], path: Path, digest: str, *, description: str,
            options: Mapping[str, Any]) -> Loaded:
    """The built-in network with these weights, which are those of the file `path`."""
    network = NETWORKS[spec]
    module = network.build(state)
    fill(module, state, path)
    files = {path.name: digest}
    settings = {"weights": path.name, **facts}
    system: System | SystemFamily
    if network.task in ("classification", "sound", "verification", "table"):
        system = TorchSystem(module, name=spec, kind=network.kind, settings=settings)
    elif network.task in ("text", "codes"):
        system = TextSystem(module.eval(), name=spec, kind=network.kind, settings=settings, module=module)
    else:
        system = OperatorNetwork(module, name=spec, settings=settings, one_operator=network.one_operator,
                                 one_coil=network.one_coil)
    return Loaded(system=system, record=SystemRecord(
        name=spec, role=role, kind=network.kind, description=description, digest=root_digest(files),
        access=int(system.access), loader=spec, options=options, files=files))


def _classical(spec: str, role: Role, options: dict[str, Any]) -> Loaded:
    try:
        system = CLASSICAL[spec](**options)
    except TypeError as error:
        raise InputError(f"system {spec!r}: {error}") from None
    settings = dict(system.settings)
    return Loaded(system=system, record=SystemRecord(
        name=spec, role=role, kind="classical", description=(type(system).__doc__ or spec).split("\n")[0],
        digest=digest_of({"method": spec, "settings": settings}), access=int(system.access), loader=spec,
        options=options))


def _factory(spec: str, role: Role, options: dict[str, Any]) -> Loaded:
    module_name, _, attribute = spec.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), attribute)(**options)
    except ImportError as error:
        raise InputError(f"system {spec!r}: cannot import {module_name!r} ({error}); is its folder on PYTHONPATH?"
                         ) from error
    except AttributeError as error:
        if not hasattr(sys.modules.get(module_name), attribute):
            raise InputError(f"system {spec!r}: module {module_name!r} has no {attribute!r}") from None
        raise InputError(f"system {spec!r}: the factory raised {type(error).__name__}: {error}") from error
    except (MemoryError, OSError, InputError):
        raise
    except Exception as error:
        if isinstance(error, TypeError) and f"{attribute}() missing" in str(error):
            raise InputError(f"system {spec!r}: {attribute} takes arguments; a factory is called without any and returns "
                             f"the system; write def make(): return {attribute}, and name {module_name}:make") from None
        raise InputError(f"system {spec!r}: the factory raised {type(error).__name__}: {error}; call it by hand to see where"
                         ) from error
    loaded = adopt(made, role=role)
    return Loaded(system=loaded.system, record=replace(loaded.record, loader=spec, options=options))
