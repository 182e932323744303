"""Classifiers of coded records: networks on the codes' vectors, and as established ones logistic regressions on codes.

Those of claims read the codes alone, as a claims system does, never what is documented beside them. Those of encounters
also read the facts that are documented as a word and a number ("days 3"), which no rewrite of codes changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.perturbations.codes import read_claim
from assay.systems.text_classifiers import read_words

LENGTH, HIDDEN = 16, 32
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class OfCodes(nn.Module):
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


class CodeNetwork(OfCodes):
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


class CodeLogistic(OfCodes):
    """W x + b, x which codes the record has: additive in the codes, as a points score is."""

    def __init__(self, *, vocabulary: Tensor, classes: int) -> None:
        super().__init__(vocabulary)
        self.linear = nn.Linear(len(self.index), classes)

    def forward(self, records: Sequence[str]) -> Float[Tensor, "records classes"]:
        return self.linear(self.presence(records))


class _OfEncounters(OfCodes):
    """What both share: which codes a record has, then its facts, each (value − centre) / spread, 0 where it is missing."""

    centre: Tensor
    spread: Tensor

    def __init__(self, *, vocabulary: Tensor, facts: Tensor) -> None:
        super().__init__(vocabulary)
        self.register_buffer("facts", facts)
        self.places = {name: i for i, name in enumerate(read_words(facts))}
        self.register_buffer("centre", torch.zeros(len(self.places)))
        self.register_buffer("spread", torch.ones(len(self.places)))

    def columns(self, records: Sequence[str]) -> Float[Tensor, "records columns"]:
        return torch.cat((self.presence(records), (self.numbers(records) - self.centre) / self.spread), dim=1)

    def numbers(self, records: Sequence[str]) -> Float[Tensor, "records facts"]:
        """The facts as they are documented; the centre where one is missing."""
        found = self.centre.repeat(len(records), 1)
        for i, record in enumerate(records):
            for finding in read_claim(record).findings:
                name, _, value = finding.rpartition(" ")
                if name in self.places and NUMBER.fullmatch(value):
                    found[i, self.places[name]] = float(value)
        return found


class EncounterNetwork(_OfEncounters):
    """W₃ relu(W₂ [relu(Σ_c v_c + b₁), facts] + b₂) + b₃, v_c the vector of code c."""

    def __init__(self, *, vocabulary: Tensor, facts: Tensor, classes: int, length: int = LENGTH,
                 hidden: int = HIDDEN) -> None:
        super().__init__(vocabulary=vocabulary, facts=facts)
        self.vectors = nn.Linear(len(self.index), length)
        self.drop = nn.Dropout(0.3)
        self.hidden = nn.Linear(length + len(self.places), hidden)
        self.decide = nn.Linear(hidden, classes)

    def forward(self, records: Sequence[str]) -> Float[Tensor, "records classes"]:
        return self.of_columns(self.columns(records))

    def of_columns(self, columns: Tensor) -> Float[Tensor, "records classes"]:
        codes, facts = columns.split((len(self.index), len(self.places)), dim=1)
        codes = torch.relu(self.vectors(codes))
        return self.decide(self.drop(torch.relu(self.hidden(self.drop(torch.cat((codes, facts), dim=1))))))


class EncounterLogistic(_OfEncounters):
    """W x + b, x which codes the record has and its facts."""

    def __init__(self, *, vocabulary: Tensor, facts: Tensor, classes: int) -> None:
        super().__init__(vocabulary=vocabulary, facts=facts)
        self.linear = nn.Linear(len(self.index) + len(self.places), classes)

    def forward(self, records: Sequence[str]) -> Float[Tensor, "records classes"]:
        return self.linear(self.columns(records))


def build_code_network(state: Mapping[str, Tensor]) -> CodeNetwork:
    """The network whose weights these are."""
    return CodeNetwork(vocabulary=state["vocabulary"].to(torch.uint8), classes=len(state["decide.bias"]),
                       length=len(state["vectors.bias"]), hidden=len(state["hidden.bias"]))


def build_code_logistic(state: Mapping[str, Tensor]) -> CodeLogistic:
    """The classifier whose weights these are."""
    return CodeLogistic(vocabulary=state["vocabulary"].to(torch.uint8), classes=len(state["linear.bias"]))


def build_encounter_network(state: Mapping[str, Tensor]) -> EncounterNetwork:
    """The network whose weights these are."""
    return EncounterNetwork(vocabulary=state["vocabulary"].to(torch.uint8), facts=state["facts"].to(torch.uint8),
                            classes=len(state["decide.bias"]), length=len(state["vectors.bias"]),
                            hidden=len(state["hidden.bias"]))


def build_encounter_logistic(state: Mapping[str, Tensor]) -> EncounterLogistic:
    """The classifier whose weights these are."""
    return EncounterLogistic(vocabulary=state["vocabulary"].to(torch.uint8), facts=state["facts"].to(torch.uint8),
                             classes=len(state["linear.bias"]))
