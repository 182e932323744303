"""VGG-F style: five convolutions and three dense layers, response normalisation *before* pooling, no groups.

Chatfield, Simonyan, Vedaldi and Zisserman, "Return of the Devil in the Details" (BMVC 2014), table 1, CNN-F.
"""

from __future__ import annotations

from torch import nn

from assay.systems.literature.signs.network import ResponseNormalisation, SignNetwork, convolution, dense


def _normalise(channels: int) -> nn.Module:
    return ResponseNormalisation(channels, alpha=5e-4, k=2.0)


def vgg_f() -> SignNetwork:
    """Eight weighted layers. Reduced: widths to a half or less, first filter 11×11 stride 4 to 5×5 stride 1."""
    features = nn.Sequential(
        *convolution(3, 32, 5), _normalise(32), nn.MaxPool2d(2),      # (batch, 32, 16, 16)
        *convolution(32, 64, 5), _normalise(64), nn.MaxPool2d(2),     # (batch, 64, 8, 8)
        *convolution(64, 96, 3),
        *convolution(96, 96, 3),
        *convolution(96, 96, 3), nn.MaxPool2d(2))                     # (batch, 96, 4, 4)
    return SignNetwork(features=features, classifier=dense(96 * 4 * 4, 384, 384))
