"""A system as a chain of layers that can be bounded, where it is one; else the reason why nothing can be proved of it.

Branches may meet in a sum, as in residual networks. The chain must be the system, so everything doubtful is refused: other
layers, hooks, replaced methods, training mode, arithmetic of fewer digits, writing over what another branch reads. Whoever
bounds a chain also compares it with the system on the inputs at hand.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from assay.arrays import REAL
from assay.bounds.layers import (
    Chain,
    Greatest,
    Layer,
    Relu,
    Sum,
    average_pool,
    convolution,
    dense,
    reshaping,
    run,
    scaling,
)
from assay.systems.branches import NoChain, adds, refuse_overwriting, spine
from assay.systems.established_classifiers import MultinomialRegression
from assay.systems.literature.standardise import Standardise
from assay.systems.metered import Metered
from assay.systems.preprocessing import Preprocessed, Preprocessing
from assay.systems.torch import TorchSystem, TwoClass

Shape = tuple[int, ...]
Build = Callable[[Any, Shape], list[Layer]]


def chain_of(system: object, shape: Sequence[int]) -> Chain:
    """The chain that the system is, for inputs of the shape (without the batch); `NoChain` with the reason otherwise.

    >>> chain_of(TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), (1, 2, 2)).linear
    True
    >>> chain_of(TorchSystem(nn.Sequential(nn.Flatten(), nn.Tanh())), (1, 2, 2))
    Traceback (most recent call last):
    assay.systems.branches.NoChain: its layer Tanh has no bounds here (known: AdaptiveAvgPool2d, AvgPool2d, BatchNorm1d, ...
    """
    if isinstance(system, Metered):
        return chain_of(system.system, shape)
    if type(system) is Preprocessed:
        before = _preprocessed(system.preprocessing, tuple(shape))
        return _joined(before, chain_of(system.system, shape), tuple(shape))
    if type(system) is TwoClass:
        if system.output != "logit":
            raise NoChain("it gives probabilities, and their logarithm has no bounds here; give the logit")
        inner = chain_of(system.system, shape)
        if inner.outputs != 1:
            raise NoChain(f"two classes from {inner.outputs} outputs, not from one")
        return inner.then(dense(torch.tensor([[0.0], [1.0]])))
    if type(system) is not TorchSystem:
        raise NoChain(f"{type(system).__name__} is no torch network whose layers can be seen")
    _plain(system.module)
    return Chain(layers=_layers(system.module, tuple(shape)), shape=tuple(shape))


def _joined(before: Sequence[Layer], chain: Chain, shape: Shape) -> Chain:
    return Chain(layers=(*before, *chain.layers), shape=shape)


def _plain(module: nn.Module) -> None:
    """`NoChain` unless calling the module runs its layers' own code, in evaluation mode and in full single precision."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(t.device.type != "cpu" or (t.is_floating_point() and t.dtype not in REAL) for t in tensors):
        raise NoChain("its weights are not single or double precision on the processor, and other arithmetic is not covered")
    if torch.get_float32_matmul_precision() != "highest":
        raise NoChain("products in single precision are set to fewer digits (torch.set_float32_matmul_precision)")
    for name, part in module.named_modules():
        hooks = [getattr(part, f"_{kind}") for kind in ("forward_hooks", "forward_pre_hooks")]
        if any(hooks) or "forward" in vars(part) or type(part).__call__ is not nn.Module.__call__:
            raise NoChain(f"its layer {name or type(part).__name__} has hooks or a replaced method: it may do otherwise")
        if part.training:
            raise NoChain(f"its layer {name or type(part).__name__} is in training mode")


def _layers(module: nn.Module, shape: Shape) -> list[Layer]:
    if type(module) is MultinomialRegression:
        return [reshaping(shape, (math.prod(shape),)), dense(module.linear.weight, module.linear.bias)]
    if type(module) in MODULES:
        return MODULES[type(module)](module, shape)
    if type(module) is nn.Sequential:
        return _all([functools.partial(_layers, part) for part in module], shape)
    if type(module).__module__.startswith("torch.nn."):
        raise NoChain(f"its layer {type(module).__name__} has no bounds here (known: "
                      f"{', '.join(sorted(m.__name__ for m in MODULES))}, and chains of them)")
    return _all(_traced(module), shape)


def _all(steps: Sequence[Callable[[Shape], list[Layer]]], shape: Shape) -> list[Layer]:
    """The layers of the steps in turn, each told the shape of what comes in."""
    found: list[Layer] = []
    x = torch.zeros(1, *shape, dtype=torch.float64)
    for step in steps:
        try:
            made = step(tuple(x.shape[1:]))
            x = run(made, x)
        except (RuntimeError, IndexError) as error:
            raise NoChain(f"a layer does not fit what comes before it: {error}") from None
        found += made
    return found


class _Tracer(fx.Tracer):
    """Records calls of layers, and goes into modules that are made of them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in (*MODULES, MultinomialRegression) or type(m).__module__.startswith("torch.nn.")


def _traced(module: nn.Module) -> list[Callable[[Shape], list[Layer]]]:
    """The steps of a module's own `forward`, recorded without data: code that looks at values cannot be recorded."""
    try:
        graph = _Tracer().trace(module)
    except Exception as error:
        raise NoChain(f"its forward cannot be recorded without data ({type(error).__name__}: {str(error)[:120]})") from None
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    (last,) = (node.args[0] for node in graph.nodes if node.op == "output")
    if len(inputs) != 1 or not isinstance(last, fx.Node):
        raise NoChain("it takes or returns something else than one batch")
    if unread := [node.name for node in graph.nodes if node.op not in ("placeholder", "output") and not node.users]:
        raise NoChain(f"its step {unread[0]} is read by nothing: it may do something else")
    for node in graph.nodes:
        refuse_overwriting(module, node, MODULES)
    return [_step(module, node) for node in spine(last)[1:]]


def _between(module: nn.Module, fork: fx.Node, end: fx.Node) -> list[Callable[[Shape], list[Layer]]]:
    way = spine(end)
    return [_step(module, node) for node in way[way.index(fork) + 1:]]


def _step(module: nn.Module, node: fx.Node) -> Callable[[Shape], list[Layer]]:
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        return lambda shape: _layers(part, shape)
    if adds(node):
        ends = [end for end in node.args if isinstance(end, fx.Node)]
        fork = spine(node)[-2]
        branches = [_between(module, fork, end) for end in ends]
        return lambda shape: [Sum(branches=tuple(tuple(_all(branch, shape)) for branch in branches))]
    options: dict[str, Any] = dict(node.kwargs)
    rest: tuple[Any, ...] = node.args[1:]
    if node.target in (torch.relu, F.relu, "relu") and not rest and set(options) <= {"inplace"}:
        return lambda shape: [Relu()]
    if node.target in (torch.flatten, "flatten") and (rest == (1,) or options == {"start_dim": 1}):
        return lambda shape: [reshaping(shape, (math.prod(shape),))]
    if node.target is F.max_pool2d and not set(options) - {"kernel_size", "stride", "padding", "dilation", "ceil_mode",
                                                             "return_indices"}:
        return lambda shape: _max_pool(nn.MaxPool2d(*rest, **options), shape)
    if node.target is F.adaptive_avg_pool2d and not options and len(rest) == 1:
        return lambda shape: _adaptive(nn.AdaptiveAvgPool2d(rest[0]), shape)
    if node.target is F.avg_pool2d:
        return lambda shape: _avg_pool(nn.AvgPool2d(*rest, **options), shape)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    raise NoChain(f"its step {name} has no bounds here")


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _conv(layer: nn.Conv2d, shape: Shape) -> list[Layer]:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise NoChain(f"its layer Conv2d pads by {layer.padding_mode} ({layer.padding}); only a number of zeros has bounds")
    return [convolution(layer.weight, layer.bias, shape, stride=_pair(layer.stride), padding=_pair(layer.padding),
                        dilation=_pair(layer.dilation), groups=layer.groups)]


def _max_pool(layer: nn.MaxPool2d, shape: Shape) -> list[Layer]:
    if layer.ceil_mode or layer.return_indices or _pair(layer.dilation) != (1, 1):
        raise NoChain("its layer MaxPool2d has ceil_mode, dilation or indices, which have no bounds here")
    return [Greatest(kernel=_pair(layer.kernel_size), stride=_pair(layer.stride), padding=_pair(layer.padding))]


def _avg_pool(layer: nn.AvgPool2d, shape: Shape) -> list[Layer]:
    padding = _pair(layer.padding)
    if layer.ceil_mode or layer.divisor_override is not None or (padding != (0, 0) and not layer.count_include_pad):
        raise NoChain("its layer AvgPool2d has ceil_mode, a divisor, or leaves padding out, which have no bounds here")
    return [average_pool(shape, kernel=_pair(layer.kernel_size), stride=_pair(layer.stride), padding=padding)]


def _adaptive(layer: nn.AdaptiveAvgPool2d, shape: Shape) -> list[Layer]:
    """Windows that divide the image, which are then those of an ordinary mean."""
    size = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size, layer.output_size)
    if len(shape) != 3 or any(wanted is None or has % wanted for wanted, has in zip(size, shape[1:], strict=True)):
        raise NoChain(f"its layer AdaptiveAvgPool2d to {layer.output_size} has windows of several sizes: no bounds here")
    kernel = _pair([has // int(wanted or has) for wanted, has in zip(size, shape[1:], strict=True)])
    return [average_pool(shape, kernel=kernel, stride=kernel)]


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape) -> list[Layer]:
    if layer.running_mean is None or layer.running_var is None:
        raise NoChain(f"its layer {type(layer).__name__} keeps no statistics, so an output depends on the batch")
    wide = (1, -1, *[1] * (len(shape) - 1))
    weight = torch.ones_like(layer.running_mean) if layer.weight is None else layer.weight
    bias = torch.zeros_like(layer.running_mean) if layer.bias is None else layer.bias
    factor = weight.detach().double() / (layer.running_var.double() + layer.eps).sqrt()
    moved = layer.running_mean.double() * factor
    return [scaling(factor.reshape(wide), (bias.detach().double() - moved).reshape(wide),
                    size=(bias.detach().double().abs() + moved.abs()).reshape(wide))]


def _flatten(layer: nn.Flatten, shape: Shape) -> list[Layer]:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise NoChain("its layer Flatten leaves axes apart, which has no bounds here")
    return [reshaping(shape, (math.prod(shape),))]


def _standardise(layer: Standardise, shape: Shape) -> list[Layer]:
    return _scaled(1.0, layer.mean, layer.deviation)


def _scaled(scale: float, mean: Tensor, std: Tensor) -> list[Layer]:
    factor, shift = scale / std.double(), -mean.double() / std.double()
    return [scaling(factor[None, :, None, None], shift[None, :, None, None])]


def _preprocessed(steps: Preprocessing, shape: Shape) -> list[Layer]:
    odd = [name for name, unused in (("size", steps.size is None), ("crop", steps.crop is None),
                                     ("channels", steps.channels is None or steps.channels == shape[0]),
                                     ("order", steps.order == "rgb"), ("layout", steps.layout == "NCHW")) if not unused]
    if odd:
        raise NoChain(f"its preprocessing {odd[0]} has no bounds here (scale, mean and std have)")
    mean, std = torch.tensor(steps.mean or (0.0,)), torch.tensor(steps.std or (1.0,))
    return [] if steps.scale == 1.0 and not steps.mean and not steps.std else _scaled(steps.scale, mean, std)


def _linear(layer: nn.Linear, shape: Shape) -> list[Layer]:
    if len(shape) != 1:
        raise NoChain(f"its layer Linear is given {len(shape)} axes; flatten before it")
    return [dense(layer.weight, layer.bias)]


def _nothing(layer: nn.Module, shape: Shape) -> list[Layer]:
    return []


MODULES: dict[type, Build] = {
    nn.AdaptiveAvgPool2d: _adaptive, nn.AvgPool2d: _avg_pool, nn.BatchNorm1d: _batch_norm, nn.BatchNorm2d: _batch_norm,
    nn.Conv2d: _conv, nn.Dropout: _nothing, nn.Flatten: _flatten, nn.Identity: _nothing, nn.Linear: _linear,
    nn.MaxPool2d: _max_pool, nn.ReLU: lambda layer, shape: [Relu()], Standardise: _standardise}


def affine(chain: Chain) -> tuple[Tensor, Tensor]:
    """(W, b) of a linear chain, W (outputs, inputs), by asking it of every unit input; `NoChain` if it is not linear."""
    if not chain.linear:
        raise NoChain("it is not linear")
    n = math.prod(chain.shape)
    with torch.no_grad():
        bias = chain(torch.zeros(1, *chain.shape))[0]
        weight = (chain(torch.eye(n, dtype=torch.float64).reshape(n, *chain.shape)) - bias).T
    return weight, bias
