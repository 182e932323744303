"""Established classifiers to set beside a network: HOG with a linear SVM, and multinomial regression on the pixels.

Both are `nn.Module`s from images to class scores, so every search that follows gradients can be used on them too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import Batch, InputError
from assay.systems.hog import hog


class HogSvm(nn.Module):
    """W hog(x) + b: images (batch, channels, height, width) in [0, 1] to the scores of one-versus-rest linear SVMs.

    Score c is the signed decision value of "class c against the rest" (Crammer and Singer's joint hinge is not used).
    `cell` is a cell's side in pixels (`hog.cell_for`): small images have small cells, since enlarging the images instead
    would make up pixels between the real ones, and gradients with them. `cell_size` repeats it among the weights, so that a
    weights file says what it belongs to.
    """

    def __init__(self, *, features: int, classes: int, cell: int) -> None:
        super().__init__()
        self.cell, self.features = cell, features
        self.register_buffer("cell_size", torch.tensor(float(cell)))
        self.svm = nn.Linear(features, classes)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        values = hog(x, cell=self.cell)
        if values.shape[1] != self.features:
            raise InputError(f"images of {x.shape[2]}×{x.shape[3]} pixels have {values.shape[1]} HOG features, this SVM was "
                             f"fitted to {self.features}; give images of the size it was fitted to")
        return self.svm(values)


class MultinomialRegression(nn.Module):
    """W x + b: images (batch, *shape) in [0, 1], `pixels` values each, to scores; their softmax is the model's probability.

    >>> MultinomialRegression(pixels=4, classes=3)(torch.zeros(2, 1, 2, 2)).shape
    torch.Size([2, 3])
    """

    def __init__(self, *, pixels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(pixels, classes)

    def forward(self, x: Batch) -> Float[Tensor, "batch classes"]:
        values = x.flatten(1)
        if values.shape[1] != self.linear.in_features:
            raise InputError(f"images of {'×'.join(map(str, x.shape[1:]))} have {values.shape[1]} values, this regression "
                             f"was fitted to {self.linear.in_features}; give images of the size it was fitted to")
        return self.linear(values)


def build_hog_svm(state: Mapping[str, Tensor]) -> HogSvm:
    """The classifier whose weights these are, by their shapes and `cell_size`."""
    classes, features = state["svm.weight"].shape
    return HogSvm(features=features, classes=classes, cell=int(state["cell_size"]))


def build_multinomial(state: Mapping[str, Tensor]) -> MultinomialRegression:
    """The classifier whose weights these are, by their shapes."""
    classes, pixels = state["linear.weight"].shape
    return MultinomialRegression(pixels=pixels, classes=classes)
