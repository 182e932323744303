"""A network as a chain of layers whose outputs can be bounded: affine maps, ReLU, greatest of a window, sums of branches.

Everything is in double precision: weights are the stored ones, exactly, and what single precision adds is bounded apart
(`assay.bounds.rounding`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from assay.arrays import InputError

Map = Callable[[Tensor], Tensor]
Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """x ↦ W x + b. `forward` is W, `adjoint` Wᵀ, `absolute` |W|, each (batch, …) → (batch, …); `bias` (1, …).

    `terms` is the number of products summed for an output, at most; `size` bounds the moduli of what is summed into the
    bias, where that is itself computed; `rearranges` says that nothing is computed at all.
    """

    forward: Map
    adjoint: Map
    absolute: Map
    bias: Tensor
    terms: int
    size: Tensor | None = None
    rearranges: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x) + self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class Relu:
    """x ↦ max(x, 0)."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp_min(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Greatest:
    """The greatest of each window of an image; `unfolded` is (batch, channels, window, places)."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __call__(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride, self.padding)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sum:
    """The sum of what several chains of layers make of one input, as in a residual network; no layers: the input itself.

    >>> Sum(branches=((), (dense(torch.tensor([[2.0]])), Relu())))(torch.tensor([[3.0], [-1.0]]).double()).tolist()
    [[9.0], [-1.0]]
    """

    branches: tuple[tuple[Layer, ...], ...]

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([run(branch, x) for branch in self.branches]).sum(0)


Layer = Affine | Relu | Greatest | Sum


def run(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """What the layers, one after another, make of x."""
    for layer in layers:
        x = layer(x)
    return x


def is_affine(layer: Layer) -> bool:
    """Whether the layer is W x + b, or a sum of such."""
    return isinstance(layer, Affine) or (isinstance(layer, Sum) and all(map(is_affine, itertools.chain(*layer.branches))))


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """Layers one after another, from inputs of the shape `shape` (without the batch) to outputs (batch, outputs).

    >>> flat = dense(torch.tensor([[1.0, -2.0]]), torch.tensor([0.5]))
    >>> Chain(layers=(flat, Relu()), shape=(2,))(torch.tensor([[3.0, 1.0], [0.0, 1.0]])).tolist()
    [[1.5], [0.0]]
    """

    layers: Sequence[Layer]
    shape: tuple[int, ...]
    outputs: int = field(init=False)
    widest: int = field(init=False)             # values of the largest input or output of a layer

    def __post_init__(self) -> None:
        sizes = [math.prod(self.shape)]
        out = _sizes(self.layers, torch.zeros(1, *self.shape, dtype=torch.float64), sizes)
        if out.ndim != 2:
            raise InputError(f"outputs of shape {tuple(out.shape[1:])} are not one number for each class")
        object.__setattr__(self, "outputs", out.shape[1])
        object.__setattr__(self, "widest", max(sizes))

    def __call__(self, x: Tensor) -> Tensor:
        return run(self.layers, x.double())

    @property
    def linear(self) -> bool:
        """Whether the whole chain is one affine map, of which bounds are exact."""
        return all(map(is_affine, self.layers))

    def then(self, *layers: Layer) -> Chain:
        """The chain with further layers."""
        return Chain(layers=(*self.layers, *layers), shape=self.shape)


def _sizes(layers: Sequence[Layer], x: Tensor, into: list[int]) -> Tensor:
    """What the layers make of x; the sizes of all they make on the way are added to the list."""
    for layer in layers:
        if isinstance(layer, Sum):
            x = torch.stack([_sizes(branch, x, into) for branch in layer.branches]).sum(0)
        else:
            x = layer(x)
        into.append(x[0].numel())
    return x


def dense(weight: Tensor, bias: Tensor | None = None) -> Affine:
    """x (batch, in) ↦ W x + b, W (out, in)."""
    w = weight.detach().double()
    b = torch.zeros(len(w), dtype=torch.float64) if bias is None else bias.detach().double()
    return Affine(forward=lambda x: x @ w.T, adjoint=lambda a: a @ w, absolute=lambda x: x @ w.abs().T, bias=b[None],
                  terms=w.shape[1])


def convolution(weight: Tensor, bias: Tensor | None, shape: Sequence[int], *, stride: Pair = (1, 1), padding: Pair = (0, 0),
                dilation: Pair = (1, 1), groups: int = 1) -> Affine:
    """Cross-correlation of images of the shape (channels, height, width) with zeros beyond the edge."""
    w, one = weight.detach().double(), tuple(shape)
    b = torch.zeros(len(w), dtype=torch.float64) if bias is None else bias.detach().double()

    def with_weights(kernels: Tensor) -> Map:
        return lambda x: F.conv2d(x, kernels, None, stride, padding, dilation, groups)

    def adjoint(a: Tensor) -> Tensor:
        return conv2d_input((len(a), *one), w, a, stride, padding, dilation, groups)

    return Affine(forward=with_weights(w), adjoint=adjoint, absolute=with_weights(w.abs()), bias=b[None, :, None, None],
                  terms=w[0].numel())


def average_pool(shape: Sequence[int], *, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> Affine:
    """Means over windows, zeros beyond the edge counted."""
    channels, share = shape[0], 1 / (kernel[0] * kernel[1])
    return convolution(torch.full((channels, 1, *kernel), share, dtype=torch.float64), None, shape, stride=stride,
                       padding=padding, groups=channels)


def scaling(factor: Tensor, shift: Tensor, *, size: Tensor | None = None) -> Affine:
    """x ↦ factor · x + shift, entry by entry; both broadcast over (1, …).

    Counted as six operations, so that any order of differences, quotients and products that gives it is covered, also where
    factor and shift are themselves computed in single precision; `size` is then the sum of the moduli in the shift.
    """
    f, s = factor.detach().double(), shift.detach().double()
    return Affine(forward=lambda x: f * x, adjoint=lambda a: f * a, absolute=lambda x: f.abs() * x, bias=s, terms=6,
                  size=size)


def reshaping(shape: Sequence[int], to: Sequence[int]) -> Affine:
    """The same numbers in another shape."""
    before, after = tuple(shape), tuple(to)
    return Affine(forward=lambda x: x.reshape(len(x), *after), adjoint=lambda a: a.reshape(len(a), *before),
                  absolute=lambda x: x.reshape(len(x), *after), bias=torch.zeros(1, *after, dtype=torch.float64), terms=0,
                  rearranges=True)
