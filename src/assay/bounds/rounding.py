"""How far a network that computes in single precision can be from the same network in exact arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.bounds.layers import Affine, Chain, Greatest, Layer, Sum
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
    return MORE * _error(chain.layers, low, high, torch.zeros_like(low))


def _error(layers: Sequence[Layer], low: Tensor, high: Tensor, error: Tensor) -> Tensor:
    """The error that comes out of the layers, given the one that comes in.

    A sum rounds once for each branch, by at most u times the moduli of what the branches give.
    """
    for layer in layers:
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
        elif isinstance(layer, Sum):
            errors = torch.stack([_error(branch, low, high, error) for branch in layer.branches]).sum(0)
            error = errors + len(layer.branches) * (UNIT * (_size(layer, low, high) + errors) + SMALLEST)
        low, high = through(layer, low, high)
    return error


def _size(layer: Sum, low: Tensor, high: Tensor) -> Tensor:
    """An upper bound of the sum of the moduli of what the branches give."""
    ends = [_through_all(branch, low, high) for branch in layer.branches]
    return torch.stack([torch.maximum(least.abs(), most.abs()) for least, most in ends]).sum(0)


def _through_all(layers: Sequence[Layer], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    for layer in layers:
        low, high = through(layer, low, high)
    return low, high


def through(layer: Layer, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Interval arithmetic: what the layer makes of every input between the two ends lies between the two returned.

    An affine map takes centre c and radius r to W c + b and |W| r; ends of a sum are summed; the others grow with each
    input, so ends go to ends.
    Source: Gowal et al., arXiv 1810.12715 (2018), section 3.

    >>> from assay.bounds.layers import dense
    >>> through(dense(torch.tensor([[1.0, -1.0]])), torch.zeros(1, 2).double(), torch.ones(1, 2).double())
    (tensor([[-1.]], dtype=torch.float64), tensor([[1.]], dtype=torch.float64))
    """
    if isinstance(layer, Affine):
        middle, reach = layer((low + high) / 2), layer.absolute((high - low) / 2)
        return middle - reach, middle + reach
    if isinstance(layer, Sum):
        ends = [_through_all(branch, low, high) for branch in layer.branches]
        return torch.stack([least for least, _ in ends]).sum(0), torch.stack([most for _, most in ends]).sum(0)
    return layer(low), layer(high)
