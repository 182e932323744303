"""A system that is counted and watched: evaluations, shapes, finite outputs."""

from __future__ import annotations

from torch import Tensor

from assay.arrays import InputError
from assay.records import Access
from assay.systems.protocol import System


class ContractError(InputError):
    """The audited system broke its contract on an input; the message says how."""


class Metered:
    """Calls the system and counts example-evaluations; an output of changed shape is an error, not a number."""

    def __init__(self, system: System, *, name: str) -> None:
        self.system, self.name = system, name
        self.access: Access = system.access
        self.examples = 0
        self.shape: tuple[int, ...] | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        output = self.system(inputs)
        if not isinstance(output, Tensor) or len(output) != len(inputs):
            raise ContractError(f"system {self.name!r}: expected {len(inputs)} outputs, got "
                               f"{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__}")
        if self.shape is not None and tuple(output.shape[1:]) != self.shape:
            raise ContractError(f"system {self.name!r}: output shape changed from {self.shape} to "
                               f"{tuple(output.shape[1:])} between calls")
        self.shape = tuple(output.shape[1:])
        self.examples += len(inputs)
        return output
