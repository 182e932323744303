"""Classifiers of coded claims: a network on the codes' vectors, and as the established one logistic regression on codes.

Both read a record's codes alone, as a claims system does, never what is documented beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.perturbations.codes import read_claim
from assay.systems.text_classifiers import read_words

LENGTH, HIDDEN = 16, 32


class _OfCodes(nn.Module):
    """What both share: which of the known codes a record has, (records, codes) of 0 and 1."""

    def __init__(self, vocabulary: Tensor) -> None:
        super().__init__()
        self.register_buffer("vocabulary", vocabulary)
        self.index = {code: i for i, code in enumerate(read_words(vocabulary))}

    def presence(self, records: Sequence[str]) -> Float[Tensor, "records codes"]:
        found = torch.zeros(len(records), len(self.index))
        for i, record in enumerate(records):
            for code in read_claim(record).codes:
                if (place := self.index.get(code)) is not None:
                    found[i, place] = 1.0
        return found


class CodeNetwork(_OfCodes):
    """W₂ relu(W₁ relu(Σ_c v_c) + b₁) + b₂, v_c the vector of code c: a sum over a set, then a perceptron.

    Zaheer et al., "Deep sets", NeurIPS 2017: the order of the codes cannot matter. Codes that are not in the vocabulary do
    not count.
    """

    def __init__(self, *, vocabulary: Tensor, classes: int, length: int = LENGTH, hidden: int = HIDDEN) -> None:
        super().__init__(vocabulary)
        self.vectors = nn.Linear(len(self.index), length)
        self.hidden = nn.Linear(length, hidden)
        self.decide = nn.Linear(hidden, classes)

    def forward(self, records: Sequence[str]) -> Float[Tensor, "records classes"]:
        return self.of_presence(self.presence(records))

    def of_presence(self, presence: Tensor) -> Float[Tensor, "records classes"]:
        return self.decide(torch.relu(self.hidden(torch.relu(self.vectors(presence)))))


class CodeLogistic(_OfCodes):
    """W x + b, x which codes the record has: additive in the codes, as a points score is."""

    def __init__(self, *, vocabulary: Tensor, classes: int) -> None:
        super().__init__(vocabulary)
        self.linear = nn.Linear(len(self.index), classes)

    def forward(self, records: Sequence[str]) -> Float[Tensor, "records classes"]:
        return self.linear(self.presence(records))


def build_code_network(state: Mapping[str, Tensor]) -> CodeNetwork:
    """The network whose weights these are."""
    return CodeNetwork(vocabulary=state["vocabulary"].to(torch.uint8), classes=len(state["decide.bias"]),
                       length=len(state["vectors.bias"]), hidden=len(state["hidden.bias"]))


def build_code_logistic(state: Mapping[str, Tensor]) -> CodeLogistic:
    """The classifier whose weights these are."""
    return CodeLogistic(vocabulary=state["vocabulary"].to(torch.uint8), classes=len(state["linear.bias"]))
