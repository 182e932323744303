"""VGG-16 and VGG-19 style: five blocks of 3×3 convolutions, each ended by 2×2 pooling, then three dense layers.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015), table 1.
"""

from __future__ import annotations

from torch import nn

from assay.systems.literature.signs.network import SignNetwork, convolution, dense

WIDTHS = (16, 32, 64, 96, 96)             # published: 64, 128, 256, 512, 512
HIDDEN = 192                              # published: 4096


def _vgg(depths: tuple[int, ...]) -> SignNetwork:
    layers: list[nn.Module] = []
    into = 3
    for width, depth in zip(WIDTHS, depths, strict=True):
        for _ in range(depth):
            layers += convolution(into, width, 3)
            into = width
        layers.append(nn.MaxPool2d(2))                                # 32 → 16 → 8 → 4 → 2 → 1
    return SignNetwork(features=nn.Sequential(*layers), classifier=dense(into, HIDDEN, HIDDEN, dropout=0.0))


def vgg_16() -> SignNetwork:
    """Configuration D: 13 convolutions and 3 dense layers. Reduced: width alone, to between a quarter and a fifth."""
    return _vgg((2, 2, 3, 3, 3))


def vgg_19() -> SignNetwork:
    """Configuration E: 16 convolutions and 3 dense layers. Reduced: width alone, to between a quarter and a fifth."""
    return _vgg((2, 2, 4, 4, 4))
