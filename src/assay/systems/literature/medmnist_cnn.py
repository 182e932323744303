"""A small classifier of 28×28 grey medical images: pneumonia or normal chest, malignant or benign breast.

The benchmark's data: Yang, Shi, Wei, Liu, Zhao, Ke, Pfister and Ni, "MedMNIST v2", Scientific Data 10 (2023). The network
is ours and plain: two pairs of 3×3 convolutions, each ended by 2×2 pooling, a third pair, global average, one dense layer.
`recipes/medmnist.py` trains it. It exists to be audited; it is no medical device and must not be used as one.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.literature.standardise import Standardise

SIZE = 28
WIDTHS = (16, 32, 64)


class MedmnistCnn(nn.Module):
    """Images (batch, 1, 28, 28) in [0, 1] to logits (batch, 2); the score of the second class is their difference."""

    def __init__(self, *, classes: int = 2) -> None:
        super().__init__()
        self.standardise = Standardise(size=SIZE, channels=1)
        layers: list[nn.Module] = []
        into = 1
        for width in WIDTHS:
            layers += [nn.Conv2d(into, width, 3, padding=1), nn.ReLU(),
                       nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]     # 28 → 14 → 7
            into = width
        self.features = nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(into, classes))

    def forward(self, x: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(self.standardise(x)).flatten(1))
        return logits
