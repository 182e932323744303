"""A recorded network's way from input to output: one step after another, and sums in which two branches meet."""

from __future__ import annotations

import operator
from collections.abc import Container

import torch
from torch import fx, nn

from assay.arrays import InputError

# Layers whose result never shares memory with what they are given.
FRESH = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


class NoChain(InputError):  # noqa: N818 - the reason why nothing can be proved, which is no error by itself
    """The system is not a chain of known layers; the message says why."""


def spine(end: fx.Node, known: dict[fx.Node, list[fx.Node]] | None = None) -> list[fx.Node]:
    """The nodes that every way from the input to the node goes through, in order: the input first, the node last.

    `known` keeps what was found, so that a sum is looked through once and not once for each way to it.
    """
    known = {} if known is None else known
    back = [end]
    while back[-1].op != "placeholder":
        node = back[-1]
        if node in known:
            back += known[node][-2::-1]
            break
        if len(node.all_input_nodes) == 1 and node.args and node.args[0] is node.all_input_nodes[0] and not adds(node):
            back.append(node.all_input_nodes[0])
        elif adds(node) and len(node.args) == 2 and not node.kwargs and all(isinstance(a, fx.Node) for a in node.args):
            one, two = (spine(branch, known) for branch in node.args if isinstance(branch, fx.Node))
            back.append([a for a, b in zip(one, two, strict=False) if a is b][-1])
        else:
            raise NoChain(f"its step {node.name} is neither one layer after another nor a sum of two branches")
    known[end] = back[::-1]
    return known[end]


def adds(node: fx.Node) -> bool:
    return node.target in (operator.add, operator.iadd, torch.add, "add", "add_")


def refuse_overwriting(module: nn.Module, node: fx.Node, known: Container[type]) -> None:
    """`NoChain` where a step writes its result over what another step reads as well; layers of `known` types never do."""
    if not node.args or not isinstance(node.args[0], fx.Node) or not _overwrites(module, node, known):
        return
    written = node.args[0]
    while len(written.users) == 1 and written.op != "placeholder" and _hands_on(module, written):
        assert isinstance(written.args[0], fx.Node)
        written = written.args[0]
    if len(written.users) > 1:
        raise NoChain(f"its step {node.name} may write over what another branch reads")


def _overwrites(module: nn.Module, node: fx.Node, known: Container[type]) -> bool:
    if node.op != "call_module":
        return node.target in (operator.iadd, "add_", "relu_", torch.relu_) or bool(node.kwargs.get("inplace"))
    return _part_overwrites(module.get_submodule(str(node.target)), known)


def _part_overwrites(part: nn.Module, known: Container[type]) -> bool:
    """Whether a layer may write over what it is given; of a module of somebody's own nobody knows."""
    if isinstance(part, nn.Sequential):
        first = next((inner for inner in part if type(inner) not in (nn.Identity, nn.Dropout, nn.Flatten)), nn.Identity())
        return _part_overwrites(first, known)
    return bool(getattr(part, "inplace", False)) or type(part) not in known


def _hands_on(module: nn.Module, node: fx.Node) -> bool:
    """Whether what the step gives may share its memory with what it is given."""
    if node.op == "call_module":
        return not isinstance(module.get_submodule(str(node.target)), FRESH)
    return not adds(node) or node.target in (operator.iadd, "add_")
