"""Any `torch.nn.Module` as a system: evaluation mode, gradients of the inputs only, the caller's module unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from assay.arrays import InputError
from assay.operators.adopt import AdoptedOperator
from assay.operators.protocol import LinearOperator
from assay.records import Access


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
        output = self.module(inputs)
        if not isinstance(output, Tensor):
            raise InputError(f"system {self.name!r}: expected one tensor, got {type(output).__name__}; wrap the module "
                             "so that it returns the tensor to audit")
        return output


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

