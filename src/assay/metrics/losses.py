"""Losses of a classifier: functions of its scores (batch, classes) and the labels (batch,), larger = worse.

The scores are logits, before any softmax. Each loss is per example and differentiable in the scores.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.arrays import REAL, InputError, PerExample

Scores = Float[Tensor, "batch classes"]
Labels = Int[Tensor, "batch"]


def cross_entropy(scores: Scores, label: Labels) -> PerExample:
    """−log p_y, p = softmax(z): computed as log(1 + e^m), m = `log_odds`, so that small p_k are not lost beside p_y ≈ 1.

    ≥ 0, in nats. Where the classifier is sure its gradient is tiny and at last underflows (m < −103 in single precision):
    a search had better climb `log_odds`, which has the same level sets and the same direction of steepest ascent.

    >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).tolist() == [torch.tensor(2.0).log().item()]
    True
    """
    return torch.nn.functional.softplus(log_odds(scores, label), threshold=1000.0)


def log_odds(scores: Scores, label: Labels) -> PerExample:
    """log((1 − p_y) / p_y) = log Σ_{k≠y} exp(z_k) − z_y, p = softmax(z): the log odds of another class than y.

    A monotone function of the cross-entropy whose gradient, softmax over k ≠ y minus the unit vector of y, never vanishes.

    >>> log_odds(torch.tensor([[500.0, 0.0]]), torch.tensor([0])).tolist()
    [-500.0]
    """
    own, others = _split(scores, label)
    return torch.logsumexp(others, dim=1) - own


def margin(scores: Scores, label: Labels) -> PerExample:
    """max_{k≠y} z_k − z_y: positive where another class wins.

    Carlini and Wagner, "Towards evaluating the robustness of neural networks", 2017, f₆ without the floor.

    >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0])).tolist()
    [-1.0]
    """
    own, others = _split(scores, label)
    return others.amax(1) - own


def targeted_margin(scores: Scores, label: Labels, target: Labels) -> PerExample:
    """z_t − z_y: positive where the target t beats the label y.

    >>> targeted_margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]), torch.tensor([1])).tolist()
    [-2.0]
    """
    _check(scores, label, "label")
    _check(scores, target, "target")
    if bool((label == target).any()):
        raise InputError("target: a target equals its label; a targeted loss needs another class")
    return _at(scores, target) - _at(scores, label)


def dlr(scores: Scores, label: Labels) -> PerExample:
    """(max_{k≠y} z_k − z_y) / (z_π1 − z_π3), π the order of falling scores: the margin in the scores' own unit.

    Unchanged by shifts and positive factors of the scores. Constant (1, zero gradient) where y ranks third: end a search
    once the label is beaten, or climb `margin` beyond. Croce and Hein, "Reliable evaluation of adversarial robustness with
    an ensemble of diverse parameter-free attacks", ICML 2020 (arXiv 2003.01690), equation 6. Raises `InputError` with
    fewer than three classes.

    >>> dlr(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0])).tolist()
    [-0.5]
    """
    value = margin(scores, label)
    if scores.shape[1] < 3:
        raise InputError(f"scores: the DLR loss needs at least 3 classes and these have {scores.shape[1]}; use margin")
    falling = scores.sort(dim=1, descending=True).values
    return value / _positive(falling[:, 0] - falling[:, 2], falling)


def targeted_dlr(scores: Scores, label: Labels, target: Labels) -> PerExample:
    """(z_t − z_y) / (z_π1 − (z_π3 + z_π4) / 2), π the order of falling scores. Croce and Hein (2020), equation 7.

    Unchanged by shifts and positive factors of the scores. Raises `InputError` with fewer than four classes.

    >>> targeted_dlr(torch.tensor([[3.0, 1.0, 2.0, 1.0]]), torch.tensor([0]), torch.tensor([2])).tolist()
    [-0.5]
    """
    value = targeted_margin(scores, label, target)
    if scores.shape[1] < 4:
        raise InputError(f"scores: the targeted DLR loss needs at least 4 classes and these have {scores.shape[1]}; "
                         "use targeted_margin")
    falling = scores.sort(dim=1, descending=True).values
    return value / _positive(falling[:, 0] - (falling[:, 2] + falling[:, 3]) / 2, falling)


def _split(scores: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """z_y (batch,) and the other scores (batch, classes − 1)."""
    _check(scores, label, "label")
    batch, classes = scores.shape
    others = torch.arange(classes, device=scores.device)[None] != label[:, None]
    return _at(scores, label), scores[others].reshape(batch, classes - 1)


def _at(scores: Tensor, index: Tensor) -> Tensor:
    return scores.gather(1, index[:, None].long())[:, 0]


def _positive(spread: Tensor, falling: Tensor) -> Tensor:
    """The spread, or a rounding error of all scores where the first few are equal: a finite quotient, in any unit."""
    least = torch.finfo(falling.dtype).eps * (falling[:, 0] - falling[:, -1]).detach()
    return torch.maximum(spread, least.clamp_min(torch.finfo(falling.dtype).tiny))


def _check(scores: Tensor, label: Tensor, name: str) -> None:
    if scores.ndim != 2 or scores.dtype not in REAL or scores.shape[1] < 2:
        raise InputError(f"scores must be real, (batch, classes) with at least 2 classes, got {scores.dtype} of shape "
                         f"{tuple(scores.shape)}; give a single score z of a binary model as (0, z)")
    if label.shape != scores.shape[:1] or label.is_floating_point() or label.is_complex() or label.dtype == torch.bool:
        raise InputError(f"{name} must be whole numbers, one for each of {len(scores)} examples, got {label.dtype} of shape "
                         f"{tuple(label.shape)}")
    bad = (label < 0) | (label >= scores.shape[1])
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise InputError(f"{name}: example {first} has class {int(label[first])}, but there are {scores.shape[1]} classes, "
                         "counted from 0")
