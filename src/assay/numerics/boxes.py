"""Boxes around the origin: the point of a hyperplane nearest to it, and nearest points of a ball cut by a box.

Both are found by fixing variables: all entries start free, those that would leave the box are put on its side, and the
one unknown is solved for again. The unknown grows monotonically and the last pass is exact (Bitran and Hax, Management
Science 27 (1981); Kiwiel, Math. Program. 112 (2008)); there are at most as many passes as entries, in practice about five.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import Batch, InputError, MaskPerExample, PerExample
from assay.numerics.norms import NORMS
from assay.numerics.projections import project, project_l2_box, project_linf_box


def nearest_on_hyperplane(w: Batch, c: PerExample, low: Batch | None = None, high: Batch | None = None, *,
                          kind: str = "l2") -> tuple[Batch, MaskPerExample]:
    """argmin ‖r‖ over ⟨w, r⟩ = c and low ≤ r ≤ high, for "l2" or "linf"; and whether the box reaches the hyperplane.

    The box must contain 0 (low ≤ 0 ≤ high; None: no bound). With s = sign(c), a = |w| and m the room of each entry in
    the direction s·sign(w), the answer is s·sign(w)·min(t v, m) with v = a (ℓ2) or 1 (ℓ∞) and t the root of
    Σ a min(t v, m) = |c|, a concave increasing function of t. Where the box does not reach, r is its corner nearest to
    the hyperplane. Entries where w = 0 stay 0. Raises `InputError` for another norm or a box without 0.
    Source: Croce and Hein, ICML 2020 (arXiv 1907.02044), section 2.2, eq. 5.

    >>> r, reachable = nearest_on_hyperplane(torch.tensor([[1.0, 1.0]]), torch.tensor([2.0]),
    ...                                      torch.tensor([[-1.0, -1.0]]), torch.tensor([[0.5, 9.0]]))
    >>> r.tolist(), reachable.tolist()
    ([[0.5, 1.5]], [True])
    """
    if kind not in NORMS:
        raise InputError(f"unknown norm {kind!r}; known: {', '.join(NORMS)}")
    top = w.abs().flatten(1).amax(1).double()                   # so that no square underflows
    a = w.flatten(1).double() / top.clamp_min(torch.finfo(torch.float64).tiny)[:, None]
    goal = c.double() / top.clamp_min(torch.finfo(torch.float64).tiny)
    side = torch.where(goal[:, None] < 0, -a.sign(), a.sign())
    a, goal = a.abs(), goal.abs()
    if low is None and high is None:
        t = goal / (a.square() if kind == "l2" else a).sum(1)
        reachable = (top > 0) & torch.isfinite(t)
        length = torch.where(reachable, t, 0.0)[:, None] * (a if kind == "l2" else torch.ones_like(a))
        return (side * length).to(w.dtype).reshape(w.shape), reachable
    room = _room(side, low, high, like=w)
    t, reachable = _fill(a, a if kind == "l2" else (a > 0).double(), room, goal)
    length = torch.minimum(t[:, None] * (a if kind == "l2" else torch.ones_like(a)), room)
    return torch.where(side == 0, 0.0, side * length).to(w.dtype).reshape(w.shape), reachable


def distance_to_hyperplane(w: Batch, c: PerExample, *, kind: str = "l2") -> PerExample:
    """min ‖r‖ over ⟨w, r⟩ = c for "l2" or "linf", in double precision: |c| over the dual norm of w; infinite for w = 0.

    >>> distance_to_hyperplane(torch.tensor([[3.0, 4.0]]), torch.tensor([10.0])).tolist()
    [2.0]
    >>> distance_to_hyperplane(torch.tensor([[3.0, 4.0]]), torch.tensor([-14.0]), kind="linf").tolist()
    [2.0]
    """
    if kind not in NORMS:
        raise InputError(f"unknown norm {kind!r}; known: {', '.join(NORMS)}")
    dual = torch.linalg.vector_norm(w.flatten(1), 2 if kind == "l2" else 1, dim=1, dtype=torch.float64)
    return torch.where(dual > 0, c.double().abs() / dual, torch.inf)


def _room(side: Tensor, low: Tensor | None, high: Tensor | None, like: Tensor) -> Tensor:
    """How far each entry may move in the direction of `side`."""
    up = torch.full_like(side, torch.inf) if high is None else high.expand(like.shape).flatten(1).double()
    down = torch.full_like(side, torch.inf) if low is None else -low.expand(like.shape).flatten(1).double()
    _check_origin(up, down)
    return torch.where(side < 0, down, up)


def _check_origin(up: Tensor, down: Tensor) -> None:
    """Nothing, or `InputError` where the room upwards or downwards is negative."""
    if bool((up < 0).any()) or bool((down < 0).any()):
        raise InputError("the box must contain the origin: low ≤ 0 ≤ high; subtract the centre first")


def _fill(a: Tensor, v: Tensor, room: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """The root t ≥ 0 of Σ a min(t v, room) = goal, by Newton from the left; infinite where the sum stays below."""
    gain, held = a * v, torch.where(a > 0, a * room, 0.0)
    full = torch.zeros_like(a, dtype=torch.bool)
    t = torch.zeros_like(goal)
    while True:
        slope = torch.where(full, 0.0, gain).sum(1)
        left = goal - torch.where(full, held, 0.0).sum(1)
        t = torch.where(left <= 0, t, torch.maximum(t, left / slope))
        now = full | ((v * t[:, None] >= room) & (a > 0))
        if bool((now == full).all()):
            break
        full = now
    return t, torch.isfinite(t) | ((left <= 1e-14 * goal) & (a > 0).any(1))


def project_onto_ball_in_box(y: Batch, radius: PerExample, low: Batch | None = None, high: Batch | None = None, *,
                             kind: str = "l2") -> Batch:
    """argmin ‖z − y‖₂ over ‖z‖ ≤ radius and low ≤ z ≤ high, for a box that contains 0.

    ℓ∞: the ball is a box itself, and both are clipped to. ℓ2: z = clip(s y, low, high) with the greatest s ≤ 1 for which
    ‖z‖₂ ≤ radius (the conditions of optimality: s = 1/(1 + μ), μ the multiplier of the ball).

    >>> project_onto_ball_in_box(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0]), high=torch.tensor([[0.0, 9.0]])).tolist()
    [[0.0, 1.0]]
    """
    if low is None and high is None:
        return project(y, radius, kind)
    down = torch.full_like(y, -torch.inf) if low is None else low
    up = torch.full_like(y, torch.inf) if high is None else high
    _check_origin(up, -down)
    return (project_l2_box if kind == "l2" else project_linf_box)(y, radius, down, up)
