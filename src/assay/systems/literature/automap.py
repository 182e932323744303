"""AUTOMAP: a fully connected map from Fourier samples to an image, then two convolutions.

Zhu, Liu, Cauley, Rosen and Rosen, "Image reconstruction by domain-transform manifold learning", Nature 555 (2018):
dense → tanh → dense → n² linear, minus its mean → conv 5×5×64 tanh → conv 5×5×64 relu → transposed conv 7×7 → 1. The
input holds the real and imaginary parts of the m samples; the network belongs to one mask for ever.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor, nn

from assay.arrays import InputError
from assay.operators.fourier import MaskedFourier

FILTERS = 64


class Automap(nn.Module):
    """Measurements (batch, m) to a complex image (batch, n, n) with zero imaginary part."""

    def __init__(self, *, samples: int, hidden: int, size: int) -> None:
        super().__init__()
        self.size, self.samples = size, samples
        self.first = nn.Linear(2 * samples, hidden)
        self.second = nn.Linear(hidden, size * size)
        self.conv1 = nn.Conv2d(1, FILTERS, 5, padding=2)
        self.conv2 = nn.Conv2d(FILTERS, FILTERS, 5, padding=2)
        self.last = nn.ConvTranspose2d(FILTERS, 1, 7, padding=3)

    def codes(self, y: Complex[Tensor, "batch m"]) -> Tensor:
        """Output of the second convolution: what the ℓ1 penalty of training acts on."""
        if y.shape[1:] != (self.samples,):
            raise InputError(f"this AUTOMAP was trained for {self.samples} samples of one fixed mask and got "
                             f"{tuple(y.shape[1:])}; it cannot be used with another mask")
        x = torch.tanh(self.first(torch.cat((y.real, y.imag), 1)))
        x = self.second(x)
        x = (x - x.mean(1, keepdim=True)).unflatten(1, (1, self.size, self.size))
        return torch.relu(self.conv2(torch.tanh(self.conv1(x))))

    def forward(self, y: Complex[Tensor, "batch m"], operator: MaskedFourier) -> Complex[Tensor, "batch n n"]:
        image = self.last(self.codes(y))[:, 0]
        return torch.complex(image, torch.zeros_like(image))
