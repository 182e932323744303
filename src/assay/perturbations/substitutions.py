"""Texts that say the same otherwise: at most k places of each changed, phrases for phrases or words mistyped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.phrases import PhraseTable, Slot, rewrite, slots
from assay.perturbations.protocol import Examples
from assay.perturbations.typing_errors import KINDS, mistyped
from assay.perturbations.written import GRADES, Written


@dataclass(frozen=True, kw_only=True)
class Rewording(Written):
    """At most `most` stretches of a text replaced, each by one of its alternatives, whatever the others are."""

    @abstractmethod
    def places(self, text: str) -> tuple[Slot, ...]:
        """Where the text may change, and into what, by place."""

    def counts(self, text: str) -> list[int]:
        return [len(slot.alternatives) for slot in self.places(text)]

    def changed(self, text: str, chosen: Sequence[int]) -> str:
        return rewrite(text, self.places(text), chosen)

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """`size` (or `most`) places of each text at random, each with an alternative at random."""
        choices = self.choices(x)
        p = torch.zeros_like(choices)
        for i, generator in enumerate(generators):
            open_places = choices[i].nonzero()[:, 0]
            wanted = self.most if size is None else round(float(size[i]))
            order = torch.randperm(len(open_places), generator=generator)[:wanted]
            for place in open_places[order].tolist():
                p[i, place] = 1 + int(torch.randint(int(choices[i, place]), (), generator=generator))
        return p


@dataclass(frozen=True, kw_only=True)
class Substitutions(Rewording):
    """At most `most` phrases replaced by what the `table` calls the same, or nearly (`grades`)."""

    table: PhraseTable
    grades: tuple[str, ...] = GRADES

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.grades) - set(GRADES)):
            raise InputError(f"grades: unknown {unknown[0]!r}; known are {', '.join(GRADES)}")

    @property
    def unit(self) -> str:
        return "phrases replaced"

    def places(self, text: str) -> tuple[Slot, ...]:
        return slots(text, self.table, tuple(self.grades))


@dataclass(frozen=True, kw_only=True)
class Mistyped(Rewording):
    """At most `most` words mistyped, each in one of the ways `kinds`."""

    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise InputError(f"kinds: unknown {unknown[0]!r}; known are {', '.join(KINDS)}")

    @property
    def unit(self) -> str:
        return "words mistyped"

    def places(self, text: str) -> tuple[Slot, ...]:
        return mistyped(text, tuple(self.kinds))
