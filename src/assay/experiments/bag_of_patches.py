"""A bag of patches: how near the patches of an image are to the words of a codebook, pooled by quarters, and a linear SVM.

After Coates, Ng and Lee, AISTATS 2011 (single-layer features: k-means words, triangle activation, sums over four quarters).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assay.solvers.linear_svm import svm_path

PATCH, WORDS, ROUNDS, STRENGTH = 4, 64, 20, 0.1
SMALL = 1e-2                # added to a patch's variance, on values in [0, 1]


class BagOfPatches(nn.Module):
    """Images (batch, 1, height, width) in [0, 1] to scores (batch, classes); fitted to `images` and `labels` when made."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        self.words = codebook(patches(images).flatten(0, 1), torch.Generator().manual_seed(seed))
        features = self.features(images).double()
        self.centre, self.spread = features.mean(0).float(), features.std(0).clamp_min(1e-6).float()
        path = svm_path((features - self.centre) / self.spread, labels, classes, (STRENGTH / 100, STRENGTH / 10, STRENGTH))
        *_, theta = path
        self.theta = theta.float()

    def features(self, x: Tensor) -> Tensor:
        """max(0, mean distance − distance) to each word, summed over each quarter of the places: (batch, 4 words)."""
        across = x.shape[-1] - PATCH + 1
        distance = (patches(x)[:, :, None] - self.words).square().sum(-1).clamp_min(1e-12).sqrt()    # (batch, places, words)
        near = (distance.mean(2, keepdim=True) - distance).clamp_min(0)
        places = near.transpose(1, 2).unflatten(2, (-1, across))
        return F.adaptive_avg_pool2d(places, 2).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        scaled = (self.features(x) - self.centre) / self.spread
        return scaled @ self.theta[:, :-1].T + self.theta[:, -1]


def patches(x: Tensor) -> Tensor:
    """All patches (batch, places, 16) of one-channel images, each less its mean, over √(variance + `SMALL`)."""
    found = F.unfold(x, PATCH).transpose(1, 2)
    centred = found - found.mean(2, keepdim=True)
    return centred / (centred.square().mean(2, keepdim=True) + SMALL).sqrt()


def codebook(rows: Tensor, generator: torch.Generator) -> Tensor:
    """`WORDS` centres of Lloyd's k-means from random rows; a centre that loses its rows stays where it is."""
    chosen = rows[torch.randperm(len(rows), generator=generator)[: 20_000]]
    words = chosen[:WORDS].clone()
    for _ in range(ROUNDS):
        nearest = torch.cdist(chosen, words).argmin(1)
        sums = torch.zeros_like(words).index_add_(0, nearest, chosen)
        count = torch.bincount(nearest, minlength=WORDS)
        words = torch.where(count[:, None] > 0, sums / count.clamp_min(1)[:, None], words)
    return words
