"""Is a part of the network still in training mode: dropout that draws, normalisation over the batch?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from assay.systems.metered import Metered

DRAWING = ("bernoulli", "native_dropout", "rrelu_with_noise")       # what every kind of dropout comes down to
NORMALISING = ("batch_norm",)


def training_layers(target: Metered, inputs: Tensor) -> list[str]:
    """The layers that behave as in training, as "name (what it does)".

    `eval()` does not reach dropout called as a function, nor a layer that overrides it, and a module's own word for its
    mode need not be what it does: so one call is watched at the level of its operations. Layers of a scripted module
    have no names here.
    """
    module = getattr(target.system, "module", None)
    scripted = isinstance(module, torch.jit.ScriptModule)
    layers = dict(module.named_modules()) if isinstance(module, nn.Module) and not scripted else {}
    watch = _Watch(type(module).__name__ if module is not None else target.name)
    hooks = []
    for name, layer in layers.items():
        hooks += [layer.register_forward_pre_hook(watch.entering(name)), layer.register_forward_hook(watch.leaving())]
    try:
        with torch.no_grad(), watch:
            target(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [f"{name} ({what})" for name, what in watch.found.items()]


class _Watch(TorchDispatchMode):
    """Notes which operations of training are called, and inside which layer."""

    def __init__(self, whole: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside: list[str] = [whole]
        self.found: dict[str, str] = {}

    def entering(self, name: str) -> Callable[..., None]:
        return lambda layer, inputs: self.inside.append(name or self.inside[0])

    def leaving(self) -> Callable[..., None]:
        def leave(layer: nn.Module, inputs: Any, output: Any) -> None:
            self.inside.pop()
        return leave

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name.startswith(DRAWING):
            self.found[self.inside[-1]] = "draws as dropout does"
        elif any(word in name for word in NORMALISING) and _argument(func, args, kwargs or {}, "training"):
            self.found[self.inside[-1]] = "normalises over the batch"
        return func(*args, **(kwargs or {}))


def _argument(func: Any, args: Any, kwargs: Any, name: str) -> Any:
    names = [argument.name for argument in func._schema.arguments]
    if name not in names:
        return False
    place = names.index(name)
    return args[place] if place < len(args) else kwargs.get(name, False)
