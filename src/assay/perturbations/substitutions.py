"""Texts that say the same in other words: at most k phrases of each, replaced by what a table says means the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.texts import decode, encode
from assay.perturbations.phrases import GRADES, PhraseTable, Slot, rewrite, slots
from assay.perturbations.protocol import Examples

SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Substitutions:
    """The texts x′ that differ from x in at most `most` places, each by an alternative of the `table` of these `grades`.

    Parameters p (batch, places) are whole numbers: 0 leaves a place as it is, j ≥ 1 is its j-th alternative, and −1 leaves
    the phrase out, which is no member: a search ranks places by it. Texts with fewer places have zeros at the end.
    Finite: member by member, by `choices`. Sizes are numbers of phrases replaced.
    """

    table: PhraseTable
    most: int
    grades: tuple[str, ...] = GRADES

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(f"the number of phrases to replace must be at least 0, got {self.most}")
        if unknown := sorted(set(self.grades) - set(GRADES)):
            raise InputError(f"grades: unknown {unknown[0]!r}; known are {', '.join(GRADES)}")

    @property
    def unit(self) -> str:
        return "phrases replaced"

    def slots(self, x: Examples) -> list[tuple[Slot, ...]]:
        return [slots(text, self.table, tuple(self.grades)) for text in texts_of(x)]

    def choices(self, x: Examples) -> Tensor:
        """How many alternatives each place has, (batch, places); 0 where a text has fewer places."""
        each = [[len(slot.alternatives) for slot in places] for places in self.slots(x)]
        width = max((len(row) for row in each), default=0) or 1
        return torch.tensor([row + [0] * (width - len(row)) for row in each])

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(self.choices(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        changed = []
        for text, places, row in zip(texts_of(x), self.slots(x), p.tolist(), strict=True):
            chosen = [round(choice) for choice in row]
            if any(chosen[len(places):]) or any(c > len(s.alternatives) for c, s in zip(chosen, places, strict=False)):
                raise InputError(f"the text {text[:SHOWN]!r}… has other places or alternatives than the change was made "
                                 f"for: is the table {self.table.name!r} the same?")
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

    def neighbours(self, x: Examples, p: Tensor) -> list[Tensor]:
        """Every member that differs from p in one place: for each place and alternative one tensor (batch, places).

        Where a text has no such place, or would have too many replaced, its row is p itself.
        """
        choices, found = self.choices(x), []
        for place in range(choices.shape[1]):
            for j in range(int(choices[:, place].max()) + 1):
                q = p.clone()
                q[:, place] = j
                fits = (choices[:, place] >= j) & ((q != 0).sum(1) <= self.most)
                found.append(torch.where(fits[:, None], q, p))
        return found


def texts_of(x: Examples) -> tuple[str, ...]:
    """The texts that these inputs are; `InputError` where they are none."""
    if x.inputs.is_floating_point() or x.inputs.is_complex() or x.inputs.ndim != 2:
        raise InputError(f"replacing phrases needs texts, and the inputs are {x.inputs.dtype} of shape "
                         f"{tuple(x.inputs.shape)}")
    return decode(x.inputs.numpy())
