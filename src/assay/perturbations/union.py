"""A union of sets: a change of any of several kinds, of which a search may choose the worst."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample, per_example
from assay.perturbations.occlusion import Placed
from assay.perturbations.protocol import Examples, PerturbationSet


@runtime_checkable
class OfKinds(PerturbationSet, Protocol):
    """A set whose members are of several kinds, each with a name: what is known of one kind is told of it alone."""

    @property
    def kinds(self) -> tuple[str, ...]: ...

    def kind_of(self, p: Tensor) -> Tensor:
        """The place in `kinds` of each example's member, (batch,)."""
        ...

    def sample_of(self, kind: int, x: Examples, generators: Sequence[torch.Generator],
                  size: PerExample | None = None) -> Tensor:
        """A random member of one kind."""
        ...


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """The union S₁ ∪ … ∪ S_k of sets of places: p (batch, 3) = (which set, row, column).

    Sizes are those of the sets, which are by name. Raises `InputError` where there is none.
    """

    sets: Mapping[str, Placed]

    def __post_init__(self) -> None:
        if not self.sets:
            raise InputError("sets: need at least one")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.sets)

    @property
    def unit(self) -> str:
        return next(iter(self.sets.values())).unit

    def kind_of(self, p: Tensor) -> Tensor:
        return p[:, 0].round().long()

    def zero(self, x: Examples) -> Tensor:
        name, first = next(iter(self.sets.items()))
        return self._tagged(name, first.zero(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        inputs = self._each(p, lambda within, place: within.apply(x, place).inputs)
        return x.changed(inputs=inputs, truth=x.truth)

    def project(self, x: Examples, p: Tensor) -> Tensor:
        """The nearest place within the same set."""
        return torch.cat((p[:, :1].round(), self._each(p, lambda within, place: within.project(x, place))), 1)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """Each kind equally likely, then a random member of it."""
        kinds = [int(torch.randint(len(self.sets), (), generator=g)) for g in generators]
        each = [None if size is None else size[i:i + 1] for i in range(len(x))]
        return torch.cat([self.sample_of(kind, x.only(i), [g], each[i])
                          for i, (kind, g) in enumerate(zip(kinds, generators, strict=True))])

    def sample_of(self, kind: int, x: Examples, generators: Sequence[torch.Generator],
                  size: PerExample | None = None) -> Tensor:
        name = self.kinds[kind]
        return self._tagged(name, self.sets[name].sample(x, generators, size))

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return self._each(p, lambda within, place: within.size(x, place))

    def count(self, x: Examples) -> int:
        return sum(within.count(x) for within in self.sets.values())

    def members(self, x: Examples) -> Iterator[Tensor]:
        for name, within in self.sets.items():
            for place in within.members(x):
                yield self._tagged(name, place)

    def neighbours(self, x: Examples, p: Tensor, distance: float) -> list[Tensor]:
        moved = {name: within.neighbours(x, p[:, 1:], distance) for name, within in self.sets.items()}
        n = min(len(moves) for moves in moved.values())
        return [torch.cat((p[:, :1], self._chosen(p, {name: moves[i] for name, moves in moved.items()})), 1)
                for i in range(n)]

    def _tagged(self, name: str, place: Tensor) -> Tensor:
        return torch.cat((torch.full((len(place), 1), float(self.kinds.index(name)), dtype=place.dtype), place), 1)

    def _each(self, p: Tensor, of: Callable[[Placed, Tensor], Tensor]) -> Tensor:
        """What `of` gives for the set of each example."""
        numbers = set(self.kind_of(p).tolist())
        if not numbers <= set(range(len(self.sets))):
            raise InputError(f"parameters: there are {len(self.sets)} sets, counted from 0, got {sorted(numbers)}")
        return self._chosen(p, {self.kinds[k]: of(self.sets[self.kinds[k]], p[:, 1:]) for k in sorted(numbers)})

    def _chosen(self, p: Tensor, values: dict[str, Tensor]) -> Tensor:
        kind, found = self.kind_of(p), next(iter(values.values()))
        for name, value in values.items():
            found = torch.where(per_example(kind == self.kinds.index(name), value), value, found)
        return found
