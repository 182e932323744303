"""Projected gradient ascent that chooses its own step size: the worst member of a ball, in a box or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from assay.arrays import InputError, MaskPerExample, PerExample, per_example
from assay.perturbations.protocol import ConvexSet, Examples
from assay.searches.result import Best, Objective, Score, SearchResult, score

FIRST_STEP, FIRST_STEPS = 2.0, 4                 # in radii, and how often restarts halve it before they begin anew
MOMENTUM = 0.75                                  # the share of the new step; the rest repeats the last move
FIRST_CHECK, SHORTER, SHORTEST = 0.22, 0.03, 0.06      # checkpoints, as shares of all steps

Done = Callable[[PerExample], MaskPerExample]


def auto_pgd(objective: Objective, within: ConvexSet, *, x: Examples, generators: Sequence[torch.Generator],
             steps: int = 100, restarts: int = 1, starts: Sequence[Tensor] = (), rho: float = 0.75,
             done: Done | None = None) -> SearchResult:
    """Maximise the objective over a convex set: APGD, whose only parameter is the number of steps.

    z = P(p_k + η s(∇f(p_k))), p_{k+1} = P(p_k + ¾ (z − p_k) + ¼ (p_k − p_{k−1})), s the steepest direction with the set's
    radius as its size, η = 2 at first. At the checkpoints `checkpoints(steps)` η is halved, and the run goes on from its
    best point, where fewer than `rho` of the steps since the last one raised f, or where neither η nor the best f has
    changed since then. All of it per example. Source: Croce and Hein, "Reliable evaluation of adversarial robustness
    with an ensemble of diverse parameter-free attacks", ICML 2020 (arXiv 2003.01690), section 3, Algorithm 1.

    Runs: from `starts` (projected), then from `restarts` random members, each of whose entries is shortened by a uniform
    factor (ℓ∞: uniform in the ball, as published). The first is the published run; those after it begin with η = 1, ½, ¼,
    2, 1, …, since a step of two radii forgets where it began. `steps` counts gradients of a run. If the
    objective returns a `Score`, `climbed` is f and the member kept is that of greatest harm. `done(harm)` says which
    examples need no worse member: they are frozen, and the search stops when all are. Raises `InputError` where there is
    no step or no start.

    >>> from assay.perturbations.balls import Ball, InputBall
    >>> from assay.perturbations.protocol import stream
    >>> x = Examples(ids=("a",), inputs=torch.tensor([[0.5, 1.0]]))
    >>> ball = InputBall(ball=Ball(norm="linf", radius=0.25, relative=False, box=(0.0, 1.0)))
    >>> found = auto_pgd(lambda p: p @ torch.tensor([2.0, 3.0]), ball, x=x, generators=[stream(0)], steps=10)
    >>> found.parameters.tolist(), found.value.tolist()
    ([[0.25, 0.0]], [0.5])
    """
    if steps < 1 or restarts < 0 or restarts + len(starts) < 1:
        raise InputError(f"need steps ≥ 1 and at least one start, got steps={steps}, restarts={restarts}")
    if not 0 <= rho <= 1:
        raise InputError(f"rho is a share of steps, between 0 and 1, got {rho}")
    begin = [(within.project(x, start), FIRST_STEP) for start in starts]
    begin += [(_inside(within, x, generators), FIRST_STEP / 2 ** (run % FIRST_STEPS)) for run in range(restarts)]
    best = Best(within.zero(x))
    for start, length in begin:
        best.begin()
        if bool(finished(best, done).all()):
            break
        _Run(objective, within, x, best, done, start, length).climb(steps, rho)
    best.settled |= finished(best, done)
    return best.result()


def checkpoints(steps: int) -> list[int]:
    """The steps after which η is judged: ⌈p_j · steps⌉, p₁ = 0.22, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06).

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    shares = [0.0, FIRST_CHECK]
    while shares[-1] <= 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - SHORTER, SHORTEST))
    return sorted({math.ceil(round(share * steps, 9)) for share in shares[1:-1]})


