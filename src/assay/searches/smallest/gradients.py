"""Gradients of many classes at once."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from assay.searches.smallest.result import Scores

CHUNK = 16              # classes per batched backward: bounds the memory
ENTRIES = 2 ** 18       # entries of all their gradients together, on a CPU: beyond its caches a batch of classes is slower


def top_rivals(logits: Tensor, decision: Tensor, classes: int | None) -> Tensor:
    """The classes to try, (batch, k): all but the decision, or with it the `classes` of greatest score (k = classes − 1).

    >>> top_rivals(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]), 2).tolist()
    [[2]]
    """
    k = logits.shape[1] - 1 if classes is None else min(classes, logits.shape[1]) - 1
    others = logits.detach().scatter(1, decision[:, None], -torch.inf)
    return others.topk(k, dim=1).indices


def class_gradients(scores: Scores, inputs: Tensor, decision: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (batch, classes) and ∇(s_rival − s_decision) (batch, k, …) for every rival (batch, k), in one backward.

    The backward passes of the k rivals are batched (`is_grads_batched`), as many at once as `at_once` says; where an
    operation of the model cannot be batched they are made one by one. Zero where the scores do not depend on the inputs
    in a differentiable way.

    >>> w = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> class_gradients(lambda x: x @ w.T, torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[1]]))[1].tolist()
    [[[-1.0, 2.0]]]
    """
    with torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_(True)
        logits = scores(leaf)
        k = rivals.shape[1]
        if not logits.requires_grad:
            return logits, inputs.new_zeros(len(inputs), k, *inputs.shape[1:])
        weights = logits.new_zeros(k, *logits.shape)
        weights.scatter_(2, rivals.T[..., None], 1.0)
        weights.scatter_(2, decision.expand(k, -1)[..., None], -1.0)
        parts = [_backward(logits, leaf, chunk) for chunk in weights.split(at_once(leaf))]
    return logits.detach(), torch.cat(parts).transpose(0, 1)


def at_once(inputs: Tensor) -> int:
    """How many classes share a backward pass: 16, on a CPU fewer where their gradients have more than 2¹⁸ entries.

    A batch of classes saves the calls, which count where examples are few or small; where the examples alone fill the
    caches it only moves more memory. Speed alone depends on it.

    >>> at_once(torch.zeros(100, 1, 8, 8)), at_once(torch.zeros(20, 3, 32, 32)), at_once(torch.zeros(95, 3, 32, 32))
    (16, 4, 1)
    """
    return CHUNK if inputs.device.type != "cpu" else max(1, min(CHUNK, ENTRIES // max(1, inputs.numel())))


def _backward(logits: Tensor, leaf: Tensor, weights: Tensor) -> Tensor:
    """One gradient for each of the weights (k, batch, classes): (k, batch, …)."""
    def single(weight: Tensor, batched: bool) -> Tensor:
        (gradient,) = torch.autograd.grad(logits, leaf, weight, retain_graph=True, is_grads_batched=batched,
                                          allow_unused=True)
        return torch.zeros_like(leaf).expand(*weight.shape[:-2], *leaf.shape) if gradient is None else gradient

    if len(weights) > 1:
        try:
            with warnings.catch_warnings(action="ignore", category=UserWarning):     # "no batching rule, slow"
                return single(weights, True)
        except RuntimeError:                                        # an operation that cannot be batched
            pass
    return torch.stack([single(weight, False) for weight in weights])
