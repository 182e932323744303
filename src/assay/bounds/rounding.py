"""How far a network that computes in single precision can be from the same network in exact arithmetic."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.bounds.layers import Affine, Chain, Greatest
from assay.bounds.region import Region

UNIT = 2.0 ** -24               # of single precision, rounding to nearest
SMALLEST = 2.0 ** -126          # below it, products may lose all their digits
MORE = 1.01                     # covers the bounds' own double precision, whose unit is 2⁻⁵³, a five-hundred-millionth


def output_error(chain: Chain, region: Region) -> Tensor:
    """An upper bound (batch, outputs) of |computed − exact| for every input of the region that single precision holds.

    For a sum of n products in any order, |fl(Wx + b) − (Wx + b)| ≤ γ_{n+2} (|W||x| + |b|), γ_k = k u/(1 − k u); what came in
    as an error e goes out as |W| e. ReLU and the greatest of a window round nothing and are 1-Lipschitz, so they hand errors
    on. |x| is bounded by intervals. Holds for any order of summation and for fused products; not for arithmetic of fewer
    digits (TF32, bfloat16), which `assay.systems.chains` refuses, nor for convolutions by transforms (Winograd, FFT), whose
    constants are larger. Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), eqs. 3.4 and 3.5.
    """
    low, high = region.ends
    error = torch.zeros_like(low)
    for layer in chain.layers:
        size = torch.maximum(low.abs(), high.abs()) + error
        if isinstance(layer, Affine):
            if not layer.rearranges:
                k = (layer.terms + 2) * UNIT
                bias = layer.bias.abs() if layer.size is None else layer.size
                error = layer.absolute(error) + k / (1 - k) * (layer.absolute(size) + bias) + (layer.terms + 2) * SMALLEST
            else:
                error = layer.forward(error)
        elif isinstance(layer, Greatest):
            error = F.max_pool2d(error, layer.kernel, layer.stride, layer.padding)
        low, high = through(layer, low, high)
    return MORE * error


def through(layer: object, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Interval arithmetic: what the layer makes of every input between the two ends lies between the two returned.

    An affine map takes centre c and radius r to W c + b and |W| r; the others grow with each input, so ends go to ends.
    Source: Gowal et al., arXiv 1810.12715 (2018), section 3.

    >>> from assay.bounds.layers import dense
    >>> through(dense(torch.tensor([[1.0, -1.0]])), torch.zeros(1, 2).double(), torch.ones(1, 2).double())
    (tensor([[-1.]], dtype=torch.float64), tensor([[1.]], dtype=torch.float64))
    """
    if isinstance(layer, Affine):
        middle, reach = layer((low + high) / 2), layer.absolute((high - low) / 2)
        return middle - reach, middle + reach
    assert callable(layer)
    return layer(low), layer(high)