def finished(best: Best, done: Done | None) -> MaskPerExample:
    """Which examples need no worse member than the best one so far: none, if nobody said when."""
    return torch.zeros(len(best.value), dtype=torch.bool) if done is None else done(best.value)


def height(value: Tensor | Score) -> Tensor:
    """What is climbed, in double precision; what is not finite is lower than all else."""
    return score(value).climbed.detach().double().nan_to_num(nan=-torch.inf, posinf=-torch.inf)


def _inside(within: ConvexSet, x: Examples, generators: Sequence[torch.Generator]) -> Tensor:
    member = within.sample(x, generators)
    return within.project(x, member * torch.stack([torch.rand(member.shape[1:], dtype=member.real.dtype, generator=g)
                                                   for g in generators]))


class _Run:
    """One run: where every example is, where it was best, and how long its steps are."""

    def __init__(self, objective: Objective, within: ConvexSet, x: Examples, best: Best, done: Done | None,
                 start: Tensor, length: float) -> None:
        self.objective, self.within, self.x, self.best, self.done = objective, within, x, best, done
        self.point = self.last = start.detach()
        self.value, self.gradient = self._look(start)
        self.best_point, self.best_value, self.best_gradient = self.point, self.value, self.gradient
        self.length = torch.full((len(start),), length, dtype=torch.float64)

    def _look(self, point: Tensor) -> tuple[Tensor, Tensor]:
        p = point.detach().requires_grad_(True)
        value = self.objective(p)
        climbed = score(value).climbed
        (gradient,) = torch.autograd.grad(climbed.sum(), p)
        self.best.see(p, value)
        self.best.backward += 1
        self.best.flat |= (gradient.abs().flatten(1).amax(1) == 0) & ~finished(self.best, self.done)
        return height(value), torch.where(torch.isfinite(gradient.abs()), gradient, torch.zeros_like(gradient))

    def climb(self, steps: int, rho: float) -> None:
        checks, since = set(checkpoints(steps)), 0
        rises = torch.zeros_like(self.length)
        halved, judged = torch.ones(len(rises), dtype=torch.bool), self.best_value
        for step in range(1, steps + 1):
            moving = ~finished(self.best, self.done)
            if not bool(moving.any()):
                return
            following = torch.where(per_example(moving, self.point), self._next(first=step == 1), self.point)
            if step == steps:
                with torch.no_grad():
                    self.best.see(following, self.objective(following))
                return
            self.last, self.point, before = self.point, following, self.value
            self.value, self.gradient = self._look(following)
            rises += self.value > before
            since += 1
            self._keep()
            if step in checks:
                halved = (rises < rho * since) | (~halved & (self.best_value <= judged))
                self._shorten(halved)
                judged, since, rises = self.best_value, 0, torch.zeros_like(rises)

    def _next(self, *, first: bool) -> Tensor:
        direction = self.within.uphill
        step = direction(self.x, self.gradient)
        ahead = self.within.project(self.x, self.point + per_example(self.length.to(step.real.dtype), step) * step)
        if first:
            return ahead
        move = MOMENTUM * (ahead - self.point) + (1 - MOMENTUM) * (self.point - self.last)
        return self.within.project(self.x, self.point + move)

    def _keep(self) -> None:
        better = self.value > self.best_value
        self.best_value = torch.where(better, self.value, self.best_value)
        self.best_point = torch.where(per_example(better, self.point), self.point, self.best_point)
        self.best_gradient = torch.where(per_example(better, self.point), self.gradient, self.best_gradient)

    def _shorten(self, halved: MaskPerExample) -> None:
        here = per_example(halved, self.point)
        self.length = torch.where(halved, self.length / 2, self.length)
        self.value = torch.where(halved, self.best_value, self.value)
        self.point = torch.where(here, self.best_point, self.point)
        self.gradient = torch.where(here, self.best_gradient, self.gradient)
