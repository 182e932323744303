"""Systems by name: `deep-cascade`, `total-variation`, `module:factory`. Loading returns the system and its record."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.records import Role, SystemRecord, digest_of
from assay.systems import classical
from assay.systems.digest import file_digest, root_digest
from assay.systems.established_classifiers import build_hog_svm, build_multinomial
from assay.systems.function import FunctionSystem
from assay.systems.literature import lenet, mlp
from assay.systems.literature.automap import Automap
from assay.systems.literature.deep_cascade import DeepCascade, from_author
from assay.systems.literature.unet import UNet
from assay.systems.protocol import System, SystemFamily
from assay.systems.torch import OperatorNetwork, PhysicsNetwork, TorchSystem
from assay.systems.weights import SHIPPED, Arrays, State, fill, read_weights


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A system (or a family of systems, one per forward model) beside the record that identifies it."""

    system: System | SystemFamily
    record: SystemRecord


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the literature: how its module is made from its weights; `from_author` reads its author's own file."""

    build: Callable[[State], nn.Module]
    weights: str
    description: str
    task: str = "reconstruction"
    kind: str = "network"
    one_operator: bool = False
    one_coil: bool = False
    from_author: Callable[[Arrays], dict[str, Tensor]] | None = None


def _automap(state: State) -> nn.Module:
    hidden, inputs = state["first.weight"].shape
    return Automap(samples=inputs // 2, hidden=hidden, size=round(state["second.weight"].shape[0] ** 0.5))


NETWORKS: dict[str, Network] = {
    "deep-cascade": Network(build=lambda state: DeepCascade(), weights="deep_cascade.safetensors",
                            description="Deep cascade D5-C5 (Schlemper et al. 2018), trained on MNI152 slices",
                            one_coil=True, from_author=from_author),
    "deep-cascade-jitter": Network(
        build=lambda state: DeepCascade(), weights="deep_cascade_jitter.safetensors",
        description="Deep cascade D5-C5 trained with jitter up to 8 % (Genzel, Macdonald and März 2023)",
        one_coil=True, from_author=from_author),
    "unet": Network(build=lambda state: UNet(), weights="unet.safetensors",
                    description="U-Net from the zero-filled image, without data consistency"),
    "automap": Network(build=_automap, weights="automap.safetensors",
                       description="AUTOMAP 48×48 (Zhu et al. 2018), 60 % variable density, one fixed mask",
                       one_operator=True, one_coil=True),
    "lenet": Network(build=lenet.build, weights="lenet.safetensors", task="classification",
                     description="LeNet (LeCun et al. 1998), trained on handwritten digits 8×8"),
    "mlp": Network(build=mlp.build, weights="mlp.safetensors", task="classification",
                   description="Multilayer perceptron 500-150-10, trained on handwritten digits 8×8"),
    "hog-svm": Network(build=build_hog_svm, weights="hog_svm.safetensors", task="classification", kind="classical",
                       description="Histograms of oriented gradients and a linear SVM (Dalal and Triggs 2005), digits 8×8"),
    "multinomial": Network(build=build_multinomial, weights="multinomial.safetensors", task="classification",
                           kind="classical", description="Multinomial logistic regression on the pixels, digits 8×8"),
}
CLASSICAL: dict[str, Callable[..., SystemFamily]] = {
    "total-variation": classical.TotalVariation,
    "wavelet": classical.WaveletL1,
    "tikhonov": classical.Tikhonov,
    "zero-filled": classical.ZeroFilled,
}


def names() -> tuple[str, ...]:
    """The systems that come with Assay."""
    return (*NETWORKS, *CLASSICAL)


def task_of(spec: str) -> str:
    """What a built-in system does; "" for a user's own."""
    if spec in NETWORKS:
        return NETWORKS[spec].task
    return "reconstruction" if spec in CLASSICAL else ""


def load(spec: str, *, role: Role, weights: Path | None = None, options: Mapping[str, Any] | None = None) -> Loaded:
    """The system a user names: a built-in network or method, or `module:factory` of their own.

    Raises `InputError` naming what exists, the file that is missing, or the weight whose shape is wrong.
    """
    options = dict(options or {})
    if spec in NETWORKS:
        return _network(spec, role, weights)
    if weights is not None:
        raise InputError(f"weights {weights}: system {spec!r} takes none; leave out --weights")
    if spec in CLASSICAL:
        return _classical(spec, role, options)
    if ":" in spec:
        return _factory(spec, role, options)
    raise InputError(f"unknown system {spec!r}; known: {', '.join(names())}, or your own as module:factory")


def adopt(system: Any, *, role: Role, name: str | None = None) -> Loaded:
    """A user's object as a system: a torch module, a system or family, or any callable."""
    if isinstance(system, Loaded):
        return system
    if isinstance(system, nn.Module):
        system = TorchSystem(system, name=name or type(system).__name__)
    elif not isinstance(system, (SystemFamily, System)):
        if not callable(system):
            raise InputError(f"{system!r} is not a system: it must be callable, or have bind(operator)")
        system = FunctionSystem(system, name=name or str(getattr(system, "__name__", "function")))
    settings = dict(getattr(system, "settings", {}))
    module = getattr(system, "module", None)
    digest = _module_digest(module) if isinstance(module, nn.Module) else digest_of(
        {"name": system.name, "settings": settings})
    return Loaded(system=system, record=SystemRecord(
        name=name or system.name, role=role, kind=system.kind, description=(system.__doc__ or "").split("\n")[0],
        digest=digest, access=int(system.access), loader="", options={}))


def adopt_reconstructor(module: nn.Module, *, name: str = "") -> PhysicsNetwork:
    """A reconstructor called as `module(measurements, physics)`, as deepinv's are, as a system for any adopted physics."""
    if not isinstance(module, nn.Module):
        raise InputError(f"{type(module).__name__} is not a torch module called as module(measurements, physics)")
    return PhysicsNetwork(module, name=name or type(module).__name__)


def _module_digest(module: nn.Module) -> str:
    """Digest of a module in memory: of its state, tensor by tensor in name order."""
    import hashlib

    files = {}
    for name, value in module.state_dict().items():
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8) if value.numel() else value
        files[name] = hashlib.sha256(f"{value.dtype}{tuple(value.shape)}".encode() + data.numpy().tobytes()).hexdigest()
    return root_digest(files)


def _network(spec: str, role: Role, weights: Path | None) -> Loaded:
    network = NETWORKS[spec]
    path = weights if weights is not None else Path(str(SHIPPED / network.weights))
    state, facts = read_weights(path, network.from_author)
    module = network.build(state)
    fill(module, state, path)
    files = {path.name: file_digest(path)}
    settings = {"weights": path.name, **facts}
    system: System | SystemFamily
    if network.task == "classification":
        system = TorchSystem(module, name=spec, kind=network.kind, settings=settings)
    else:
        system = OperatorNetwork(module, name=spec, settings=settings, one_operator=network.one_operator,
                                 one_coil=network.one_coil)
    options = {} if weights is None else {"weights": str(weights)}
    description = network.description if weights is None else f"{network.description.split(',')[0]}, weights {path.name}"
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
        raise InputError(f"system {spec!r}: the factory raised {type(error).__name__}: {error}; call it by hand to see where"
                         ) from error
    loaded = adopt(made, role=role)
    from dataclasses import replace
    return Loaded(system=loaded.system, record=replace(loaded.record, loader=spec, options=options))
