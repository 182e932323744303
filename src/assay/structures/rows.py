"""Structures of rows (batch, fields) and of texts (batch, length)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assay.numerics.texts import decode, encode


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table; edited by exchanging it. Whether that keeps the truth is for someone who knows the column."""

    index: int
    name: str
    keeps_truth: bool = False

    @property
    def id(self) -> str:
        return f"column-{self.name}"

    @property
    def title(self) -> str:
        return f"column {self.name} alone"

    @property
    def formula(self) -> str:
        return f"x[{self.index}]"

    def unfit(self, x: Tensor) -> str:
        return "" if x.ndim == 2 and x.is_floating_point() and x.shape[1] > self.index else "it is about tables"

    def features(self, x: Tensor) -> Tensor:
        return x[:, self.index: self.index + 1].nan_to_num(0.0)

    def content(self, x: Tensor) -> Tensor:
        return x[:, self.index: self.index + 1]

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        changed = x.clone()
        changed[:, self.index: self.index + 1] = content.to(x.dtype)
        return changed


@dataclass(frozen=True, kw_only=True)
class Missingness:
    """Which columns are missing (not a number, or a value that stands for it), whatever the others say; no editor."""

    missing: tuple[float, ...] = ()
    id: str = "missingness"
    title: str = "which values are missing"
    formula: str = "1 where a column is missing, else 0"
    keeps_truth: bool = False

    def unfit(self, x: Tensor) -> str:
        if x.ndim != 2 or not x.is_floating_point():
            return "it is about tables"
        return "" if bool((self.features(x).std(0) > 0).any()) else "no value is missing, or always the same ones"

    def features(self, x: Tensor) -> Tensor:
        gone = x.isnan()
        for value in self.missing:
            gone = gone | (x == value)
        return gone.to(x.dtype)


@dataclass(frozen=True, kw_only=True)
class TextLength:
    """The logarithm of the number of words; edited by repeating, or cutting, words that mean nothing by themselves."""

    filler: str = "please note"
    id: str = "text-length"
    title: str = "length of the text"
    formula: str = "log(1 + number of words)"
    keeps_truth: bool = True

    def unfit(self, x: Tensor) -> str:
        return not_texts(x)

    def features(self, x: Tensor) -> Tensor:
        return torch.tensor([[np.log1p(len(text.split()))] for text in decode(x.numpy())], dtype=torch.float64)

    def content(self, x: Tensor) -> Tensor:
        return torch.tensor([[float(len(text.split()))] for text in decode(x.numpy())])

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        """Words are only added: a cut could take the reason of the decision away."""
        texts, words = decode(x.numpy()), self.filler.split()
        longer = []
        for text, wanted in zip(texts, content.flatten().tolist(), strict=True):
            short = max(0, round(wanted) - len(text.split()))
            added = " ".join((words * (short // len(words) + 1))[:short])
            longer.append(f"{text} {added}" if added else text)
        return torch.from_numpy(encode(longer))


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """Whether one word, or phrase, is there; edited by taking it out or adding it at the end."""

    word: str
    keeps_truth: bool = False

    @property
    def id(self) -> str:
        return f"keyword-{self.word}"

    @property
    def title(self) -> str:
        return f"the word “{self.word}”"

    @property
    def formula(self) -> str:
        return f"1 where “{self.word}” stands as a word, else 0"

    def unfit(self, x: Tensor) -> str:
        return not_texts(x)

    def _found(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w){re.escape(self.word)}(?!\w)", re.IGNORECASE)

    def features(self, x: Tensor) -> Tensor:
        found = self._found()
        return torch.tensor([[float(bool(found.search(text)))] for text in decode(x.numpy())], dtype=torch.float64)

    def content(self, x: Tensor) -> Tensor:
        return self.features(x)

    def given(self, x: Tensor, content: Tensor) -> Tensor:
        found, texts = self._found(), []
        for text, wanted in zip(decode(x.numpy()), content.flatten().tolist(), strict=True):
            there = bool(found.search(text))
            without = re.sub(r"[ \t]{2,}", " ", found.sub("", text)).strip() if there else text
            texts.append(text if there == (wanted >= 0.5) else f"{text} {self.word}" if wanted >= 0.5 else without)
        return torch.from_numpy(encode(texts))


def not_texts(x: Tensor) -> str:
    return "" if x.ndim == 2 and not x.is_floating_point() else "it is about texts"
