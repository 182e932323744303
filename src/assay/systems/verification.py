"""Verification: is this the enrolled person? By the angle between embeddings, and a threshold.

Systems that know faces or voices compare the embedding of what they are given with that of the enrolment. Two scores make
one a classifier like any other, class 1 the enrolled person: false acceptances are its false alarms, and the threshold that
would bring them back is told where a classifier of two classes is told as a test.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.literature.res8 import Res8
from assay.systems.sound_features import MelCepstrum

STATISTICS = 20             # cepstra whose mean and deviation an established verification sees


class Verifier(nn.Module):
    """(0, a cos(e(x), t) + b): the log odds that x is the enrolled person, e the embedding, t the enrolment's.

    `embedding` maps inputs to (batch, d); t is the mean of unit embeddings of the enrolment. The threshold of the cosine is
    −b/a. Any module that embeds faces or voices will do.

    >>> verifier = Verifier(nn.Identity(), template=torch.tensor([1.0, 0.0]), slope=10.0, offset=-5.0)
    >>> verifier(torch.tensor([[3.0, 0.0]])).tolist()
    [[0.0, 5.0]]
    """

    template: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, embedding: nn.Module, *, template: Tensor, slope: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.embedding = embedding
        self.register_buffer("template", template)
        self.register_buffer("slope", torch.tensor(float(slope)))
        self.register_buffer("offset", torch.tensor(float(offset)))

    def forward(self, x: Tensor) -> Float[Tensor, "batch 2"]:
        score = self.slope * self.cosine(x) + self.offset
        return torch.stack((torch.zeros_like(score), score), dim=1)

    def cosine(self, x: Tensor) -> Float[Tensor, " batch"]:
        """cos(e(x), t)."""
        return F.cosine_similarity(self.embedding(x), self.template[None], dim=1)


class VoiceNet(nn.Module):
    """The pooled maps of a res8, less their mean over people: an embedding of voices."""

    centre: Tensor

    def __init__(self, *, maps: int) -> None:
        super().__init__()
        self.body = Res8(maps=maps, classes=1, floor=1e-6)
        self.register_buffer("centre", torch.zeros(maps))

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch maps"]:
        return self.body.pooled(waves) - self.centre


class CepstralStatistics(nn.Module):
    """W (s − s̄), s the means and standard deviations over time of twenty cepstra: linear discriminant analysis.

    Furui (1981) for the statistics; the rows of W are the directions in which people differ most beside clips of one person
    (Fisher 1936), each in the unit of that.
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, *, kept: int) -> None:
        super().__init__()
        self.cepstra = MelCepstrum(length=640, hop=320, mels=40, high=7600.0, coefficients=STATISTICS, floor=1e-6)
        self.register_buffer("centre", torch.zeros(2 * STATISTICS))
        self.register_buffer("directions", torch.zeros(kept, 2 * STATISTICS))

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch kept"]:
        return (self.statistics(waves) - self.centre) @ self.directions.T

    def statistics(self, waves: Tensor) -> Tensor:
        """Means and standard deviations over the frames, (batch, 40)."""
        cepstra = self.cepstra(waves)
        return torch.cat((cepstra.mean(1), (cepstra.var(1) + 1e-9).sqrt()), dim=1)


def build_voice_net(state: Mapping[str, Tensor]) -> Verifier:
    """The verification whose weights these are."""
    maps = len(state["embedding.centre"])
    return Verifier(VoiceNet(maps=maps), template=torch.zeros(maps))


def build_cepstral(state: Mapping[str, Tensor]) -> Verifier:
    """The same of cepstral statistics."""
    kept = len(state["embedding.directions"])
    return Verifier(CepstralStatistics(kept=kept), template=torch.zeros(kept))
