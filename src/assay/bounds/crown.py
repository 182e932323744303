"""Lower bounds of linear forms of a network's outputs over a region: backward linear bounds (CROWN) and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.bounds.layers import Affine, Chain, Greatest, Layer, Relu, Sum
from assay.bounds.region import Region
from assay.bounds.rounding import output_error, through

WIDE = 4_000_000        # numbers of a backward pass at once; more are done in parts


@dataclass(frozen=True, kw_only=True, eq=False)
class Ends:
    """Ends of a layer's input over the region; of a sum also the steps of each branch."""

    low: Tensor
    high: Tensor
    inside: tuple[list[Step], ...] = ()


Step = tuple[Layer, Ends]


def lower(chain: Chain, forms: Tensor, region: Region) -> Tensor:
    """Lower bounds (batch, k) of ⟨forms_k, f(z)⟩ for all z in the region, `forms` (batch, k, outputs).

    f is the network as single precision computes it, in any order of summation: the bound of the exact network less
    |forms| · `output_error`. Exact for a linear network, but for that. Source: Zhang, Weng, Chen, Hsieh and Daniel, NeurIPS
    2018 (CROWN, with the adaptive slopes of section 3.3); intermediate bounds are the tighter of it and interval bounds.
    """
    slack = (forms.abs() * output_error(chain, region)[:, None]).sum(2)
    steps, _, _ = _steps(chain.layers, *region.ends, region, [])
    return _backward(steps, forms, region) - slack


def _steps(layers: Sequence[Layer], low: Tensor, high: Tensor, region: Region,
           before: list[Step]) -> tuple[list[Step], Tensor, Tensor]:
    """The steps `before` and the layers after them, each with the ends of its input; and the ends of what comes out."""
    steps = list(before)
    for i, layer in enumerate(layers):
        inside: tuple[list[Step], ...] = ()
        if isinstance(layer, Sum):
            made = [_steps(branch, low, high, region, steps) for branch in layer.branches]
            inside = tuple(branch[len(steps):] for branch, _, _ in made)
            ends = torch.stack([one for _, one, _ in made]).sum(0), torch.stack([one for _, _, one in made]).sum(0)
        else:
            ends = through(layer, low, high)
        steps.append((layer, Ends(low=low, high=high, inside=inside)))
        low, high = ends
        after, later = (layers[j] if j < len(layers) else None for j in (i + 1, i + 2))
        if isinstance(layer, (Affine, Sum)) and isinstance(after, (Relu, Greatest)):
            signed = isinstance(after, Relu) and not isinstance(later, Greatest)       # only signs matter to a ReLU
            wanted = (low < 0) & (high > 0) if signed else torch.ones_like(low, dtype=torch.bool)
            low, high = _tighter(steps, region, low, high, wanted)
    return steps, low, high


def _tighter(steps: list[Step], region: Region, low: Tensor, high: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Backward bounds of those of the last step's outputs that are wanted, where they are better than the interval's.

    Intervals of an affine map of a box are exact already.
    """
    batch, n, shape = len(low), low[0].numel(), low.shape[1:]
    asked = wanted.flatten(1).any(0).nonzero().flatten()
    if not len(asked) or (region.radius is None and len(steps) == 1 and isinstance(steps[0][0], Affine)):
        return low, high
    flat_low, flat_high = low.flatten(1).clone(), high.flatten(1).clone()
    widest = max(max(ends.low[0].numel() for _, ends in steps), n)
    at_once = max(1, WIDE // (batch * widest))
    for places in asked.split(at_once):
        one = torch.zeros(len(places), n, dtype=torch.float64)
        one[torch.arange(len(places)), places] = 1.0
        forms = one.reshape(1, len(places), *shape).expand(batch, -1, *shape)
        flat_low[:, places] = torch.maximum(flat_low[:, places], _backward(steps, forms, region))
        flat_high[:, places] = torch.minimum(flat_high[:, places], -_backward(steps, -forms, region))
    return flat_low.reshape(low.shape), flat_high.reshape(high.shape)


def _backward(steps: Sequence[Step], forms: Tensor, region: Region) -> Tensor:
    """Lower bounds (batch, k) of the forms of what the last step gives."""
    a, constant = _carried(steps, forms)
    return region.least(a) + constant


def _carried(steps: Sequence[Step], a: Tensor) -> tuple[Tensor, Tensor]:
    """A linear form of the first step's input that lies below the form `a` of what the last gives, and its constant."""
    batch, k = a.shape[:2]
    constant = torch.zeros(batch, k, dtype=torch.float64)
    for layer, ends in reversed(steps):
        if isinstance(layer, Affine):
            constant = constant + (a * layer.bias[:, None]).flatten(2).sum(2)
            a = layer.adjoint(a.flatten(0, 1)).unflatten(0, (batch, k))
        elif isinstance(layer, Sum):
            parts = [_carried(branch, a) for branch in ends.inside]
            a, more = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
            constant = constant + more
        else:
            low, high = ends.low, ends.high
            step = relaxed_relu(a, low, high) if isinstance(layer, Relu) else relaxed_greatest(layer, a, low, high)
            a, constant = step[0], constant + step[1]
    return a, constant


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
