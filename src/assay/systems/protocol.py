"""What a user supplies: a callable with a declared access; one that serves many forward models also has `bind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from assay.operators.protocol import LinearOperator
from assay.records import Access, SystemRecord


@runtime_checkable
class System(Protocol):
    """A map from inputs (batch, …) to outputs (batch, …)."""

    access: Access

    def __call__(self, inputs: Tensor) -> Tensor: ...


@runtime_checkable
class SystemFamily(Protocol):
    """A system for every forward model: `bind(operator)` gives the system for that one.

    `settings` are plain values that say how it was made; they enter its digest when it has no files.
    """

    name: str
    access: Access
    kind: str
    settings: Mapping[str, Any]

    def bind(self, operator: LinearOperator) -> System: ...


class Named(Protocol):
    """A loaded system: the family or system itself beside the record that identifies it."""

    system: System | SystemFamily
    record: SystemRecord
