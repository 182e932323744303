"""Gradient ascent on a class's probability from an image of nothing in particular."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, MaskPerExample, PerExample, check_finite, per_example
from assay.numerics.norms import norm
from assay.records import Stop

LogProbabilities = Callable[[Tensor], Tensor]       # images (n, *shape) -> (n, classes), differentiable
FASTEST, SHARE = 0.03, 0.1          # a step should raise the probability by so much, or by this share of what is missing


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """One image for each class asked for, in their order.

    `images` (n, *shape) and their `confidence` (n,), −inf where no image on the way was acceptable; `history` (steps, n)
    the probability of every image on the way, acceptable or not; `evaluations` forward (= backward) for each class.
    """

    images: Float[Tensor, "n ..."]
    confidence: PerExample
    history: Float[Tensor, "steps n"] = field(repr=False)
    evaluations: Tensor
    stop: tuple[Stop, ...]


def start_near(mean: Tensor, generators: Sequence[torch.Generator], *, box: tuple[float, float],
               deviation: float = 1 / 255) -> Float[Tensor, "n ..."]:
    """The mean image + Gaussian noise of `deviation` times the range (one grey level of 255), cut to the range."""
    noise = torch.stack([torch.randn(mean.shape, generator=g, dtype=mean.dtype) for g in generators])
    return (mean + deviation * (box[1] - box[0]) * noise).clamp(*box)


def fooling_ascent(log_probabilities: LogProbabilities, start: Float[Tensor, "n ..."], classes: Tensor, *,
                   box: tuple[float, float], steps: int = 300, decay: float = 0.01, enough: float = 0.9999,
                   acceptable: Callable[[Tensor], MaskPerExample] | None = None) -> Ascent:
    """x ← low + (1 − decay)(x − low) + λ ∇p_c(x), cut to the box; λ = min(0.03, 0.1 (1 − p_c)) / ‖∇p_c‖².

    To first order a step raises p_c by 3 %, or by a tenth of what is missing, in any unit of the data: entries that the
    box holds back count for nothing in ∇p. ∇p = p ∇log p is taken from `log_probabilities`, so that it does not underflow
    where p is tiny, and a step is no longer than the diagonal of the box. The image returned is the most confident on the
    way that is `acceptable` (any, where nothing is said); an example ends once that reaches `enough`, or in a corner of
    the box. Source: the gradient ascent of Nguyen, Yosinski and Clune, "Deep neural networks are easily fooled", CVPR
    2015, and its code (decay 0.01, 300 steps); leaving out what the box holds back is ours.

    Raises `InputError` for starts that are not finite, and for no steps.

    >>> both = lambda x: torch.stack((x[:, 0], -x[:, 0]), dim=1).log_softmax(1)
    >>> found = fooling_ascent(both, torch.tensor([[0.5], [0.5]]), torch.tensor([0, 1]), box=(-9.0, 9.0), decay=0.0)
    >>> bool((found.confidence >= 0.9999).all()), found.stop[0].value
    (True, 'converged')
    """
    if steps < 1 or not 0 <= decay < 1 or not box[0] < box[1]:
        raise InputError(f"need steps ≥ 1, 0 ≤ decay < 1 and low < high, got steps={steps}, decay={decay}, box={box}")
    x = check_finite(start.detach(), what="start").clamp(*box)
    images, best = x.clone(), torch.full((len(x),), -torch.inf, dtype=torch.float64)
    flat, broken, held = torch.zeros(3, len(x), dtype=torch.bool)
    evaluations, history = torch.zeros(len(x), dtype=torch.long), []
    for _ in range(steps):
        moving = ~((best >= enough) | flat | broken | held)
        if not bool(moving.any()):
            break
        p, gradient = _probability(log_probabilities, x, classes)
        evaluations += moving.long()
        history.append(p)
        counts = moving if acceptable is None else moving & acceptable(x)
        better = counts & (p > best)
        images, best = torch.where(per_example(better, x), x, images), torch.where(better, p, best)
        broken |= moving & ~(p.isfinite() & gradient.isfinite().flatten(1).all(1))
        flat |= moving & (gradient.flatten(1).abs().amax(1) == 0)
        gradient = torch.where(((x <= box[0]) & (gradient < 0)) | ((x >= box[1]) & (gradient > 0)), 0, gradient)
        held |= moving & ~flat & (gradient.flatten(1).abs().amax(1) == 0)
        moving &= ~((best >= enough) | flat | broken | held)
        x = torch.where(per_example(moving, x), _moved(x, p, gradient, box, decay), x)
    reached = (best >= enough) | held
    stop = tuple(_stop(*outcome) for outcome in zip(reached.tolist(), broken.tolist(), flat.tolist(), strict=True))
    return Ascent(images=images, confidence=best, history=torch.stack(history), evaluations=evaluations, stop=stop)


def _probability(log_probabilities: LogProbabilities, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """p_c in double precision, and ∇log p_c."""
    x = x.detach().requires_grad_(True)
    value = log_probabilities(x).double().gather(1, classes[:, None])[:, 0]
    if not value.requires_grad:
        return value.exp(), torch.zeros_like(x).detach()
    (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach().exp(), gradient


def _moved(x: Tensor, p: Tensor, gradient: Tensor, box: tuple[float, float], decay: float) -> Tensor:
    """The step λ ∇p = wanted / (p ‖∇log p‖²) ∇log p, after the decay."""
    low, high = box
    size = norm(gradient.double()).clamp_min(1e-300)
    wanted = torch.minimum(torch.full_like(p, FASTEST), SHARE * (1 - p))
    length = torch.minimum(wanted / (p.clamp_min(1e-300) * size), torch.full_like(p, (high - low) * x[0].numel() ** 0.5))
    step = per_example(length / size, gradient) * gradient.double()
    return (low + (1 - decay) * (x - low) + step.to(x.dtype)).clamp(low, high)


def _stop(reached: bool, broken: bool, flat: bool) -> Stop:
    if reached:
        return Stop.CONVERGED
    return Stop.NON_FINITE if broken else Stop.ZERO_GRADIENT if flat else Stop.BUDGET
