"""One perturbation for all inputs by a batched ascent of their margins; and the best of given ones, by queries alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.numerics.projections import steepest
from assay.records import Stop
from assay.searches.universal.fit import Best, Box, FitSet, Scores, Universal, check_arguments, onto

LONGEST, SHORTEST, MOMENTUM = 1.0, 0.05, 0.5
TOGETHER = 4                        # given patterns looked at in one evaluation: bounds the memory
SETTLED = 4                         # the rate has settled if it did not rise in this part of the passes


def batched(scores: Scores, x: Tensor, *, norm: str = "linf", radius: float, generator: torch.Generator,
            box: Box | None = None, passes: int = 10, batch: int = 25, restarts: int = 4,
            starts: Sequence[Tensor] = ()) -> Universal:
    """Ascend the smoothed share of changed decisions, mean_x σ(m_x(v) / 0.3), over ‖v‖ ≤ radius, in mini-batches.

    m_x(v) is the margin by which another class beats the decision on x, at x + v clipped to the `box`, divided by the
    median margin without change: no scale of scores or data matters, and inputs long since changed, or far from any
    boundary, hardly count. v ← P(v + α_t r d_t), d_t ← ½ d_{t−1} + ½ s(∇), s the steepest direction of the ball, α_t
    from 1 down to 0.05. `restarts` random patterns of full size, the second half the negatives of the first, and
    `starts` (…) each, are climbed at once; before and after each pass over the shuffled inputs those that change most
    decisions are kept, and at last the negative of the best is tried: for two linear classes it is the other optimum.
    `x` (n, …) real, `radius` in its unit. The order of x does not matter. Raises `InputError` for bad arguments. A
    stochastic form, with other loss and step, of Shafahi, Najibi, Xu, Dickerson, Davis and Goldstein, "Universal
    adversarial training", AAAI 2020, algorithm 2.

    >>> w, x = torch.tensor([[3.0, -4.0]]), torch.tensor([[-0.1, 0.0], [-0.2, 0.0], [9.0, 0.0]])
    >>> found = batched(lambda x: torch.cat((0 * x[:, :1], x @ w.T), 1), x, radius=0.5,
    ...                 generator=torch.Generator().manual_seed(0))
    >>> found.perturbation.tolist(), round(found.rate, 3)
    ([0.5, -0.5], 0.667)
    """
    check_arguments(x, norm, radius, box, passes=passes, batch=batch, restarts=restarts + len(starts))
    fit = FitSet(scores, x, generator, box=box, chunk=batch)
    half = [steepest(torch.randn(x[:1].shape, dtype=x.dtype, generator=generator), norm) for _ in range(-(-restarts // 2))]
    begin = [*half, *(-start for start in half)][:restarts]
    v = onto(torch.cat([radius * start for start in begin] + [start[None].to(x) for start in starts]), norm, radius)
    best, direction = Best(fit, v[0]), torch.zeros_like(v)
    best.see(v)
    rounds = -(-len(fit) // batch)
    for t in range(passes * rounds if radius > 0 else 0):
        if t % rounds == 0:
            order = torch.randperm(len(fit), generator=generator)
        at = order[t % rounds * batch: (t % rounds + 1) * batch]
        direction = MOMENTUM * direction + (1 - MOMENTUM) * steepest(fit.slope(at, v), norm)
        length = LONGEST * (SHORTEST / LONGEST) ** (t / max(1, passes * rounds - 1))
        v = onto(v + length * radius * direction, norm, radius)
        if (t + 1) % rounds == 0:
            best.see(v)
            best.rates.append(best.rate)
            if best.rate == 1.0:
                break
    best.see(-best.pattern[None])
    return Universal(perturbation=best.pattern, rate=best.rate, rates=(*best.rates[1:-1], best.rate), forward=fit.forward,
                     backward=fit.backward, stop=_why(fit, best, passes))


def _why(fit: FitSet, best: Best, passes: int) -> Stop:
    if fit.broken:
        return Stop.NON_FINITE
    if fit.flat and fit.backward:
        return Stop.ZERO_GRADIENT
    calm = len(best.rates) > passes // SETTLED and best.rates[-1] == best.rates[-1 - passes // SETTLED]
    return Stop.CONVERGED if best.rate == 1.0 or (calm and passes >= SETTLED) else Stop.BUDGET


def best_of(scores: Scores, x: Tensor, patterns: Sequence[Tensor], *, norm: str = "linf", radius: float,
            generator: torch.Generator, box: Box | None = None, batch: int = 25) -> Universal:
    """The one of the given `patterns` (…), each brought onto the ball, that changes most decisions: queries alone.

    What can be said of a system without gradients, and what a search by gradients must not fall behind. Arguments and
    errors as for `batched`.

    >>> w, x = torch.tensor([[3.0, -4.0]]), torch.tensor([[-0.1, 0.0], [-0.2, 0.0], [9.0, 0.0]])
    >>> best_of(lambda x: torch.cat((0 * x[:, :1], x @ w.T), 1), x, [torch.eye(2)[0], torch.tensor([0.0, -1.0])], radius=0.1,
    ...         generator=torch.Generator().manual_seed(0)).perturbation.tolist()
    [0.0, -0.10000000149011612]
    """
    check_arguments(x, norm, radius, box, batch=batch, patterns=len(patterns))
    fit = FitSet(scores, x, generator, box=box, chunk=batch)
    best = Best(fit, patterns[0].to(x))
    for start in range(0, len(patterns), TOGETHER):
        best.see(onto(torch.stack(list(patterns[start: start + TOGETHER])).to(x), norm, radius))
    return Universal(perturbation=best.pattern, rate=best.rate, rates=(best.rate,), forward=fit.forward, backward=0,
                     stop=Stop.NON_FINITE if fit.broken else Stop.EXHAUSTED)
