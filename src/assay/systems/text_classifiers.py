"""Classifiers of texts: a convolutional network on words, and as the established one TF-IDF with logistic regression.

Both keep their vocabulary among their weights, as the bytes of its words, so that a weights file says all there is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
TERM = re.compile(r"(?u)\b\w\w+\b")
PADDING, UNKNOWN = 0, 1
WIDTHS, FILTERS, LENGTH = (1, 2, 3), 32, 32


def words(text: str) -> list[str]:
    """The words of a text in lower case.

    >>> words("A 45-year-old: back pain!")
    ['a', '45-year-old', 'back', 'pain']
    """
    return WORD.findall(text.lower())


def as_bytes(vocabulary: Sequence[str]) -> Tensor:
    """The words as numbers 0 to 255, one after the other: what a weights file can hold.

    >>> read_words(as_bytes(["a", "bé"]))
    ['a', 'bé']
    """
    return torch.tensor(list("\n".join(vocabulary).encode()), dtype=torch.uint8)


def read_words(content: Tensor) -> list[str]:
    """What `as_bytes` wrote."""
    return bytes(content.tolist()).decode().split("\n")


class WordCnn(nn.Module):
    """Convolutions over the vectors of 1, 2 and 3 words, the greatest of each filter over the text, a linear layer.

    Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, with vectors learnt from nothing. Takes
    texts; a word that is not in the `vocabulary` (bytes of its words) has the vector of the unknown word.
    """

    def __init__(self, *, vocabulary: Tensor, classes: int, length: int = LENGTH, filters: int = FILTERS) -> None:
        super().__init__()
        self.register_buffer("vocabulary", vocabulary)
        self.index = {word: i + 2 for i, word in enumerate(read_words(vocabulary))}
        self.vectors = nn.Embedding(len(self.index) + 2, length, padding_idx=PADDING)
        self.convolutions = nn.ModuleList(nn.Conv1d(length, filters, width) for width in WIDTHS)
        self.drop = nn.Dropout(0.5)
        self.decide = nn.Linear(filters * len(WIDTHS), classes)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "texts classes"]:
        return self.of_numbers(self.numbers(texts))

    def numbers(self, texts: Sequence[str]) -> Tensor:
        """The words' numbers (texts, longest), at least as long as the widest filter."""
        rows = [[self.index.get(word, UNKNOWN) for word in words(text)] for text in texts]
        longest = max(max(map(len, rows), default=0), max(WIDTHS))
        return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])

    def of_numbers(self, numbers: Tensor) -> Float[Tensor, "texts classes"]:
        vectors = self.vectors(numbers).transpose(1, 2)
        lengths = (numbers != PADDING).sum(1)
        greatest = []
        for width, convolve in zip(WIDTHS, self.convolutions, strict=True):
            values = torch.relu(convolve(vectors))
            windows = (lengths - width + 1).clamp_min(1)            # those of the text alone, whatever it is padded to
            beyond = torch.arange(values.shape[2]) >= windows[:, None]
            greatest.append(values.masked_fill(beyond[:, None], 0.0).amax(2))
        return self.decide(self.drop(torch.cat(greatest, 1)))


class TfidfLogistic(nn.Module):
    """W t / ‖t‖₂ + b, t_w = n_w idf_w, n_w how often the term w (a word, or two in a row) stands in the text.

    idf_w = ln((1 + n) / (1 + df_w)) + 1 of n training texts, df_w of which hold w: Salton and Buckley, Information
    Processing & Management 24 (1988), as scikit-learn smooths it. Terms that are not in the vocabulary do not count.
    """

    idf: Tensor

    def __init__(self, *, vocabulary: Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("vocabulary", vocabulary)
        self.index = {term: i for i, term in enumerate(read_words(vocabulary))}
        self.register_buffer("idf", torch.ones(len(self.index)))
        self.linear = nn.Linear(len(self.index), classes)

    def features(self, texts: Sequence[str]) -> Float[Tensor, "texts terms"]:
        counts = torch.zeros(len(texts), len(self.index))
        for i, text in enumerate(texts):
            found = TERM.findall(text.lower())
            for term in (*found, *(f"{a} {b}" for a, b in itertools.pairwise(found))):
                if (place := self.index.get(term)) is not None:
                    counts[i, place] += 1
        weighed = counts * self.idf
        return weighed / weighed.norm(dim=1, keepdim=True).clamp_min(1e-30)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "texts classes"]:
        return self.linear(self.features(texts))


def build_word_cnn(state: Mapping[str, Tensor]) -> WordCnn:
    """The network whose weights these are."""
    return WordCnn(vocabulary=state["vocabulary"].to(torch.uint8), classes=len(state["decide.bias"]),
                   length=state["vectors.weight"].shape[1], filters=state["convolutions.0.weight"].shape[0])


def build_tfidf(state: Mapping[str, Tensor]) -> TfidfLogistic:
    """The classifier whose weights these are."""
    return TfidfLogistic(vocabulary=state["vocabulary"].to(torch.uint8), classes=len(state["linear.bias"]))
