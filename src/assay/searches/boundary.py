"""How the boundary of a decision lies around an input: its distance along lines and within random subspaces, its curvature.

Distances are in the unit of x, ℓ2, and without a box unless one is given: the geometry of a classifier goes on beyond the
range of the data. A distance found is an upper bound; infinite means that none was found (censored).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import Batch, InputError, PerExample, per_example
from assay.numerics.norms import norm
from assay.searches.smallest.bisection import bisect, cross
from assay.searches.smallest.cascade import polish
from assay.searches.smallest.ddn import turn
from assay.searches.smallest.gradients import class_gradients
from assay.searches.smallest.nearest import Loss, Nearest
from assay.searches.smallest.result import Box, Scores
from assay.searches.smallest.superdeepfool import alternate

ENTRIES = 2 ** 24           # numbers of all bases held at once: bounds the memory


@dataclass(frozen=True, kw_only=True)
class Radius:
    """The distance at which each decision flips: `size` (batch,), infinite where it never did; evaluations (batch,)."""

    size: PerExample
    forward: Tensor
    backward: Tensor


def radius_along(scores: Scores, x: Batch, decision: Tensor, direction: Batch, *, first: PerExample, box: Box | None = None,
                 doublings: int = 12, halvings: int = 8, towards: bool = False) -> Radius:
    """The least t > 0 seen at which x + t·direction, cut to the box if there is one, is not decided as `decision`.

    The first flip on the ladder `first`·2^k, k < doublings, is bisected between the rung below and itself: t is right to
    2^−halvings of the rungs' distance, and a flip between two rungs that agree is not seen. A flip is a score strictly
    above that of `decision` (batch,), or with `towards` that score strictly above all others; t is 0 where x itself flips.
    `direction` (batch, …) need not have length 1. Raises `InputError` unless every `first` (batch,) is positive and finite.

    >>> found = radius_along(lambda x: torch.cat((0 * x, x - 3), 1), torch.zeros(1, 1), torch.tensor([0]), torch.ones(1, 1),
    ...                      first=torch.ones(1), halvings=20)
    >>> round(float(found.size), 4)
    3.0
    """
    if not bool(((first > 0) & torch.isfinite(first)).all()):
        raise InputError("first must be a positive finite length for each example: the shortest one to try")
    first, forward = first.double(), torch.zeros(len(x), dtype=torch.long)
    every = torch.arange(len(x))

    def flips(index: Tensor, t: Tensor) -> Tensor:
        forward[index] += 1
        return _flips(scores, x[index] + _times(direction[index], t), decision[index], box, towards)

    low = torch.zeros_like(first)
    high = torch.where(flips(every, low), 0.0, torch.inf).double()
    for k in range(doublings):
        index = every[high.isinf()]
        if len(index) == 0:
            break
        t = first[index] * 2.0 ** k
        crossed = flips(index, t)
        high[index] = torch.where(crossed, t, torch.inf)
        low[index] = torch.where(crossed, low[index], t)
    index = every[torch.isfinite(high) & (high > 0)]
    for _ in range(halvings if len(index) else 0):
        middle = (low[index] + high[index]) / 2
        crossed = flips(index, middle)
        high[index] = torch.where(crossed, middle, high[index])
        low[index] = torch.where(crossed, low[index], middle)
    return Radius(size=high, forward=forward, backward=torch.zeros_like(forward))


def random_subspace(x: Batch, m: int, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch m d"]:
    """For each example an orthonormal basis, S Sᵀ = 1, of a uniformly distributed m-dimensional subspace of R^d.

    The orthonormal factor of a Gaussian (d, m) matrix, d the entries of an example: its span is uniform. Raises
    `InputError` unless 1 ≤ m ≤ d and there is one generator for each example.
    """
    _check(x, m, generators)
    gaussian = torch.stack([torch.randn(x[0].numel(), m, dtype=x.dtype, generator=g) for g in generators])
    return torch.linalg.qr(gaussian).Q.transpose(1, 2)


def random_radius(scores: Scores, x: Batch, decision: Tensor, *, first: PerExample, generators: Sequence[torch.Generator],
                  box: Box | None = None, doublings: int = 12, halvings: int = 10) -> Radius:
    """The least |t| at which x + t v flips on a random line through x: v uniform on the sphere, both ways.

    The random subspace of one dimension of Fawzi, Moosavi-Dezfooli and Frossard, NIPS 2016, section 2. A flat boundary has
    |t| = r*/|⟨v, n⟩|, whose median is 1.483 √d r*. Arguments as for `radius_along`; one generator for each example.
    """
    direction = random_subspace(x, 1, generators).reshape(x.shape)
    ahead, behind = (radius_along(scores, x, decision, side, first=first, box=box, doublings=doublings, halvings=halvings)
                     for side in (direction, -direction))
    return Radius(size=torch.minimum(ahead.size, behind.size), forward=ahead.forward + behind.forward,
                  backward=ahead.backward)


def semi_random_radius(scores: Scores, x: Batch, decision: Tensor, *, m: int, generators: Sequence[torch.Generator],
                       steps: int = 20) -> Radius:
    """min ‖p‖₂ over p in a random m-dimensional subspace S with x + p not decided as `decision`: an upper bound.

    S is drawn by `random_subspace`, one generator for each example; the search is `radius_within`. Source: Fawzi,
    Moosavi-Dezfooli and Frossard, NIPS 2016, section 2.
    """
    _check(x, m, generators)
    at_once = max(1, ENTRIES // (m * x[0].numel()))
    parts = []
    for start in range(0, len(x), at_once):
        some = slice(start, start + at_once)
        basis = random_subspace(x[some], m, generators[some])
        parts.append(radius_within(scores, x[some], decision[some], basis, steps=steps))
    return Radius(size=torch.cat([p.size for p in parts]), forward=torch.cat([p.forward for p in parts]),
                  backward=torch.cat([p.backward for p in parts]))


def radius_within(scores: Scores, x: Batch, decision: Tensor, basis: Float[Tensor, "batch m d"], *,
                  steps: int = 20) -> Radius:
    """The smallest flip found within the subspaces whose orthonormal bases are given, every gradient projected on them.

    SuperDeepFool, what has not crossed pushed across, `steps` of DDN, then polished: the searches and the order of
    `smallest_change`, without its restarts, so that both distances are found equally well.
    """
    state = _Within(scores, x, decision, basis)
    index = state.open()
    if len(index):
        end = alternate(state, index, rounds=3, steps=20)
        left = ~state.found[index]
        if bool(left.any()):
            cross(state, index[left], end[left])
        index = index[state.found[index]]
    if len(index):
        bisect(state, index, state.perturbation[index])
        turn(state, index, state.perturbation[index], state.size[index], steps=steps, step_length=0.5)
        bisect(state, index, state.perturbation[index])
        polish(state, index, rounds=5)
    return Radius(size=state.size, forward=state.forward, backward=state.backward)


class _Within(Nearest):
    """The smallest flip within a subspace for each example: gradients are those along it."""

    def __init__(self, scores: Scores, x: Tensor, decision: Tensor, basis: Tensor) -> None:
        self.basis = basis
        super().__init__(scores, x, decision, kind="l2")

    def differences(self, index: Tensor, p: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        difference, gradient = super().differences(index, p, rivals)
        return difference, self._along(index, gradient.flatten(2)).reshape(gradient.shape)

    def _climbed(self, index: Tensor, p: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        margin, value, gradient = super()._climbed(index, p, loss)
        return margin, value, self._along(index, gradient.flatten(1)[:, None]).reshape(gradient.shape)

    def _along(self, index: Tensor, gradient: Tensor) -> Tensor:
        """Sᵀ S g of each of the gradients (n, k, d)."""
        basis = self.basis[index]
        return gradient @ basis.transpose(1, 2) @ basis


def curvature(scores: Scores, boundary: Batch, decision: Tensor, rival: Tensor, direction: Batch, *,
              step: PerExample) -> PerExample:
    """κ = vᵀ H v / ‖∇f‖ of the boundary f = s_rival − s_decision = 0, v the direction's part along the boundary.

    The normal curvature of the section through v, in one over the unit of x; positive where the boundary bends around the
    side of `decision`, as a sphere around it does. H v is a central difference of the gradient, [∇f(b + h v) − ∇f(b − h v)]
    / 2h with h = `step` (batch,): of a network with kinks, the curvature as seen at that length. `boundary` (batch, …) are
    points b with f = 0. NaN where the gradient vanishes, or the direction is normal to the boundary.
    Source: do Carmo, "Differential geometry of curves and surfaces" (1976), section 3-2.

    >>> ball = lambda x: torch.stack((0 * x[:, 0], x.square().sum(1) - 4), 1)
    >>> curvature(ball, torch.tensor([[2.0, 0.0]]), torch.tensor([0]), torch.tensor([1]), torch.tensor([[0.0, 1.0]]),
    ...           step=torch.tensor([0.1])).tolist()
    [0.5]
    """
    def gradient(inputs: Tensor) -> Tensor:
        return class_gradients(scores, inputs, decision, rival[:, None])[1][:, 0].flatten(1).double()

    at, flat = gradient(boundary), direction.flatten(1).double()
    normal = at / norm(at)[:, None]
    tangent = flat - (flat * normal).sum(1)[:, None] * normal
    v = tangent / norm(tangent)[:, None]
    h = _times(v.reshape(boundary.shape).to(boundary.dtype), step)
    bend = (gradient(boundary + h) - gradient(boundary - h)) / (2 * step.double()[:, None])
    return (bend * v).sum(1) / norm(at)


def _check(x: Tensor, m: int, generators: Sequence[torch.Generator]) -> None:
    d = x[0].numel()
    if not 1 <= m <= d:
        raise InputError(f"a subspace of {m} dimensions: the inputs have {d} entries, so take 1 to {d}")
    if len(generators) != len(x):
        raise InputError(f"one generator for each of the {len(x)} examples, got {len(generators)}")


def _flips(scores: Scores, inputs: Tensor, decision: Tensor, box: Box | None, towards: bool = False) -> Tensor:
    with torch.no_grad():
        logits = scores(inputs if box is None else inputs.clamp(*box))
    others = logits.scatter(1, decision[:, None], -torch.inf).amax(1)
    own = logits.gather(1, decision[:, None])[:, 0]
    return own > others if towards else others > own


def _times(direction: Tensor, t: Tensor) -> Tensor:
    return direction * per_example(t.to(direction.dtype), direction)


def doublings_for(d: int, *, beyond: float = 64.0) -> int:
    """Rungs of the ladder r*·2^k that reaches `beyond` √d r*: chance is further from a flat boundary once in 80 times.

    >>> doublings_for(64)
    10
    """
    return 1 + math.ceil(math.log2(beyond * math.sqrt(d)))
