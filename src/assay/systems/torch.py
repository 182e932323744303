"""Any `torch.nn.Module` as a system: evaluation mode, gradients of the inputs only, the caller's module unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.operators.adopt import AdoptedOperator
from assay.operators.protocol import LinearOperator
from assay.records import Access
from assay.systems.protocol import System


@dataclass(frozen=True, eq=False)
class TorchSystem:
    """`module(inputs)`, in evaluation mode. A few lines audit a network of your own:

    >>> import torch
    >>> system = TorchSystem(nn.Linear(2, 1, bias=False))
    >>> system(torch.zeros(4, 2)).shape
    torch.Size([4, 1])
    """

    module: nn.Module
    name: str = "network"
    access: Access = Access.GRADIENT
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(m.training for m in self.module.modules()):
            self.module.eval()

    def __call__(self, inputs: Tensor) -> Tensor:
        if not (inputs.is_floating_point() or inputs.is_complex()):
            raise InputError(f"system {self.name!r}: inputs are {inputs.dtype}, and no gradient runs through whole numbers; "
                             "give floats: images.float() / 255")
        device = _elsewhere(self.module, inputs)
        if device is not None and device.type == "meta":
            raise InputError(f"system {self.name!r}: the module's weights are on the meta device: load them first")
        try:
            output = self.module(inputs if device is None else inputs.to(device))
        except RuntimeError as error:
            if (reason := _misfit(self.module, inputs, error)) is not None:
                raise InputError(f"system {self.name!r}: {reason}") from error
            raise
        if not isinstance(output, Tensor):
            raise InputError(f"system {self.name!r}: expected one tensor, got {type(output).__name__}; wrap the module "
                             "so that it returns the tensor to audit")
        return output if device is None else output.to(inputs.device)


@dataclass(frozen=True, eq=False)
class TwoClass:
    """A binary classifier with one output for each input, as scores of two classes (batch, 2), class 1 the positive one.

    `output` "logit" z gives (0, z); "probability" p gives (log(1 − p), log p). The decision is class 1 where z > 0 or
    p > ½. Raises `InputError` if the system returns more than one number for an input, or no probabilities.

    >>> import torch
    >>> TwoClass(TorchSystem(nn.Flatten()))(torch.tensor([[3.0], [-1.0]])).tolist()
    [[0.0, 3.0], [0.0, -1.0]]
    """

    system: System
    output: str = "logit"
    name: str = ""
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.output not in ("logit", "probability"):
            raise InputError(f"output={self.output!r}; known: logit, probability")
        if isinstance(self.system, nn.Module):
            object.__setattr__(self, "system", TorchSystem(self.system, name=type(self.system).__name__))
        inner = self.system
        object.__setattr__(self, "name", self.name or getattr(inner, "name", type(inner).__name__))
        object.__setattr__(self, "kind", getattr(inner, "kind", self.kind))
        object.__setattr__(self, "settings", {**getattr(inner, "settings", {}), **self.settings, "two_class": self.output})

    @property
    def access(self) -> Access:
        return self.system.access

    def __call__(self, inputs: Tensor) -> Tensor:
        z = self.system(inputs)
        if z[:1].numel() != len(z[:1]):
            raise InputError(f"system {self.name!r}: outputs of shape {tuple(z.shape)} are not one number for each input; "
                             "leave out TwoClass")
        z = z.reshape(len(inputs))
        if self.output == "logit":
            return torch.stack((torch.zeros_like(z), z), dim=1)
        if bool(((z < 0) | (z > 1)).any()):
            raise InputError(f"system {self.name!r}: outputs outside [0, 1] are no probabilities; say output=\"logit\"")
        tiny = torch.finfo(z.dtype).tiny
        return torch.stack(((1 - z).clamp_min(tiny).log(), z.clamp_min(tiny).log()), dim=1)


def _elsewhere(module: nn.Module, inputs: Tensor) -> torch.device | None:
    """The device of the module's weights where the inputs are on another; None where nothing need be moved."""
    first = next(itertools.chain(module.parameters(), module.buffers()), None)
    if first is None or first.device == inputs.device:
        return None
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    return devices.pop() if len(devices) == 1 else None     # a module spread over devices moves its inputs itself


def _misfit(module: nn.Module, inputs: Tensor, error: RuntimeError) -> str | None:
    """Why a convolution raised on images: channels last, or another number of channels; None for other errors."""
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or inputs.ndim != 4 or "channels" not in str(error):
        return None
    wanted, shape = first.in_channels, tuple(inputs.shape)
    if wanted == shape[1] != shape[-1]:
        return (f"images of shape {shape} have their channels first, and the module seems to want them last; wrap it: "
                "Preprocessed(system=..., preprocessing=Preprocessing(layout=\"NHWC\"))")
    if wanted == shape[-1] != shape[1]:
        return (f"images of shape {shape} have their channels last, and the module wants them first; give (batch, channels, "
                "height, width): images.permute(0, 3, 1, 2)")
    return (f"images of shape {shape} have {shape[1]} channels, and the module wants {wanted}; give images of its own kind, "
            f"or wrap it in Preprocessed with Preprocessing(channels={wanted}), which repeats a grey channel")


@dataclass(frozen=True, eq=False)
class OperatorNetwork:
    """A network called as `module(inputs, operator)`: one system for every forward model (`one_coil`: without maps)."""

    module: nn.Module
    name: str
    access: Access = Access.GRADIENT
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)
    one_operator: bool = False
    one_coil: bool = False

    def __post_init__(self) -> None:
        self.module.eval()

    def bind(self, operator: LinearOperator) -> TorchSystem:
        if self.one_coil and getattr(operator, "maps", None) is not None:
            raise InputError(f"system {self.name!r} serves one coil without sensitivity maps, and these data have several; "
                             "audit one that serves maps (unet, total-variation, your own), or give one coil's data")
        return TorchSystem(_Bound(self.module, operator), name=self.name, access=self.access, kind=self.kind,
                           settings=self.settings)


@dataclass(frozen=True, eq=False)
class PhysicsNetwork:
    """A reconstructor called as `module(measurements, physics)`, as deepinv's are; its forward model is an adopted one."""

    module: nn.Module
    name: str
    access: Access = Access.GRADIENT
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)
    one_operator: bool = False

    def __post_init__(self) -> None:
        self.module.eval()

    def bind(self, operator: LinearOperator) -> TorchSystem:
        if not isinstance(operator, AdoptedOperator):
            raise InputError(f"system {self.name!r} is called with a physics; give data measured through "
                             "adopt_operator(physics, image_shape)")
        return TorchSystem(_BoundPhysics(self.module, operator), name=self.name, access=self.access, kind=self.kind,
                           settings=self.settings)


class _BoundPhysics(nn.Module):
    def __init__(self, module: nn.Module, operator: AdoptedOperator) -> None:
        super().__init__()
        self.module, self.operator = module, operator

    def forward(self, inputs: Tensor) -> Tensor:
        return self.operator.from_image(self.module(self.operator.to_measured(inputs), self.operator.physics))


class _Bound(nn.Module):
    def __init__(self, module: nn.Module, operator: LinearOperator) -> None:
        super().__init__()
        self.module, self.operator = module, operator

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.module(inputs, self.operator)
        return output

