"""What a user supplies: a callable with a declared access; one that serves many forward models also has `bind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from assay.operators.protocol import LinearOperator
from assay.records import Access


@runtime_checkable
class System(Protocol):
    """A map from inputs (batch, …) to outputs (batch, …)."""

    @property
    def access(self) -> Access: ...

    def __call__(self, inputs: Tensor) -> Tensor: ...


@runtime_checkable
class Writer(Protocol):
    """A module that scores the `phrases` it listens for, and can also write what it hears without any list."""

    @property
    def phrases(self) -> tuple[str, ...]: ...

    def written(self, x: Tensor) -> list[str]:
        """What is written of each input, letter by letter."""
        ...


@runtime_checkable
class SystemFamily(Protocol):
    """A system for every forward model: `bind(operator)` gives the system for that one.

    `settings` are plain values that say how it was made; they enter its digest when it has no files. `one_operator` is
    true where the weights belong to one forward model for ever, as AUTOMAP's do: its sampling cannot be changed.
    """

    @property
    def name(self) -> str: ...
    @property
    def access(self) -> Access: ...
    @property
    def kind(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def one_operator(self) -> bool: ...

    def bind(self, operator: LinearOperator) -> System: ...

