"""ResNet-152 style: bottleneck blocks 1×1 → 3×3 → 1×1 around identity shortcuts, global average, one dense layer.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1 and figure 5 (right): a
projection where the shape changes (option B), and the stride in the first 1×1 convolution.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.literature.signs.network import SIGNS, SignNetwork, convolution

BLOCKS = (1, 2, 9, 1)                     # published: 3, 8, 36, 3
WIDTHS = (16, 32, 64, 128)                # published: 64, 128, 256, 512
EXPANSION = 4


class Bottleneck(nn.Module):
    """relu(shortcut(x) + residual(x)), the residual through `width` channels, the result with four times as many."""

    def __init__(self, into: int, width: int, *, stride: int) -> None:
        super().__init__()
        out = EXPANSION * width
        self.residual = nn.Sequential(*convolution(into, width, 1, stride=stride), *convolution(width, width, 3),
                                      nn.Conv2d(width, out, 1))
        self.shortcut: nn.Module = (nn.Identity() if into == out and stride == 1
                                    else nn.Sequential(nn.Conv2d(into, out, 1, stride=stride)))

    def forward(self, x: Float[Tensor, "batch into height width"]) -> Float[Tensor, "batch out height width"]:
        return torch.relu(self.shortcut(x) + self.residual(x))


def resnet_152() -> SignNetwork:
    """41 weighted layers. Reduced: 3-8-36-3 blocks to 1-2-9-1, widths to a quarter, 7×7 stride 2 to 5×5 stride 1."""
    layers: list[nn.Module] = [*convolution(3, WIDTHS[0], 5), nn.MaxPool2d(3, stride=2, padding=1)]        # 16 × 16
    into = WIDTHS[0]
    for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
        for block in range(blocks):
            layers.append(Bottleneck(into, width, stride=2 if stage > 0 and block == 0 else 1))            # 16, 8, 4, 2
            into = EXPANSION * width
    layers.append(nn.AdaptiveAvgPool2d(1))
    return SignNetwork(features=nn.Sequential(*layers), classifier=nn.Sequential(nn.Linear(into, SIGNS)))
