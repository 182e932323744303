"""What every search for one shared perturbation returns, and the set of inputs it is fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from assay.arrays import REAL, InputError
from assay.numerics.norms import NORMS
from assay.numerics.projections import project
from assay.records import Stop

# inputs (batch, …) -> scores of the classes (batch, classes), before softmax; examples do not see each other
Scores = Callable[[Tensor], Tensor]
Box = tuple[float, float]           # the least and the greatest value an entry of the input may take
TEMPERATURE = 0.3                   # of the smoothed fooling rate, in units of the median margin


@dataclass(frozen=True, kw_only=True)
class Universal:
    """One perturbation and what it does to the inputs it was fitted to.

    `perturbation` (…) in the unit of the inputs; `rate` the share of the inputs whose decision it changes; `rates` that
    share after each pass over them; `forward` and `backward` evaluations summed over the inputs (the gradients of k
    classes count k); `stop` why the search ended.
    """

    perturbation: Tensor
    rate: float
    stop: Stop
    forward: int
    backward: int
    rates: tuple[float, ...] = field(repr=False)


class FitSet:
    """The inputs a shared perturbation is fitted to, in an order of their own, and what has been spent on them.

    They are sorted along a random direction, so that no result depends on the order in which they were given. What the
    system sees is x + v, clipped to the box where there is one. A decision has changed where the margin
    max_{k ≠ decision} s_k − s_decision is strictly above 0.
    """

    def __init__(self, scores: Scores, x: Tensor, generator: torch.Generator, *, box: Box | None, chunk: int) -> None:
        along = torch.randn(x[0].numel(), generator=generator, dtype=torch.float64)
        self.x = x.detach()[(x.detach().flatten(1).double() * along).sum(1).argsort()]
        self.scores, self.box, self.chunk = scores, box, chunk
        self.forward = self.backward = 0
        self.broken, self.flat = False, True
        with torch.no_grad():
            answers = torch.cat([self.seen(part) for part in self.x.split(chunk)])
        if answers.ndim != 2 or answers.shape[1] < 2:
            raise InputError(f"scores must be (batch, classes) with at least 2 classes, got shape {tuple(answers.shape)}")
        self.classes = answers.shape[1]
        self.decision = answers.argmax(1)
        self.scale = margin_of(answers, self.decision).abs().median().clamp_min(torch.finfo(answers.dtype).tiny)

    def __len__(self) -> int:
        return len(self.x)

    def clipped(self, inputs: Tensor) -> Tensor:
        return inputs if self.box is None else inputs.clamp(*self.box)

    def seen(self, inputs: Tensor) -> Tensor:
        """The scores of inputs that may lie outside the box, counted; whatever is not finite is noted."""
        scores = self.scores(self.clipped(inputs))
        self.forward += len(inputs)
        self.broken |= not bool(torch.isfinite(scores.detach()).all())
        return scores

    def margins(self, patterns: Tensor) -> Tensor:
        """(k, n) margins, in units of the median margin without change, of every input under k patterns (k, …)."""
        with torch.no_grad():
            parts = [self._margins(index, self._under(index, patterns)).unflatten(0, (len(patterns), -1))
                     for index in torch.arange(len(self)).split(self.chunk)]
        return torch.cat(parts, 1)

    def _under(self, index: Tensor, patterns: Tensor) -> Tensor:
        return (self.x[index][None] + patterns[:, None]).flatten(0, 1)

    def _margins(self, index: Tensor, inputs: Tensor) -> Tensor:
        margin = margin_of(self.seen(inputs), self.decision[index].repeat(len(inputs) // len(index))) / self.scale
        return torch.where(torch.isfinite(margin), margin, -torch.inf)

    def slope(self, index: Tensor, patterns: Tensor) -> Tensor:
        """∇_v Σ_x σ(m_x(v) / TEMPERATURE) over the inputs of `index`, for each of k patterns: (k, …)."""
        inputs = self._under(index, patterns).requires_grad_(True)
        with torch.enable_grad():
            value = torch.sigmoid(self._margins(index, inputs) / TEMPERATURE).sum()
            gradient = None
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value, inputs, allow_unused=True)
        self.backward += len(inputs)
        if gradient is None:
            return torch.zeros_like(patterns)
        gradient = torch.where(torch.isfinite(gradient), gradient, 0.0)
        self.flat &= not bool(gradient.any())
        return gradient.unflatten(0, (len(patterns), -1)).sum(1)


class Best:
    """The pattern that changes most decisions; of equal ones that of the greatest smoothed rate."""

    def __init__(self, fit: FitSet, pattern: Tensor) -> None:
        self.fit, self.pattern, self.order, self.rates = fit, torch.zeros_like(pattern), (0.0, -torch.inf), [0.0]

    @property
    def rate(self) -> float:
        return self.order[0]

    def see(self, patterns: Tensor) -> None:
        margins = self.fit.margins(patterns)
        rates, smooth = (margins > 0).double().mean(1).tolist(), torch.sigmoid(margins.double() / TEMPERATURE).mean(1)
        for i, order in enumerate(zip(rates, smooth.tolist(), strict=True)):
            if order > self.order:
                self.order, self.pattern = order, patterns[i].clone()


def onto(patterns: Tensor, norm: str, radius: float) -> Tensor:
    """The nearest patterns (k, …) of norm at most `radius`.

    >>> onto(torch.tensor([[3.0, 4.0]]), "linf", 3.5).tolist()
    [[3.0, 3.5]]
    """
    return project(patterns, torch.full((len(patterns),), radius, dtype=patterns.dtype), norm)


def check_arguments(x: Tensor, norm: str, radius: float, box: Box | None, **counts: int) -> None:
    """`InputError` unless x is a real batch within the box, norm and radius are those of a ball, and counts at least 1."""
    if norm not in NORMS:
        raise InputError(f"unknown norm {norm!r}; known: {', '.join(NORMS)}")
    if not 0 <= radius < float("inf"):
        raise InputError(f"radius must be a finite number ≥ 0, in the unit of x, got {radius}")
    if x.dtype not in REAL or x.ndim < 2 or len(x) == 0:
        raise InputError(f"x must be (n, …), float32 or float64, with at least one input, got {x.dtype} of shape "
                         f"{tuple(x.shape)}")
    if box is not None and not (box[0] < box[1] and box[0] <= float(x.min()) and float(x.max()) <= box[1]):
        raise InputError(f"x leaves the box {box}: its entries range from {float(x.min()):g} to {float(x.max()):g}; scale "
                         "the inputs or give the box they live in")
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} must be at least 1, got {count}")


def margin_of(scores: Tensor, decision: Tensor) -> Tensor:
    """(n,) by how much the best other class beats the decision."""
    others = scores.scatter(1, decision[:, None], -torch.inf)
    return others.amax(1) - scores.gather(1, decision[:, None])[:, 0]
