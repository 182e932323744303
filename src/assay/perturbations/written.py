"""What sets of changed texts share: choices at places, made and told text by text; and tables of what may be changed."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.texts import decode, encode
from assay.perturbations.protocol import Examples

GRADES = ("same", "near", "disputed")       # how sure a table is that two things mean the same
SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Written(ABC):
    """The texts x′ that differ from x in at most `most` places, each by one of the place's alternatives.

    Parameters p (batch, places) are whole numbers: 0 leaves a place as it is, j ≥ 1 is its j-th alternative, and −1 leaves
    the place out, which is no member: a search ranks places by it. Texts with fewer places have zeros at the end.
    Finite: member by member, by `choices`. Sizes are numbers of places changed.
    """

    most: int
    told_as: ClassVar[str] = "places or alternatives"

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(f"the number of places to change must be at least 0, got {self.most}")

    @property
    @abstractmethod
    def unit(self) -> str: ...

    @abstractmethod
    def counts(self, text: str) -> list[int]:
        """How many alternatives each place of the text has."""

    @abstractmethod
    def changed(self, text: str, chosen: Sequence[int]) -> str:
        """The text with these choices at its places."""

    @abstractmethod
    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor: ...

    def choices(self, x: Examples) -> Tensor:
        """How many alternatives each place has, (batch, places); 0 where a text has fewer places."""
        each = [self.counts(text) for text in texts_of(x)]
        width = max(map(len, each), default=0) or 1
        return torch.tensor([row + [0] * (width - len(row)) for row in each])

    def zero(self, x: Examples) -> Tensor:
        return torch.zeros_like(self.choices(x))

    def apply(self, x: Examples, p: Tensor) -> Examples:
        made = []
        for text, row in zip(texts_of(x), p.tolist(), strict=True):
            counts, chosen = self.counts(text), [round(choice) for choice in row]
            if any(chosen[len(counts):]) or any(c > count for c, count in zip(chosen, counts, strict=False)):
                raise InputError(f"the text {text[:SHOWN]!r}… has other {self.told_as} than the change was made for: is the "
                                 "table the same?")
            made.append(self.changed(text, chosen[: len(counts)]) if any(chosen) else text)
        return x.changed(inputs=torch.from_numpy(encode(made)), truth=x.truth)

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return (p != 0).sum(1).double()

    def of_one(self, x: Examples, p: Tensor) -> Tensor:
        """The member (1, …) of a text alone that was found with others, which may have more places: zeros are cut off."""
        width = self.choices(x).shape[1]
        if bool(p[:, width:].any()):
            raise InputError(f"the text {texts_of(x)[0][:SHOWN]!r}… has {width} places, and the change more")
        return p[:, :width]


def texts_of(x: Examples) -> tuple[str, ...]:
    """The texts that these inputs are; `InputError` where they are none."""
    if x.inputs.is_floating_point() or x.inputs.is_complex() or x.inputs.ndim != 2:
        raise InputError(f"rewording needs texts, and the inputs are {x.inputs.dtype} of shape "
                         f"{tuple(x.inputs.shape)}")
    return decode(x.inputs.numpy())


def table_bytes(path: str, what: str) -> bytes:
    """The content of a user's own table of `what`; `InputError` where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a .csv of {what}") from None


def table_rows(content: bytes, name: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a graded table, each with the words that say where it stands; `InputError` naming file, line, remedy."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text at byte {error.start}; save the table as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{name}: not a .csv file ({error})") from None
    if not rows:
        raise InputError(f"{name}: no rows; the columns are {', '.join(columns)}")
    if missing := [column for column in columns if column not in rows[0]]:
        raise InputError(f"{name}: column {missing[0]!r} is missing; the columns are {', '.join(columns)}")
    for line, row in enumerate(rows, start=2):
        place = f"{name}, line {line}"
        if row["grade"] not in GRADES:
            raise InputError(f"{place}: grade {row['grade']!r}; known are {', '.join(GRADES)}")
        yield place, row
