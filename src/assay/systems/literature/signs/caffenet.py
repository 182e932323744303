"""CaffeNet style: five convolutions and three dense layers, pooling *before* response normalisation, two groups.

Jia et al., "Caffe" (2014), the reference network after Krizhevsky, Sutskever and Hinton (2012): overlapping 3×3 pooling
at stride 2, and groups of 2 in the second, fourth and fifth convolution.
"""

from __future__ import annotations

from torch import nn

from assay.systems.literature.signs.network import ResponseNormalisation, SignNetwork, convolution, dense


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, padding=1)


def _normalise(channels: int) -> nn.Module:
    return ResponseNormalisation(channels, alpha=1e-4, k=1.0)


def caffenet() -> SignNetwork:
    """Eight weighted layers. Reduced: widths to about a quarter or less, first filter 11×11 stride 4 to 5×5 stride 1."""
    features = nn.Sequential(
        *convolution(3, 32, 5), _pool(), _normalise(32),                # (batch, 32, 16, 16)
        *convolution(32, 64, 5, groups=2), _pool(), _normalise(64),     # (batch, 64, 8, 8)
        *convolution(64, 96, 3),
        *convolution(96, 96, 3, groups=2),
        *convolution(96, 64, 3, groups=2), _pool())                   # (batch, 64, 4, 4)
    return SignNetwork(features=features, classifier=dense(64 * 4 * 4, 384, 384))
