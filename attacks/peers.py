"""Two textbook attacks as a reader of the papers would run them, without any look at whether they can be believed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pgd(model: nn.Module, x: Tensor, label: Tensor, *, radius: float = 0.1, steps: int = 40, step: float = 0.01,
        seed: int = 0) -> float:
    """Share of images decided otherwise than labelled after PGD-40: x ← P(x + step · sign ∇ CE), ℓ∞, one random start.

    Source: Madry, Makelov, Schmidt, Tsipras and Vladu, ICLR 2018.
    """
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    at = (x + radius * start).clamp(0, 1)
    for _ in range(steps):
        at = at.detach().requires_grad_(True)
        loss = F.cross_entropy(model(at), label)
        gradient = torch.autograd.grad(loss, at)[0] if loss.requires_grad else torch.zeros_like(at)
        at = torch.minimum(torch.maximum(at + step * gradient.sign(), x - radius), x + radius).clamp(0, 1)
    with torch.no_grad():
        return float((model(at.detach()).argmax(1) != label).double().mean())


def deepfool(model: nn.Module, x: Tensor, label: Tensor, *, steps: int = 50, overshoot: float = 0.02) -> float:
    """Share of images whose first decision DeepFool changes, ℓ2, without a range.

    Source: Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016, algorithm 2.
    """
    return sum(_deepfool_one(model, one[None], steps, overshoot) for one in x) / len(x)


def _deepfool_one(model: nn.Module, x: Tensor, steps: int, overshoot: float) -> float:
    with torch.no_grad():
        first = int(model(x).argmax(1))
    moved = torch.zeros_like(x)
    for _ in range(steps):
        at = (x + (1 + overshoot) * moved).detach().requires_grad_(True)
        scores = model(at)[0]
        if int(scores.argmax()) != first or not scores.requires_grad:
            break
        nearest, move = torch.inf, torch.zeros_like(x)
        own = torch.autograd.grad(scores[first], at, retain_graph=True)[0]
        for k in range(len(scores)):
            if k != first:
                w = torch.autograd.grad(scores[k], at, retain_graph=True)[0] - own
                far = float((scores[k] - scores[first]).detach().abs() / w.norm().clamp_min(1e-12))
                if far < nearest:
                    nearest, move = far, (far + 1e-4) * w / w.norm().clamp_min(1e-12)
        moved = moved + move
    with torch.no_grad():
        return float(int(model(x + (1 + overshoot) * moved).argmax(1)) != first)
