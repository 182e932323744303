"""Lower bounds of linear forms of a network's outputs over a region: backward linear bounds (CROWN) and intervals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.bounds.layers import Affine, Chain, Greatest, Layer, Relu
from assay.bounds.region import Region
from assay.bounds.rounding import output_error, through

WIDE = 4_000_000        # numbers of a backward pass at once; more are done in parts
Ends = tuple[Tensor, Tensor]


def lower(chain: Chain, forms: Tensor, region: Region) -> Tensor:
    """Lower bounds (batch, k) of ⟨forms_k, f(z)⟩ for all z in the region, `forms` (batch, k, outputs).

    f is the network as single precision computes it, in any order of summation: the bound of the exact network less
    |forms| · `output_error`. Exact for a linear network, but for that. Source: Zhang, Weng, Chen, Hsieh and Daniel, NeurIPS
    2018 (CROWN, with the adaptive slopes of section 3.3); intermediate bounds are the tighter of it and interval bounds.
    """
    slack = (forms.abs() * output_error(chain, region)[:, None]).sum(2)
    return _backward(chain.layers, forms, _ends(chain, region), region) - slack


def _ends(chain: Chain, region: Region) -> list[Ends]:
    """Ends of every layer's input over the region, found from front to back."""
    known = [region.ends]
    for i, layer in enumerate(chain.layers):
        low, high = through(layer, *known[i])
        after, later = (chain.layers[j] if j < len(chain.layers) else None for j in (i + 1, i + 2))
        if isinstance(layer, Affine) and isinstance(after, (Relu, Greatest)):
            signed = isinstance(after, Relu) and not isinstance(later, Greatest)       # only signs matter to a ReLU
            wanted = (low < 0) & (high > 0) if signed else torch.ones_like(low, dtype=torch.bool)
            low, high = _tighter(chain.layers[: i + 1], chain.shapes[i + 1], known, region, low, high, wanted)
        known.append((low, high))
    return known


def _tighter(layers: Sequence[Layer], shape: tuple[int, ...], known: list[Ends], region: Region, low: Tensor,
             high: Tensor, wanted: Tensor) -> Ends:
    """Backward bounds of those of the layer's outputs that are wanted, where they are better than the interval's.

    Intervals of an affine map of a box are exact already.
    """
    batch, n = len(low), low[0].numel()
    asked = wanted.flatten(1).any(0).nonzero().flatten()
    if not len(asked) or (region.radius is None and len(layers) == 1):
        return low, high
    flat_low, flat_high = low.flatten(1).clone(), high.flatten(1).clone()
    widest = max(max(v[0][0].numel() for v in known), n)
    at_once = max(1, WIDE // (batch * widest))
    for places in asked.split(at_once):
        one = torch.zeros(len(places), n, dtype=torch.float64)
        one[torch.arange(len(places)), places] = 1.0
        forms = one.reshape(1, len(places), *shape).expand(batch, -1, *shape)
        flat_low[:, places] = torch.maximum(flat_low[:, places], _backward(layers, forms, known, region))
        flat_high[:, places] = torch.minimum(flat_high[:, places], -_backward(layers, -forms, known, region))
    return flat_low.reshape(low.shape), flat_high.reshape(high.shape)


def _backward(layers: Sequence[Layer], forms: Tensor, ends: Sequence[Ends], region: Region) -> Tensor:
    """Lower bounds (batch, k) of the forms of what the last layer gives."""
    batch, k = forms.shape[:2]
    a, constant = forms, torch.zeros(batch, k, dtype=torch.float64)
    for layer, (low, high) in zip(reversed(layers), reversed(ends[: len(layers)]), strict=True):
        if isinstance(layer, Affine):
            constant = constant + (a * layer.bias[:, None]).flatten(2).sum(2)
            a = layer.adjoint(a.flatten(0, 1)).unflatten(0, (batch, k))
        else:
            step = relaxed_relu(a, low, high) if isinstance(layer, Relu) else relaxed_greatest(layer, a, low, high)
            a, constant = step[0], constant + step[1]
    return region.least(a) + constant


def relaxed_relu(a: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A linear form below ⟨a, max(z, 0)⟩ for l ≤ z ≤ u: its coefficients, and its constant (batch, k).

    Above the ReLU lies u (z − l)/(u − l); below it α z for every α in [0, 1], with 1 where u > −l and 0 elsewhere, which
    leaves the smaller area. A negative coefficient takes the line above, a positive one the line below.
    """
    alive, dead = low >= 0, high <= 0
    between = ~(alive | dead)
    slope = torch.where(between, high / (high - low).clamp_min(1e-300), alive.double())
    offset = torch.where(between, -low * slope, 0.0)
    below = torch.where(between, (high > -low).double(), alive.double())
    positive, negative = a.clamp_min(0), a.clamp_max(0)
    return (positive * below[:, None] + negative * slope[:, None],
            (negative * offset[:, None]).flatten(2).sum(2))


def relaxed_greatest(layer: Greatest, a: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A linear form below ⟨a, max of each window⟩: its coefficients, and its constant (batch, k).

    Below the greatest lies each member; the one with the greatest low end is taken. Above it lies that member too where its
    low end is at least every other's high end, and the greatest high end, a constant, elsewhere.
    """
    batch, k = a.shape[:2]
    shape = low.shape[1:]

    def windows(values: Tensor, beyond: float) -> Tensor:
        (up, left) = layer.padding
        padded = F.pad(values, (left, left, up, up), value=beyond)
        return F.unfold(padded, layer.kernel, stride=layer.stride).reshape(len(values), shape[0], -1,
                                                                           a[0, 0, 0].numel())

    lows, highs = windows(low, -torch.inf), windows(high, -torch.inf)
    floor, chosen = lows.max(2)
    others = highs.scatter(2, chosen[:, :, None], -torch.inf)
    sure = floor >= others.amax(2)
    ceiling = highs.amax(2)
    flat = a.flatten(3)                                             # (batch, k, channels, places)
    taken = torch.where((flat >= 0) | sure[:, None], flat, 0.0)
    constant = torch.where((flat < 0) & ~sure[:, None], flat * ceiling[:, None], 0.0).sum((2, 3))
    spread = torch.zeros(batch, k, *lows.shape[1:], dtype=torch.float64).scatter(
        3, chosen[:, None, :, None].expand(batch, k, -1, 1, -1), taken[:, :, :, None])
    folded = _fold(layer, spread.reshape(batch * k, shape[0] * lows.shape[2], -1), shape)
    return folded.reshape(batch, k, *shape), constant


def _fold(layer: Greatest, columns: Tensor, shape: Sequence[int]) -> Tensor:
    (up, left), (_, height, width) = layer.padding, shape
    image = F.fold(columns, (height + 2 * up, width + 2 * left), layer.kernel, stride=layer.stride)
    return image[..., up: up + height, left: left + width]
