"""What the six sign networks share: pre-processing inside, features, classifier."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.literature.standardise import Standardise

SIZE, SIGNS = 32, 43
GREY_LEVELS = 58.0        # of 0…255, about one standard deviation of a channel: the unit of a standardised image


class SignNetwork(nn.Module):
    """Images (batch, 3, 32, 32) in [0, 1] to logits (batch, 43), in the order of the class numbers of GTSRB.

    Stallkamp, Schlipsing, Salmen and Igel, "Man vs. computer", Neural Networks 32 (2012). No layer looks at the rest of
    the batch: there is no batch normalisation (where it helped training, the recipe folded it into the layers before it).
    """

    def __init__(self, *, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.standardise = Standardise(size=SIZE, channels=3)
        self.features, self.classifier = features, classifier

    def forward(self, x: Float[Tensor, "batch 3 32 32"]) -> Float[Tensor, "batch 43"]:
        logits: Tensor = self.classifier(self.features(self.standardise(x)).flatten(1))
        return logits


class ResponseNormalisation(nn.Module):
    """Local response normalisation over five neighbouring channels: xᵢ / (k + (α/5) Σ_{|j−i|≤2} xⱼ²)^¾.

    α is the published one, which belongs to images with values 0…255: it depends on their unit as 1/unit², and on
    standardised images it would do nothing, so it is converted to their unit. Source: Krizhevsky, Sutskever and
    Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 3.3.
    """

    band: Tensor

    def __init__(self, channels: int, *, alpha: float, k: float) -> None:
        super().__init__()
        self.alpha, self.k = alpha * GREY_LEVELS**2, k
        place = torch.arange(channels)
        near = (place[:, None] - place).abs() <= 2
        self.register_buffer("band", near.float()[:, :, None, None], persistent=False)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        # one 1×1 convolution: torch's own layer pools in three dimensions, at several times the cost
        scale = self.k + self.alpha / 5 * F.conv2d(x.square(), self.band.to(x.dtype))
        return x * scale.rsqrt() * scale.sqrt().rsqrt()


def convolution(into: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size (at stride 1), and its relu."""
    return [nn.Conv2d(into, out, kernel, stride=stride, padding=kernel // 2, groups=groups), nn.ReLU()]


def dense(*widths: int, dropout: float = 0.2) -> nn.Sequential:
    """Dense layers, relu and dropout behind each hidden one (published: a half, for ten times the width); 43 logits."""
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise(widths):
        layers += [nn.Linear(into, out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], SIGNS))
