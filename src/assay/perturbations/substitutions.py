"""Texts that say the same otherwise: at most k places of each changed, phrases for phrases or words mistyped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.texts import decode, encode
from assay.perturbations.phrases import GRADES, PhraseTable, Slot, rewrite, slots
from assay.perturbations.protocol import Examples
from assay.perturbations.typing_errors import KINDS, mistyped

SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Rewording(ABC):
    """The texts x′ that differ from x in at most `most` places, each by one of the place's alternatives.

    Parameters p (batch, places) are whole numbers: 0 leaves a place as it is, j ≥ 1 is its j-th alternative, and −1 leaves
    the place out, which is no member: a search ranks places by it. Texts with fewer places have zeros at the end.
    Finite: member by member, by `choices`. Sizes are numbers of places changed.
    """

    most: int

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(f"the number of places to change must be at least 0, got {self.most}")

    @property
    @abstractmethod
    def unit(self) -> str: ...

    @abstractmethod
    def places(self, text: str) -> tuple[Slot, ...]:
        """Where the text may change, and into what, by place."""

    def choices(self, x: Examples) -> Tensor:
        """How many alternatives each place has, (batch, places); 0 where a text has fewer places."""
        each = [[len(slot.alternatives) for slot in self.places(text)] for text in texts_of(x)]
        width = max((len(row) for row in each), default=0) or 1
        return torch.tensor([row + [0] * (width - len(row)) for row in each])

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(self.choices(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        changed = []
        for text, row in zip(texts_of(x), p.tolist(), strict=True):
            places, chosen = self.places(text), [round(choice) for choice in row]
            if any(chosen[len(places):]) or any(c > len(s.alternatives) for c, s in zip(chosen, places, strict=False)):
                raise InputError(f"the text {text[:SHOWN]!r}… has other places or alternatives than the change was made "
                                 "for: is the table the same?")
            changed.append(rewrite(text, places, chosen[: len(places)]))
        return x.changed(inputs=torch.from_numpy(encode(changed)), truth=x.truth)

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

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return (p != 0).sum(1).double()

    def of_one(self, x: Examples, p: Tensor) -> Tensor:
        """The member (1, …) of a text alone that was found with others, which may have more places: zeros are cut off."""
        width = self.choices(x).shape[1]
        if bool(p[:, width:].any()):
            raise InputError(f"the text {texts_of(x)[0][:SHOWN]!r}… has {width} places, and the change more")
        return p[:, :width]


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


def texts_of(x: Examples) -> tuple[str, ...]:
    """The texts that these inputs are; `InputError` where they are none."""
    if x.inputs.is_floating_point() or x.inputs.is_complex() or x.inputs.ndim != 2:
        raise InputError(f"rewording needs texts, and the inputs are {x.inputs.dtype} of shape "
                         f"{tuple(x.inputs.shape)}")
    return decode(x.inputs.numpy())
