"""Examples (what a system is given and what it should return) and the sets of changes a search may choose from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from assay.arrays import PerExample
from assay.operators.protocol import LinearOperator


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A batch: inputs (batch, …) for the system, the truth a faithful system returns, and the forward model if any.

    The truth is what the output should be (an image), or the number of the right class (batch,). It is None where nobody
    knows it (measured, natively undersampled data). `box` is the least and greatest value an input can have, where there
    is such a range: grey levels have one, Fourier coefficients have none. `rate` is that of sounds, samples a second, and 0
    for other inputs.
    """

    ids: tuple[str, ...]
    inputs: Tensor
    truth: Tensor | None = None
    operator: LinearOperator | None = None
    box: tuple[float, float] | None = None
    rate: int = 0

    @property
    def decibels(self) -> bool:
        """Whether changes are told apart by their ratio and not by their difference, as sounds are: a thousandth and a
        millionth are as far apart as a whole and a thousandth."""
        return self.rate > 0

    @property
    def labelled(self) -> bool:
        """Whether the truth is a class: the system's outputs are then scores of classes."""
        return self.truth is not None and not (self.truth.is_floating_point() or self.truth.is_complex())

    def __len__(self) -> int:
        return len(self.ids)

    def changed(self, *, inputs: Tensor, truth: Tensor | None, operator: LinearOperator | None = None) -> Examples:
        return replace(self, inputs=inputs, truth=truth, operator=operator or self.operator)

    def part(self, start: int, stop: int) -> Examples:
        """The examples from `start` up to `stop`."""
        return replace(self, ids=self.ids[start: stop], inputs=self.inputs[start: stop],
                       truth=None if self.truth is None else self.truth[start: stop])

    def only(self, i: int) -> Examples:
        """The i-th example alone, as a batch of one."""
        return self.part(i, i + 1)

    def repeated(self, times: int) -> Examples:
        """A single example, `times` times over."""
        return replace(self, ids=self.ids * times, inputs=self.inputs.expand(times, *self.inputs.shape[1:]),
                       truth=None if self.truth is None else self.truth.expand(times, *self.truth.shape[1:]))

    def to(self, *, double: bool) -> Examples:
        """The same examples in double (or single) precision."""
        def cast(x: Tensor) -> Tensor:
            if not (x.is_floating_point() or x.is_complex()):
                return x                                    # classes
            kinds = (torch.complex128, torch.float64) if double else (torch.complex64, torch.float32)
            return x.to(kinds[0] if x.is_complex() else kinds[1])
        return replace(self, inputs=cast(self.inputs), truth=None if self.truth is None else cast(self.truth))


@runtime_checkable
class PerturbationSet(Protocol):
    """The members p that a search may choose, for each example of x.

    `apply` gives the changed examples: inputs, and truth where the change is part of what should be seen. `project` is
    the nearest member; a set without one names another way to move (`neighbours`, `members`). Sizes are in `unit`.
    """

    @property
    def unit(self) -> str: ...

    def zero(self, x: Examples) -> Tensor: ...

    def apply(self, x: Examples, p: Tensor) -> Examples: ...

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor: ...

    def size(self, x: Examples, p: Tensor) -> PerExample: ...


@runtime_checkable
class ConvexSet(PerturbationSet, Protocol):
    """A set with a nearest point and a steepest direction: what a gradient search needs."""

    def project(self, x: Examples, p: Tensor) -> Tensor: ...

    def steepest(self, x: Examples, gradient: Tensor) -> Tensor:
        """The member of greatest inner product with the gradient: the maximum of a linear objective."""
        ...

    def uphill(self, x: Examples, gradient: Tensor) -> Tensor:
        """A full step of a search, as large as the set: the steepest direction of its ball, blind to any box.

        `project` then brings it back. A step along `steepest` is 0 at an entry whose gradient points out of the box, so
        an entry that has moved inward would never come back.
        """
        ...

    def resized(self, radius: float) -> ConvexSet: ...


@runtime_checkable
class ChoiceSet(PerturbationSet, Protocol):
    """A finite set of choices at places of each example: p (batch, places), 0 as it is, at most `most` places changed.

    Unlike a set of numbers it has no nearest member; a search changes one place after another, or tries them all.
    """

    @property
    def most(self) -> int: ...

    def choices(self, x: Examples) -> Tensor:
        """How many alternatives each place has, (batch, places); 0 where an example has fewer places."""
        ...

    def of_one(self, x: Examples, p: Tensor) -> Tensor:
        """The member (1, …) of an example alone that was found with others, which may have more places."""
        ...


def stream(*parts: object) -> torch.Generator:
    """A generator seeded by the words given: equal words, equal numbers, whatever the batch, order or process.

    >>> float(torch.rand(1, generator=stream(1, "a"))) == float(torch.rand(1, generator=stream(1, "a")))
    True
    """
    text = "\x1f".join(str(part) for part in parts)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(seed)
